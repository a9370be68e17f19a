"""Instants from the parts of a local time, as columns; for ``features.py`` too."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F


def local_to_utc(year: str, month: str, day: str, hhmm: str, *, time_zone: str) -> Column:
    """Returns the instant (UTC) of a local date and a clock time written as a number, such as 1305 for 13:05.

    2400 is the end of the day. Daylight saving is the time zone's. Null where a part is null, or there is no such
    date or time.

    Args:
        year, month, day, hhmm: The names of integer columns.
        time_zone: An IANA name such as ``America/New_York``.
    """
    midnight = f"try_cast({date_text_sql(year, month, day)} as timestamp)"
    is_time = f"{hhmm} between 0 and 2400 and {hhmm} % 100 < 60"
    wall = f"{midnight} + make_interval(0, 0, 0, 0, 0, {minute_of_day_sql(hhmm)}, 0)"
    return F.expr(f"case when {is_time} then to_utc_timestamp({wall}, '{time_zone}') end")


def date_text_sql(year: str, month: str, day: str) -> str:
    """Returns the SQL for the text of a date, such as ``2013-01-31``, of three integers; null where one is null."""
    parts = [f"lpad(cast({name} as string), {width}, '0')" for name, width in ((year, 4), (month, 2), (day, 2))]
    joined = ", '-', ".join(parts)
    return f"concat({joined})"


def minute_of_day_sql(hhmm: str) -> str:
    """Returns the SQL for the minutes since local midnight of a clock time written as a number (0 to 1440)."""
    return f"(({hhmm} div 100) * 60 + {hhmm} % 100)"
