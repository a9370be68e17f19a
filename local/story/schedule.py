"""The steps of a story: spans of its history, one after the other, by the calendar or by rows."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, get_args

Unit = Literal["day", "week", "month", "quarter", "year"]
UNITS: Final[tuple[str, ...]] = get_args(Unit)

FEWEST_STEPS: Final = 2
MOST_STEPS: Final = 200
BEFORE_START: Final = 4
"""Where no start is asked for, one of so many parts of the history is known when the story begins."""

_MICROSECOND: Final = dt.timedelta(microseconds=1)


class BadSchedule(Exception):
    """The history cannot be told in these steps."""


@dataclass(frozen=True)
class Schedule:
    """How a history is told.

    Attributes:
        unit: A step is one of these, in the time zone of the workload's primary source; None for steps by rows.
        rows: Rows of a step, where there is no unit.
        start: When the first model begins to serve. Default: when a quarter of the history has passed.
        label_delay: How long after an event it is known what came true.
    """

    unit: Unit | None = "month"
    rows: int | None = None
    start: dt.datetime | None = None
    label_delay: dt.timedelta = dt.timedelta(days=1)


@dataclass(frozen=True)
class Step:
    """A span of the history; ``begin`` is in it, ``end`` is not. Models are changed at its end only."""

    number: int
    label: str
    begin: dt.datetime
    end: dt.datetime


def plan(schedule: Schedule, times: Sequence[dt.datetime], time_zone: str) -> list[Step]:
    """Give the steps of a history.

    Args:
        times: When its events were, in UTC and in order.
        time_zone: In which a day or a month begins.

    Raises:
        BadSchedule: There are too few steps or too many, or the start lies outside of the history.
    """
    if not times:
        raise BadSchedule("the history has no event")
    if schedule.start is not None and not times[0] < schedule.start <= times[-1]:
        raise BadSchedule(
            f"start {_shown(schedule.start)} (allowed: after {_shown(times[0])} and up to {_shown(times[-1])}, "
            "the first and the last event)"
        )
    if schedule.unit is not None:
        bounds = _by_calendar(schedule.unit, schedule.start, times, zoneinfo.ZoneInfo(time_zone))
        labels = _calendar_labels(schedule.unit, bounds, zoneinfo.ZoneInfo(time_zone))
    else:
        bounds = _by_rows(schedule.rows or 0, schedule.start, times)
        labels = [f"{number} from {_shown(begin)}" for number, begin in enumerate(bounds[:-1], start=1)]
    steps = [
        Step(number, label, begin, end)
        for number, (label, (begin, end)) in enumerate(zip(labels, pairwise(bounds), strict=True), start=1)
    ]
    if not FEWEST_STEPS <= len(steps) <= MOST_STEPS:
        size = f"a {schedule.unit}" if schedule.unit is not None else f"{schedule.rows} rows"
        raise BadSchedule(
            f"from {_shown(bounds[0])} to {_shown(times[-1])} there are {len(steps)} steps of {size} "
            f"(allowed: {FEWEST_STEPS} to {MOST_STEPS})"
        )
    return steps


def _shown(instant: dt.datetime) -> str:
    return instant.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- by the calendar -------------------------------------------------------------------------------------------------


def _by_calendar(
    unit: Unit, start: dt.datetime | None, times: Sequence[dt.datetime], zone: zoneinfo.ZoneInfo
) -> list[dt.datetime]:
    first = _floor(unit, times[0].astimezone(zone))
    whole = [first]
    while whole[-1].astimezone(dt.UTC) <= times[-1]:
        whole.append(_NEXT[unit](whole[-1]))
        if len(whole) > BEFORE_START * MOST_STEPS:
            break
    begins = [each.astimezone(dt.UTC) for each in whole]
    if start is None:
        return begins[max(1, (len(begins) - 1) // BEFORE_START) :]
    return [start, *(each for each in begins if each > start)]


def _floor(unit: Unit, local: dt.datetime) -> dt.datetime:
    day = local.replace(hour=0, minute=0, second=0, microsecond=0)
    match unit:
        case "day":
            return day
        case "week":
            return _moved(day, -day.weekday())
        case "month":
            return day.replace(day=1)
        case "quarter":
            return day.replace(month=day.month - (day.month - 1) % 3, day=1)
        case "year":
            return day.replace(month=1, day=1)


def _moved(day: dt.datetime, days: int) -> dt.datetime:
    """So many days on by the clock on the wall, which is not always as many times 24 hours."""
    return (day.replace(tzinfo=None) + dt.timedelta(days=days)).replace(tzinfo=day.tzinfo)


def _months_on(months: int) -> Callable[[dt.datetime], dt.datetime]:
    def move(day: dt.datetime) -> dt.datetime:
        years, month = divmod(day.month - 1 + months, 12)
        return day.replace(year=day.year + years, month=month + 1)

    return move


_NEXT: Final[dict[str, Callable[[dt.datetime], dt.datetime]]] = {
    "day": lambda day: _moved(day, 1),
    "week": lambda day: _moved(day, 7),
    "month": _months_on(1),
    "quarter": _months_on(3),
    "year": _months_on(12),
}
_FORMATS: Final = {"day": "%Y-%m-%d", "week": "%Y-%m-%d", "month": "%Y-%m", "quarter": "%Y-%m", "year": "%Y"}


def _calendar_labels(unit: Unit, bounds: Sequence[dt.datetime], zone: zoneinfo.ZoneInfo) -> list[str]:
    return [each.astimezone(zone).strftime(_FORMATS[unit]) for each in bounds[:-1]]


# --- by rows ---------------------------------------------------------------------------------------------------------


def _by_rows(rows: int, start: dt.datetime | None, times: Sequence[dt.datetime]) -> list[dt.datetime]:
    """Events of one instant stay together, so a step may have a few rows more."""
    place = bisect_left(times, start) if start is not None else max(1, len(times) // BEFORE_START)
    bounds = [start if start is not None else times[place]]
    while (place := place + rows) < len(times):
        if times[place] > bounds[-1]:
            bounds.append(times[place])
    return [*bounds, times[-1] + _MICROSECOND]
