"""Rows and positives per bin of each feature, and how well a feature alone tells the target.

A number is counted in two grids at once: bins of equal width, which people look at, and bins between twentieths of the
rows, which say how much the number tells even where it has a long tail.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

BINS = 20
MOST_VALUES = 200
FEWEST_ROWS_PER_VALUE = 50
OTHER = "(other)"
BETWEEN = ":"


@dataclass(frozen=True)
class Bin:
    """The rows of one bin or value; ``label`` is None for missing values, ``others`` counts further classes."""

    label: str | None
    rows: int
    positives: int
    others: tuple[int, ...] = ()


@dataclass(frozen=True)
class Grid:
    """Where a number's bins are.

    Attributes:
        low, high: The smallest and the largest value, None without any; between them lie ``BINS`` bins of equal width.
        steps: Inner bounds of bins between quantiles, strictly ascending; a bin has its upper bound in it.
    """

    low: float | None
    high: float | None
    steps: Sequence[float]


def number_label(number: Column, grid: Grid) -> Column:
    """A number's place in both grids as text, ``<equal width>:<quantile>``; null for a missing one."""
    if grid.low is None or grid.high is None or grid.low == grid.high:
        place = F.lit(0).cast("bigint")
    else:
        position = F.floor((number - F.lit(grid.low)) / F.lit((grid.high - grid.low) / BINS))
        place = F.greatest(F.lit(0), F.least(position, F.lit(BINS - 1))).cast("bigint")
    both = F.concat(place.cast("string"), F.lit(BETWEEN), step_index(number, grid.steps).cast("string"))
    return F.when(number.isNotNull(), both)


def step_index(number: Column, steps: Sequence[float]) -> Column:
    """How many of the steps lie below a number."""
    above = [(number > F.lit(float(step))).cast("int") for step in steps]
    return reduce(lambda left, right: left + right, above, F.lit(0))


def count_bins(rows: DataFrame, outcomes: Sequence[Column], labels: Mapping[str, Column]) -> dict[str, list[Bin]]:
    """Counts rows and outcomes per column and label, in one pass over (column, label) pairs.

    Of a column's labels the ``MOST_VALUES`` most frequent are kept apart; the others are counted together as ``OTHER``
    before anything leaves the engine, so that a column of texts of their own costs no memory here.

    Args:
        outcomes: 1 or 0 per row; the first counts the positives.
        labels: Name to the text that says which bin a row is in, null for a missing value.
    """
    holds = [outcome.alias(f"outcome_{place}") for place, outcome in enumerate(outcomes)]
    sums = [F.sum(f"outcome_{place}").alias(f"outcome_{place}") for place in range(len(outcomes))]
    named = [label.alias(f"label_{place}") for place, label in enumerate(labels.values())]
    placed = [
        F.struct(F.lit(name).alias("column"), F.col(f"label_{place}").alias("label"))
        for place, name in enumerate(labels)
    ]
    pairs = rows.select(*holds, *named).select(
        *(f"outcome_{place}" for place in range(len(outcomes))), F.explode(F.array(*placed)).alias("pair")
    )
    counted = pairs.groupBy(F.col("pair.column").alias("column"), F.col("pair.label").alias("label")).agg(
        F.count(F.lit(1)).alias("rows"), *sums
    )
    by_size = Window.partitionBy("column", F.col("label").isNull()).orderBy(F.desc("rows"), "label")
    few = F.when(F.row_number().over(by_size) <= MOST_VALUES, F.col("label")).otherwise(F.lit(OTHER))
    kept = counted.withColumn("label", few)
    found = kept.groupBy("column", "label").agg(F.sum("rows").alias("rows"), *sums)
    bins: dict[str, list[Bin]] = {name: [] for name in labels}
    for row in found.collect():
        first, *others = (int(row[f"outcome_{place}"] or 0) for place in range(len(outcomes)))
        bins[row["column"]].append(Bin(row["label"], int(row["rows"]), first, tuple(others)))
    return bins


def histogram(grid: Grid, bins: Sequence[Bin]) -> dict[str, list[Any]]:
    """Edges of equal width (one more than bins), and rows and positives per bin; all empty without a value."""
    if grid.low is None or grid.high is None:
        return {"edges": [], "rows": [], "positives": []}
    count = BINS if grid.high > grid.low else 1
    by_place = {int(str(item.label)): item for item in of_grid(bins, 0) if item.label is not None}
    found = [by_place.get(place, Bin(None, 0, 0)) for place in range(count)]
    return {
        "edges": [grid.low + (grid.high - grid.low) * place / count for place in range(count + 1)],
        "rows": [item.rows for item in found],
        "positives": [item.positives for item in found],
    }


def of_grid(bins: Iterable[Bin], place: int) -> list[Bin]:
    """The bins of one of a number's two grids: 0 for equal width, 1 for quantiles; missing values stay one bin."""
    found: dict[str | None, list[Bin]] = defaultdict(list)
    for item in bins:
        found[None if item.label is None else item.label.split(BETWEEN)[place]].append(item)
    return [together(label, items) for label, items in found.items()]


def values(bins: Sequence[Bin]) -> list[dict[str, Any]]:
    """The most frequent values with their rows and positives; the others together, at the end."""
    present = sorted(
        (item for item in bins if item.label is not None),
        key=lambda item: (item.label == OTHER, -item.rows, str(item.label)),
    )
    return [{"value": item.label, "rows": item.rows, "positives": item.positives} for item in present]


def pooled(bins: Sequence[Bin]) -> list[Bin]:
    """Puts rare values into one bin, so that a column of names does not look like a leak."""
    rare = [item for item in bins if item.rows < FEWEST_ROWS_PER_VALUE]
    return [item for item in bins if item.rows >= FEWEST_ROWS_PER_VALUE] + ([together(OTHER, rare)] if rare else [])


def by_presence(bins: Sequence[Bin]) -> list[Bin]:
    """Two bins at most: the rows without a value and those with one."""
    missing = [item for item in bins if item.label is None]
    present = [item for item in bins if item.label is not None]
    return [together(str(name), items) for name, items in (("missing", missing), ("present", present)) if items]


def together(label: str | None, bins: Sequence[Bin]) -> Bin:
    """Several bins as one."""
    others = tuple(sum(counts) for counts in zip(*(item.others for item in bins), strict=True))
    return Bin(label, sum(item.rows for item in bins), sum(item.positives for item in bins), others)


def strength(bins: Sequence[Bin]) -> float | None:
    """Returns how well bins tell what holds: the area under the ROC curve; None where nothing differs.

    Bins are ranked by their share of positives. Of several classes each is held against all others, and the areas are
    averaged with the classes' rows as weights.
    """
    places = range(1 + len(bins[0].others)) if bins else ()
    areas = [(_area([(item.rows, (item.positives, *item.others)[place]) for item in bins])) for place in places]
    told = [(area, weight) for area, weight in areas if area is not None]
    total = sum(weight for _, weight in told)
    return sum(area * weight for area, weight in told) / total if total else None


def _area(counts: Sequence[tuple[int, int]]) -> tuple[float | None, int]:
    """The area of bins of (rows, positives), None with one class only; and all their positives."""
    positives = sum(held for _, held in counts)
    negatives = sum(rows - held for rows, held in counts)
    if not positives or not negatives:
        return None, positives
    area, below = 0.0, 0
    for rows, held in sorted(counts, key=lambda each: each[1] / each[0]):
        area += held * (below + (rows - held) / 2)
        below += rows - held
    return area / (positives * negatives), positives
