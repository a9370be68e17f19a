"""What numbers look like and what features say about each other, measured on a sample of the rows.

The sample is chosen by the row's id, so that every engine, every attempt and every later dataset takes the same rows.
Two numbers are compared by Pearson's correlation. Where one of two features is a category, both are taken as categories
(a number by the tenth of the rows that it is in) and compared by Cramér's V, corrected for bias (Bergsma, "A
bias-correction for Cramér's V and Tschuprow's T", Journal of the Korean Statistical Society 42, 2013). Rows in which
either is missing are left out of a pair.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from gapless_glue.profile.bins import OTHER, step_index

SAMPLE_ROWS = 20_000
MOST_PAIRED = 30
MOST_CATEGORIES = 20
PERCENT = tuple(step / 100 for step in range(101))
HASHES = 2**32

Pair = tuple[str, str]


@dataclass(frozen=True)
class Sampled:
    """What a sample says of the numbers.

    Attributes:
        rows: How many rows it has.
        quantiles: Number to its 101 percentiles from the smallest to the largest value; empty without a value.
        correlations: Two numbers to Pearson's correlation, where there is one.
    """

    rows: int
    quantiles: Mapping[str, Sequence[float]]
    correlations: Mapping[Pair, float]


def sample_of(rows: DataFrame, total: int, row_id: str) -> DataFrame:
    """About ``SAMPLE_ROWS`` of the rows, chosen by their id; all of them when there are no more."""
    if total <= SAMPLE_ROWS:
        return rows
    return rows.filter(F.crc32(F.col(row_id)) < F.lit(HASHES * SAMPLE_ROWS // total))


def measure_numbers(sample: DataFrame, numbers: Sequence[str]) -> Sampled:
    """Returns percentiles and correlations of numbers, in one pass over the sample.

    Correlations are taken of the first ``MOST_PAIRED`` numbers only: their count grows with the square.
    """
    pairs = list(combinations(numbers[:MOST_PAIRED], 2))
    wanted: list[Column] = [F.count(F.lit(1)).alias("rows")]
    wanted += [
        F.percentile(F.col(name).cast("double"), list(PERCENT)).alias(f"quantiles.{place}")
        for place, name in enumerate(numbers)
    ]
    wanted += [
        F.corr(F.col(left).cast("double"), F.col(right).cast("double")).alias(f"correlation.{place}")
        for place, (left, right) in enumerate(pairs)
    ]
    found = sample.agg(*wanted).collect()[0].asDict()
    quantiles = {name: found[f"quantiles.{place}"] or [] for place, name in enumerate(numbers)}
    correlations = {pair: finite(found[f"correlation.{place}"]) for place, pair in enumerate(pairs)}
    return Sampled(
        int(found["rows"]),
        {name: [] if None in points else [float(point) for point in points] for name, points in quantiles.items()},
        {pair: value for pair, value in correlations.items() if value is not None},
    )


def category_label(value: Column, kept: Sequence[str]) -> Column:
    """A category's own text when it is one of the kept ones; the others together."""
    text = value.cast("string")
    return F.when(text.isNull(), F.lit(None).cast("string")).otherwise(
        F.when(text.isin(list(kept)), text).otherwise(F.lit(OTHER))
    )


def tenth_label(number: Column, quantiles: Sequence[float]) -> Column:
    """The tenth of the rows that a number is in, as text."""
    steps = sorted(set(quantiles[10:100:10]))
    return F.when(number.isNotNull(), step_index(number, steps).cast("string"))


def associations(sample: DataFrame, labels: Mapping[str, Column], pairs: Sequence[Pair]) -> dict[Pair, float]:
    """Returns Cramér's V of pairs of labelled columns, in one pass over (pair, label, label) triples.

    A pair of which a column has one label only, or that no row has, is left out.
    """
    if not pairs:
        return {}
    places = {name: f"label_{place}" for place, name in enumerate(labels)}
    named = [label.alias(places[name]) for name, label in labels.items()]
    crossed = [
        F.struct(F.lit(place).alias("pair"), F.col(places[left]).alias("left"), F.col(places[right]).alias("right"))
        for place, (left, right) in enumerate(pairs)
    ]
    triples = sample.select(*named).select(F.explode(F.array(*crossed)).alias("cell"))
    whole = triples.filter(F.col("cell.left").isNotNull() & F.col("cell.right").isNotNull())
    counted = whole.groupBy(
        F.col("cell.pair").alias("pair"), F.col("cell.left").alias("left"), F.col("cell.right").alias("right")
    ).agg(F.count(F.lit(1)).alias("rows"))
    cells: dict[int, dict[Pair, int]] = defaultdict(dict)
    for row in counted.collect():
        cells[row["pair"]][row["left"], row["right"]] = int(row["rows"])
    found = {pair: cramers_v(cells[place]) for place, pair in enumerate(pairs)}
    return {pair: value for pair, value in found.items() if value is not None}


def cramers_v(cells: Mapping[Pair, int]) -> float | None:
    """Returns the bias-corrected Cramér's V (0 to 1) of a contingency table; None with one row or column only.

    Args:
        cells: Labels of row and column to the count; a cell that is not there counts nothing.
    """
    rows, columns = Counter[str](), Counter[str]()
    for (left, right), count in cells.items():
        rows[left] += count
        columns[right] += count
    total = sum(rows.values())
    if len(rows) < 2 or len(columns) < 2:
        return None
    # phi² = sum over cells of n²/(row · column) - 1, which needs no look at empty cells
    phi = sum(count * count / (rows[left] * columns[right]) for (left, right), count in cells.items()) - 1
    extra_rows, extra_columns = len(rows) - 1, len(columns) - 1
    corrected = max(0.0, phi - extra_rows * extra_columns / (total - 1))
    room = min(
        extra_rows - extra_rows**2 / (total - 1),
        extra_columns - extra_columns**2 / (total - 1),
    )
    return min(1.0, math.sqrt(corrected / room)) if room > 0 else None


def finite(value: Any) -> float | None:
    """Returns a number that JSON can hold, or None."""
    return float(value) if value is not None and math.isfinite(value) else None
