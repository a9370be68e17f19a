"""The verdict of every rule on data frames.

All numbers that the rules of all tables need are collected first and measured together (see ``passes``); then each
rule judges its numbers. Only CustomSql runs its own statement. A rule that does not fit its table fails with the
reason; DetectAnomalies is skipped while there are too few earlier results.

Standard deviation and variance are those of the whole population, entropy is in nats, ``between`` excludes both ends.
Uniqueness is the share of rows whose value no other row has, rows without a value not counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, Literal

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from gapless_glue.dqdl import compare
from gapless_glue.dqdl.dynamic import series, watched
from gapless_glue.dqdl.groups import Detail, Groups
from gapless_glue.dqdl.history import BadConditionError, NoHistoryError, expected_range, holds
from gapless_glue.dqdl.language import Analyzer, AnyRule, Composite, Condition, Rule, leaves
from gapless_glue.dqdl.passes import Passes
from gapless_glue.dqdl.rows import (
    NUMBERS,
    ROW_TYPES,
    BadRuleError,
    Table,
    chosen,
    extremes,
    judges_rows,
    length,
    metric_of,
    numeric,
    refusal,
)

Outcome = Literal["Passed", "Failed", "Skipped"]
ALL_COLUMNS: Final = "AllColumns"
OF_TABLES: Final = ("RowCount", "ColumnCount")
NOTHING: Final = "there is nothing to measure"
EMPTY_PASSES: Final = ("ColumnDataType", "DataFreshness")
"""Rule types that pass where no row is chosen."""

Measured = dict[str, float | None]
Measure = Callable[[], Measured]


@dataclass(frozen=True)
class Verdict:
    """What became of a rule.

    Args:
        rule: The rule.
        outcome: Skipped means that there are too few earlier results to tell an anomaly.
        metrics: Name → what was measured, by the names that AWS Glue publishes.
        reason: Why it failed or was skipped.
        refused_rows: How many rows break it; zero for a rule that is not about single rows.
        series: The same by the names under which they are kept for later runs, see ``dynamic.series``.
    """

    rule: AnyRule
    outcome: Outcome
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str | None = None
    refused_rows: int = 0
    series: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """What was found on one table.

    Args:
        verdicts: One for each rule, in order.
        metrics: Everything that rules and analyzers measured, by series: the next entry of the table's history.
    """

    verdicts: Sequence[Verdict]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Ruling:
    """The rules and analyzers of one table, and its earlier results.

    Args:
        rules: What is judged.
        analyzers: What is measured without being judged.
        history: Series → earlier values, the oldest first.
    """

    rules: Sequence[AnyRule] = ()
    analyzers: Sequence[Analyzer] = ()
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """How rules are read.

    Args:
        now: The instant that stands for now(), with a time zone.
        composite_by_row: Whether ``and`` and ``or`` between rules about rows are decided row by row. Otherwise each
            part is decided for the whole table, as AWS Glue does unless told otherwise.
        skip_missing: Whether missing values break IsComplete only; see ``rows``.
    """

    now: datetime
    composite_by_row: bool = False
    skip_missing: bool = False

    def __post_init__(self) -> None:
        if self.now.tzinfo is None:
            raise ValueError(f"now needs a time zone, got {self.now.isoformat()}")


def evaluate(
    tables: Mapping[str, DataFrame], rulings: Mapping[str, Ruling], settings: Settings
) -> dict[str, Evaluation]:
    """Judges the rules of tables.

    Args:
        tables: Name → rows. Rules call other tables by these names, and their own ``primary``.
        rulings: Name of a table → its rules; every name is one of ``tables``.
        settings: How rules are read.

    Returns:
        Name of a table → what was found.
    """
    passes = Passes(tables)
    judges = {name: _Judge(name, tables, ruling, settings, passes) for name, ruling in rulings.items()}
    open_verdicts = {name: [judge.prepared(rule) for rule in rulings[name].rules] for name, judge in judges.items()}
    analyses = {name: [judge.analysed(item) for item in rulings[name].analyzers] for name, judge in judges.items()}
    passes.run()
    found = {}
    for name in rulings:
        verdicts = [verdict() for verdict in open_verdicts[name]]
        measured = [verdict.series for verdict in verdicts] + [_known(analysis()) for analysis in analyses[name]]
        found[name] = Evaluation(verdicts, {metric: value for one in measured for metric, value in one.items()})
    return found


def evaluate_table(
    rows: DataFrame,
    rules: Sequence[AnyRule],
    *,
    now: datetime | None = None,
    others: Mapping[str, DataFrame] | None = None,
    history: Mapping[str, Sequence[float]] | None = None,
) -> Evaluation:
    """Judges the rules of one table with AWS Glue's settings; now is the present moment unless given."""
    settings = Settings(now or datetime.now(UTC))
    ruling = Ruling(rules, (), history or {})
    return evaluate({**(others or {}), compare.PRIMARY: rows}, {compare.PRIMARY: ruling}, settings)[compare.PRIMARY]


