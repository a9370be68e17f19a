"""Validation: every row of a batch is written once, to the validated or to the quarantine zone, and counted there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gapless_glue.contract import Contract, Source
from gapless_glue.errors import RowsLost
from gapless_glue.rules import Rule, of_source
from gapless_glue.typed import (
    BETWEEN_REASONS,
    REASONS,
    judge,
    refused_rows,
    staged_schema,
    valid_rows,
)

ROWS = "rows"


@dataclass(frozen=True)
class SourceCounts:
    """What became of the rows of one source."""

    rows_in: int
    validated: int
    quarantined: int
    reasons: Mapping[str, int]


@dataclass(frozen=True)
class RuleResult:
    """What one rule found: the share of rows that keep it, or the value of the table; and the rows it refused."""

    rule: Rule
    passed: bool
    value: float
    refused_rows: int


@dataclass(frozen=True)
class Validation:
    """The outcome for a batch."""

    sources: Mapping[str, SourceCounts] = field(default_factory=dict)
    rules: Sequence[RuleResult] = ()

    @property
    def rows_in(self) -> int:
        return sum(counts.rows_in for counts in self.sources.values())

    @property
    def quarantined(self) -> int:
        return sum(counts.quarantined for counts in self.sources.values())

    @property
    def quarantined_share(self) -> float:
        return self.quarantined / self.rows_in if self.rows_in else 0.0

    def accepted(self, max_quarantined_share: float) -> bool:
        """Tells whether a dataset may be made: few rows refused, in every source some left, no blocking rule broken."""
        blocked = any(not result.passed for result in self.rules if not result.rule.is_about_rows)
        emptied = any(counts.validated == 0 for counts in self.sources.values())
        return not blocked and not emptied and self.quarantined_share <= max_quarantined_share


def judged_source(spark: SparkSession, folder: str, source: Source, rules: Sequence[Rule]) -> DataFrame:
    """Returns the staged rows of a source with types and reasons."""
    staged = spark.read.schema(staged_schema(source)).parquet(folder)
    return judge(staged, source, of_source(rules, source.name))


def write_zones(judged: DataFrame, source: Source, validated: str, quarantine: str) -> None:
    """Writes the valid and the refused rows of a source, each to its own new folder."""
    valid_rows(judged, source).write.mode("overwrite").parquet(validated)
    refused_rows(judged, source).write.mode("overwrite").parquet(quarantine)


def count_reasons(quarantined: Mapping[str, DataFrame]) -> dict[str, tuple[int, Counter[str]]]:
    """Counts refused rows, and rows per reason, per source; one pass over what was written."""
    if not quarantined:
        return {}
    branches = [
        rows.groupBy(F.lit(name).alias("source"), REASONS).agg(F.count(F.lit(1)).alias(ROWS))
        for name, rows in quarantined.items()
    ]
    found: dict[str, tuple[int, Counter[str]]] = {}
    for row in reduce(DataFrame.unionAll, branches).collect():
        total, reasons = found.get(row["source"], (0, Counter()))
        reasons.update(dict.fromkeys(row[REASONS].split(BETWEEN_REASONS), row[ROWS]))
        found[row["source"]] = (total + row[ROWS], reasons)
    return found


def measure_tables(validated: Mapping[str, DataFrame], rules: Sequence[Rule]) -> dict[str, dict[str, float]]:
    """Counts rows and measures the table rules on the valid rows: source → rule text (or ``rows``) → value."""
    branches = [
        branch for name, rows in validated.items() for branch in _measurements(name, rows, of_source(rules, name))
    ]
    found: dict[str, dict[str, float]] = {name: {} for name in validated}
    if branches:
        for row in reduce(DataFrame.unionAll, branches).collect():
            found[row["source"]][row["measure"]] = row["value"]
    return found


def _measurements(name: str, rows: DataFrame, rules: Sequence[Rule]) -> list[DataFrame]:
    counted = [rule for rule in rules if rule.name in ("RowCount", "Completeness")]
    total = F.count(F.lit(1)).cast("double")
    values = [total] + [
        total if rule.name == "RowCount" else F.count(F.col(str(rule.column))) / total for rule in counted
    ]
    pairs = [
        F.struct(F.lit(measure).alias("measure"), value.cast("double").alias("value"))
        for measure, value in zip([ROWS, *[rule.text for rule in counted]], values, strict=True)
    ]
    flat = rows.agg(F.array(*pairs).alias("pairs")).select(F.explode("pairs").alias("pair"))
    branches = [
        flat.select(
            F.lit(name).alias("source"), F.col("pair.measure").alias("measure"), F.col("pair.value").alias("value")
        )
    ]
    return branches + [_uniqueness(name, rows, rule) for rule in rules if rule.name == "Uniqueness"]


def _uniqueness(name: str, rows: DataFrame, rule: Rule) -> DataFrame:
    """The share of rows with a value that no other row has."""
    groups = (
        rows.filter(F.col(str(rule.column)).isNotNull()).groupBy(str(rule.column)).agg(F.count(F.lit(1)).alias("n"))
    )
    once = F.sum(F.when(F.col("n") == 1, F.lit(1.0)).otherwise(F.lit(0.0)))
    value = F.coalesce(once / F.sum("n"), F.lit(1.0)).cast("double")
    return groups.agg(value.alias("value")).select(
        F.lit(name).alias("source"), F.lit(rule.text).alias("measure"), "value"
    )


def conclude(
    contract: Contract,
    rules: Sequence[Rule],
    rows_in: Mapping[str, int],
    refused: Mapping[str, tuple[int, Counter[str]]],
    measured: Mapping[str, Mapping[str, float]],
) -> Validation:
    """Puts the counts together.

    Raises:
        RowsLost: The rows of a source that were read are not those that were validated plus those quarantined.
    """
    sources = {}
    for name in contract.sources:
        quarantined, reasons = refused.get(name, (0, Counter()))
        validated = int(measured.get(name, {}).get(ROWS, 0))
        if rows_in[name] != validated + quarantined:
            raise RowsLost(
                f"source {name}: {rows_in[name]} rows were read, {validated} validated and {quarantined} quarantined"
            )
        sources[name] = SourceCounts(rows_in[name], validated, quarantined, dict(sorted(reasons.items())))
    return Validation(sources, [_result(rule, sources[rule.source], measured.get(rule.source, {})) for rule in rules])


def _result(rule: Rule, counts: SourceCounts, measured: Mapping[str, float]) -> RuleResult:
    if rule.is_about_rows:
        refused = counts.reasons.get(f"rule {rule.text}", 0)
        return RuleResult(rule, refused == 0, 1 - refused / counts.rows_in, refused)
    value = measured.get(rule.text, 0.0)
    return RuleResult(rule, rule.passed_by(value), value, 0)


def report_of(validation: Validation) -> dict[str, Any]:
    """Returns the validation's part of the report."""
    return {
        "rows_in": validation.rows_in,
        "rows_validated": validation.rows_in - validation.quarantined,
        "rows_quarantined": validation.quarantined,
        "quarantined_share": validation.quarantined_share,
        "sources": {
            name: {
                "rows_in": counts.rows_in,
                "validated": counts.validated,
                "quarantined": counts.quarantined,
                "reasons": dict(counts.reasons),
            }
            for name, counts in validation.sources.items()
        },
        "rules": [
            {
                "rule": result.rule.text,
                "source": result.rule.source,
                "blocking": not result.rule.is_about_rows,
                "passed": result.passed,
                "value": result.value,
                "refused_rows": result.refused_rows,
            }
            for result in validation.rules
        ],
    }
