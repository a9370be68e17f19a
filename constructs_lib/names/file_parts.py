"""What the models of ``workload.yaml`` are made of: frozen parts, types of values, and words for findings."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

COLUMN_NAME: Final = r"^[a-z][a-z0-9_]{0,62}$"

ColumnType = Literal["string", "int", "bigint", "double", "boolean", "date", "timestamp"]
ColumnName = Annotated[str, Field(pattern=COLUMN_NAME)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Part(BaseModel):
    """A part of the file: it cannot be changed, and a key that it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


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
