"""Looks at one training that runs: is it getting anywhere?

Invoked once a minute by the guard's machine, with the job, the rules and what was seen until now; reads what the job
has written into its log since then. Gives what was seen, for the next time, and what is to be done:

- ``go_on``: the job runs, and no rule is broken;
- ``stop``: the job runs, and a rule is broken: ``finding`` says which and why;
- ``over``: the job has ended by itself.

With ``watch: debugger`` the rules are judged by SageMaker Debugger, whose verdict stands in the job's description.
The job itself is not touched here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

from botocore.exceptions import ClientError

from gapless_guard.rules import Finding, Rules, Tracker
from gapless_lambda.clients import client
from gapless_lambda.log import get_logger

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
FIRST_MACHINE = "/algo-1-"
"""What the names of the first machine's log streams have behind the name of the job."""
MOST_LINES = 200_000
"""What is read in one look; the rest is read in the next."""

log = get_logger(__name__)


class Patterns(TypedDict):
    """Regular expressions with one group each, around the number."""

    loss: str
    validation_loss: NotRequired[str | None]


class Event(TypedDict):
    """The job, how it is judged, what was seen until now (nothing at first) and the time, in seconds."""

    job_name: str
    backend: Literal["log", "debugger"]
    rules: Mapping[str, Any]
    patterns: Patterns
    seen: Mapping[str, Any]
    now: float


class Result(TypedDict):
    """What is to be done, why, and what was seen."""

    verdict: Literal["go_on", "stop", "over"]
    finding: str
    rule: str
    seen: Mapping[str, Any]


class Line(TypedDict):
    """A line of the log: when it was written (ms), and its text."""

    timestamp: int
    message: str


def handler(event: Event, context: Any) -> Result:  # noqa: ARG001
    """Look at the job once."""
    job = client("sagemaker").describe_training_job(TrainingJobName=event["job_name"])
    if job["TrainingJobStatus"] != "InProgress":
        return _result("over", None, event["seen"])
    if event["backend"] == "debugger":
        finding, seen = judged_by_debugger(job), dict(event["seen"])
    else:
        finding, seen = judge_log(event, started_at(job))
    result = _result("stop" if finding is not None else "go_on", finding, seen)
    log.info("looked at the training", extra={"job": event["job_name"], **result})
    return result


def started_at(job: Mapping[str, Any]) -> float:
    """Give when the script began, in seconds; a job that has not begun gives nothing to wait for: infinity."""
    started = job.get("TrainingStartTime")
    return started.timestamp() if started is not None else math.inf


def judged_by_debugger(job: Mapping[str, Any]) -> Finding | None:
    """Give the first rule of SageMaker Debugger that has found something."""
    for status in job.get("DebugRuleEvaluationStatuses", []):
        if status["RuleEvaluationStatus"] == "IssuesFound":
            name = status["RuleConfigurationName"]
            return Finding(name, status.get("StatusDetails") or f"SageMaker Debugger's rule {name} found an issue")
    return None


def judge_log(event: Event, began: float) -> tuple[Finding | None, dict[str, Any]]:
    """Judge what is new in the log, and the silence since.

    Args:
        event: See :class:`Event`.
        began: When the job began, in seconds.
    """
    rules, before = Rules.parse(event["rules"]), event["seen"]
    tracker = Tracker.from_document(before["tracker"]) if before else Tracker(at=min(began, event["now"]))
    lines, token = read_log(event["job_name"], before["token"] if before else None)
    finding = _judge_lines(rules, tracker, event["patterns"], lines)
    seen = {"tracker": tracker.document(), "token": token}
    return finding or tracker.dead(rules, event["now"]), seen


def _judge_lines(rules: Rules, tracker: Tracker, patterns: Patterns, lines: Sequence[Line]) -> Finding | None:
    for at, loss, validation_loss in points(patterns, lines):
        finding = tracker.see(rules, at, loss, validation_loss)
        if finding is not None:
            return finding
    return None


def read_log(job_name: str, token: str | None) -> tuple[list[Line], str | None]:
    """Give the lines that the first machine of a job has written since a token, and the token for the next time.

    Every machine of a job reports the losses; one is enough. A job that has written nothing yet has no log.
    """
    logs, names = client("logs"), log_streams(job_name)
    if not names:
        return [], token
    lines: list[Line] = []
    while True:
        more = {"nextToken": token} if token is not None else {}
        page = logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=min(names), startFromHead=True, **more)
        lines += page["events"]
        if page["nextForwardToken"] == token or len(lines) >= MOST_LINES:
            return lines, page["nextForwardToken"]
        token = page["nextForwardToken"]


def log_streams(job_name: str) -> list[str]:
    """Give the log streams of a job's first machine; the first job of a region makes the group."""
    try:
        found = client("logs").describe_log_streams(
            logGroupName=LOG_GROUP, logStreamNamePrefix=f"{job_name}{FIRST_MACHINE}"
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return []
        raise
    return [stream["logStreamName"] for stream in found["logStreams"]]


def points(patterns: Patterns, lines: Sequence[Line]) -> Iterator[tuple[float, float, float | None]]:
    """Give each point: time in seconds, training loss, validation loss.

    A validation loss belongs to the training loss of its own line, or to the last one before it; a training loss whose
    validation loss stands on a later line is judged when the next training loss comes, or at the end of what is there.
    """
    loss_of, validation_of = re.compile(patterns["loss"]), patterns.get("validation_loss")
    validation_pattern = re.compile(validation_of) if validation_of else None
    waiting: tuple[float, float, float | None] | None = None
    for line in lines:
        loss = _number(loss_of, line["message"])
        held_back = _number(validation_pattern, line["message"]) if validation_pattern else None
        if loss is not None:
            if waiting:
                yield waiting
            waiting = (line["timestamp"] / 1000, loss, None)
        if held_back is not None and waiting:
            waiting = (*waiting[:2], held_back)
    if waiting:
        yield waiting


def _number(pattern: re.Pattern[str], text: str) -> float | None:
    """Give the number in a line; what only looks like one is none."""
    found = pattern.search(text)
    try:
        return float(found[1]) if found else None
    except (TypeError, ValueError):
        return None


def _result(verdict: Literal["go_on", "stop", "over"], finding: Finding | None, seen: Mapping[str, Any]) -> Result:
    return {
        "verdict": verdict,
        "finding": finding.seen if finding else "",
        "rule": finding.rule if finding else "",
        "seen": seen,
    }
