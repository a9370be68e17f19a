"""Makes the monitoring schedules of an endpoint what they are wanted to be: made, changed, or removed.

Invoked by a state machine, after a deployment and for every window::

    {"prefix": "dev-orders-monitor-", "every": "day", "configs_uri": "s3://artefacts/orders/monitors/configs/",
     "definitions_uri": "s3://artefacts/orders/monitors/definitions/names.json",
     "monitors": [{"kind": "ModelBias", "definition": {request without a name}, "config": {analysis}}]}

A job definition cannot be changed, so its name ends in a digest of it, and a schedule is pointed at another one.
Everything may be done twice: what is there already is left alone. Kinds that are not wanted lose their schedule, and
definitions that no schedule refers to are deleted, those of runs that broke off as well. What SageMaker or another run
is still busy with is an error, so that the machine tries again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NotRequired, TypedDict

from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.s3 import parse_uri
from set_monitors.definitions import Definitions, FileChanged

KINDS: Final[Mapping[str, str]] = {
    "DataQuality": "data",
    "ModelQuality": "quality",
    "ModelBias": "bias",
    "ModelExplainability": "attributions",
}
"""SageMaker's kinds of monitors to what their names end in."""

EXPRESSIONS: Final[Mapping[str, str]] = {"day": "cron(0 0 ? * * *)", "hour": "cron(0 * ? * * *)"}
_OPERATIONS: Final[Mapping[str, str]] = {
    "DataQuality": "data_quality_job_definition",
    "ModelQuality": "model_quality_job_definition",
    "ModelBias": "model_bias_job_definition",
    "ModelExplainability": "model_explainability_job_definition",
}
_DIGITS: Final = 10

log = get_logger(__name__)


class MonitorBusy(Exception):
    """SageMaker is still at work on a schedule, or another run is at work on all of them."""


class Monitor(TypedDict):
    """One monitor that is wanted.

    ``definition`` is the request that makes its job definition, without a name; ``config`` what Clarify shall analyse.
    """

    kind: str
    definition: dict[str, Any]
    config: NotRequired[dict[str, Any]]


class Event(TypedDict):
    """What is wanted of an endpoint."""

    prefix: str
    every: str
    configs_uri: str
    definitions_uri: str
    monitors: list[Monitor]


class Result(TypedDict):
    """Names of schedules: those that there are now, and those that were removed."""

    schedules: list[str]
    removed: list[str]


@dataclass(frozen=True)
class Schedule:
    """A schedule as it is: its job definition, and when it runs."""

    definition: str
    expression: str


