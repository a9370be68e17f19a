"""Splits by time: the newest rows are for the test, the next newest for validation, the rest is to train on.

Bounds lie on full hours, or full days where rows are kept by day (UTC), so that they are found from a few counts, and
rows of the same time stay together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gapless_glue.errors import TooFewRows

HOUR = 3600
DAY = 24 * HOUR
PERIODS = {HOUR: "hours", DAY: "days"}
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class PeriodCount:
    """The rows of one hour or day: its number since 1970, rows, positives, first and last event in microseconds.

    Where the target is no yes or no, ``positives`` is None, here and in a plan.
    """

    number: int
    rows: int
    positives: int | None
    first: int
    last: int


@dataclass(frozen=True)
class SplitPlan:
    """One split: ``start`` and ``end`` bound its events in seconds since 1970, the end excluded."""

    name: str
    start: int
    end: int
    rows: int
    positives: int | None
    first: str
    last: str


def plan_splits(
    counts: Sequence[PeriodCount], validation: float, test: float, *, period: int = HOUR
) -> list[SplitPlan]:
    """Returns train, validation and test with shares as near to the wanted ones as full periods allow.

    Args:
        counts: The rows of each period that has any.
        validation, test: The wanted shares of all rows.
        period: Seconds of a period, ``HOUR`` or ``DAY``.

    Raises:
        TooFewRows: There are rows of fewer than three periods.
    """
    ordered = sorted(counts, key=lambda count: count.number)
    if len(ordered) < len(SPLITS):
        units = PERIODS[period]
        raise TooFewRows(f"rows of {len(ordered)} different {units}; train, validation and test need at least three")
    rows = sum(count.rows for count in ordered)
    first_cut = _cut(ordered, rows * (1 - validation - test), 1, len(ordered) - 2)
    second_cut = _cut(ordered, rows * (1 - test), first_cut + 1, len(ordered) - 1)
    groups = (ordered[:first_cut], ordered[first_cut:second_cut], ordered[second_cut:])
    return [_plan(name, group, period) for name, group in zip(SPLITS, groups, strict=True)]


def _cut(ordered: Sequence[PeriodCount], wanted: float, low: int, high: int) -> int:
    """Returns how many periods, from ``low`` to ``high``, hold the number of rows nearest to the wanted one."""
    before = [0]
    for count in ordered:
        before.append(before[-1] + count.rows)
    return min(range(low, high + 1), key=lambda index: (abs(before[index] - wanted), index))


def _plan(name: str, group: Sequence[PeriodCount], period: int) -> SplitPlan:
    return SplitPlan(
        name=name,
        start=group[0].number * period,
        end=(group[-1].number + 1) * period,
        rows=sum(count.rows for count in group),
        positives=_positives(group),
        first=instant(group[0].first),
        last=instant(group[-1].last),
    )


def _positives(group: Sequence[PeriodCount]) -> int | None:
    counted = [count.positives for count in group if count.positives is not None]
    return sum(counted) if counted else None


def instant(microseconds: int) -> str:
    """Returns microseconds since 1970 as ``2013-05-01T00:00:00Z``."""
    seconds, rest = divmod(microseconds, 1_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
    return moment.isoformat().replace("+00:00", "Z")