def _known(measured: Measured) -> dict[str, float]:
    return {name: value for name, value in measured.items() if value is not None}


class _Judge:
    """Prepares the rules of one table: asks for the numbers that they need, and judges these afterwards."""

    def __init__(
        self, name: str, tables: Mapping[str, DataFrame], ruling: Ruling, settings: Settings, passes: Passes
    ) -> None:
        self._name = name
        self._tables = tables
        self._rows = tables[name]
        self._settings = settings
        self._passes = passes
        types = {column.name: column.dataType.simpleString() for column in self._rows.schema.fields}
        self._table = Table(types, settings.now, settings.skip_missing, ruling.history)
        self._wheres: dict[str, str | None] = {}

    def prepared(self, rule: AnyRule) -> Callable[[], Verdict]:
        """Asks for a rule's numbers; returns what gives the verdict once they are there."""
        try:
            verdict = self._prepared(rule)
        except (BadRuleError, BadConditionError, PySparkException) as error:
            return _concluded(Verdict(rule, "Failed", reason=_first_line(error)))
        return lambda: _in_series(verdict())

    def analysed(self, analyzer: Analyzer) -> Measure:
        """Asks for an analyzer's numbers; returns what gives its metrics once they are there."""
        if analyzer.type == "AllStatistics":
            names = self._table.types if analyzer.parameters[0] == ALL_COLUMNS else analyzer.parameters
            return _joined([self._statistics(name) for name in names])
        rule = Rule(analyzer.type, analyzer.parameters, text=analyzer.text)
        measure = self._measure(rule)
        return lambda: {series(rule, name): value for name, value in measure().items()}

    def _prepared(self, rule: AnyRule) -> Callable[[], Verdict]:
        for leaf in leaves(rule):
            self._check_where(leaf)
        if isinstance(rule, Composite):
            if self._settings.composite_by_row and judges_rows(rule):
                return self._rows_prepared(rule)
            return self._composite(rule)
        if rule.type in ROW_TYPES:
            return self._rows_prepared(rule)
        if rule.type == "DetectAnomalies":
            return self._anomalies(rule)
        if rule.type == "CustomSql" and rule.condition is None:
            return _concluded(self._answered(rule))
        measure = self._measure(rule)
        return lambda: self._judged(rule, measure())

    def _check_where(self, rule: Rule) -> None:
        """Lets the engine read a where clause, so that a bad one fails its own rule and no other."""
        if rule.where is None:
            return
        if rule.where not in self._wheres:
            try:
                kind = self._rows.select(F.expr(rule.where)).schema.fields[0].dataType.simpleString()
                self._wheres[rule.where] = None if kind == "boolean" else f"it is of type {kind}"
            except PySparkException as error:
                self._wheres[rule.where] = _first_line(error)
        problem = self._wheres[rule.where]
        if problem is not None:
            raise BadRuleError(f"the where clause {rule.where!r} is no condition on the table: {problem}")

    def _composite(self, rule: Composite) -> Callable[[], Verdict]:
        """Judges every part for the whole table, then joins the outcomes."""
        parts = [self.prepared(part) for part in rule.parts]

        def verdict() -> Verdict:
            found = [part() for part in parts]
            outcomes = {part.outcome for part in found}
            order: tuple[Outcome, ...] = (
                ("Failed", "Skipped", "Passed") if rule.operator == "and" else ("Passed", "Skipped", "Failed")
            )
            outcome = next(one for one in order if one in outcomes)
            metrics = {name: value for part in found for name, value in part.metrics.items()}
            kept = {name: value for part in found for name, value in part.series.items()}
            reasons = [part.reason for part in found if part.reason and part.outcome == outcome]
            return Verdict(rule, outcome, metrics, "; ".join(reasons) if outcome != "Passed" else None, series=kept)

        return verdict

    # rules about rows

    def _rows_prepared(self, rule: AnyRule) -> Callable[[], Verdict]:
        """Counts the rows that a rule looks at and those that break it."""
        where = rule.where if isinstance(rule, Rule) else None
        extra = _joined([self._row_metrics(leaf) for leaf in leaves(rule)])
        try:
            refused = self._refused(rule)
        except NoHistoryError as error:
            reason = str(error)
            return lambda: Verdict(rule, "Failed", _known(extra()), reason)
        looked_at = self._count(where)

        def verdict() -> Verdict:
            rows, gone = looked_at() or 0.0, refused() or 0.0
            metrics = _known(extra())
            if rows:
                metrics[share_name(rule)] = 1 - gone / rows
            return _by_share(rule, rows, gone, metrics, self._table.history)

        return verdict

    def _refused(self, rule: AnyRule) -> Callable[[], float | None]:
        if isinstance(rule, Rule) and rule.type == "IsComplete":
            rows = self._count(rule.where)
            there = self._passes.present(self._name, self._table.column(rule.parameters[0]), rule.where)
            return lambda: (rows() or 0.0) - (there() or 0.0)
        broken = refusal(rule, self._table)
        return self._number(("refused", rule.text, str(rule)), lambda: F.count(F.when(broken, F.lit(1))))

    def _row_metrics(self, rule: Rule) -> Measure:
        """The smallest and largest value, where a rule compares with numbers."""
        numbers = rule.condition is not None and rule.condition.kind == "number"
        if rule.type in ("ColumnValues", "ColumnLength") and numbers:
            return self._extremes(rule)
        return _joined([])

    def _extremes(self, rule: Rule) -> Measure:
        name = rule.parameters[0]
        low, high = extremes(rule)

        def values() -> Column:
            column = length(name, self._table) if rule.type == "ColumnLength" else numeric(name, self._table)
            return self._where(rule, column)

        return _joined(
            [
                self._metric(low, ("min", rule.type, name, rule.where), lambda: F.min(values())),
                self._metric(high, ("max", rule.type, name, rule.where), lambda: F.max(values())),
            ]
        )

    def _answered(self, rule: Rule) -> Verdict:
        """A statement that selects rows: those that it gives keep the rule."""
        kept = compare.answered(self._tables, self._name, rule.parameters[0])
        rows = self._rows.count()
        metrics = {share_name(rule): kept / rows} if rows else {}
        return _by_share(rule, rows, rows - kept, metrics, self._table.history)

    # rules about the table

    def _measure(self, rule: Rule) -> Measure:
        if rule.type not in MEASURES:
            raise BadRuleError(f"rule type {rule.type} measures nothing")
        return MEASURES[rule.type](self, rule)

    def _judged(self, rule: Rule, measured: Measured) -> Verdict:
        """Holds what was measured against the condition, or against one for a rule that has none."""
        metrics = _known(measured)
        if len(metrics) < len(measured):
            return Verdict(rule, "Failed", metrics, NOTHING)
        for name, value in metrics.items():
            try:
                passed = self._passes_by(rule.condition, series(rule, name), value)
            except (BadConditionError, NoHistoryError) as error:
                return Verdict(rule, "Failed", metrics, str(error))
            if not passed:
                return Verdict(rule, "Failed", metrics, f"{name} is {value:g}, which the rule does not allow")
        return Verdict(rule, "Passed", metrics)

    def _passes_by(self, condition: Condition | None, name: str, value: float) -> bool:
        if condition is None:
            return value == 1.0
        return holds(condition, value, self._table.history.get(name, ()))

    def _anomalies(self, rule: Rule) -> Callable[[], Verdict]:
        """Compares metrics with the range that their own history lets expect."""
        measure = self._measure(watched(rule))

        def verdict() -> Verdict:
            metrics = _known(measure())
            if not metrics:
                return Verdict(rule, "Failed", {}, NOTHING)
            for name, value in metrics.items():
                try:
                    low, high = expected_range(self._table.history.get(series(rule, name), ()))
                except NoHistoryError as error:
                    return Verdict(rule, "Skipped", metrics, f"{name}: {error}")
                if not low <= value <= high:
                    reason = f"{name} is {value:g}, expected between {low:g} and {high:g}"
                    return Verdict(rule, "Failed", metrics, reason)
            return Verdict(rule, "Passed", metrics)

        return verdict

    def _number(self, name: tuple[object, ...], aggregate: Callable[[], Column]) -> Callable[[], float | None]:
        return self._passes.number(self._name, name, aggregate)

    def _metric(self, metric: str, name: tuple[object, ...], aggregate: Callable[[], Column]) -> Measure:
        value = self._number(name, aggregate)
        return lambda: {metric: value()}

    def _where(self, rule: Rule, column: Column) -> Column:
        """A column, null in rows that the rule does not choose."""
        return column if rule.where is None else F.when(chosen(rule.where), column)

    def _count(self, where: str | None) -> Callable[[], float | None]:
        return self._passes.present(self._name, None, where)

    def row_count(self, rule: Rule) -> Measure:
        value = self._count(rule.where)
        return lambda: {metric_of(rule, "Dataset.*.RowCount"): value()}

    def column_count(self, _: Rule) -> Measure:
        count = float(len(self._table.types))
        return lambda: {"Dataset.*.ColumnCount": count}

    def column_exists(self, rule: Rule) -> Measure:
        (name,) = rule.parameters
        there = float(name.lower() in {column.lower() for column in self._table.types})
        return lambda: {f"Dataset.{name}.ColumnExists": there}

    def column_names(self, rule: Rule) -> Measure:
        try:
            pattern = re.compile(rule.parameters[0])
        except re.error as error:
            raise BadRuleError(f"{rule.parameters[0]!r} is no regular expression: {error}") from error
        fitting = [name for name in self._table.types if pattern.search(name)]
        share = len(fitting) / len(self._table.types) if self._table.types else None
        return lambda: {"Dataset.*.ColumnNamesPatternMatchRatio": share}

    def completeness(self, rule: Rule) -> Measure:
        name = self._table.column(rule.parameters[0])
        rows = self._count(rule.where)
        there = self._passes.present(self._name, name, rule.where)
        metric = metric_of(rule, f"Column.{rule.parameters[0]}.Completeness")
        return lambda: {metric: _share(there(), rows())}

    def statistic(self, rule: Rule) -> Measure:
        name = rule.parameters[0]
        total = STATISTICS[rule.type]
        column = self._where(rule, numeric(name, self._table).cast("double"))
        metric = metric_of(rule, f"Column.{name}.{rule.type}")
        return self._metric(metric, (rule.type, name, rule.where), lambda: total(column))

    def correlation(self, rule: Rule) -> Measure:
        first, second = rule.parameters
        left, right = (self._where(rule, numeric(name, self._table).cast("double")) for name in (first, second))
        metric = metric_of(rule, f"Multicolumn.{first},{second}.ColumnCorrelation")
        return self._metric(metric, ("corr", first, second, rule.where), lambda: F.corr(left, right))

    def uniqueness(self, rule: Rule) -> Measure:
        groups = self._groups(rule)
        metric = metric_of(rule, f"{_whose(rule.parameters)}.{_UNIQUE.get(rule.type, rule.type)}")

        def measured() -> Measured:
            found = groups()
            if rule.type == "DistinctValuesCount":
                return {metric: found.values}
            if rule.type == "Entropy":
                return {metric: found.entropy if found.rows else None}
            return {metric: _share(found.once, found.values if rule.type == "UniqueValueRatio" else found.rows)}

        return measured

    def _groups(self, rule: Rule) -> Callable[[], Groups]:
        columns = [self._table.column(name) for name in rule.parameters]
        return self._passes.groups(self._name, columns, rule.where, _DETAILS.get(rule.type, Detail.ONCE))

    def primary_key(self, rule: Rule) -> Measure:
        whole = [self.completeness(replace(rule, parameters=(name,))) for name in rule.parameters]
        return _joined([self.uniqueness(rule), *whole])

    def row_count_match(self, rule: Rule) -> Measure:
        (alias,) = rule.parameters
        other = compare.table_named(self._tables, self._name, alias)
        known = self._passes.frame(("count", alias), lambda: compare.row_count(other))
        mine = self._count(None)
        return lambda: {f"Dataset.{alias}.RowCountMatch": _share(mine(), known())}

    def schema_match(self, rule: Rule) -> Measure:
        (alias,) = rule.parameters
        share = compare.schema_match(self._rows, compare.table_named(self._tables, self._name, alias))
        return lambda: {f"Dataset.{alias}.SchemaMatch": share}

    def aggregate_match(self, rule: Rule) -> Measure:
        first, second = (self._aggregate(text) for text in rule.parameters)
        columns = dict.fromkeys(compare.aggregated_column(text) for text in rule.parameters)
        metric = f"Column.{','.join(columns)}.AggregateMatch"

        def measured() -> Measured:
            mine, theirs = first(), second()
            if mine is None or theirs is None:
                return {metric: None}
            return {metric: 1.0 if mine == theirs == 0 else mine / theirs if theirs else 0.0}

        return measured

    def referential_integrity(self, rule: Rule) -> Measure:
        columns, reference = rule.parameters
        found = self._passes.frame(
            ("referred", self._name, columns, reference),
            lambda: compare.referred(self._tables, self._name, columns, reference),
        )
        rows = self._count(None)
        return lambda: {share_name(rule): _share(found(), rows())}

    def dataset_match(self, rule: Rule) -> Measure:
        alias, keys, *columns = rule.parameters
        found = self._passes.frame(
            ("matched", self._name, *rule.parameters),
            lambda: compare.matched(self._tables, self._name, alias, keys, columns[0] if columns else None),
        )
        rows = self._count(None)
        return lambda: {f"Dataset.{alias}.DatasetMatch": _share(found(), rows())}

    def custom_sql(self, rule: Rule) -> Measure:
        value = compare.scalar(self._tables, self._name, rule.parameters[0])
        return lambda: {"Dataset.*.CustomSQL": value}

    def column_extremes(self, rule: Rule) -> Measure:
        return self._extremes(rule)

    def _aggregate(self, text: str) -> Callable[[], float | None]:
        return self._passes.frame(
            ("aggregate", self._name, text), lambda: compare.aggregate(self._tables, self._name, text)
        )

    def _statistics(self, name: str) -> Measure:
        """What AllStatistics measures: rows, columns, completeness, uniqueness, and by type lengths or values."""
        wanted = ["RowCount", "ColumnCount", "Completeness", "Uniqueness"]
        kind = self._table.type_of(name)
        if kind == "string":
            wanted.append("ColumnLength")
        if kind in NUMBERS:
            wanted += ["ColumnValues", "Entropy", "Mean", "StandardDeviation", "Sum"]
        return _joined([self._measure(Rule(one, () if one in OF_TABLES else (name,))) for one in wanted])


