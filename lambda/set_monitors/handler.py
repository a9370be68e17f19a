"""Makes the monitoring schedules of an endpoint what they are wanted to be: made, changed, or removed.

Invoked by a state machine, after a deployment and for every window::

    {"prefix": "dev-orders-monitor-", "every": "day", "configs_uri": "s3://artefacts/orders/monitors/configs/",
     "monitors": [{"kind": "ModelBias", "definition": {request without a name}, "config": {analysis}}]}

A job definition cannot be changed, so its name ends in a digest of it, and a schedule is pointed at another one.
Everything may be done twice: what is there already is left alone. Kinds that are not wanted lose their schedule and
definition. What SageMaker is still busy with is an error, so that the machine tries again.
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
    """SageMaker is still at work on a schedule."""


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
    status: str


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
        MonitorBusy: SageMaker is still at work on one of them.
    """
    wanted = {monitor["kind"]: monitor for monitor in event["monitors"]}
    result: Result = {"schedules": [], "removed": []}
    for kind, suffix in KINDS.items():
        name = f"{event['prefix']}{suffix}"
        there = find(sagemaker, name)
        if there is not None and there.status == "Pending":
            raise MonitorBusy(f"schedule {name} is still {there.status}")
        if kind in wanted:
            _set(sagemaker, s3, event, wanted[kind], there)
            result["schedules"].append(name)
        elif there is not None:
            sagemaker.delete_monitoring_schedule(MonitoringScheduleName=name)
            _delete_definition(sagemaker, kind, there.definition)
            result["removed"].append(name)
    return result


def find(sagemaker: Any, name: str) -> Schedule | None:
    """Give a schedule as it is; None where there is none."""
    try:
        found = sagemaker.describe_monitoring_schedule(MonitoringScheduleName=name)
    except sagemaker.exceptions.ResourceNotFound:
        return None
    config = found["MonitoringScheduleConfig"]
    return Schedule(
        config["MonitoringJobDefinitionName"],
        config["ScheduleConfig"]["ScheduleExpression"],
        found["MonitoringScheduleStatus"],
    )


def _set(sagemaker: Any, s3: Any, event: Event, monitor: Monitor, there: Schedule | None) -> None:
    kind = monitor["kind"]
    definition = definition_request(event["prefix"], monitor, _put_config(s3, event["configs_uri"], monitor))
    request = schedule_request(event["prefix"], kind, definition["JobDefinitionName"], event["every"])
    expression = request["MonitoringScheduleConfig"]["ScheduleConfig"]["ScheduleExpression"]
    if there is not None and (there.definition, there.expression) == (definition["JobDefinitionName"], expression):
        return
    try:
        getattr(sagemaker, f"create_{_OPERATIONS[kind]}")(**definition)
    except sagemaker.exceptions.ResourceInUse:
        log.info("job definition is there already", extra={"definition": definition["JobDefinitionName"]})
    if there is None:
        _create_schedule(sagemaker, request)
        return
    sagemaker.update_monitoring_schedule(**request)
    if there.definition != definition["JobDefinitionName"]:
        _delete_definition(sagemaker, kind, there.definition)


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
