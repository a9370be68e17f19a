"""The four figures of DORA, from what happened in whatever order it is told; nothing here reads a clock.

What is known of one workload, or of one pipeline, is a history: its deliveries, and the moments at which something that
watches it went bad or good. Each observation is taken in once, and gives the figures that are known because of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from constructs_lib.names import metrics
from constructs_lib.names.delivery import FAILS_WITHIN_HOURS

Figures = list[tuple[str, float]]
Attempt = tuple[float | None, float | None]
"""Begin and end, where they are known."""

REMEMBERED_SECONDS = 21 * 24 * 3600
"""How long events are remembered: longer than a queue keeps one, and than a dead-letter queue does after that."""

_LONGEST_SECONDS = 14 * 24 * 3600
"""For how long an attempt is believed to go on of whose end nothing is told."""

_FAILS_WITHIN = FAILS_WITHIN_HOURS * 3600


@dataclass(frozen=True)
class Begun:
    """An attempt to deliver has begun.

    Attributes:
        id: The same whenever the event comes again.
        at: When, in seconds.
        attempt: What all events of the attempt share.
    """

    id: str
    at: float
    attempt: str


@dataclass(frozen=True)
class Delivery:
    """An attempt to deliver has ended.

    Attributes:
        id, at, attempt: As of its begin.
        failed: Whether it failed.
        began: When it began, where the event says so.
        lead_seconds: How long the change took to be delivered, where that is known.
    """

    id: str
    at: float
    attempt: str
    failed: bool
    began: float | None = None
    lead_seconds: float | None = None


@dataclass(frozen=True)
class Health:
    """Something that watches what was delivered says how it is.

    Attributes:
        id: The same whenever the event comes again.
        at: Since when that is so, in seconds.
        source: What says so, such as an alarm.
        bad: Whether it is bad.
    """

    id: str
    at: float
    source: str
    bad: bool


@dataclass(frozen=True)
class TakenBack:
    """Somebody has taken back what was delivered last, on purpose.

    Attributes:
        id: The same whenever the event comes again.
        at: When that was done, in seconds.
        began: When it began.
    """

    id: str
    at: float
    began: float


Observation = Begun | Delivery | Health | TakenBack


@dataclass(frozen=True)
class History:
    """What is known of one workload or pipeline.

    Attributes:
        seen: Ids of what was taken in, with its time.
        attempts: Begin and end of each attempt, where they are known.
        deliveries: Time and id of the attempts that succeeded.
        taken_back: When something was taken back.
        turns: Time, source and whether it was bad, in any order.
        told: Ends of the failures whose repair was counted, and ids of deliveries whose later failure was.
    """

    seen: Mapping[str, float] = field(default_factory=dict)
    attempts: Mapping[str, Attempt] = field(default_factory=dict)
    deliveries: Sequence[tuple[float, str]] = ()
    taken_back: Sequence[float] = ()
    turns: Sequence[tuple[float, str, bool]] = ()
    told: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> History:
        """Read a history as it is stored; nothing stored is a history without events."""
        return cls(
            seen=dict(document.get("seen", {})),
            attempts={name: (began, ended) for name, (began, ended) in document.get("attempts", {}).items()},
            deliveries=[(at, name) for at, name in document.get("deliveries", [])],
            taken_back=list(document.get("taken_back", [])),
            turns=[(at, source, bad) for at, source, bad in document.get("turns", [])],
            told=dict(document.get("told", {})),
        )

    def began(self, attempt: str) -> float | None:
        """Give when an attempt began, where that is known."""
        return self.attempts.get(attempt, (None, None))[0]

    def document(self) -> dict[str, Any]:
        """Give the history as it is stored."""
        return {
            "seen": dict(self.seen),
            "attempts": {name: list(each) for name, each in self.attempts.items()},
            "deliveries": [list(each) for each in self.deliveries],
            "taken_back": list(self.taken_back),
            "turns": [list(each) for each in self.turns],
            "told": dict(self.told),
        }


def observe(history: History, observations: Sequence[Observation]) -> tuple[History, Figures]:
    """Take in what one event tells, and give what is known because of it.

    Observations that were taken in before change nothing and give no figures.
    """
    figures: Figures = []
    seen, told, attempts = dict(history.seen), dict(history.told), dict(history.attempts)
    deliveries, turns, taken_back = list(history.deliveries), list(history.turns), list(history.taken_back)
    for each in observations:
        if each.id in seen:
            continue
        seen[each.id] = each.at
        match each:
            case Health():
                turns.append((each.at, each.source, each.bad))
            case TakenBack():
                taken_back.append(each.began)
                turns += [(each.began, each.id, True), (each.at, each.id, False)]
            case Begun():
                attempts[each.attempt] = (each.at, _ended(attempts.get(each.attempt), each.at))
            case Delivery():
                attempts[each.attempt] = (each.began, each.at)
                figures += _of_delivery(each)
                deliveries += [] if each.failed else [(each.at, each.id)]
    failures = list(failures_of(turns))
    for began, ended in failures:
        end = f"restored {ended}"
        if ended is not None and end not in told:
            told[end] = ended
            figures.append((metrics.TIME_TO_RESTORE, ended - began))
    alarms = [began for began, _ in failures if not _during(began, attempts.values())]
    for delivery in blamed(deliveries, alarms, taken_back):
        if delivery not in told:
            told[delivery] = seen[delivery]
            figures.append((metrics.DELIVERIES_FAILED, 1))
    return _recent(History(seen, attempts, sorted(deliveries), sorted(taken_back), sorted(turns), told)), figures


def _ended(attempt: Attempt | None, began: float) -> float | None:
    """Give when an attempt ended whose begin is told; one that is taken up again has not ended."""
    ended = attempt[1] if attempt is not None else None
    return ended if ended is not None and ended >= began else None


def _during(at: float, attempts: Iterable[Attempt]) -> bool:
    """Say whether something was being delivered at a time: what goes wrong then is that attempt's fault."""
    for began, ended in attempts:
        start = began if began is not None else ended
        if start is not None and start <= at <= (ended if ended is not None else start + _LONGEST_SECONDS):
            return True
    return False


