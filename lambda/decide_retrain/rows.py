"""How many labelled rows a workload has had until now: the rows of every dataset that are newer than those before.

A dataset may hold all rows until now, those of a sliding window, or those of one batch. What counts is the time of the
events: rows that are newer than any that were counted are new. Where a dataset begins earlier, its newer rows are
taken to be as many as their part of its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Counted:
    """What was counted until now.

    Attributes:
        rows: Labelled rows.
        to: The newest event among them, ISO 8601; None while there is none.
    """

    rows: int = 0
    to: str | None = None


def count(before: Counted, splits: Mapping[str, Mapping[str, Any]]) -> Counted:
    """Add the rows of a dataset; one that brings nothing newer changes nothing.

    Args:
        before: What was counted until now.
        splits: Of the dataset's manifest: ``rows``, ``from`` and ``to`` of each, the two None where it is empty.
    """
    filled = [split for split in splits.values() if split["rows"] and split["from"] and split["to"]]
    if not filled:
        return before
    first = min(_instant(split["from"]) for split in filled)
    newest = max(filled, key=lambda split: _instant(split["to"]))["to"]
    last, rows = _instant(newest), sum(int(split["rows"]) for split in filled)
    if before.to is None:
        return Counted(rows, newest)
    until = _instant(before.to)
    if last <= until:
        return before
    newer = rows if first > until else round(rows * ((last - until) / (last - first)))
    return Counted(before.rows + newer, newest)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
