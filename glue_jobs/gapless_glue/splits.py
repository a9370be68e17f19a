"""Splits by time: the newest rows are for the test, the next newest for validation, the rest is to train on.

Bounds lie on full hours (UTC), so that they are found from a few counts, and rows of the same time stay together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gapless_glue.errors import TooFewRows

HOUR = 3600
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class HourCount:
    """The rows of one hour: hours since 1970, rows, positives, first and last event in microseconds since 1970."""

    hour: int
    rows: int
    positives: int
    first: int
    last: int


@dataclass(frozen=True)
class SplitPlan:
    """One split: ``start`` and ``end`` bound its events in seconds since 1970, the end excluded."""

    name: str
    start: int
    end: int
    rows: int
    positives: int
    first: str
    last: str


def plan_splits(hours: Sequence[HourCount], validation: float, test: float) -> list[SplitPlan]:
    """Returns train, validation and test with shares as near to the wanted ones as full hours allow.

    Raises:
        TooFewRows: There are rows of fewer than three hours.
    """
    ordered = sorted(hours, key=lambda count: count.hour)
    if len(ordered) < len(SPLITS):
        raise TooFewRows(f"rows of {len(ordered)} different hours; train, validation and test need at least three")
    rows = sum(count.rows for count in ordered)
    first_cut = _cut(ordered, rows * (1 - validation - test), 1, len(ordered) - 2)
    second_cut = _cut(ordered, rows * (1 - test), first_cut + 1, len(ordered) - 1)
    groups = (ordered[:first_cut], ordered[first_cut:second_cut], ordered[second_cut:])
    return [_plan(name, group) for name, group in zip(SPLITS, groups, strict=True)]


def _cut(ordered: Sequence[HourCount], wanted: float, low: int, high: int) -> int:
    """Returns how many hours, from ``low`` to ``high``, hold the number of rows nearest to the wanted one."""
    before = [0]
    for count in ordered:
        before.append(before[-1] + count.rows)
    return min(range(low, high + 1), key=lambda index: (abs(before[index] - wanted), index))


def _plan(name: str, group: Sequence[HourCount]) -> SplitPlan:
    return SplitPlan(
        name=name,
        start=group[0].hour * HOUR,
        end=(group[-1].hour + 1) * HOUR,
        rows=sum(count.rows for count in group),
        positives=sum(count.positives for count in group),
        first=instant(group[0].first),
        last=instant(group[-1].last),
    )


def instant(microseconds: int) -> str:
    """Returns microseconds since 1970 as ``2013-05-01T00:00:00Z``."""
    seconds, rest = divmod(microseconds, 1_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
    return moment.isoformat().replace("+00:00", "Z")
