"""Verdicts, measured numbers and refused rows on small tables, after the published documentation of the rule types."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gapless_glue.dqdl.evaluate import Evaluation, Ruling, Settings, Verdict, evaluate, evaluate_table
from gapless_glue.dqdl.history import BadConditionError, NoHistoryError, expected_range, holds, number_of
from gapless_glue.dqdl.language import Condition, Rule
from gapless_glue.dqdl.parser import parse
from gapless_glue.dqdl.rows import Table, refusal

NOW = datetime(2024, 3, 10, 12, 0, tzinfo=UTC)
SCHEMA = "id bigint, name string, score double, day date, at timestamp, text string, ok boolean, code bigint"
ROWS: list[tuple[Any, ...]] = [
    (1, "Ann", 1.5, date(2024, 3, 1), datetime(2024, 3, 1, 6, tzinfo=UTC), "12", True, 7),
    (2, "", 2.5, date(2024, 3, 9), datetime(2024, 3, 10, 11, tzinfo=UTC), "2024-03-09", False, 7),
    (3, "  ", None, None, None, "1.5", None, None),
    (4, None, -4.0, date(2024, 3, 10), datetime(2024, 3, 10, 12, 30, tzinfo=UTC), None, True, 9),
    (5, "Bob", 10.0, date(2023, 12, 31), datetime(2024, 3, 10, 0, tzinfo=UTC), "yes", True, 8),
]


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(ROWS, SCHEMA)


@pytest.fixture
def judged(table: DataFrame) -> Callable[..., Verdict]:
    """The verdict of one rule."""

    def call(rule: str, **options: Any) -> Verdict:
        rules = parse(f"Rules = [ {rule} ]").rules[None]
        (verdict,) = evaluate_table(table, rules, now=NOW, **options).verdicts
        return verdict

    return call


REFUSED: list[tuple[str, list[int]]] = [
    ('IsComplete "name"', [4]),
    ('IsComplete "score" where "id > 3"', []),
    # numbers: a missing value breaks all but != and not in
    ('ColumnValues "score" > 1.5', [1, 3, 4]),
    ('ColumnValues "score" >= 1.5', [3, 4]),
    ('ColumnValues "score" < 10', [3, 5]),
    ('ColumnValues "score" = 10', [1, 2, 3, 4]),
    ('ColumnValues "score" != 10', [5]),
    ('ColumnValues "score" between 1.5 and 10', [1, 3, 4, 5]),
    ('ColumnValues "score" not between 1.5 and 10', [2, 3]),
    ('ColumnValues "score" in [1.5, 2.5]', [3, 4, 5]),
    ('ColumnValues "score" in [1.5, 2.5, NULL]', [4, 5]),
    ('ColumnValues "score" not in [1.5, 2.5]', [1, 2]),
    ('ColumnValues "score" not in [1.5, NULL]', [1, 3]),
    ('ColumnValues "score" = NULL', [1, 2, 4, 5]),
    ('ColumnValues "score" != NULL', [3]),
    ('ColumnValues "text" > 2', [2, 3, 4, 5]),
    ('ColumnValues "score" > 0 where "name is not null and id <> 3"', []),
    ('ColumnValues "score" > 0 where "ok"', [4]),
    # texts
    ('ColumnValues "name" in ["Ann", "Bob"]', [2, 3, 4]),
    ('ColumnValues "name" in ["ann", "BOB"] with ignoreCase = "true"', [2, 3, 4]),
    ('ColumnValues "name" in ["Ann", "Bob", EMPTY, WHITESPACES_ONLY, NULL]', []),
    ('ColumnValues "name" != EMPTY', [2]),
    ('ColumnValues "name" = WHITESPACES_ONLY', [1, 2, 4, 5]),
    ('ColumnValues "name" not in ["Ann", WHITESPACES_ONLY]', [1, 3]),
    ('ColumnValues "name" matches "[A-Z].*"', [2, 3, 4]),
    ('ColumnValues "name" matches "[A-Z]"', [1, 2, 3, 4, 5]),
    ('ColumnValues "name" not matches "B.b"', [4, 5]),
    ('ColumnValues "id" in ["1", "2", "x"]', [3, 4, 5]),
    ('ColumnValues "ok" = "true"', [2, 3]),
    ('ColumnValues "day" in ["2024-03-01", "2024-03-09"]', [3, 4, 5]),
    # lengths: a missing value has none
    ('ColumnLength "name" > 0', [2, 4]),
    ('ColumnLength "name" < 3', [1, 5]),
    ('ColumnLength "name" between 1 and 4', [2, 4]),
    ('ColumnLength "name" in [2, 3]', [2, 4]),
    # dates and times; now is 2024-03-10 12:00
    ('ColumnValues "day" > "2024-02-29"', [3, 5]),
    ('ColumnValues "day" between "2024-03-01" and "2024-03-10"', [1, 3, 4, 5]),
    ('ColumnValues "day" != "2024-03-09"', [2]),
    ('ColumnValues "day" >= (now() - 1 days)', [1, 3, 5]),
    ('ColumnValues "text" = "2024-03-09"', [1, 3, 4, 5]),
    ('ColumnValues "text" > "2024-03-08"', [1, 3, 4, 5]),
    ('ColumnValues "at" <= now()', [3, 4]),
    ('ColumnValues "at" > (now() - 90 minutes)', [1, 3, 5]),
    ('ColumnValues "at" between (now() - 2 hours) and (now() + 1 hours)', [1, 3, 5]),
    ('ColumnValues "at" > "11:30"', [1, 2, 3, 5]),
    ('ColumnValues "at" > "11:30 AM" with timeZone = "Europe/Berlin"', [1, 3, 5]),
    ('DataFreshness "at" <= 12 hours', [1, 3]),
    ('DataFreshness "at" < 12 hours', [1, 3, 5]),
    ('DataFreshness "at" between 30 minutes and 13 hours', [1, 3, 4]),
    ('DataFreshness "day" > 1 days', [3, 4]),
    # types
    ('ColumnDataType "text" = "Integer"', [2, 3, 4, 5]),
    ('ColumnDataType "text" = "Double"', [2, 4, 5]),
    ('ColumnDataType "text" = "Date"', [1, 3, 4, 5]),
    ('ColumnDataType "text" = "Boolean"', [1, 2, 3, 4]),
    ('ColumnDataType "text" in ["Date", "Integer"]', [3, 4, 5]),
    ('ColumnDataType "score" != "Timestamp"', []),
    ('ColumnDataType "at" = "Date"', [3]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "ids"), REFUSED)
def test_refuses_rows(table: DataFrame, judged: Callable[..., Verdict], rule: str, ids: list[int]) -> None:
    (parsed,) = parse(f"Rules = [ {rule} ]").rules[None]
    types = {column.name: column.dataType.simpleString() for column in table.schema.fields}
    refused = table.filter(refusal(parsed, Table(types, NOW))).orderBy("id").collect()
    assert [row["id"] for row in refused] == ids
    verdict = judged(rule)
    assert verdict.refused_rows == len(ids)
    assert verdict.outcome == ("Failed" if ids else "Passed")


SKIPPING = [
    ('ColumnValues "score" > 1.5', [1, 4]), ('ColumnValues "name" matches "B.b"', [1, 2, 3]),
    ('IsComplete "name"', [4]), ('ColumnValues "score" = NULL', [1, 2, 4, 5]), ('ColumnLength "name" > 0', [2]),
    ('DataFreshness "at" < 1 days', [1]),
    ('ColumnDataType "text" = "Date"', [1, 3, 5]), ('ColumnValues "score" not in [1.5]', [1]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "ids"), SKIPPING)
def test_skips_missing_values_when_told_to(table: DataFrame, rule: str, ids: list[int]) -> None:
    (parsed,) = parse(f"Rules = [ {rule} ]").rules[None]
    types = {column.name: column.dataType.simpleString() for column in table.schema.fields}
    refused = table.filter(refusal(parsed, Table(types, NOW, skip_missing=True))).orderBy("id").collect()
    assert [row["id"] for row in refused] == ids


MEASURED: list[tuple[str, str, float]] = [
    ("RowCount = 5", "Dataset.*.RowCount", 5),
    ('RowCount = 2 where "id < 3"', "Dataset.*.RowCount where id < 3", 2),
    ("ColumnCount = 8", "Dataset.*.ColumnCount", 8),
    ('ColumnExists "NAME"', "Dataset.NAME.ColumnExists", 1),
    ('Completeness "score" = 0.8', "Column.score.Completeness", 0.8),
    ('Completeness "score" = 0.5 where "id in (3, 4)"', "Column.score.Completeness where id in (3, 4)", 0.5),
    ('Mean "score" = 2.5', "Column.score.Mean", 2.5),
    ('Sum "score" = 10', "Column.score.Sum", 10),
    ('Sum "score" = 4 where "id < 4"', "Column.score.Sum where id < 4", 4),
    ('StandardDeviation "score" between 4.9 and 5', "Column.score.StandardDeviation", math.sqrt(24.875)),
    ('Variance "score" < 25', "Column.score.Variance", 24.875),
    ('DistinctValuesCount "code" = 3', "Column.code.DistinctValuesCount", 3),
    ('Uniqueness "code" = 0.5', "Column.code.Uniqueness", 0.5),
    ('Uniqueness "code" = 1 where "id > 2"', "Column.code.Uniqueness where id > 2", 1),
    ('UniqueValueRatio "code" > 0.6', "Column.code.UniqueValueRatio", 2 / 3),
    ('Uniqueness "code" "ok" = 1', "Multicolumn.code,ok.Uniqueness", 1),
    ('Entropy "code" > 1', "Column.code.Entropy", 1.5 * math.log(2)),
    ('IsUnique "id"', "Column.id.Uniqueness", 1),
    ('IsPrimaryKey "id" "code" where "code is not null"', "Multicolumn.id,code.Uniqueness where code is not null", 1),
    ('ColumnCorrelation "id" "score" between 0 and 1', "Multicolumn.id,score.ColumnCorrelation", 10.5 / math.sqrt(995)),
    ('ColumnNamesMatchPattern "[a-z]"', "Dataset.*.ColumnNamesPatternMatchRatio", 1),
    ('ColumnValues "id" > 0', "Column.id.Minimum", 1),
    ('ColumnLength "name" < 4', "Column.name.MaximumLength", 3),
    ('ColumnValues "score" > 0 with threshold > 0.5', "Column.score.ColumnValues.Compliance", 0.6),
    ('CustomSql "select count(*) from primary where id > 3" = 2', "Dataset.*.CustomSQL", 2),
    ('CustomSql "select id from primary where score > 0" with threshold > 0.5', "Dataset.*.CustomSQL.Compliance", 0.6),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "metric", "value"), MEASURED)
def test_measures(judged: Callable[..., Verdict], rule: str, metric: str, value: float) -> None:
    verdict = judged(rule)
    assert verdict.outcome == "Passed", verdict.reason
    assert verdict.metrics[metric] == pytest.approx(value, abs=1e-3)


FAILING: list[tuple[str, str]] = [
    ("RowCount > 5", r"Dataset.\*.RowCount is 5, which the rule does not allow"),
    ('ColumnExists "none"', "Dataset.none.ColumnExists is 0"),
    ('IsComplete "none"', r"column none does not exist \(the table has: id, name, score"),
    ('IsUnique "code"', "Column.code.Uniqueness is 0.5"),
    ('IsPrimaryKey "score"', "Column.score.Completeness is 0.8"),
    ('Mean "name" > 1', "there is nothing to measure"),
    ('Mean "day" > 1', "column day is of type date and cannot be taken as numbers"),
    ('ColumnValues "id" > now()', "column id is of type bigint and cannot be taken as times"),
    ('Sum "score" > 0 where "id > 99"', "there is nothing to measure"),
    ('IsComplete "id" where "id > 99"', "there is nothing to measure"),
    ('IsComplete "id" where "shoe > 99"', "the where clause 'shoe > 99' is no condition on the table: .*shoe"),
    (
        'IsComplete "id" where "id + 1"',
        "the where clause 'id \\+ 1' is no condition on the table: it is of type bigint",
    ),
    ('ColumnValues "score" > 0', "2 of 5 rows break the rule"),
    ('ColumnValues "score" > 0 with threshold > 0.6', "2 of 5 rows break the rule"),
    ('ColumnNamesMatchPattern "[a-z]("', "is no regular expression"),
    ('ColumnNamesMatchPattern "^[a-n]"', "ColumnNamesPatternMatchRatio is 0.625"),
    ('CustomSql "select id from primary" = 5', "the statement must give one number, it gives 2 rows or more"),
    ('CustomSql "select nothing from primary" = 5', "nothing"),
    ('CustomSql "select count(*) as n from primary"', "column n does not exist in the rule's own table"),
    ('RowCountMatch "missing" > 0.5', "data source missing not found in additional sources"),
    ('AggregateMatch "min(id)" "sum(id)" > 0.5', r"expected sum\(column\) or avg\(column\), got 'min\(id\)'"),
    ("RowCount > last(1) / 0", "division by zero"),
]


@pytest.mark.parametrize(("rule", "reason"), FAILING)
def test_fails_with_a_reason_and_takes_no_other_rule_with_it(table: DataFrame, rule: str, reason: str) -> None:
    rules = parse(f'Rules = [ RowCount = 5, {rule}, IsComplete "id" ]').rules[None]
    history = {"Dataset.*.RowCount": [5.0]}
    first, verdict, last = evaluate_table(table, rules, now=NOW, history=history).verdicts
    assert (first.outcome, verdict.outcome, last.outcome) == ("Passed", "Failed", "Passed")
    assert verdict.reason is not None
    assert re.search(reason, verdict.reason)


def test_an_empty_table(spark: SparkSession) -> None:
    empty = spark.createDataFrame([], "a bigint, t timestamp")
    rules = parse('Rules = [ RowCount = 0, IsComplete "a", IsUnique "a", Sum "a" = 0, DataFreshness "t" < 1 days ]')
    found = evaluate_table(empty, rules.rules[None], now=NOW)
    assert [verdict.outcome for verdict in found.verdicts] == ["Passed", "Failed", "Failed", "Failed", "Passed"]


# other tables

STATES = [("California", "CA", 1), ("New York", "NY", 2), ("New York", "NY", 3), ("Texas", "TX", 4)]
KNOWN = [("California", "CA", 1), ("New York", "NY", 2), ("Florida", "FL", 3), ("Texas", "TEX", 4), ("Ohio", "OH", 5)]


@pytest.mark.parametrize(
    ("rule", "outcome", "value"),
    [
        ('RowCountMatch "ref" between 0.7 and 0.9', "Passed", 0.8),
        ('RowCountMatch "ref" = 1.0', "Failed", 0.8),
        ('ReferentialIntegrity "code" "ref.abbr" > 0.6', "Passed", 0.75),
        ('ReferentialIntegrity "code" "ref.abbr" > 0.9', "Failed", 0.75),
        ('ReferentialIntegrity "state,code" "ref.{name,abbr}" = 0.75', "Passed", 0.75),
        ('ReferentialIntegrity "code" "ref.none" > 0.9', "Failed", None),
        ('ReferentialIntegrity "none" "ref.abbr" > 0.9', "Failed", None),
        ('ReferentialIntegrity "state,code" "ref.abbr" > 0.9', "Failed", None),
        ('DatasetMatch "ref" "id" "code->abbr" = 0.5', "Passed", 0.5),
        ('DatasetMatch "ref" "id->id,state->name" "code->abbr" >= 0.5', "Passed", 0.5),
        ('DatasetMatch "ref" "id" > 0.9', "Failed", None),
        ('SchemaMatch "ref" > 0.3', "Passed", 1 / 3),
        ('AggregateMatch "sum(id)" "sum(ref.id)" > 0.6', "Passed", 2 / 3),
        ('AggregateMatch "avg(id)" "avg(id)" = 1.0', "Passed", 1.0),
        ('AggregateMatch "sum(id)" "sum(ref.none)" > 0.6', "Failed", None),
        ('CustomSql "select count(*) from primary p join ref r on p.code = r.abbr" = 3', "Passed", 3),
    ],
)
def test_compares_with_another_table(spark: SparkSession, rule: str, outcome: str, value: float | None) -> None:
    primary = spark.createDataFrame(STATES, "state string, code string, id bigint")
    reference = spark.createDataFrame(KNOWN, "name string, abbr string, id bigint")
    found = evaluate_table(primary, parse(f"Rules = [ {rule} ]").rules[None], others={"ref": reference})
    (verdict,) = found.verdicts
    assert verdict.outcome == outcome, verdict.reason
    assert list(verdict.metrics.values()) == ([] if value is None else [pytest.approx(value)])


def test_missing_values_refer_to_nothing_and_match_missing_values(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(1, None), (2, "a")], "id bigint, a string")
    rules = parse('Rules = [ ReferentialIntegrity "a" "ref.a" = 0.5, DatasetMatch "ref" "id" = 1.0 ]').rules[None]
    found = evaluate_table(rows, rules, others={"ref": rows})
    assert [verdict.outcome for verdict in found.verdicts] == ["Passed", "Passed"]


# composites

MIXED = '(ColumnValues "score" > 0) or (ColumnValues "score" = NULL) or (ColumnValues "score" < -3)'


def test_a_composite_is_decided_for_the_whole_table_unless_told_otherwise(table: DataFrame) -> None:
    rules = parse(f'Rules = [ {MIXED}, (IsComplete "id") and (IsUnique "id"), (IsComplete "id") and (RowCount > 9) ]')
    found = {}
    for by_row in (False, True):
        settings = Settings(NOW, composite_by_row=by_row)
        found[by_row] = evaluate({"primary": table}, {"primary": Ruling(rules.rules[None])}, settings)["primary"]
    assert [verdict.outcome for verdict in found[False].verdicts] == ["Failed", "Passed", "Failed"]
    assert [verdict.outcome for verdict in found[True].verdicts] == ["Passed", "Passed", "Failed"]
    assert found[True].verdicts[2].reason == "Dataset.*.RowCount is 5, which the rule does not allow"


# earlier results


def outcomes(found: Evaluation) -> list[str]:
    return [verdict.outcome for verdict in found.verdicts]


HISTORY: Mapping[str, Sequence[float]] = {
    "Dataset.*.RowCount": [3, 9, 4, 4, 6],
    "Column.score.Minimum": [-3, -5],
    "Column.score.Maximum": [9, 11],
}


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        ("RowCount > avg(last(3))", "Passed"),
        ("RowCount > avg(last(10))", "Failed"),
        ("RowCount < last()", "Passed"),
        ("RowCount between min(last(5)) - 1 and max(last(5)) + 1", "Passed"),
        ("RowCount between (0.9 * avg(last(2))) and (1.1 * avg(last(2)))", "Passed"),
        ("RowCount > index(last(5), 0)", "Failed"),
        ("RowCount > index(last(5), 1)", "Passed"),
        ("RowCount = percentile(last(5), 0.75) - 1", "Passed"),
        ("RowCount = median(last(5)) + abs(-1)", "Passed"),
        ("RowCount = sum(last(2)) / 2", "Passed"),
        ("RowCount > std(last(5))", "Passed"),
        ("RowCount > last(2)", "Failed"),
        ("RowCount > index(last(7), 5)", "Failed"),
        # without earlier results last() is 0
        ('Mean "score" > avg(last(5))', "Passed"),
        ('Mean "score" < 2 * avg(last(5))', "Failed"),
        ('Mean "score" > index(last(), 0)', "Passed"),
        ('ColumnValues "score" >= avg(last(2)) - 4 where "score is not null"', "Passed"),
        ('ColumnLength "name" > index(last(2), 1)', "Failed"),
        ('(Mean "score" < avg(last(5))) or (RowCount > 0)', "Passed"),
        ('(Mean "score" < avg(last(5))) and (RowCount > 0)', "Failed"),
        ('ColumnValues "score" > 0 with threshold > avg(last(2))', "Passed"),
        ('CustomSql "select id from primary where score > 0" with threshold < last()', "Failed"),
    ],
)
def test_compares_with_earlier_results(judged: Callable[..., Verdict], rule: str, outcome: str) -> None:
    verdict = judged(rule, history=HISTORY)
    assert verdict.outcome == outcome, verdict.reason
    assert (verdict.reason is None) == (outcome == "Passed")


def test_a_rule_with_too_few_earlier_results_still_measures(judged: Callable[..., Verdict]) -> None:
    verdict = judged('ColumnLength "name" > index(last(2), 1)', history={"Column.name.MinimumLength": [1.0]})
    assert (verdict.outcome, verdict.reason) == ("Failed", "there is no earlier result 1, there are 1")
    assert verdict.metrics == {"Column.name.MinimumLength": 0, "Column.name.MaximumLength": 3}


def test_bounds_of_values_look_at_earlier_minima_and_maxima(table: DataFrame) -> None:
    rules = parse('Rules = [ ColumnValues "score" between avg(last(2)) - 0.5 and avg(last(2)) + 0.5 ]').rules[None]
    present = table.filter(F.col("score").isNotNull())
    assert outcomes(evaluate_table(present, rules, now=NOW, history=HISTORY)) == ["Passed"]


def test_finds_anomalies_and_says_what_was_expected(judged: Callable[..., Verdict]) -> None:
    steady = {"Dataset.*.RowCount": [5.0, 6, 5, 4, 5, 6, 5]}
    grown = {"Dataset.*.RowCount": [50.0, 60, 50, 40, 50, 60, 50]}
    few = {"Dataset.*.RowCount": [50.0, 60, 50]}
    assert judged('DetectAnomalies "RowCount"', history=steady).outcome == "Passed"
    verdict = judged("DetectAnomalies of RowCount", history=grown)
    assert (verdict.outcome, verdict.metrics) == ("Failed", {"Dataset.*.RowCount": 5})
    assert verdict.reason == "Dataset.*.RowCount is 5, expected between 31.2005 and 68.7995"
    verdict = judged("DetectAnomalies of RowCount", history=few)
    assert (verdict.outcome, verdict.reason) == ("Skipped", "Dataset.*.RowCount: 3 earlier results, 7 are needed")


def test_an_anomaly_is_far_from_the_median() -> None:
    assert expected_range([10.0] * 7) == (10, 10)
    assert expected_range([1.0, 2, 3, 4, 5, 6, 7]) == pytest.approx((4 - 3.5 * 1.4826 * 2, 4 + 3.5 * 1.4826 * 2))
    low, high = expected_range([5.0] * 6 + [12.0])
    assert (low, high) == pytest.approx((5 - 3.5 * 1.2533, 5 + 3.5 * 1.2533))


@pytest.mark.parametrize(
    "text", ["avg(3)", "avg(std(last(3)))", "last(0)", "last(1.5)", "abs(last(3))", "min(last(2), 1)"]
)
def test_refuses_functions_that_mean_nothing(text: str) -> None:
    (rule,) = parse(f"Rules = [ RowCount > {text} ]").rules[None]
    assert isinstance(rule, Rule)
    assert isinstance(rule.condition, Condition)
    with pytest.raises(BadConditionError):
        holds(rule.condition, 1.0, [1.0, 2.0])
    with pytest.raises((NoHistoryError, BadConditionError)):
        number_of(rule.condition.operands[0], [])


# what is measured without a verdict


def test_analyzers_measure_and_judge_nothing(table: DataFrame) -> None:
    found = parse(
        'Rules = [ RowCount > 0 ] Analyzers = [ Mean "score", AllStatistics "name", AllStatistics of AllColumns ]'
    )
    ruling = Ruling(found.rules[None], found.analyzers[None])
    evaluation = evaluate({"primary": table}, {"primary": ruling}, Settings(NOW))["primary"]
    assert outcomes(evaluation) == ["Passed"]
    assert evaluation.metrics["Column.score.Mean"] == 2.5
    assert evaluation.metrics["Column.name.MaximumLength"] == 3
    assert evaluation.metrics["Column.name.Uniqueness"] == 1
    assert evaluation.metrics["Column.code.Maximum"] == 9
    assert evaluation.metrics["Column.day.Completeness"] == 0.8


def test_now_needs_a_time_zone() -> None:
    with pytest.raises(ValueError, match="now needs a time zone, got 2024-01-01T00:00:00"):
        Settings(datetime(2024, 1, 1))  # noqa: DTZ001


def test_one_query_measures_the_rules_of_all_tables(table: DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = parse(
        'Rules = [ RowCount > 0, IsComplete "id", IsUnique "id", Uniqueness "code" > 0, Mean "score" > 0, '
        'ReferentialIntegrity "id" "other.id" = 1, ColumnValues "score" < 99 where "id < 3" ]'
    ).rules[None]
    queries = []
    collect = type(table).collect

    def counted(frame: DataFrame) -> Any:
        queries.append(frame)
        return collect(frame)

    monkeypatch.setattr(type(table), "collect", counted)
    tables = {"one": table, "other": table}
    found = evaluate(tables, {"one": Ruling(rules), "other": Ruling(rules[:5])}, Settings(NOW))
    assert [set(outcomes(one)) for one in found.values()] == [{"Passed"}, {"Passed"}]
    assert len(queries) == 1
