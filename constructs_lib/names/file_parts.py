"""What the models of ``workload.yaml`` are made of: frozen parts, types of values, and words for findings."""

from __future__ import annotations

import difflib
import json
import re
import zoneinfo
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

COLUMN_NAME: Final = r"^[a-z][a-z0-9_]{0,62}$"

ColumnType = Literal["string", "int", "bigint", "double", "boolean", "date", "timestamp"]
ColumnName = Annotated[str, Field(pattern=COLUMN_NAME)]
Share = Annotated[float, Field(gt=0, lt=1)]


def _known_zone(name: str) -> str:
    zones = zoneinfo.available_timezones()
    if name in zones or (not zones and re.fullmatch(r"[A-Za-z_+\-0-9/]+", name)):
        return name
    near = difflib.get_close_matches(name, zones, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"must be UTC or an IANA time zone such as America/New_York, was {name!r}{hint}")


TimeZone = Annotated[str, AfterValidator(_known_zone)]


class Part(BaseModel):
    """A part of the file: it cannot be changed, and a key that it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class AllowPickle(Part):
    """Lets the archive of a model hold pickles, which run whatever their author likes when they are loaded.

    Attributes:
        reason: Why there is no safe format for this model.
    """

    reason: Annotated[str, Field(min_length=20, max_length=500)]


def unknown(name: str, allowed: Iterable[str], what: str) -> str:
    """Says that a name is not one of the allowed ones, and which it may have been meant to be.

    Args:
        name: What was given.
        allowed: The names that there are.
        what: What they are names of, such as ``column``.
    """
    names = list(allowed)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{name!r} is not a {what}{hint} (allowed: {', '.join(names)})"


def shown(value: Any) -> str:
    """Renders a value for a finding, in at most 80 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