_UNIQUE: Final = {"IsUnique": "Uniqueness", "IsPrimaryKey": "Uniqueness"}
_DETAILS: Final = {
    "DistinctValuesCount": Detail.VALUES,
    "IsUnique": Detail.UNIQUE,
    "IsPrimaryKey": Detail.UNIQUE,
    "Entropy": Detail.ENTROPY,
}
STATISTICS: Final[dict[str, Callable[[Column], Column]]] = {
    "Mean": F.avg,
    "Sum": F.sum,
    "StandardDeviation": F.stddev_pop,
    "Variance": F.var_pop,
}
MEASURES: Final[dict[str, Callable[[_Judge, Rule], Measure]]] = {
    "AggregateMatch": _Judge.aggregate_match,
    "ColumnCorrelation": _Judge.correlation,
    "ColumnCount": _Judge.column_count,
    "ColumnExists": _Judge.column_exists,
    "ColumnLength": _Judge.column_extremes,
    "ColumnNamesMatchPattern": _Judge.column_names,
    "ColumnValues": _Judge.column_extremes,
    "Completeness": _Judge.completeness,
    "CustomSql": _Judge.custom_sql,
    "DatasetMatch": _Judge.dataset_match,
    "DistinctValuesCount": _Judge.uniqueness,
    "Entropy": _Judge.uniqueness,
    "IsPrimaryKey": _Judge.primary_key,
    "IsUnique": _Judge.uniqueness,
    "ReferentialIntegrity": _Judge.referential_integrity,
    "RowCount": _Judge.row_count,
    "RowCountMatch": _Judge.row_count_match,
    "SchemaMatch": _Judge.schema_match,
    "UniqueValueRatio": _Judge.uniqueness,
    "Uniqueness": _Judge.uniqueness,
    **dict.fromkeys(STATISTICS, _Judge.statistic),
}


