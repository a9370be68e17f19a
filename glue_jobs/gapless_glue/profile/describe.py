"""The profile of a dataset as one JSON document.

Four passes: two over all rows (moments, then bins), two over a sample (percentiles with correlations, then pairs of
categories). ``strength`` is the area under the ROC curve that a feature reaches alone when its bins are ranked by their
own share of positives (see ``target``): 0.5 tells nothing, and a value near 1 before the event smells of a leak.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from gapless_glue.contract import Column as ContractColumn
from gapless_glue.dataset import EVENT_TIME, ROW_ID
from gapless_glue.profile.bins import (
    OTHER,
    Bin,
    Grid,
    by_presence,
    count_bins,
    histogram,
    number_label,
    of_grid,
    pooled,
    strength,
    values,
)
from gapless_glue.profile.findings import findings
from gapless_glue.profile.pairs import (
    MOST_CATEGORIES,
    MOST_PAIRED,
    Pair,
    Sampled,
    associations,
    category_label,
    finite,
    measure_numbers,
    sample_of,
    tenth_label,
)
from gapless_glue.profile.target import Outcome, Target, look_at
from gapless_glue.rules import NUMBERS

FORMAT = 3
"""Raised when a key of the document gets another meaning; profiles of two formats are not compared."""

IDENTIFIER_SHARE = 0.9
FEWEST_ROWS_OF_IDENTIFIER = 100
MICROSECONDS = 1_000_000

Moments = Mapping[str, Any]


def profile(rows: DataFrame, features: Sequence[ContractColumn], target: Target) -> dict[str, Any]:
    """Returns the profile of a dataset as JSON types.

    Args:
        rows: Rows of a dataset: features, target, ``_event_time`` and ``_row_id``.
    """
    outcome = look_at(rows, target)
    moments = _moments(rows, features, outcome)
    total, positives = int(moments["rows"]), int(moments["positives"] or 0)
    sample = sample_of(rows, total, ROW_ID)
    numbers = [column.name for column in features if column.type in NUMBERS]
    sampled = measure_numbers(sample, numbers)
    grids = {name: _grid(name, moments, sampled) for name in numbers}
    bins = _bins(rows, features, outcome, moments, grids)
    columns = {
        column.name: _column(column, moments, bins[column.name], grids.get(column.name), sampled) for column in features
    }
    described = {
        "format": FORMAT,
        "rows": total,
        "sample_rows": sampled.rows,
        "target": {
            "name": target.name,
            "shown": outcome.shown,
            "positives": positives,
            "share": positives / total if total and outcome.shown is not None else None,
            **outcome.told,
            "over_time": _over_time(moments, bins[EVENT_TIME]),
        },
        "columns": columns,
        **_pairs(sample, columns, sampled),
    }
    return {**described, "warnings": findings(described)}


def _moments(rows: DataFrame, features: Sequence[ContractColumn], outcome: Outcome) -> Moments:
    """One aggregate row: each feature's count and distinct values; a number's extremes, mean, spread, correlations."""
    clock = F.unix_micros(F.col(EVENT_TIME)).cast("double")
    wanted: list[Column] = [
        F.count(F.lit(1)).alias("rows"),
        F.sum(outcome.positive).alias("positives"),
        F.min(clock).alias(f"min.{EVENT_TIME}"),
        F.max(clock).alias(f"max.{EVENT_TIME}"),
    ]
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
                F.corr(number, clock).alias(f"clock.{column.name}"),
            ]
            if outcome.number is not None:
                wanted.append(F.corr(number, outcome.number).alias(f"correlation.{column.name}"))
    found: dict[str, Any] = rows.agg(*wanted).collect()[0].asDict()
    return found


def _grid(name: str, moments: Moments, sampled: Sampled) -> Grid:
    steps = sorted(set(sampled.quantiles[name][5:100:5]))
    return Grid(finite(moments[f"min.{name}"]), finite(moments[f"max.{name}"]), steps)


def _bins(
    rows: DataFrame, features: Sequence[ContractColumn], outcome: Outcome, moments: Moments, grids: Mapping[str, Grid]
) -> dict[str, list[Bin]]:
    """Counts every feature's bins, and those of the event time."""
    labels: dict[str, Column] = {}
    for column in features:
        value = F.col(column.name)
        if column.name in grids:
            labels[column.name] = number_label(value.cast("double"), grids[column.name])
        elif _identifies(column, moments):
            labels[column.name] = F.when(value.isNotNull(), F.lit(OTHER))
        else:
            labels[column.name] = value.cast("string")
    span = Grid(finite(moments[f"min.{EVENT_TIME}"]), finite(moments[f"max.{EVENT_TIME}"]), ())
    labels[EVENT_TIME] = number_label(F.unix_micros(F.col(EVENT_TIME)).cast("double"), span)
    return count_bins(rows, [outcome.positive, *outcome.others], labels)


