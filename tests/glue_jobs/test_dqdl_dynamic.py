"""What of a rule depends on earlier results, and by which names results are kept, without data."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from gapless_glue.dqdl.dynamic import MOST_HISTORY, missing_history, results_needed, results_read, series
from gapless_glue.dqdl.evaluate import Evaluation, evaluate_table
from gapless_glue.dqdl.language import AnyRule, Rule, depends_on_history
from gapless_glue.dqdl.parser import parse
from gapless_glue.dqdl.render import for_catalogue, rule_text

PUBLISHED = [
    "RowCount > last()",
    "RowCount > avg(last(5))",
    "RowCount > avg(last(3))",
    "RowCount between min(last(10)) - 1 and max(last(10)) + 1",
    'ColumnCorrelation "colA" "colB" < avg(last(10))',
    'ColumnCorrelation "colA" "colB" between min(last(10)) - 1 and max(last(10)) + 1',
    "ColumnCount >= avg(last(10))",
    'ColumnLength "colA" between min(last(10)) - 1 and max(last(10)) + 1',
    'ColumnValues "colA" < max(last(10))',
    'Completeness "colA" between min(last(10)) - 1 and max(last(10)) + 1',
    'CustomSql "select count(*) from primary" < avg(last(10))',
    'DistinctValuesCount "colA" between min(last(10))-1 and max(last(10))+1',
    'Entropy "colA" < max(last(10))',
    'Mean "colA" > avg(last(10)) + std(last(2))',
    'ReferentialIntegrity "city,state" "reference.{ref_city,ref_state}" > avg(last(10))',
    'StandardDeviation "colA" > avg(last(10)) + 0.1',
    'Sum "colA" > avg(last(10))',
    'Uniqueness "colA" between min(last(10)) and max(last(10))',
    'UniqueValueRatio "colA" > avg(last(10))',
    "RowCount > index(last(3), 0)",
    'DetectAnomalies "RowCount"',
    'DetectAnomalies "ColumnLength" "id"',
    'DetectAnomalies "CustomSQL" "select count(*) from primary"',
    'ColumnDataType "colA" = "Timestamp" with threshold > avg(last(10))',
]
"""Rules that compare with earlier results, after the samples of the published documentation."""


def only(text: str) -> AnyRule:
    """The only rule of a list."""
    (rule,) = parse(f"Rules = [ {text} ]").rules[None]
    return rule


def leaf(text: str) -> Rule:
    rule = only(text)
    assert isinstance(rule, Rule)
    return rule


@pytest.mark.parametrize("text", PUBLISHED)
def test_reads_the_published_rules_that_compare_with_earlier_results(text: str) -> None:
    rule = only(text)
    assert depends_on_history(rule)
    assert results_needed(rule) >= 1
    assert rule_text(only(rule_text(rule))) == rule_text(rule)


@pytest.mark.parametrize(
    ("text", "read", "needed"),
    [
        ("RowCount > 5", 0, 0),
        ("RowCount > last()", 1, 1),
        ("RowCount > 2 * avg(last(7)) - last()", 7, 1),
        ("RowCount between min(last(3)) and max(last(12))", 12, 1),
        ("RowCount > index(last(5), 2)", 5, 3),
        ('ColumnValues "a" > 1 with threshold > avg(last(4))', 4, 1),
        ('DetectAnomalies "Mean" "a"', MOST_HISTORY, 7),
        ('(RowCount > avg(last(5))) or ((IsComplete "a") and (Mean "a" > last(1)))', 5, 1),
    ],
)
def test_knows_how_many_earlier_results_a_rule_looks_at_and_needs(text: str, read: int, needed: int) -> None:
    assert (results_read(only(text)), results_needed(only(text))) == (read, needed)


def test_says_which_earlier_results_are_missing() -> None:
    rule = only("RowCount > index(last(5), 2)")
    names = ["Dataset.*.RowCount"]
    assert missing_history(rule, names, {"Dataset.*.RowCount": [1.0, 2.0, 3.0]}) is None
    assert (
        missing_history(rule, names, {"Dataset.*.RowCount": [1.0]})
        == "Dataset.*.RowCount: 1 earlier results, 3 are needed"
    )
    assert missing_history(only("RowCount > 5"), names, {}) is None


def test_rules_that_share_a_published_metric_have_series_of_their_own() -> None:
    sql, share = "Dataset.*.CustomSQL", "Column.a.ColumnValues.Compliance where b > 1"
    first, second = leaf('CustomSql "select 1" > last()'), leaf('CustomSql "select 2" > last()')
    assert series(first, sql) != series(second, sql)
    assert series(first, sql) == series(leaf('CustomSql "select  1" < 9'), sql)
    assert series(first, sql) == series(leaf('DetectAnomalies "CustomSQL" "select 1"'), sql)
    low = leaf('ColumnValues "a" > 1 where "b > 1" with threshold > 0.5')
    high = leaf('ColumnValues "a" > 2 where "b > 1" with threshold > 0.5')
    assert series(low, share) != series(high, share)
    assert series(low, share) == series(
        leaf('ColumnValues "a" > 1 where "b > 1" with threshold > avg(last(3)) labels=["a"="b"]'), share
    )
    one = leaf('ReferentialIntegrity "a" "r.a" > 0.5')
    assert series(one, "Column.r.ReferentialIntegrity") == series(
        leaf('ReferentialIntegrity "a" "r.a" > last()'), "Column.r.ReferentialIntegrity"
    )
    assert series(leaf('Mean "a" > 1'), "Column.a.Mean") == "Column.a.Mean"


def test_each_statement_is_compared_with_its_own_earlier_results(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(1,), (2,), (3,)], "a int")
    rules = parse(
        'Rules = [ CustomSql "select max(a) from primary" = last(), CustomSql "select min(a) from primary" = last(), '
        'ColumnValues "a" > 1 with threshold = last(), ColumnValues "a" > 2 with threshold = last(), '
        '(CustomSql "select sum(a) from primary" = last()) and (ColumnValues "a" <= last()) ]'
    ).rules[None]

    def judged(history: dict[str, list[float]]) -> Evaluation:
        return evaluate_table(rows, rules, history=history)

    first = judged({})
    second = judged({name: [value] for name, value in first.metrics.items()})
    assert [verdict.outcome for verdict in first.verdicts] == ["Failed"] * 5
    assert [verdict.outcome for verdict in second.verdicts] == ["Passed"] * 5, second.verdicts
    assert first.verdicts[0].metrics == {"Dataset.*.CustomSQL": 3}


def test_a_ruleset_of_the_catalogue_goes_without_labels_and_earlier_results() -> None:
    rules = parse(
        'DefaultLabels=["team"="sales"] Rules = [ RowCount > 0, RowCount > last(), ColumnLength "b" > 1, '
        '(IsComplete "a") or (Mean "a" > last()), ColumnValues "a" > 1 with threshold > 0.5 ]'
    ).rules[None]
    text, left_out = for_catalogue(rules)
    assert text == (
        'Rules = [\n    RowCount > 0,\n    ColumnLength "b" > 1 where "`b` is not null",\n'
        '    ColumnValues "a" > 1 where "`a` is not null" with threshold > 0.5\n]\n'
    )
    assert [rule.text for rule in left_out] == ["RowCount > last()", '(IsComplete "a") or (Mean "a" > last())']
    assert for_catalogue(rules[1:2]) == ("", [rules[1]])
