"""Instants, as they are typed."""

from __future__ import annotations

import datetime as dt

from local.errors import UserError


def parse_instant(text: str | None, option: str = "--as-of") -> dt.datetime | None:
    """An ISO 8601 instant in UTC; one without an offset is taken as UTC.

    Raises:
        UserError: The text is something else.
    """
    if text is None:
        return None
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise UserError(f"{option} {text!r} (allowed: ISO 8601 such as 2013-05-01T04:00:00Z)") from error
    return found.astimezone(dt.UTC) if found.tzinfo else found.replace(tzinfo=dt.UTC)
