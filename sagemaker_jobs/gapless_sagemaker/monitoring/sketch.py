"""A column as counts: small, the same in whatever order rows come, and adding up over windows.

A number is counted in bins that end at values of the baseline: at each of them, as long as there are few, otherwise at
evenly spaced quantiles. So the distribution function is exact at these values, whatever the rows are, and the largest
difference between two of them is off by the share of a bin at the most (about 1 / :data:`MOST_EDGES`). Everything else
is counted by its value; values that the baseline does not have are counted by themselves while they are few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gapless_sagemaker.monitoring.distances import Floats, wasserstein

MOST_EDGES = 256
MOST_VALUES = 200
MOST_NEW_VALUES = 1000
TENTHS = 10
_TAIL = 10
"""Edges at either end that are closer to each other than the rest: there, few rows may be far away."""

Column = Any
"""A ``pyarrow.ChunkedArray`` or ``pyarrow.Array``."""


@dataclass
class NumberSketch:
    """A column of numbers.

    Args:
        edges: Upper ends of the bins, ascending, shape (k,); one more bin holds what is above all of them.
        whole: Whether the column holds whole numbers.
        named: Whether each number of the baseline is an edge.
        counts: Rows per bin, shape (k + 1,).
        missing: Rows without a value.
        wrong: Rows with something that is no number.
        below: Rows with a number below the first edge, which the first bin holds as well.
        short, over: By how much numbers are below the first edge and above the last one, as sums.
        total, squares: Sums of the numbers and of their squares.
        least, most: The smallest and the greatest number.
    """

    edges: Floats
    whole: bool
    named: bool
    counts: Floats
    missing: int = 0
    wrong: int = 0
    below: int = 0
    short: float = 0.0
    over: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    least: float = np.inf
    most: float = -np.inf

    kind = "number"

    @classmethod
    def on(cls, edges: Floats, *, whole: bool, named: bool) -> NumberSketch:
        """Give an empty sketch."""
        return cls(edges, whole, named, np.zeros(len(edges) + 1))

    def empty(self) -> NumberSketch:
        """Give an empty sketch of the same bins."""
        return self.on(self.edges, whole=self.whole, named=self.named)

    @property
    def present(self) -> int:
        """Rows with a number."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Mean of the numbers; NaN without any."""
        return self.total / self.present if self.present else np.nan

    @property
    def deviation(self) -> float:
        """Their standard deviation, of the rows and not of a population; NaN without any."""
        if not self.present:
            return np.nan
        return float(np.sqrt(max(0.0, self.squares / self.present - self.mean**2)))

    def add(self, values: Column) -> None:
        """Count rows; a truth value or text is no number, and neither is one that is not finite."""
        self.missing += values.null_count
        kind = values.type
        if pa.types.is_null(kind):
            return
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            self.wrong += len(values) - values.null_count
            return
        numbers = values.drop_null().to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        self._add_numbers(numbers)

    def _add_numbers(self, numbers: Floats) -> None:
        gaps = np.isnan(numbers)
        if gaps.any():
            self.missing += int(gaps.sum())
            numbers = numbers[~gaps]
        endless = np.isinf(numbers)
        if endless.any():
            self.wrong += int(endless.sum())
            numbers = numbers[~endless]
        if not len(numbers):
            return
        places = np.searchsorted(self.edges, numbers, side="left")
        self.counts += np.bincount(places, minlength=len(self.edges) + 1)
        if len(self.edges):
            under = self.edges[0] - numbers
            self.below += int((under > 0).sum())
            self.short += float(under[under > 0].sum())
            self.over += float(np.maximum(numbers - self.edges[-1], 0.0).sum())
        self.total += float(numbers.sum())
        self.squares += float(np.einsum("i,i->", numbers, numbers))
        self.least, self.most = min(self.least, float(numbers.min())), max(self.most, float(numbers.max()))

    def merge(self, other: Sketch) -> None:
        """Add the rows of another window.

        Raises:
            TypeError: It is a sketch of another kind.
        """
        if not isinstance(other, NumberSketch):
            raise TypeError(f"sketches of two kinds: {self.kind} and {other.kind}")
        self.counts = self.counts + other.counts
        self.missing, self.wrong = self.missing + other.missing, self.wrong + other.wrong
        self.below, self.short, self.over = (
            self.below + other.below,
            self.short + other.short,
            self.over + other.over,
        )
        self.total, self.squares = self.total + other.total, self.squares + other.squares
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)

    def moved(self, now: NumberSketch) -> float:
        """Give the earth mover's distance between these rows and others in the same bins, in the column's unit.

        Exact while the baseline's numbers are edges and the others are among them or outside of its range.
        """
        if not self.present or not now.present or not len(self.edges):
            return 0.0
        outside = sum(abs(self_ / self.present - now_ / now.present) for self_, now_ in self._ends(now))
        return outside + wasserstein(self.counts, now.counts, self.edges, smooth=not self.named)

    def _ends(self, now: NumberSketch) -> tuple[tuple[float, float], tuple[float, float]]:
        return (self.short, now.short), (self.over, now.over)

    def document(self) -> dict[str, Any]:
        """Give the sketch as JSON types."""
        bounds = {} if not self.present else {"least": self.least, "most": self.most}
        return {
            "kind": self.kind,
            "whole": self.whole,
            "named": self.named,
            "edges": self.edges.tolist(),
            "counts": self.counts.astype(int).tolist(),
            "missing": self.missing,
            "wrong": self.wrong,
            "below": self.below,
            "short": self.short,
            "over": self.over,
            "total": self.total,
            "squares": self.squares,
            **bounds,
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> NumberSketch:
        """Give the sketch that :meth:`document` wrote."""
        return cls(
            edges=np.array(document["edges"], dtype=np.float64),
            whole=document["whole"],
            named=document["named"],
            counts=np.array(document["counts"], dtype=np.float64),
            missing=document["missing"],
            wrong=document["wrong"],
            below=document["below"],
            short=document["short"],
            over=document["over"],
            total=document["total"],
            squares=document["squares"],
            least=document.get("least", np.inf),
            most=document.get("most", -np.inf),
        )


@dataclass
class ValueSketch:
    """A column of texts or truth values.

    Args:
        type: ``string`` or ``boolean``.
        known: The values that the baseline has, the most frequent first.
        counts: Rows per known value.
        others: Rows of the baseline whose values are too rare to be known by name.
        new: Rows per value that is not known, while there are at most :data:`MOST_NEW_VALUES` of them.
        more: Rows with still other values.
        missing: Rows without a value.
        wrong: Rows with something of another type.
    """

    type: str
    known: tuple[str, ...]
    counts: dict[str, int] = field(default_factory=dict)
    others: int = 0
    new: Counter[str] = field(default_factory=Counter)
    more: int = 0
    missing: int = 0
    wrong: int = 0

    kind = "values"

    def empty(self) -> ValueSketch:
        """Give an empty sketch of the same values."""
        return ValueSketch(self.type, self.known)

    @property
    def present(self) -> int:
        """Rows with a value of the type."""
        return sum(self.counts.values()) + self.others + self.unknown

    @property
    def unknown(self) -> int:
        """Rows with a value that is not known."""
        return sum(self.new.values()) + self.more

    def add(self, values: Column) -> None:
        """Count rows."""
        self.missing += values.null_count
        kind = values.type
        if pa.types.is_null(kind):
            return
        if pa.types.is_dictionary(kind):
            values, kind = values.cast(kind.value_type), kind.value_type
        fits = pa.types.is_boolean(kind) if self.type == "boolean" else _is_text(kind)
        if not fits:
            self.wrong += len(values) - values.null_count
            return
        found = pc.value_counts(values.drop_null())
        known = frozenset(self.known)
        for value, rows in zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True):
            text = shown(value)
            if text in known:
                self.counts[text] = self.counts.get(text, 0) + rows
            elif text in self.new or len(self.new) < MOST_NEW_VALUES:
                self.new[text] += rows
            else:
                self.more += rows

    def settle(self) -> None:
        """Count values that are not known by name as rare ones: in a baseline nothing is new."""
        self.others, self.new, self.more = self.others + self.unknown, Counter(), 0

    def merge(self, other: Sketch) -> None:
        """Add the rows of another window.

        Raises:
            TypeError: It is a sketch of another kind.
        """
        if not isinstance(other, ValueSketch):
            raise TypeError(f"sketches of two kinds: {self.kind} and {other.kind}")
        for value, rows in other.counts.items():
            self.counts[value] = self.counts.get(value, 0) + rows
        self.others, self.more = self.others + other.others, self.more + other.more
        self.new.update(other.new)
        self.missing, self.wrong = self.missing + other.missing, self.wrong + other.wrong

    def vector(self) -> Floats:
        """Give the rows per known value, and last those of all other values, shape (known + 1,)."""
        rest = self.others + self.unknown
        return np.array([*(self.counts.get(value, 0) for value in self.known), rest], dtype=np.float64)

    def document(self) -> dict[str, Any]:
        """Give the sketch as JSON types."""
        return {
            "kind": self.kind,
            "type": self.type,
            "known": list(self.known),
            "counts": dict(self.counts),
            "others": self.others,
            "new": dict(self.new),
            "more": self.more,
            "missing": self.missing,
            "wrong": self.wrong,
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> ValueSketch:
        """Give the sketch that :meth:`document` wrote."""
        return cls(
            type=document["type"],
            known=tuple(document["known"]),
            counts=dict(document["counts"]),
            others=document["others"],
            new=Counter(document["new"]),
            more=document["more"],
            missing=document["missing"],
            wrong=document["wrong"],
        )


Sketch = NumberSketch | ValueSketch


def add_cells(sketch: Sketch, cells: Sequence[Any]) -> None:
    """Count cells as JSON has them, each of whatever type it is; what is not of the column's type is wrong."""
    fits: list[Any]
    if isinstance(sketch, NumberSketch):
        fits = [cell if isinstance(cell, int | float) and not isinstance(cell, bool) else None for cell in cells]
        kind = pa.float64()
    else:
        type_ = bool if sketch.type == "boolean" else str
        fits = [cell if isinstance(cell, type_) else None for cell in cells]
        kind = pa.bool_() if type_ is bool else pa.string()
    missing = sum(cell is None for cell in cells)
    wrong = sum(cell is None for cell in fits) - missing
    sketch.add(pa.array(fits, type=kind))
    sketch.missing -= wrong
    sketch.wrong += wrong


def read_sketch(document: Mapping[str, Any]) -> Sketch:
    """Give a sketch of either kind."""
    return NumberSketch.read(document) if document["kind"] == NumberSketch.kind else ValueSketch.read(document)


def learn(values: Column) -> Sketch | None:
    """Give the sketch of a column of the baseline; None for times and whatever else is neither counted nor named."""
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        edges, named = _edges(values)
        sketch = NumberSketch.on(edges, whole=pa.types.is_integer(kind), named=named)
        sketch.add(values)
        return sketch
    if _is_text(kind) or pa.types.is_boolean(kind):
        return _learn_values(values, "boolean" if pa.types.is_boolean(kind) else "string")
    return None


def _learn_values(values: Column, type_: str) -> ValueSketch:
    everything = ValueSketch(type_, ())
    found: dict[str, int] = {}
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    counted = pc.value_counts(values.drop_null())
    for value, rows in zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True):
        found[shown(value)] = rows
    ordered = sorted(found, key=lambda value: (-found[value], value))
    everything.known = tuple(ordered[:MOST_VALUES])
    everything.counts = {value: found[value] for value in everything.known}
    everything.others = sum(found[value] for value in ordered[MOST_VALUES:])
    everything.missing = values.null_count
    return everything


