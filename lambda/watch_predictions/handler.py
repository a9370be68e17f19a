"""Says during a rollout how far an endpoint's predictions have moved since it began: a metric that an alarm watches.

The event is ``{"since", "as_of"}``, when the rollout began and now, in ISO 8601; the answer is ``{"before", "since",
"shift"}``, how many predictions were compared and how far they are apart, if that can be told. What was captured in the
hour before the rollout is compared with what was captured in its last minutes, when old and new fleet answer together.

The metric is part of the log line, in CloudWatch's embedded format, of the moment at which it is said; where nothing
can be told there is none.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

from gapless_lambda.captures import captured, predictions_of
from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.s3 import parse_uri
from gapless_lambda.settings import read_settings
from watch_predictions.distance import said, shift

NAMESPACE = "Gapless"
METRIC = "PredictionShift"
BEFORE = timedelta(hours=1)
LATELY = timedelta(minutes=10)
_MOST = 20_000

log = get_logger(__name__)


class BadEvent(Exception):
    """The event does not say when the rollout began."""


class Event(TypedDict):
    """When the rollout began, and the instant that stands for now."""

    since: str
    as_of: str


@dataclass(frozen=True)
class Settings:
    """Whose predictions are compared, and where they were captured (``s3://bucket/folder/``)."""

    stage: str
    workload: str
    endpoint_name: str
    variant: str
    capture_uri: str


def parse_event(event: Mapping[str, Any]) -> tuple[datetime, datetime]:
    """Checks an event.

    Raises:
        BadEvent: An instant is missing or none, or the rollout begins after now.
    """
    instants = []
    for name in Event.__annotations__:
        try:
            moment = datetime.fromisoformat(event[name])
        except (KeyError, TypeError, ValueError):
            moment = None
        if moment is None or moment.tzinfo is None:
            given = event.get(name)
            raise BadEvent(f"{name}: given {given!r:.200}; allowed is an instant such as 2024-01-31T12:00:00Z")
        instants.append(moment.astimezone(UTC))
    since, now = instants
    if now < since:
        raise BadEvent(f"as_of: given {event['as_of']}; allowed is an instant after {event['since']}")
    return since, now


def answers(lines: Iterator[str]) -> Iterator[tuple[datetime, float | str]]:
    """Gives when something was said and what; lines that are no answers are passed over."""
    for line in lines:
        try:
            exchange = json.loads(line)
            at = datetime.fromisoformat(exchange["eventMetadata"]["inferenceTime"])
            found = [said(each) for each in predictions_of(exchange)]
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        yield from ((at, each) for each in found if each is not None)


def compared(settings: Settings, since: datetime, now: datetime) -> dict[str, Any]:
    """Reads the newest predictions of both times and compares them."""
    before: deque[float | str] = deque(maxlen=_MOST)
    lately: deque[float | str] = deque(maxlen=_MOST)
    base, first = parse_uri(settings.capture_uri), since - BEFORE
    for at, what in answers(captured(client("s3"), base, settings.endpoint_name, settings.variant, first, now)):
        if first <= at < since:
            before.append(what)
        elif max(since, now - LATELY) <= at:
            lately.append(what)
    return {"before": len(before), "since": len(lately), "shift": shift(before, lately)}


def measured(settings: Settings, value: float, at: datetime) -> dict[str, Any]:
    """Gives the part of a log line that CloudWatch makes a metric of."""
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["Stage", "Workload"]],
        "Metrics": [{"Name": METRIC, "Unit": "None"}],
    }
    marked = {"Timestamp": int(at.timestamp() * 1000), "CloudWatchMetrics": [directive]}
    return {"_aws": marked, "Stage": settings.stage, "Workload": settings.workload, METRIC: round(value, 4)}


def handler(event: Event, context: Any) -> dict[str, Any]:  # noqa: ARG001
    """Compare and say; raise when the event names no rollout."""
    settings, (since, now) = read_settings(Settings), parse_event(event)
    found = compared(settings, since, now)
    metric = {} if found["shift"] is None else measured(settings, found["shift"], datetime.now(UTC))
    log.info("compared", extra={"predictions": found, **metric})
    return found
