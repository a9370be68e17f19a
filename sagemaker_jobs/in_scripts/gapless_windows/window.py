"""A window: which rows count, and how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

Kind = Literal["expanding", "sliding", "weighted"]
Times = npt.NDArray[np.datetime64]
Weights = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]

MICROSECONDS_PER_DAY = 86_400_000_000
_DAYS: Mapping[str, str] = {"sliding": "days", "weighted": "half_life_days"}
"""What the days of a window are called, where it has any."""


class BadWindow(Exception):
    """A window that is not one, or rows that it cannot be laid over."""


@dataclass(frozen=True)
class Window:
    """Which rows count before an instant, and how much.

    Attributes:
        kind: ``expanding``: all alike; ``sliding``: those of the last days; ``weighted``: all, and half as much with
            every half-life that they are older.
        days: Of ``sliding`` its length, of ``weighted`` its half-life; None for ``expanding``.
    """

    kind: Kind = "expanding"
    days: float | None = None

    @staticmethod
    def of(described: Mapping[str, Any]) -> Window:
        """Read a window as the workload file describes it.

        Raises:
            BadWindow: It is of another kind, or lacks its days.
        """
        kind = str(described.get("kind"))
        if kind not in get_args(Kind):
            raise BadWindow(f"window of kind {kind!r}; allowed are {', '.join(get_args(Kind))}")
        named = _DAYS.get(kind)
        if named is not None and not described.get(named, 0) > 0:
            raise BadWindow(f"window {kind} with {named} {described.get(named)!r}; allowed is a number above 0")
        return Window(cast(Kind, kind), float(described[named]) if named is not None else None)

    def weights(self, times: Times, end: np.datetime64) -> Weights:
        """Give the weight of each row: 0 for those outside of the window, from ``end`` on in particular.

        Args:
            times: When each row's event was.
            end: The instant that the window ends before.
        """
        age = (end - times).astype("timedelta64[us]").astype(np.float64) / MICROSECONDS_PER_DAY
        known = age > 0
        if self.kind == "sliding":
            known &= age <= cast(float, self.days)
        if self.kind == "weighted":
            return np.where(known, np.power(0.5, np.maximum(age, 0) / cast(float, self.days)), 0.0)
        return known.astype(np.float64)

    def describe(self) -> dict[str, Any]:
        """Give the window as the workload file describes it."""
        named = _DAYS.get(self.kind)
        return {"kind": self.kind, **({named: self.days} if named is not None else {})}