def _concluded(verdict: Verdict) -> Callable[[], Verdict]:
    return lambda: verdict


def _joined(measures: Sequence[Measure]) -> Measure:
    return lambda: {name: value for measure in measures for name, value in measure().items()}


def _share(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def _whose(columns: Sequence[str]) -> str:
    return f"Column.{columns[0]}" if len(columns) == 1 else f"Multicolumn.{','.join(columns)}"


def share_name(rule: AnyRule) -> str:
    """Returns the name of the metric that is the share of rows that keep a rule about rows."""
    if isinstance(rule, Composite):
        return f"Dataset.*.Composite {rule.text}"
    if rule.type == "CustomSql":
        return "Dataset.*.CustomSQL.Compliance"
    if rule.type == "ReferentialIntegrity":
        return f"Column.{rule.parameters[1].partition('.')[0]}.ReferentialIntegrity"
    name = "Completeness" if rule.type == "IsComplete" else f"{rule.type}.Compliance"
    return metric_of(rule, f"Column.{rule.parameters[0]}.{name}")


def _in_series(verdict: Verdict) -> Verdict:
    """A rule's verdict with the names of its series; a composite has those of its parts."""
    rule = verdict.rule
    if verdict.series or not isinstance(rule, Rule):
        return verdict if verdict.series else replace(verdict, series=verdict.metrics)
    return replace(verdict, series={series(rule, name): value for name, value in verdict.metrics.items()})


def _by_share(
    rule: AnyRule,
    rows: float,
    refused: float,
    metrics: Mapping[str, float],
    history: Mapping[str, Sequence[float]],
) -> Verdict:
    """The verdict of a rule about rows: all rows keep it, or as many as its threshold wants."""
    threshold = rule.threshold if isinstance(rule, Rule) else None
    if not rows:
        passes = isinstance(rule, Rule) and rule.type in EMPTY_PASSES
        return Verdict(rule, "Passed" if passes else "Failed", metrics, None if passes else NOTHING)
    try:
        passed = refused == 0 if threshold is None else holds(threshold, 1 - refused / rows, _shares(rule, history))
    except (BadConditionError, NoHistoryError) as error:
        return Verdict(rule, "Failed", metrics, str(error), int(refused))
    reason = None if passed else f"{refused:.0f} of {rows:.0f} rows break the rule"
    return Verdict(rule, "Passed" if passed else "Failed", metrics, reason, int(refused))


def _shares(rule: AnyRule, history: Mapping[str, Sequence[float]]) -> Sequence[float]:
    """The earlier shares of rows that kept a rule."""
    return history.get(series(rule, share_name(rule)), ()) if isinstance(rule, Rule) else ()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
