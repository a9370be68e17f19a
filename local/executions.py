"""What executions of state machines did: their states with timings, and where they failed."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from local.aws import Aws
from local.errors import Failure

RUNNING = "RUNNING"
SUCCEEDED = "SUCCEEDED"

_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class StateRun:
    """One state of one execution; a state in a loop is entered more than once and counted once.

    Args:
        name: Of the state.
        entered: UTC, the first time.
        exited: UTC, the last time; ``None`` while it runs, and if the execution ended in it.
        visits: How often it was entered.
        error: Error name of its last attempt, if that failed.
        cause: What that attempt said.
    """

    name: str
    entered: dt.datetime
    exited: dt.datetime | None = None
    visits: int = 1
    error: str | None = None
    cause: str | None = None


@dataclass(frozen=True)
class Execution:
    """One execution of a state machine.

    Args:
        machine: Which of the four machines: ``loop``, ``data``, ``model`` or ``deployment``.
        arn: Of the execution.
        status: ``RUNNING``, ``SUCCEEDED``, ``FAILED``, ``TIMED_OUT`` or ``ABORTED``.
        started: UTC.
        ended: UTC, or ``None``.
        input: What it was started with.
        output: What it ended with, if it succeeded.
        error: Error name, if it failed.
        cause: What it said when it failed.
        states: In the order in which they were first entered.
    """

    machine: str
    arn: str
    status: str
    started: dt.datetime
    ended: dt.datetime | None
    input: Mapping[str, Any]
    output: Any
    error: str | None
    cause: str | None
    states: tuple[StateRun, ...]

    @property
    def name(self) -> str:
        """The last part of the ARN."""
        return self.arn.rpartition(":")[2]

    @property
    def seconds(self) -> float | None:
        """How long it took, or ``None`` while it runs."""
        return (self.ended - self.started).total_seconds() if self.ended else None

    def culprit(self) -> StateRun | None:
        """The state to look at after a failure: the last one whose last attempt failed, or else the last entered."""
        failed = [state for state in self.states if state.error is not None]
        if failed:
            return failed[-1]
        return self.states[-1] if self.states else None


@dataclass
class _States:
    """Folds the events of a history into states."""

    found: dict[str, StateRun] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)

    def take(self, event: Mapping[str, Any]) -> None:
        kind, when = str(event["type"]), event["timestamp"].astimezone(dt.UTC)
        if kind.endswith("StateEntered"):
            self._enter(str(event["stateEnteredEventDetails"]["name"]), when)
        elif kind.endswith("StateExited"):
            self._exit(str(event["stateExitedEventDetails"]["name"]), when)
        elif kind in _ATTEMPT_FAILED and self.open:
            details = event.get(_details_key(kind), {})
            name = self.open[-1]
            error, cause = details.get("error", kind), details.get("cause")
            self.found[name] = replace(self.found[name], error=error, cause=cause)
        elif kind in _ATTEMPT_SUCCEEDED and self.open:
            name = self.open[-1]
            self.found[name] = replace(self.found[name], error=None, cause=None)

    def _enter(self, name: str, when: dt.datetime) -> None:
        before = self.found.get(name)
        again = replace(before, exited=None, visits=before.visits + 1) if before else StateRun(name, when)
        self.found[name] = again
        self.open.append(name)

    def _exit(self, name: str, when: dt.datetime) -> None:
        self.found[name] = replace(self.found[name], exited=when)
        if name in self.open:
            self.open.remove(name)


_ATTEMPT_FAILED = {
    "TaskFailed",
    "TaskSubmitFailed",
    "TaskStartFailed",
    "TaskTimedOut",
    "LambdaFunctionFailed",
    "LambdaFunctionTimedOut",
    "EvaluationFailed",
}
_ATTEMPT_SUCCEEDED = {"TaskSucceeded", "LambdaFunctionSucceeded"}


def _details_key(kind: str) -> str:
    return kind[0].lower() + kind[1:] + "EventDetails"


def fold_states(events: Iterable[Mapping[str, Any]]) -> tuple[StateRun, ...]:
    """The states that a history tells of, in the order in which they were first entered."""
    states = _States()
    for event in events:
        states.take(event)
    return tuple(states.found.values())


def read_execution(aws: Aws, machine: str, arn: str) -> Execution:
    """Describe an execution and read its history."""
    client = aws.client("stepfunctions")
    found = client.describe_execution(executionArn=arn)
    pages = client.get_paginator("get_execution_history").paginate(executionArn=arn, includeExecutionData=False)
    ended = found.get("stopDate")
    return Execution(
        machine=machine,
        arn=arn,
        status=found["status"],
        started=found["startDate"].astimezone(dt.UTC),
        ended=ended.astimezone(dt.UTC) if ended else None,
        input=json.loads(found.get("input") or "{}"),
        output=json.loads(found["output"]) if found["status"] == SUCCEEDED and found.get("output") else None,
        error=found.get("error"),
        cause=found.get("cause"),
        states=fold_states(event for page in pages for event in page["events"]),
    )


def await_end(
    aws: Aws, machine: str, arn: str, *, what: str, timeout_seconds: float, show: Callable[[str], None]
) -> Execution:
    """Wait until an execution has succeeded.

    Args:
        what: What the execution is, for messages.
        show: Told the name of the state that the machine is in.

    Raises:
        Failure: It failed, or did not end in time.
    """
    deadline = time.monotonic() + timeout_seconds
    while (execution := read_execution(aws, machine, arn)).status == RUNNING:
        if execution.states:
            show(execution.states[-1].name)
        if time.monotonic() > deadline:
            raise Failure(f"the {what} {execution.name} has not ended within {timeout_seconds:.0f} s; it goes on")
        time.sleep(_POLL_SECONDS)
    if execution.status != SUCCEEDED:
        raise Failure(f"the {what} {execution.name} failed: {execution.error}: {execution.cause}")
    return execution


def execution_arns(aws: Aws, machine_arn: str, *, limit: int = 100) -> list[str]:
    """The newest executions of a machine, newest first."""
    pages = aws.client("stepfunctions").get_paginator("list_executions")
    found = pages.paginate(stateMachineArn=machine_arn, PaginationConfig={"MaxItems": limit, "PageSize": 100})
    items = [item for page in found for item in page["executions"]]
    newest = sorted(items, key=lambda item: item["startDate"], reverse=True)
    return [str(item["executionArn"]) for item in newest]


def execution_arn(machine_arn: str, name: str) -> str:
    """The ARN that an execution of this name has."""
    return f"{machine_arn.replace(':stateMachine:', ':execution:')}:{name}"