def _identifies(column: ContractColumn, moments: Moments) -> bool:
    """Whether nearly every row has a value of its own; of fractions that is to be expected."""
    present = int(moments[f"count.{column.name}"])
    distinct = int(moments[f"distinct.{column.name}"])
    enough = present >= FEWEST_ROWS_OF_IDENTIFIER and column.type != "double"
    return enough and distinct >= IDENTIFIER_SHARE * present


def _column(
    column: ContractColumn, moments: Moments, bins: Sequence[Bin], grid: Grid | None, sampled: Sampled
) -> dict[str, Any]:
    name, total = column.name, int(moments["rows"])
    present = int(moments[f"count.{name}"])
    telling = pooled(bins) if grid is None else of_grid(bins, 1)
    common = {
        "type": column.type,
        "missing": total - present,
        "missing_share": (total - present) / total if total else None,
        "distinct": int(moments[f"distinct.{name}"]),
        "identifies": _identifies(column, moments),
        "strength": strength(telling),
        "missing_strength": strength(by_presence(bins)),
    }
    if grid is None:
        return {**common, "values": values(bins)}
    numbers = {
        part: finite(moments.get(f"{part}.{name}")) for part in ("min", "max", "mean", "stddev", "correlation", "clock")
    }
    return {**common, **numbers, "quantiles": list(sampled.quantiles[name]), "histogram": histogram(grid, bins)}


def _over_time(moments: Moments, bins: Sequence[Bin]) -> dict[str, list[Any]]:
    """Rows and positives in spans of equal length between the first and the last event; edges in ISO 8601, UTC."""
    span = Grid(finite(moments[f"min.{EVENT_TIME}"]), finite(moments[f"max.{EVENT_TIME}"]), ())
    found = histogram(span, bins)
    edges = [datetime.fromtimestamp(edge / MICROSECONDS, UTC).isoformat(timespec="seconds") for edge in found["edges"]]
    return {**found, "edges": [edge.replace("+00:00", "Z") for edge in edges]}


def _pairs(sample: DataFrame, columns: Mapping[str, Mapping[str, Any]], sampled: Sampled) -> dict[str, Any]:
    """What features say about each other; of many features only the most telling ones are compared."""
    able = [name for name, column in columns.items() if column["distinct"] > 1 and not _is_name(column)]
    chosen = sorted(able, key=lambda name: -(columns[name]["strength"] or 0.0))[:MOST_PAIRED]
    labels = {name: _category(name, columns[name]) for name in chosen}
    crossed: list[Pair] = [
        (left, right)
        for left, right in combinations(chosen, 2)
        if not {"quantiles"} <= columns[left].keys() & columns[right].keys()
    ]
    found = [("cramers_v", pair, value) for pair, value in associations(sample, labels, crossed).items()]
    found += [("pearson", pair, value) for pair, value in sampled.correlations.items() if set(pair) <= set(chosen)]
    listed = [
        {"left": left, "right": right, "measure": measure, "value": value} for measure, (left, right), value in found
    ]
    return {
        "pairs": sorted(listed, key=lambda pair: (-abs(float(str(pair["value"]))), pair["left"], pair["right"])),
        "not_paired": [name for name in columns if name not in chosen],
    }


def _is_name(column: Mapping[str, Any]) -> bool:
    """Whether a column is a text of its own in every row, which is no category."""
    return column["identifies"] and "quantiles" not in column


def _category(name: str, column: Mapping[str, Any]) -> Column:
    if "quantiles" in column:
        return tenth_label(F.col(name).cast("double"), column["quantiles"])
    kept = [item["value"] for item in column["values"] if item["value"] != OTHER][:MOST_CATEGORIES]
    return category_label(F.col(name), kept)
