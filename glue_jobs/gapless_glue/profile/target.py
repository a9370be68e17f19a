"""What a profile says of the target, whatever it is: a yes or a no, a class, a number, or nothing.

How much a feature tells is measured by what holds in a row or does not. Of a yes or no that is the target itself, of
classes each of them against all others, of a number whether it is above its median.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from constructs_lib.names.problems import BINARY, MULTICLASS, REGRESSION
from gapless_glue.contract import Contract
from gapless_glue.profile.bins import MOST_VALUES, OTHER
from gapless_glue.profile.pairs import PERCENT, finite

MOST_CLASSES = 20
"""Classes that are told apart, the most frequent ones."""


@dataclass(frozen=True)
class Target:
    """The target of a dataset; ``name`` is None where there is none."""

    name: str | None
    problem: str


@dataclass(frozen=True)
class Outcome:
    """What is known of the target once the rows were looked at.

    Attributes:
        shown: What holds in the rows that histograms count as positive, in words; None without a target.
        positive: 1 or 0 per row: does it hold?
        others: The same of the other classes.
        number: The target as a number, to correlate with; None where it is none.
        told: What the profile says of it besides.
    """

    shown: str | None
    positive: Column
    others: tuple[Column, ...] = ()
    number: Column | None = None
    told: Mapping[str, Any] = field(default_factory=dict)


def target_in(contract: Contract) -> Target:
    """The target of a workload's datasets."""
    return Target(contract.target, contract.problem)


def look_at(rows: DataFrame, target: Target) -> Outcome:
    """Finds out what the target is like; of a yes or no that takes no pass over the rows, else one."""
    if target.name is None:
        return Outcome(None, F.lit(0))
    value = F.col(target.name)
    if target.problem == BINARY:
        return Outcome(f"{target.name} holds", value.cast("int"), number=value.cast("double"))
    return {MULTICLASS: _classes, REGRESSION: _number}[target.problem](rows, target.name)


def _classes(rows: DataFrame, name: str) -> Outcome:
    value = F.col(name).cast("string")
    counted = rows.groupBy(value.alias("value")).agg(F.count(F.lit(1)).alias("rows"))
    found = [(str(row["value"]), int(row["rows"])) for row in counted.collect()]
    classes = sorted(found, key=lambda item: (-item[1], item[0]))
    listed = [{"value": text, "rows": count} for text, count in classes[:MOST_VALUES]]
    rest = sum(count for _, count in classes[MOST_VALUES:])
    holds = [(value == F.lit(text)).cast("int") for text, _ in classes[:MOST_CLASSES]]
    return Outcome(
        f"{name} is {classes[0][0]}" if classes else f"{name} has a value",
        holds[0] if holds else F.lit(0),
        tuple(holds[1:]),
        told={"classes": len(classes), "values": listed + ([{"value": OTHER, "rows": rest}] if rest else [])},
    )


def _number(rows: DataFrame, name: str) -> Outcome:
    value = F.col(name).cast("double")
    moments: list[Column] = [F.min(value), F.max(value), F.avg(value), F.stddev_samp(value)]
    parts = dict(zip(("min", "max", "mean", "stddev"), moments, strict=True))
    wanted = [each.alias(part) for part, each in parts.items()]
    found = rows.agg(*wanted, F.percentile(value, list(PERCENT)).alias("quantiles")).collect()[0].asDict()
    points = found["quantiles"] or []
    quantiles = [] if None in points else [float(point) for point in points]
    median = quantiles[len(quantiles) // 2] if quantiles else 0.0
    told = {part: finite(found[part]) for part in parts}
    return Outcome(
        f"{name} is above its median, {median:g}",
        (value > F.lit(median)).cast("int"),
        number=value,
        told={**told, "missing_share": 0.0, "quantiles": quantiles},
    )
