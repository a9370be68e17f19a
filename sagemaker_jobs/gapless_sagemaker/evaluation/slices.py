"""How good a model is on parts of the rows: one value of a column, or a range of its values."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gapless_sagemaker.evaluation.bootstrap import intervals, resample
from gapless_sagemaker.evaluation.scored import Booleans, Floats, Scored
from gapless_sagemaker.evaluation.split import BadTestSplit

MOST_VALUES = 12
"""Values of a column that are slices of their own, the most frequent ones; the others are one slice together."""

MISSING, OTHERS = "(missing)", "(others)"


@dataclass(frozen=True)
class Slicing:
    """Says how the rows are cut.

    Args:
        column: The column by which they are.
        values: The values that are slices. None: the most frequent ones.
        bins: Bounds between ranges, ascending; a range has its lower bound in it. None: by value.
    """

    column: str
    values: Sequence[bool | int | str] | None = None
    bins: Sequence[float] | None = None


def measure_slices(
    scored: Scored, table: pa.Table, slicings: Sequence[Slicing], *, metric: str, fewest_rows: int, seed: int
) -> list[dict[str, Any]]:
    """Measure every slice.

    Args:
        scored: The model on all rows.
        table: The rows, with the columns of the slicings.
        metric: The one that gets an interval.
        fewest_rows: With fewer rows a slice is not measured: its figures would be chance.
        seed: For the intervals.

    Returns:
        ``{"column", "slice", "rows", "enough", "metrics", "interval"}`` each; without enough rows there are no figures,
        where the metric is not defined no interval.
    """
    return [
        _measured(scored, slicing.column, name, chosen, metric, fewest_rows, seed)
        for slicing in slicings
        for name, chosen in slices_of(table, slicing)
    ]


def slices_of(table: pa.Table, slicing: Slicing) -> Iterator[tuple[str, Booleans]]:
    """Give the slices that have rows: name and rows, shape (rows,).

    Raises:
        BadTestSplit: There is no such column, or it cannot be cut like this.
    """
    if slicing.column not in table.column_names:
        raise BadTestSplit(f"column of a slice missing: {slicing.column}; given are {', '.join(table.column_names)}")
    column = table[slicing.column].combine_chunks()
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    missing: Booleans = column.is_null().to_numpy(zero_copy_only=False)
    cut = _by_value(column, slicing.values) if slicing.bins is None else _by_range(column, slicing.bins)
    for name, chosen in (*cut, (MISSING, missing)):
        if chosen.any():
            yield name, chosen


def _by_value(column: pa.Array, wanted: Sequence[Any] | None) -> Iterator[tuple[str, Booleans]]:
    counted = [(item["values"], item["counts"]) for item in pc.value_counts(column.drop_null()).to_pylist()]
    frequent = [value for value, _ in sorted(counted, key=lambda pair: (-pair[1], str(pair[0])))]
    chosen = frequent[:MOST_VALUES] if wanted is None else list(wanted)
    named = np.zeros(len(column), dtype=np.bool_)
    for value in chosen:
        rows: Booleans = pc.fill_null(pc.equal(column, pa.scalar(value, column.type)), False).to_numpy(
            zero_copy_only=False
        )
        named |= rows
        yield _text(value), rows
    yield OTHERS, ~named & column.is_valid().to_numpy(zero_copy_only=False)


def _by_range(column: pa.Array, bins: Sequence[float]) -> Iterator[tuple[str, Booleans]]:
    values: Floats = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    edges = [-np.inf, *bins, np.inf]
    for low, high in itertools.pairwise(edges):
        yield _range(low, high), (values >= low) & (values < high)


def _range(low: float, high: float) -> str:
    if np.isneginf(low):
        return f"below {high:g}"
    return f"from {low:g}" if np.isposinf(high) else f"{low:g} to {high:g}"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _measured(
    scored: Scored, column: str, name: str, chosen: Booleans, metric: str, fewest_rows: int, seed: int
) -> dict[str, Any]:
    rows = int(chosen.sum())
    told: dict[str, Any] = {"column": column, "slice": name, "rows": rows, "enough": rows >= fewest_rows}
    if rows < fewest_rows:
        return {**told, "metrics": {}, "interval": None}
    part = scored.some(chosen)
    found: Mapping[str, float] = part.metrics()
    interval = intervals(part, resample([part], seed, only=metric)[0]).get(metric) if metric in found else None
    return {**told, "metrics": found, "interval": interval}
