"""Bias of a dataset and of a model that was trained on it, for each facet that the workload names.

A facet is a column and which of its values are the group that may be at a disadvantage; see
:mod:`gapless_sagemaker.evaluation.bias_metrics` for the metrics. Rows in which the column is missing belong to neither
group; they are counted and left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gapless_sagemaker.evaluation.bias_metrics import POST_TRAINING, PRE_TRAINING, conditional_disparity
from gapless_sagemaker.evaluation.flip_test import MOST_ROWS, comparable, flip_test

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Scalar = bool | int | float | str

LEVEL = 0.95
RESAMPLES = 1000
METHOD = f"percentiles of a bootstrap over rows, {RESAMPLES} resamples"
_ENOUGH = 0.9
"""The share of resamples in which a metric must have a value, if there is to be an interval."""


class BadFacet(Exception):
    """A facet or the favourable outcome does not fit the dataset."""


@dataclass(frozen=True)
class Facet:
    """Says who may be at a disadvantage.

    Args:
        column: A column of the dataset.
        values: The values of the group, or None.
        threshold: The group is of rows above it; None where values say it.
        group: A column in whose groups disparities are looked at one by one, or None.
    """

    column: str
    values: tuple[Scalar, ...] | None = None
    threshold: float | None = None
    group: str | None = None

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Facet:
        """Read what the options say of a facet."""
        values = content.get("values")
        return cls(
            column=content["column"],
            values=tuple(values) if values is not None else None,
            threshold=content.get("threshold"),
            group=content.get("group"),
        )

    @property
    def name(self) -> str:
        """What people read: ``black: true``, ``age > 40``."""
        if self.values is None:
            return f"{self.column} > {self.threshold:g}"
        return f"{self.column}: {', '.join(_text(value) for value in self.values)}"


@dataclass(frozen=True)
class Outcome:
    """Says which outcome is the favourable one: a class, one of several classes, or a value above a threshold."""

    values: tuple[Scalar, ...] | None = None
    threshold: float | None = None

    @classmethod
    def read(cls, content: Any) -> Outcome:
        """Read what the options say of it: a number, or a list of classes."""
        if isinstance(content, list):
            return cls(values=tuple(content))
        return cls(threshold=float(content))

    def of(self, labels: pa.Array | pa.ChunkedArray, what: str) -> Booleans:
        """Tell which labels are favourable, shape (rows,).

        Raises:
            BadFacet: The labels are not of the type of the values, or some are missing.
        """
        chosen = _chosen(labels, self.values, self.threshold, what)
        if chosen.null_count:
            raise BadFacet(f"{what} has {chosen.null_count} gaps; allowed is none")
        favourable: Booleans = chosen.to_numpy(zero_copy_only=False)
        return favourable

    def describe(self) -> dict[str, Any]:
        """Give it as the document has it."""
        return {"values": list(self.values)} if self.values is not None else {"above": self.threshold}


@dataclass(frozen=True)
class Rows:
    """Rows to look for bias in.

    Args:
        table: The columns that facets name and those that the flip test compares by.
        observed: Which rows had the favourable outcome, shape (rows,).
        predicted: Which are predicted to have it, shape (rows,); None while there is no model.
        compared: The columns that the flip test compares by; a facet's own column is left out.
    """

    table: pa.Table
    observed: Booleans
    predicted: Booleans | None = None
    compared: tuple[str, ...] = ()


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _chosen(
    column: pa.Array | pa.ChunkedArray, values: Sequence[Scalar] | None, threshold: float | None, what: str
) -> pa.Array:
    """Tell which values are among the given or above the threshold; null where there is none."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    try:
        if values is None:
            chosen = pc.greater(array.cast(pa.float64()), pa.scalar(float(threshold or 0)))
        else:
            wanted = pa.array(list(values)).cast(array.type)
            chosen = pc.if_else(pc.is_null(array, nan_is_null=True), None, pc.is_in(array, value_set=wanted))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        given = f"values {list(values)}" if values is not None else f"threshold {threshold}"
        raise BadFacet(f"{what} is {array.type}; given are {given}: {error}") from error
    if values is None and pa.types.is_floating(array.type):
        chosen = pc.if_else(pc.is_null(array, nan_is_null=True), None, chosen)
    return chosen


def measure(rows: Rows, facets: Sequence[Facet], seed: int) -> list[dict[str, Any]]:
    """Give the figures of each facet.

    Each is ``{"name", "column", "values" or "threshold", "group"?, "rows", "group_rows", "missing_rows",
    "pre_training": {metric: value}, "post_training": {metric: value}, "intervals": {metric: {"low", "high"}},
    "reason"}``. A metric that has no finite value is None. ``reason`` says why there are none at all, and is else None.
    Intervals are percentiles of a bootstrap over rows (B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993,
    chapter 13); the flip test has none.

    Args:
        rows: Where to look; without predictions only what can be said before training.
        facets: Whom to look at.
        seed: Of the resampling: equal rows and seed, equal figures.

    Raises:
        BadFacet: A facet names a column that is not there, or values of another type.
    """
    return [_of_facet(rows, facet, np.random.default_rng([seed, position])) for position, facet in enumerate(facets)]


