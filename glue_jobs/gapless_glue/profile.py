"""The profile of a dataset: types, missing values, distributions, and how much each feature tells about the target.

``strength`` is the area under the ROC curve that a feature reaches alone when its bins are ranked by their own share
of positives: 0.5 tells nothing, and a value near 1 before the event smells of a leak.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from gapless_glue.contract import Column as ContractColumn
from gapless_glue.rules import NUMBERS

BINS = 20
MOST_VALUES = 20
FEWEST_ROWS_PER_VALUE = 50
LEAK_STRENGTH = 0.95
OTHER = "(other)"


@dataclass(frozen=True)
class Bin:
    """The rows of one bin or value; ``label`` is None for missing values."""

    label: str | None
    rows: int
    positives: int


def profile(rows: DataFrame, features: Sequence[ContractColumn], target: str) -> dict[str, Any]:
    """Returns the profile of a dataset as JSON types; two passes over the rows."""
    moments = _moments(rows, features, target)
    bins = _bins(rows, features, target, moments)
    total, positives = int(moments["rows"]), int(moments["positives"])
    columns = {column.name: _column(column, moments, bins[column.name], total) for column in features}
    return {
        "rows": total,
        "target": {"name": target, "positives": positives, "share": positives / total if total else None},
        "columns": columns,
        "warnings": [text for name, column in columns.items() for text in _warnings(name, column, total)],
    }


def _moments(rows: DataFrame, features: Sequence[ContractColumn], target: str) -> dict[str, float]:
    """One aggregate row: each feature's count and distinct values; a number's extremes, mean, spread, correlation."""
    label = F.col(target).cast("int")
    wanted: list[Column] = [F.count(F.lit(1)).alias("rows"), F.sum(label).alias("positives")]
    for column in features:
        value = F.col(column.name)
        wanted += [
            F.count(value).alias(f"count.{column.name}"),
            F.approx_count_distinct(value.cast("string")).alias(f"distinct.{column.name}"),
        ]
        if column.type in NUMBERS:
            number = value.cast("double")
            wanted += [
                F.min(number).alias(f"min.{column.name}"),
                F.max(number).alias(f"max.{column.name}"),
                F.avg(number).alias(f"mean.{column.name}"),
                F.stddev_samp(number).alias(f"stddev.{column.name}"),
                F.corr(number, label.cast("double")).alias(f"correlation.{column.name}"),
            ]
    found: dict[str, float] = rows.agg(*wanted).collect()[0].asDict()
    return found


def _bins(
    rows: DataFrame, features: Sequence[ContractColumn], target: str, moments: Mapping[str, float]
) -> dict[str, list[Bin]]:
    """Counts rows and positives per feature and bin, in one pass over (feature, bin) pairs."""
    label = F.col(target).cast("int").alias("label")
    labelled = [
        F.struct(F.lit(column.name).alias("feature"), _bin_label(column, moments).alias("bin")) for column in features
    ]
    pairs = rows.select(label, F.explode(F.array(*labelled)).alias("pair"))
    counted = pairs.groupBy("pair.feature", "pair.bin").agg(
        F.count(F.lit(1)).alias("rows"), F.sum("label").alias("positives")
    )
    bins: dict[str, list[Bin]] = defaultdict(list)
    for row in counted.collect():
        bins[row["feature"]].append(Bin(row["bin"], int(row["rows"]), int(row["positives"] or 0)))
    return bins


def _bin_label(column: ContractColumn, moments: Mapping[str, float]) -> Column:
    """A number's bin as the text of its index, another value's own text."""
    value = F.col(column.name)
    if column.type not in NUMBERS:
        return value.cast("string")
    low, high = moments[f"min.{column.name}"], moments[f"max.{column.name}"]
    if low is None or high is None or low == high:
        return F.when(value.isNotNull(), F.lit("0"))
    position = F.floor((value.cast("double") - F.lit(low)) / F.lit((high - low) / BINS))
    return F.when(value.isNotNull(), F.least(position, F.lit(BINS - 1)).cast("string"))


def _column(column: ContractColumn, moments: Mapping[str, float], bins: Sequence[Bin], total: int) -> dict[str, Any]:
    present = int(moments[f"count.{column.name}"])
    common = {
        "type": column.type,
        "missing": total - present,
        "missing_share": (total - present) / total if total else None,
        "distinct": int(moments[f"distinct.{column.name}"]),
        "strength": strength(_pooled(bins)),
    }
    if column.type not in NUMBERS:
        return {**common, "values": _values(bins)}
    numbers = {
        name: finite(moments[f"{name}.{column.name}"]) for name in ("min", "max", "mean", "stddev", "correlation")
    }
    return {**common, **numbers, "histogram": _histogram(numbers["min"], numbers["max"], bins)}


def _histogram(low: float | None, high: float | None, bins: Sequence[Bin]) -> dict[str, list[Any]]:
    """Edges of equal width (one more than bins), and rows and positives per bin."""
    if low is None or high is None:
        return {"edges": [], "rows": [], "positives": []}
    count = BINS if high > low else 1
    by_index = {int(item.label): item for item in bins if item.label is not None}
    found = [by_index.get(index, Bin(None, 0, 0)) for index in range(count)]
    return {
        "edges": [low + (high - low) * index / count for index in range(count + 1)],
        "rows": [item.rows for item in found],
        "positives": [item.positives for item in found],
    }


def _values(bins: Sequence[Bin]) -> list[dict[str, Any]]:
    """The most frequent values with their rows and positives; the others together."""
    present = sorted((item for item in bins if item.label is not None), key=lambda item: (-item.rows, str(item.label)))
    shown = present[:MOST_VALUES]
    if len(present) > MOST_VALUES:
        shown.append(_sum(OTHER, present[MOST_VALUES:]))
    return [{"value": item.label, "rows": item.rows, "positives": item.positives} for item in shown]


def _pooled(bins: Sequence[Bin]) -> list[Bin]:
    """Puts rare values into one bin, so that a column of identifiers does not look like a leak."""
    rare = [item for item in bins if item.rows < FEWEST_ROWS_PER_VALUE]
    return [item for item in bins if item.rows >= FEWEST_ROWS_PER_VALUE] + ([_sum(OTHER, rare)] if rare else [])


def _sum(label: str, bins: Sequence[Bin]) -> Bin:
    return reduce(lambda left, right: Bin(label, left.rows + right.rows, left.positives + right.positives), bins)


def strength(bins: Sequence[Bin]) -> float | None:
    """Returns the area under the ROC curve of bins ranked by their share of positives; None with one class only."""
    positives = sum(item.positives for item in bins)
    negatives = sum(item.rows - item.positives for item in bins)
    if not positives or not negatives:
        return None
    area, below = 0.0, 0
    for item in sorted(bins, key=lambda item: item.positives / item.rows):
        area += item.positives * (below + (item.rows - item.positives) / 2)
        below += item.rows - item.positives
    return area / (positives * negatives)


def _warnings(name: str, column: Mapping[str, Any], total: int) -> list[str]:
    found = column["strength"]
    if found is not None and found >= LEAK_STRENGTH:
        return [f"{name} alone tells the target almost surely (strength {found:.3f}): is it known before the event?"]
    if column["missing"] == total:
        return [f"{name} has no value in any row"]
    return [f"{name} has the same value in every row"] if column["distinct"] <= 1 and not column["missing"] else []


def finite(value: float | None) -> float | None:
    """Returns a number that JSON can hold, or None."""
    return float(value) if value is not None and math.isfinite(value) else None