def digest_of(content: object) -> str:
    """Give a digest of a JSON value, equal for equal values."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def definition_request(prefix: str, monitor: Monitor, config_uri: str | None) -> dict[str, Any]:
    """Give the request that makes a job definition, named after its content.

    Args:
        prefix: What names start with.
        monitor: The monitor.
        config_uri: Where its analysis configuration is; None without one.
    """
    kind, members = monitor["kind"], dict(monitor["definition"])
    if config_uri is not None:
        application = f"{kind}AppSpecification"
        members[application] = {**members[application], "ConfigUri": config_uri}
    return {"JobDefinitionName": f"{prefix}{KINDS[kind]}-{digest_of(members)}", **members}


def schedule_request(prefix: str, kind: str, definition: str, every: str) -> dict[str, Any]:
    """Give the request that makes or changes the schedule of a kind."""
    return {
        "MonitoringScheduleName": f"{prefix}{KINDS[kind]}",
        "MonitoringScheduleConfig": {
            "ScheduleConfig": {"ScheduleExpression": EXPRESSIONS[every]},
            "MonitoringJobDefinitionName": definition,
            "MonitoringType": kind,
        },
    }


def set_monitors(sagemaker: Any, s3: Any, event: Event) -> Result:
    """Bring the schedules about.

    Raises:
        MonitorBusy: SageMaker is still at work on one of them, or another run is.
    """
    definitions = Definitions(s3, parse_uri(event["definitions_uri"]))
    wanted = {
        each["kind"]: definition_request(event["prefix"], each, _put_config(s3, event["configs_uri"], each))
        for each in event["monitors"]
    }
    there = {kind: schedule for kind in KINDS if (schedule := find(sagemaker, f"{event['prefix']}{KINDS[kind]}"))}
    needed = {kind: frozenset({request["JobDefinitionName"]}) for kind, request in wanted.items()}
    possible = {
        kind: definitions.names.get(kind, frozenset())
        | needed.get(kind, frozenset())
        | ({there[kind].definition} if kind in there else frozenset())
        for kind in KINDS
    }
    try:
        definitions.keep(possible)
        result = _set_all(sagemaker, event, wanted, there)
        for kind, names in possible.items():
            for name in sorted(names - needed.get(kind, frozenset())):
                _delete_definition(sagemaker, kind, name)
        definitions.keep(needed)
    except FileChanged as error:
        raise MonitorBusy(str(error)) from error
    return result


def _set_all(
    sagemaker: Any, event: Event, wanted: Mapping[str, dict[str, Any]], there: Mapping[str, Schedule]
) -> Result:
    result: Result = {"schedules": [], "removed": []}
    for kind, suffix in KINDS.items():
        name = f"{event['prefix']}{suffix}"
        if kind in wanted:
            _set(sagemaker, event, kind, wanted[kind], there.get(kind))
            result["schedules"].append(name)
        elif kind in there:
            sagemaker.delete_monitoring_schedule(MonitoringScheduleName=name)
            result["removed"].append(name)
    return result


def find(sagemaker: Any, name: str) -> Schedule | None:
    """Give a schedule as it is; None where there is none.

    Raises:
        MonitorBusy: SageMaker is still at work on it.
    """
    try:
        found = sagemaker.describe_monitoring_schedule(MonitoringScheduleName=name)
    except sagemaker.exceptions.ResourceNotFound:
        return None
    if found["MonitoringScheduleStatus"] == "Pending":
        raise MonitorBusy(f"schedule {name} is still Pending")
    config = found["MonitoringScheduleConfig"]
    return Schedule(config["MonitoringJobDefinitionName"], config["ScheduleConfig"]["ScheduleExpression"])


def _set(sagemaker: Any, event: Event, kind: str, definition: dict[str, Any], there: Schedule | None) -> None:
    request = schedule_request(event["prefix"], kind, definition["JobDefinitionName"], event["every"])
    expression = request["MonitoringScheduleConfig"]["ScheduleConfig"]["ScheduleExpression"]
    if there == Schedule(definition["JobDefinitionName"], expression):
        return
    try:
        getattr(sagemaker, f"create_{_OPERATIONS[kind]}")(**definition)
    except sagemaker.exceptions.ResourceInUse:
        log.info("job definition is there already", extra={"definition": definition["JobDefinitionName"]})
    if there is None:
        _create_schedule(sagemaker, request)
    else:
        sagemaker.update_monitoring_schedule(**request)


def _create_schedule(sagemaker: Any, request: dict[str, Any]) -> None:
    try:
        sagemaker.create_monitoring_schedule(**request)
    except sagemaker.exceptions.ResourceInUse as error:
        raise MonitorBusy(f"schedule {request['MonitoringScheduleName']} is made by another run") from error


def _put_config(s3: Any, configs_uri: str, monitor: Monitor) -> str | None:
    config = monitor.get("config")
    if config is None:
        return None
    base = parse_uri(configs_uri)
    key = f"{base.key}{digest_of(config)}.json"
    s3.put_object(Bucket=base.bucket, Key=key, Body=json.dumps(config, sort_keys=True).encode())
    return f"s3://{base.bucket}/{key}"


def _delete_definition(sagemaker: Any, kind: str, name: str) -> None:
    try:
        getattr(sagemaker, f"delete_{_OPERATIONS[kind]}")(JobDefinitionName=name)
    except sagemaker.exceptions.ResourceNotFound:
        log.info("job definition is gone already", extra={"definition": name})


def handler(event: Event, _context: object) -> Result:
    """Bring the schedules of the endpoint about."""
    result = set_monitors(client("sagemaker"), client("s3"), event)
    log.info("monitors set", extra={**result})
    return result
