"""What an event of EventBridge says of a delivery, and of whose."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from constructs_lib.names.delivery import DEPLOYMENT_MACHINE, ENDPOINT, NOT_ATTEMPTED, ROLLBACK

STARTED = "STARTED"


class BadEvent(Exception):
    """An event that this function is not made for."""


@dataclass(frozen=True)
class ModelDeployment:
    """An execution of a workload's deployment machine has begun or ended.

    Attributes:
        workload: Whose it is, as its names at run time spell it.
        id: The execution and, since it may be taken up again, what is told of it and when.
        execution: ARN of the execution.
        began: When it began, in seconds.
        ended: When it ended; None while it runs.
        failed: Whether it has ended without success.
        package: ARN of the model package; empty where the last delivery is taken back.
    """

    workload: str
    id: str
    execution: str
    began: float
    ended: float | None
    failed: bool
    package: str


@dataclass(frozen=True)
class EndpointAlarm:
    """An alarm of a workload's endpoint has changed.

    Attributes:
        workload: Whose it is.
        id: The alarm, its state and since when.
        at: Since when, in seconds.
        alarm: Its name.
        on: Whether it is on.
    """

    workload: str
    id: str
    at: float
    alarm: str
    on: bool


@dataclass(frozen=True)
class PipelineRun:
    """A pipeline of the platform has begun or ended.

    Attributes:
        pipeline: Its name.
        execution: Of its execution.
        at: In seconds.
        state: ``STARTED``, ``SUCCEEDED`` or ``FAILED``.
    """

    pipeline: str
    execution: str
    at: float
    state: str


Told = ModelDeployment | EndpointAlarm | PipelineRun


def read_event(event: Mapping[str, Any], stage: str) -> Told | None:
    """Give what an event tells; None for one of another stage, or of something that is neither good nor bad.

    Raises:
        BadEvent: The event is of no kind that is known here.
    """
    match event.get("source"), event.get("detail-type"):
        case "aws.states", "Step Functions Execution Status Change":
            return _deployment(event, stage)
        case "aws.cloudwatch", "CloudWatch Alarm State Change":
            return _alarm(event, stage)
        case "aws.codepipeline", "CodePipeline Pipeline Execution State Change":
            return _pipeline(event)
        case kind:
            raise BadEvent(f"event of an unknown kind: {kind!r}; allowed are executions, alarms and pipelines")


def seconds(text: str) -> float:
    """Give an ISO 8601 instant in seconds since 1970; ``+0000`` is an offset as well."""
    return datetime.fromisoformat(text).timestamp()


def workload_of(name: str, stage: str, part: str) -> str | None:
    """Give the workload whose run-time thing is called ``<stage>-<workload>-<part>…``; None where it is not."""
    own, found, _ = name.removeprefix(f"{stage}-").partition(f"-{part}")
    return own if found and name.startswith(f"{stage}-") and own else None


def _deployment(event: Mapping[str, Any], stage: str) -> ModelDeployment | None:
    detail = event["detail"]
    workload = workload_of(detail["stateMachineArn"].rpartition(":")[2], stage, DEPLOYMENT_MACHINE)
    if workload is None or detail.get("error") in NOT_ATTEMPTED:
        return None
    stopped = detail.get("stopDate") if detail["status"] != "RUNNING" else None
    asked = json.loads(detail.get("input") or "{}")
    taken_back = asked.get("action") == ROLLBACK
    if not taken_back and ("action" in asked or "model_package_arn" not in asked):
        return None
    return ModelDeployment(
        workload=workload,
        id=f"{detail['executionArn']}@{stopped or 'begin'}",
        execution=detail["executionArn"],
        began=detail["startDate"] / 1000,
        ended=stopped / 1000 if stopped else None,
        failed=detail["status"] not in ("SUCCEEDED", "RUNNING"),
        package="" if taken_back else str(asked["model_package_arn"]),
    )


def _alarm(event: Mapping[str, Any], stage: str) -> EndpointAlarm | None:
    detail = event["detail"]
    name, state = detail["alarmName"], detail["state"]
    workload = workload_of(name, stage, f"{ENDPOINT}-")
    if workload is None or state["value"] not in ("ALARM", "OK"):
        return None
    at = seconds(state["timestamp"])
    return EndpointAlarm(workload, f"{name} {state['value']}@{at}", at, name, state["value"] == "ALARM")


def _pipeline(event: Mapping[str, Any]) -> PipelineRun | None:
    detail = event["detail"]
    if detail["state"] not in (STARTED, "SUCCEEDED", "FAILED"):
        return None
    return PipelineRun(detail["pipeline"], detail["execution-id"], seconds(event["time"]), detail["state"])
