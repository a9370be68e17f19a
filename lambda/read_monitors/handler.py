"""Reads what the monitoring schedules of an endpoint found in a window, as the platform's own monitor tells it.

Invoked by a state machine after each window::

    {"prefix": "dev-orders-monitor-", "results_uri": "s3://artefacts/orders/monitors/results/dev-orders-live/",
     "kinds": ["DataQuality"], "every": "day", "as_of": "2013-06-01T01:23:00Z"}

Model Monitor writes ``constraint_violations.json`` below ``<endpoint>/<schedule>/yyyy/mm/dd/hh/``, the hour being that
of the execution's scheduled time. A schedule whose execution has not ended is ``waiting``; one that had nothing to look
at counts as looked at, with no rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypedDict

from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.s3 import Address, parse_uri, read_json

SCHEDULES: Final[Mapping[str, str]] = {
    "DataQuality": "data",
    "ModelQuality": "quality",
    "ModelBias": "bias",
    "ModelExplainability": "attributions",
}
"""SageMaker's kinds of monitors to what the names of their schedules end in."""

FAMILIES: Final[Mapping[str, tuple[str, ...]]] = {
    "DataQuality": ("schema", "completeness", "drift"),
    "ModelQuality": ("quality",),
    "ModelBias": ("bias",),
    "ModelExplainability": ("attributions",),
}
"""Kind to the families of checks that it looks at."""

CHECKS: Final[Mapping[str, str]] = {"completeness_check": "completeness", "baseline_drift_check": "drift"}
"""Checks of columns to their families; the others are about the schema."""

_WINDOWS: Final = {"day": timedelta(days=1), "hour": timedelta(hours=1)}
_NOTHING_THERE: Final = ("No S3 objects found", "had no data")
_TOLD: Final = 50

log = get_logger(__name__)


class NoResult(Exception):
    """An execution that found something did not write down what."""


class Event(TypedDict):
    """Whose results are asked for."""

    prefix: str
    results_uri: str
    kinds: list[str]
    every: str
    as_of: str


class Result(TypedDict):
    """What was found: schedules that have not ended or have failed, rows, and violations by family.

    ``folders`` says where the results of each kind are that has looked, by what the name of its schedule ends in.
    """

    waiting: list[str]
    failed: list[str]
    folders: dict[str, str]
    rows: int
    families: dict[str, dict[str, int]]
    violations: list[dict[str, str]]


@dataclass
class Found:
    """What all schedules together found."""

    waiting: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    folders: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    looked: list[str] = field(default_factory=list)
    violations: list[dict[str, str]] = field(default_factory=list)

    def result(self) -> Result:
        """Give it as the machine takes it."""
        return {
            "waiting": self.waiting,
            "failed": self.failed,
            "folders": self.folders,
            "rows": self.rows,
            "families": {family: {"violations": self.counts[family]} for family in self.looked},
            "violations": self.violations[:_TOLD],
        }


def state_of(schedule: Mapping[str, Any], since: datetime) -> str:
    """Give how far the execution of a window is: ``waiting``, ``nothing``, ``failed``, ``clean`` or ``violated``.

    Args:
        schedule: As SageMaker describes it.
        since: When the window's execution was due at the earliest.
    """
    last = schedule.get("LastMonitoringExecutionSummary")
    if last is None or last["ScheduledTime"] < since:
        return "nothing" if schedule["CreationTime"] > since else "waiting"
    match last["MonitoringExecutionStatus"]:
        case "Completed":
            return "clean"
        case "CompletedWithViolations":
            return "violated"
        case "Pending" | "InProgress" | "Stopping":
            return "waiting"
    reason = last.get("FailureReason", "")
    return "nothing" if any(each in reason for each in _NOTHING_THERE) else "failed"


def family_of(kind: str, check: str) -> str:
    """Give the family that a violation counts for."""
    return CHECKS.get(check, "schema") if kind == "DataQuality" else FAMILIES[kind][0]


def told(kind: str, violations: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Give violations as the platform's own monitor tells them; what they are about differs by kind."""
    return [
        {
            "family": family_of(kind, str(each.get("constraint_check_type"))),
            "column": str(each.get("feature_name") or each.get("facet") or each.get("metric_name") or "all"),
            "check": str(each.get("constraint_check_type")),
            "text": str(each.get("description", "")),
        }
        for each in violations
    ]


def read(sagemaker: Any, s3: Any, event: Event) -> Result:
    """Read the results of every schedule.

    Raises:
        NoResult: An execution says that it found something, and its file is not there.
    """
    as_of = datetime.fromisoformat(event["as_of"])
    since, found = as_of - _WINDOWS[event["every"]], Found()
    for kind in event["kinds"]:
        name = f"{event['prefix']}{SCHEDULES[kind]}"
        schedule = sagemaker.describe_monitoring_schedule(MonitoringScheduleName=name)
        state = state_of(schedule, since)
        last = schedule.get("LastMonitoringExecutionSummary", {})
        if state == "waiting":
            found.waiting.append(name)
        elif state == "failed":
            found.failed.append(f"{name}: {last.get('FailureReason', last['MonitoringExecutionStatus'])}")
        elif state != "nothing":
            _add(s3, found, kind, folder_of(event["results_uri"], name, last["ScheduledTime"]), state)
    return found.result()


def folder_of(results_uri: str, schedule: str, scheduled: datetime) -> Address:
    """Give the folder of an execution's results."""
    base = parse_uri(results_uri)
    return Address(base.bucket, f"{base.key}{schedule}/{scheduled:%Y/%m/%d/%H}/")


def _add(s3: Any, found: Found, kind: str, folder: Address, state: str) -> None:
    found.looked += FAMILIES[kind]
    found.folders[SCHEDULES[kind]] = str(folder)
    if kind == "DataQuality":
        statistics = _read(s3, folder, "statistics.json")
        found.rows = int(statistics["dataset"]["item_count"]) if statistics is not None else 0
    if state == "clean":
        return
    document = _read(s3, folder, "constraint_violations.json")
    if document is None:
        raise NoResult(f"an execution found violations, but there is no {folder}constraint_violations.json")
    violations = told(kind, document["violations"])
    found.counts.update(each["family"] for each in violations)
    found.violations += violations


def _read(s3: Any, folder: Address, name: str) -> Any:
    address = Address(folder.bucket, f"{folder.key}{name}")
    try:
        return read_json(s3, address)
    except s3.exceptions.NoSuchKey:
        return None


def handler(event: Event, _context: object) -> Result:
    """Read what was found in the window."""
    result = read(client("sagemaker"), client("s3"), event)
    log.info("monitors read", extra={**result})
    return result