def _edges(values: Column) -> tuple[Floats, bool]:
    numbers: npt.NDArray[np.float64] = values.drop_null().to_numpy(zero_copy_only=False).astype(np.float64)
    numbers = np.sort(numbers[np.isfinite(numbers)])
    distinct = np.unique(numbers)
    if len(distinct) <= MOST_EDGES:
        return distinct, True
    tail = np.geomspace(1 / 500, 1 / 50_000, _TAIL)
    shares = np.concatenate([np.linspace(0, 1, MOST_EDGES - 2 * _TAIL), tail, 1 - tail])
    places = np.ceil(np.sort(shares) * (len(numbers) - 1)).astype(int)
    return np.unique(numbers[places]), False


def pooled(before: Floats, now: Floats, parts: int = TENTHS) -> tuple[Floats, Floats]:
    """Give both counts in as many bins of about equally many rows of the baseline, as PSI is customarily taken."""
    cumulated = np.cumsum(before)
    if not len(before) or not cumulated[-1]:
        return before, now
    part = np.minimum(((cumulated - before / 2) / cumulated[-1] * parts).astype(int), parts - 1)
    beyond = np.zeros(len(before), dtype=bool)
    beyond[-1] = not before[-1]
    part = np.where(beyond, parts, part)  # what is above all that the baseline had is a part of its own
    first, second = (np.bincount(part, counts, parts + 1).astype(np.float64) for counts in (before, now))
    return first, second


def shown(value: Any) -> str:
    """Give a value as JSON's texts have it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
