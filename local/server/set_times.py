"""Set times as AWS writes them: ``rate(…)``, ``cron(…)`` and ``at(…)`` by the clock of a time zone."""

from __future__ import annotations

import datetime as dt
import zoneinfo

from local.server import hooks

_AT = "%Y-%m-%dT%H:%M:%S"


class BadTime(ValueError):
    """A set time or a time zone is not one."""


def next_time(expression: str, zone: str, after: float, anchor: float) -> float | None:
    """The first set time after an instant, in epoch seconds; ``None`` when there is none any more.

    Args:
        zone: An IANA time zone; ``rate`` knows none.
        anchor: When a ``rate`` was set.

    Raises:
        BadTime: Expression or zone cannot be read.
    """
    try:
        place = zoneinfo.ZoneInfo(zone or "UTC")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
        raise BadTime(f"{zone!r} is no time zone") from error
    seconds = hooks.get("services.eventbridge:_parse_rate_seconds")(expression)
    if seconds:
        return anchor + (int((after - anchor) // seconds) + 1) * float(seconds)
    if expression.startswith("at(") and expression.endswith(")"):
        return _only_time(expression, place, after)
    fields = hooks.get("services.eventbridge:_parse_cron_fields")(expression)
    if fields is None:
        raise BadTime(f"{expression!r} is no rate(…), cron(…) or at(…)")
    # The clock on the wall is what a cron expression is about, so it is read as if it were UTC.
    wall = dt.datetime.fromtimestamp(after, place).replace(tzinfo=dt.UTC)
    found = hooks.get("services.eventbridge:_cron_next_fire")(fields, wall)
    return None if found is None else found.replace(tzinfo=place).timestamp()


def _only_time(expression: str, place: zoneinfo.ZoneInfo, after: float) -> float | None:
    try:
        moment = dt.datetime.strptime(expression[3:-1], _AT).replace(tzinfo=place).timestamp()
    except ValueError as error:
        raise BadTime(f"{expression!r} must be at(yyyy-mm-ddThh:mm:ss)") from error
    return moment if moment > after else None
