"""A window of served rows: every row is counted, those with a label and a few others are kept as they are."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from gapless_sagemaker.monitoring.baseline import Baseline
from gapless_sagemaker.monitoring.rows import LabelKey, Read, Served
from gapless_sagemaker.monitoring.sketch import NumberSketch, Sketch, add_cells

MOST_LABELLED: Final = 200_000
MOST_SAMPLED: Final = 1_000
_PLACES: Final = 2**64


@dataclass(frozen=True)
class Kept:
    """Rows that are kept as they are, each with its place in an order that only their ids decide."""

    most: int
    rows: dict[int, tuple[Served, Any]] = field(default_factory=dict)

    def add(self, row: Served, label: Any) -> None:
        """Keep a row while it is among the first; what is kept does not depend on the order in which rows come."""
        self.rows[place_of(row)] = (row, label)
        if len(self.rows) > 2 * self.most:
            self._shorten()

    def _shorten(self) -> None:
        for place in sorted(self.rows)[self.most :]:
            del self.rows[place]

    def ordered(self) -> list[tuple[Served, Any]]:
        """Give the kept rows, in their order."""
        self._shorten()
        return [self.rows[place] for place in sorted(self.rows)]


def place_of(row: Served) -> int:
    """Give a row's place in an order that nobody can guess and that is always the same."""
    digest = hashlib.blake2b(f"{row.inference_id}#{row.position}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % _PLACES


@dataclass
class Window:
    """What was served.

    Args:
        columns: Feature → sketch.
        predictions: Part of a prediction → sketch.
        read: Lines of data capture.
        rows: How many rows there are.
        absent: Feature → rows that do not have it at all.
        extra: Column that is no feature → rows that have it.
        months: Calendar month → rows.
        first, last: When the first and the last row were served.
        labelled: Rows whose label is known.
        sampled: A few rows, whether their label is known or not.
        labels: How many rows have one.
    """

    columns: dict[str, Sketch]
    predictions: dict[str, Sketch]
    read: Read = field(default_factory=Read)
    rows: int = 0
    absent: Counter[str] = field(default_factory=Counter)
    extra: Counter[str] = field(default_factory=Counter)
    months: Counter[int] = field(default_factory=Counter)
    first: dt.datetime | None = None
    last: dt.datetime | None = None
    labelled: Kept = field(default_factory=lambda: Kept(MOST_LABELLED))
    sampled: Kept = field(default_factory=lambda: Kept(MOST_SAMPLED))
    labels: int = 0

    @classmethod
    def of(cls, baseline: Baseline) -> Window:
        """Give an empty window of a baseline's columns."""
        return cls(
            columns={name: sketch.empty() for name, sketch in baseline.columns.items()},
            predictions={name: sketch.empty() for name, sketch in baseline.predictions.items()},
        )

    def add(self, rows: list[Served], labels: Mapping[LabelKey, Any]) -> None:
        """Count rows, and keep those that have a label."""
        self.rows += len(rows)
        for name, sketch in self.columns.items():
            cells = [row.asked[name] for row in rows if name in row.asked]
            self.absent[name] += len(rows) - len(cells)
            add_cells(sketch, cells)
        self.extra.update(name for row in rows for name in row.asked if name not in self.columns)
        answered = [row.answered for row in rows if row.answered is not None]
        for name, sketch in self.predictions.items():
            add_cells(sketch, [answer.get(name) for answer in answered])
        for row in rows:
            self._look_at(row, labels.get((row.inference_id, row.position)))

    def _look_at(self, row: Served, label: Any) -> None:
        if row.at is not None:
            self.months[row.at.month] += 1
            self.first = row.at if self.first is None else min(self.first, row.at)
            self.last = row.at if self.last is None else max(self.last, row.at)
        self.sampled.add(row, label)
        if label is not None and row.answered is not None:
            self.labels += 1
            self.labelled.add(row, label)


def as_table(rows: Iterable[Served], columns: Mapping[str, Sketch]) -> pa.Table:
    """Give rows as the dataset has them: one column per feature; what is not of its type is missing."""
    asked = [row.asked for row in rows]
    return pa.table({name: _column([each.get(name) for each in asked], sketch) for name, sketch in columns.items()})


def _column(cells: list[Any], sketch: Sketch) -> pa.Array:
    if isinstance(sketch, NumberSketch):
        kind = pa.int64() if sketch.whole else pa.float64()
        allowed: Any = int if sketch.whole else int | float
        fits = [cell if isinstance(cell, allowed) and not isinstance(cell, bool) else None for cell in cells]
        return pa.array(fits, type=kind)
    wanted = bool if sketch.type == "boolean" else str
    return pa.array(
        [cell if isinstance(cell, wanted) else None for cell in cells],
        type=pa.bool_() if wanted is bool else pa.string(),
    )