def failures_of(turns: Sequence[tuple[float, str, bool]]) -> Iterator[tuple[float, float | None]]:
    """Yield begin and end of each time in which something was bad; the last may have no end yet."""
    bad: set[str] = set()
    began = 0.0
    for at, source, is_bad in sorted(turns):
        was_bad = bool(bad)
        (bad.add if is_bad else bad.discard)(source)
        if bad and not was_bad:
            began = at
        elif was_bad and not bad:
            yield began, at
    if bad:
        yield began, None


def blamed(
    deliveries: Sequence[tuple[float, str]], alarms: Sequence[float], taken_back: Sequence[float]
) -> Iterator[str]:
    """Yield the ids of deliveries that turned out wrong before the next one: soon by an alarm, or taken back."""
    ordered = [*sorted(deliveries), (float("inf"), "")]
    for (at, name), (following, _) in pairwise(ordered):
        soon = min(following, at + _FAILS_WITHIN)
        if any(at <= began < soon for began in alarms) or any(at <= began < following for began in taken_back):
            yield name


def _of_delivery(delivery: Delivery) -> Figures:
    figures: Figures = [(metrics.DELIVERIES, 1), (metrics.DELIVERIES_FAILED, int(delivery.failed))]
    if delivery.lead_seconds is not None and not delivery.failed:
        figures.append((metrics.LEAD_TIME, max(delivery.lead_seconds, 0.0)))
    return figures


def _recent(history: History) -> History:
    """Leave out what no event that may still come can be about, counted from the newest event."""
    oldest = max(history.seen.values(), default=0.0) - REMEMBERED_SECONDS
    open_since = next((began for began, ended in failures_of(history.turns) if ended is None), oldest)
    return History(
        seen={name: at for name, at in history.seen.items() if at >= oldest},
        attempts={
            name: attempt
            for name, attempt in history.attempts.items()
            if max(at for at in (*attempt, oldest - 1) if at is not None) >= oldest
        },
        deliveries=[each for each in history.deliveries if each[0] >= oldest],
        taken_back=[at for at in history.taken_back if at >= oldest],
        turns=[each for each in history.turns if each[0] >= min(oldest, open_since)],
        told={name: at for name, at in history.told.items() if at >= oldest},
    )
