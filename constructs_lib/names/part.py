"""What the parts of a workload file have in common."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import ConfigDict, Field

ColumnName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]

PART: Final = ConfigDict(frozen=True, extra="forbid", strict=False)
"""A part cannot be changed and refuses unknown keys."""
