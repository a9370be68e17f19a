"""Validation: every row of a batch is written once, to the validated or to the quarantine zone, and counted there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gapless_glue.contract import Contract, Source
from gapless_glue.dqdl.dynamic import missing_history, series
from gapless_glue.dqdl.evaluate import Evaluation, Outcome, Ruling, Settings, Verdict, evaluate, share_name
from gapless_glue.dqdl.history import BadConditionError, NoHistoryError, holds
from gapless_glue.dqdl.language import Analyzer, Rule, leaves
from gapless_glue.drift import Drift, report_of_drift
from gapless_glue.earlier import Earlier, Series
from gapless_glue.errors import RowsLost
from gapless_glue.rules import SourceRule, of_source
from gapless_glue.settling import settled_rows
from gapless_glue.typed import (
    BETWEEN_REASONS,
    REASONS,
    Handling,
    judge,
    refused_rows,
    staged_schema,
    valid_rows,
)

ROWS = "Dataset.*.RowCount"
OWN_METHOD = "anomalies are found by a method of Gapless, not by that of AWS Glue"


@dataclass(frozen=True)
class SourceCounts:
    """What became of the rows of one source."""

    rows_in: int
    validated: int
    quarantined: int
    reasons: Mapping[str, int]


@dataclass(frozen=True)
class RuleResult:
    """What one rule found.

    Attributes:
        rule: The rule.
        passed: Whether it held.
        value: The share of rows that keep it, or the value of the table.
        refused_rows: How many rows break it.
        blocks: Whether no dataset is made when it did not hold. A rule that has too few earlier results to compare
            with blocks nothing yet.
        note: Why it failed, what it lacks, or by which method it was judged.
    """

    rule: SourceRule
    passed: bool
    value: float
    refused_rows: int
    blocks: bool
    note: str | None = None


@dataclass(frozen=True)
class Validation:
    """The outcome for a batch; ``compared_with`` are the versions whose measures the rules could look at."""

    sources: Mapping[str, SourceCounts] = field(default_factory=dict)
    rules: Sequence[RuleResult] = ()
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    drifts: Sequence[Drift] = ()
    compared_with: Sequence[str] = ()

    @property
    def rows_in(self) -> int:
        return sum(counts.rows_in for counts in self.sources.values())

    @property
    def quarantined(self) -> int:
        return sum(counts.quarantined for counts in self.sources.values())

    @property
    def quarantined_share(self) -> float:
        """The share of the rows that were refused; a row that settling set aside is no fault of the batch."""
        settled = sum(settled_rows(counts.reasons) for counts in self.sources.values())
        return (self.quarantined - settled) / self.rows_in if self.rows_in else 0.0

    def accepted(self, max_quarantined_share: float) -> bool:
        """Tells whether a dataset may be made: few rows refused, in every source some left, no blocking rule broken."""
        blocked = any(not result.passed for result in self.rules if result.blocks)
        emptied = any(counts.validated == 0 for counts in self.sources.values())
        return not blocked and not emptied and self.quarantined_share <= max_quarantined_share


def staged_rows(spark: SparkSession, folder: str, source: Source) -> DataFrame:
    """Returns the staged rows of a source, as text."""
    return spark.read.schema(staged_schema(source)).parquet(folder)


def judged_source(
    spark: SparkSession,
    folder: str,
    source: Source,
    rules: Sequence[SourceRule],
    now: datetime | None = None,
    handling: Handling | None = None,
) -> DataFrame:
    """Returns the staged rows of a source with types and reasons."""
    return judge(staged_rows(spark, folder, source), source, of_source(rules, source.name), now, handling)


def write_zones(judged: DataFrame, source: Source, validated: str, quarantine: str) -> None:
    """Writes the valid and the refused rows of a source, each to its own new folder."""
    valid_rows(judged, source).write.mode("overwrite").parquet(validated)
    refused_rows(judged, source).write.mode("overwrite").parquet(quarantine)


def count_reasons(quarantined: Mapping[str, DataFrame]) -> dict[str, tuple[int, Counter[str]]]:
    """Counts refused rows, and rows per reason, per source; one pass over what was written."""
    if not quarantined:
        return {}
    branches = [
        rows.groupBy(F.lit(name).alias("source"), REASONS).agg(F.count(F.lit(1)).alias("rows"))
        for name, rows in quarantined.items()
    ]
    found: dict[str, tuple[int, Counter[str]]] = {}
    for row in reduce(DataFrame.unionAll, branches).collect():
        total, reasons = found.get(row["source"], (0, Counter()))
        reasons.update(dict.fromkeys(row[REASONS].split(BETWEEN_REASONS), row["rows"]))
        found[row["source"]] = (total + row["rows"], reasons)
    return found


def measure_tables(
    validated: Mapping[str, DataFrame],
    rules: Sequence[SourceRule],
    *,
    now: datetime | None = None,
    analyzers: Mapping[str, Sequence[Analyzer]] | None = None,
    history: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
) -> dict[str, Evaluation]:
    """Judges the rules about tables on the valid rows, all in one query.

    Args:
        validated: Source → its valid rows. Rules may compare one source with another.
        rules: The rules of all sources; those about rows are left to ``typed.judge``.
        now: The instant that stands for now(). Default: the present.
        analyzers: Source → what is measured besides.
        history: Source → metric → values of earlier runs, the oldest first.

    Returns:
        Source → verdicts of its rules about the table, in order, and everything measured; ``ROWS`` is always there.
    """
    rulings = {
        name: Ruling(
            [rule.rule for rule in of_source(rules, name) if not rule.is_about_rows],
            [Analyzer("RowCount"), *(analyzers or {}).get(name, ())],
            (history or {}).get(name, {}),
        )
        for name in validated
    }
    settings = Settings(now or datetime.now(UTC), composite_by_row=True, skip_missing=True)
    return evaluate(validated, rulings, settings)


def conclude(
    contract: Contract,
    rules: Sequence[SourceRule],
    rows_in: Mapping[str, int],
    refused: Mapping[str, tuple[int, Counter[str]]],
    measured: Mapping[str, Evaluation],
    drifts: Sequence[Drift] = (),
    earlier: Earlier | None = None,
) -> Validation:
    """Puts the counts together, and judges thresholds by them.

    Raises:
        RowsLost: The rows of a source that were read are not those that were validated plus those quarantined.
    """
    sources = {}
    for name in (each for each in contract.sources if each in rows_in):
        quarantined, reasons = refused.get(name, (0, Counter()))
        validated = int(measured[name].metrics[ROWS]) if name in measured else 0
        if rows_in[name] != validated + quarantined:
            raise RowsLost(
                f"source {name}: {rows_in[name]} rows were read, {validated} validated and {quarantined} quarantined"
            )
        sources[name] = SourceCounts(rows_in[name], validated, quarantined, dict(sorted(reasons.items())))
    earlier = earlier if earlier is not None else Earlier()
    histories = {name: earlier.of_source(name) for name in sources}
    results = []
    metrics = {name: dict(found.metrics) for name, found in measured.items()}
    for rule in rules:
        verdict = _of_rows(rule, sources[rule.source], histories[rule.source])
        if verdict is None:
            verdict = _of_table(rule, measured.get(rule.source))
        elif rule.threshold is not None:
            metrics.setdefault(rule.source, {}).update(verdict.series)
        results.append(_result(rule, verdict, histories[rule.source]))
    return Validation(sources, results, metrics, drifts, earlier.versions)


def _of_rows(rule: SourceRule, counts: SourceCounts, history: Series) -> Verdict | None:
    """The verdict of a rule about rows by what was quarantined; nothing for other rules."""
    if not rule.is_about_rows:
        return None
    refused = counts.reasons.get(f"rule {rule.text}", 0)
    share = 1 - refused / counts.rows_in
    name = share_name(rule.rule)
    kept_as = series(rule.rule, name) if isinstance(rule.rule, Rule) else name
    reason = f"{refused} of {counts.rows_in} rows break the rule"
    try:
        threshold = rule.threshold
        passed = refused == 0 if threshold is None else holds(threshold, share, history.get(kept_as, ()))
    except (BadConditionError, NoHistoryError) as error:
        passed, reason = False, str(error)
    outcome: Outcome = "Passed" if passed else "Failed"
    return Verdict(rule.rule, outcome, {name: share}, None if passed else reason, refused, {kept_as: share})


def _of_table(rule: SourceRule, found: Evaluation | None) -> Verdict:
    """What was found about a rule about the table."""
    for verdict in found.verdicts if found else ():
        if verdict.rule == rule.rule:
            return verdict
    return Verdict(rule.rule, "Failed", reason="no row of the source is valid")


def _result(rule: SourceRule, verdict: Verdict, history: Series) -> RuleResult:
    lacking = missing_history(rule.rule, verdict.series, history)
    parts = [
        verdict.reason if verdict.outcome == "Failed" else None,
        f"blocks nothing yet, {lacking}" if lacking else None,
        OWN_METHOD if any(leaf.type == "DetectAnomalies" for leaf in leaves(rule.rule)) else None,
    ]
    note = "; ".join(part for part in parts if part) or None
    value = next(iter(verdict.metrics.values()), 0.0)
    passed = verdict.outcome != "Failed"
    return RuleResult(rule, passed, value, verdict.refused_rows, rule.blocks and not lacking, note)


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
                "blocking": result.blocks,
                "passed": result.passed,
                "value": result.value,
                "refused_rows": result.refused_rows,
                "note": result.note,
            }
            for result in validation.rules
        ],
        "metrics": {name: dict(found) for name, found in validation.metrics.items()},
        "drift": report_of_drift(validation.drifts),
        "compared_with": list(validation.compared_with),
    }