def _of_facet(rows: Rows, facet: Facet, random: np.random.Generator) -> dict[str, Any]:
    member, known = _members(rows.table, facet)
    described: dict[str, Any] = {
        "name": facet.name,
        "column": facet.column,
        **({"values": list(facet.values)} if facet.values is not None else {"threshold": facet.threshold}),
        **({"group": facet.group} if facet.group is not None else {}),
        "rows": int(known.sum()),
        "group_rows": int(member.sum()),
        "missing_rows": int((~known).sum()),
    }
    empty = _why_empty(facet, member[known])
    if empty is not None:
        return {**described, "pre_training": {}, "post_training": {}, "intervals": {}, "reason": empty}
    cells = _cells(rows, facet, member, known)
    values = _metrics(cells, facet, predicted=rows.predicted is not None)
    resampled = random.multinomial(int(cells.sum()), (cells / cells.sum()).ravel(), RESAMPLES)
    spread = _metrics(resampled.reshape(RESAMPLES, *cells.shape).astype(np.float64), facet, rows.predicted is not None)
    figures = {name: _finite(float(value)) for name, value in values.items()}
    if rows.predicted is not None:
        figures["FT"] = _finite(_flips(rows, facet, member, known))
    return {
        **described,
        "pre_training": {name: figures[name] for name in figures if name in PRE_TRAINING or name == "CDDL"},
        "post_training": {name: figures[name] for name in figures if name not in PRE_TRAINING and name != "CDDL"},
        "intervals": {name: interval for name in spread if (interval := _interval(spread[name])) is not None},
        "reason": None,
    }


def _members(table: pa.Table, facet: Facet) -> tuple[Booleans, Booleans]:
    """Tell which rows are of facet *d*, and which are of one of the two."""
    for column in (facet.column, facet.group):
        if column is not None and column not in table.column_names:
            raise BadFacet(f"column of a facet missing: {column}; given are {', '.join(table.column_names)}")
    chosen = _chosen(table[facet.column], facet.values, facet.threshold, f"column {facet.column}")
    member: Booleans = chosen.fill_null(False).to_numpy(zero_copy_only=False)
    known: Booleans = chosen.is_valid().to_numpy(zero_copy_only=False)
    return member, known


def _why_empty(facet: Facet, member: Booleans) -> str | None:
    if not len(member):
        return f"{facet.column} is missing in every row"
    if not member.any():
        return f"no row is in the group {facet.name}"
    return f"every row is in the group {facet.name}" if member.all() else None


def _cells(rows: Rows, facet: Facet, member: Booleans, known: Booleans) -> Floats:
    """Count rows, shape (groups, facet, observed, predicted); there is one group unless the facet names a column."""
    predicted = rows.predicted if rows.predicted is not None else rows.observed
    groups = np.zeros(len(member), dtype=np.int64)
    if facet.group is not None:
        encoded = rows.table[facet.group].combine_chunks().dictionary_encode(null_encoding="encode")
        groups = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    number = int(groups.max()) + 1
    places = ((groups * 2 + member) * 2 + rows.observed) * 2 + predicted
    counted = np.bincount(places[known], minlength=number * 8).reshape(number, 2, 2, 2)
    cells: Floats = counted[counted.sum(axis=(1, 2, 3)) > 0].astype(np.float64)
    return cells


def _metrics(cells: Floats, facet: Facet, predicted: bool) -> dict[str, Floats]:
    """Give all metrics of counts of shape (…, groups, facet, observed, predicted)."""
    counts = cells.sum(axis=-4)
    values = {name: metric(counts) for name, metric in PRE_TRAINING.items()}
    if facet.group is not None:
        values["CDDL"] = conditional_disparity(cells.sum(axis=-1))
    if predicted:
        values.update((name, metric(counts)) for name, metric in POST_TRAINING.items())
        if facet.group is not None:
            values["CDDPL"] = conditional_disparity(cells.sum(axis=-2))
    return values


def _flips(rows: Rows, facet: Facet, member: Booleans, known: Booleans) -> float:
    """Give the flip test, on at most so many rows, evenly taken."""
    names = [name for name in rows.compared if name != facet.column]
    places = np.flatnonzero(known)
    if not names or rows.predicted is None:
        return math.nan
    if len(places) > MOST_ROWS:
        places = places[np.linspace(0, len(places) - 1, MOST_ROWS).round().astype(np.int64)]
    return flip_test(comparable(rows.table.select(names).take(places)), member[places], rows.predicted[places])


def _interval(values: Floats) -> dict[str, float] | None:
    finite = values[np.isfinite(values)]
    if len(finite) < _ENOUGH * len(values):
        return None
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"low": float(low), "high": float(high)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
