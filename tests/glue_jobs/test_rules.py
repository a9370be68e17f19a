"""The rules that can be written, and what is said about those that cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from constructs_lib.names.workload_file import WorkloadFile
from gapless_glue.contract import Contract, parse_contract
from gapless_glue.errors import BadRules
from gapless_glue.rules import parse_rules
from gapless_glue.typed import judge, staged_schema
from gapless_glue.validation import measure_tables

CONTRACT = {
    "name": "trips",
    "owner": "me",
    "target": "late",
    "event_time": "at",
    "sources": {
        "trips": {
            "key": ["id"],
            "known_later": ["late"],
            "columns": {"id": "int", "at": "timestamp", "late": "boolean", "miles": "double", "city": "string"},
        },
        "cities": {"columns": {"city": "string", "people": "bigint"}},
    },
}


@pytest.fixture
def contract() -> Contract:
    return parse_contract(WorkloadFile.parse(CONTRACT).contract())


def refused(contract: Contract, spark: SparkSession, rule: str, rows: list[tuple[str, str]]) -> list[str]:
    """The ids of the rows (miles, city) that a rule refuses."""
    source = contract.sources["trips"]
    texts = [
        (str(number), "", "", miles, city, "trips.csv", number + 2, 0, None)
        for number, (miles, city) in enumerate(rows)
    ]
    staged = spark.createDataFrame(texts, staged_schema(source))
    judged = judge(staged, source, parse_rules(f"Rules = [ {rule} ]", contract))
    found = judged.filter("_reasons is not null").orderBy("_row").collect()
    assert all(row["_reasons"] == f"rule {rule}" for row in found)
    return [row["id"] for row in found]


ROWS = [("1", "Bonn"), ("2.5", "Ulm"), ("4", ""), ("", "Ulm")]


@pytest.mark.parametrize(
    ("rule", "ids"),
    [
        ('IsComplete "miles"', ["3"]),
        ('IsComplete "city"', ["2"]),
        ('IsUnique "city"', ["3"]),
        ('ColumnValues "miles" > 2.5', ["0", "1"]),
        ('ColumnValues "miles" >= 2.5', ["0"]),
        ('ColumnValues "miles" < 2.5', ["1", "2"]),
        ('ColumnValues "miles" <= 2.5', ["2"]),
        ('ColumnValues "miles" = 1', ["1", "2"]),
        ('ColumnValues "miles" != 1', ["0"]),
        ('ColumnValues "miles" between 1 and 4', ["0", "2"]),
        ('ColumnValues "miles" not between 1 and 4', ["1"]),
        ('ColumnValues "miles" in [1, 2.5]', ["2"]),
        ('ColumnValues "city" in ["Ulm"]', ["0"]),
        ('ColumnValues "city" not in ["Ulm", "Köln"]', ["1", "3"]),
        ('ColumnValues "city" = "Bonn"', ["1", "3"]),
    ],
)
def test_refuses_the_rows_that_break_a_rule(contract: Contract, spark: SparkSession, rule: str, ids: list[str]) -> None:
    assert refused(contract, spark, rule, ROWS) == ids


@pytest.mark.parametrize(
    ("rule", "value", "passed"),
    [
        ("RowCount > 3", 4.0, True),
        ("RowCount between 4 and 9", 4.0, False),
        ("RowCount in [3, 4]", 4.0, True),
        ('Completeness "people" >= 0.75', 0.75, True),
        ('Completeness "people" > 0.75', 0.75, False),
        ('Uniqueness "city" > 0.4', 0.5, True),
        ('Uniqueness "people" = 1', 1.0, True),
    ],
)
def test_measures_a_table(contract: Contract, spark: SparkSession, rule: str, value: float, passed: bool) -> None:
    rows = spark.createDataFrame([("Ulm", 1), ("Ulm", 2), ("Bonn", None), ("Köln", 4)], "city string, people bigint")
    rules = parse_rules(f"Rules cities = [ {rule} ]", contract)
    found = measure_tables({"cities": rows}, rules)["cities"]
    assert found.metrics["Dataset.*.RowCount"] == 4
    (verdict,) = found.verdicts
    assert list(verdict.metrics.values()) == [pytest.approx(value)]
    assert (verdict.outcome == "Passed") is passed


def test_reads_rulesets_of_several_sources_with_comments(contract: Contract) -> None:
    text = """
    # what comes in
    Rules = [ RowCount > 0, # at least one
              ColumnValues "city"   in [ "Ulm" ] ]
    Rules cities = [ IsComplete "city", ]
    """
    rules = parse_rules(text, contract)
    assert [(rule.source, rule.text) for rule in rules] == [
        ("trips", "RowCount > 0"),
        ("trips", 'ColumnValues "city" in [ "Ulm" ]'),
        ("cities", 'IsComplete "city"'),
    ]


def test_reads_the_example_of_the_documentation() -> None:
    root = Path(__file__).parents[2]
    flights = WorkloadFile.load(root / "workloads" / "flight_delays" / "workload.yaml")
    example = (root / "docs" / "data-quality.md").read_text().split("```")[1]
    rules = parse_rules(example, parse_contract(flights.contract()))
    assert [(rule.is_about_rows, rule.blocks) for rule in rules] == [
        (False, True), (True, False), (True, False), (True, True), (True, True), (True, False), (False, True),
    ]  # fmt: skip


def test_a_workload_may_have_no_rules(contract: Contract) -> None:
    assert parse_rules("", contract) == parse_rules("Rules = [ ]", contract) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Rules = [\n IsShiny \"miles\" ]", "line 2, column 2: unknown rule 'IsShiny' (allowed: AggregateMatch, "),
        ('Rules = [FileSize > 5 MB]', "rule type FileSize cannot be evaluated: it is about files"),
        ('Rules = [ColumnValues "miles" > 1 with unit = "km"]', "tag unit of ColumnValues cannot be evaluated"),
        ('Rules = [IsComplete "mile"]', "IsComplete: source trips has no column 'mile' (allowed: id, at, late"),
        ('Rules = [ColumnCorrelation "id" "b" > 0.5]', "ColumnCorrelation: source trips has no column 'b'"),
        ('Rules = [DetectAnomalies "Mean" "mile"]', "DetectAnomalies: source trips has no column 'mile'"),
        ('Rules = [(RowCount > 1) or (IsComplete "mile")]', "source trips has no column 'mile'"),
        ("Rules = [RowCount > last(5)]", "RowCount > last(5): 5 earlier results where one number is compared"),
        ("Rules = [RowCount > index(last(3), 3)]", "there is no earlier result 3, there are 3"),
        ("Rules = [RowCount > avg(3)]", "avg takes earlier results, avg(last(5)) for example"),
        ("Rules = [RowCount > avg(last(0))]", "last takes a whole number from 1, got 0"),
        ("Rules = [RowCount > avg(last(5000))]", "last takes at most 1000, got 5000"),
        ('Rules = [ColumnValues "miles" > 1 with threshold > last(2)]', "2 earlier results where one number is"),
        ('Analyzers = [Distribution "miles"]', "analyzer Distribution cannot be evaluated: the profile of every"),
        ('Rules = [ReferentialIntegrity "city" "cities.town" = 1]', "source cities has no column 'town'"),
        ('Rules = [ReferentialIntegrity "city,id" "cities.city" = 1]', "2 columns are held against 1"),
        ('Rules = [ReferentialIntegrity "miles" "cities.city" = 1]', "miles is of type double, city of type string"),
        ('Analyzers = [Mean "mile"]', "Mean: source trips has no column 'mile'"),
        ('Rules towns = [RowCount > 0]', "unknown source 'towns' (allowed: trips, cities)"),
        ('Rules = [RowCountMatch "towns" = 1]', "unknown source 'towns' (allowed: trips, cities, primary)"),
        ('Rules = [RowCount > 0] Rules = []', "there are two lists of rules"),
        ('Rules = [RowCount > 0] Rules trips = []', "source trips has two lists"),
        ('Rules = [RowCount > 0', "found the end (allowed: ,, ])"),
        ('Rules = [RowCount]', "RowCount takes a condition, found ']' (allowed: =, !=, <, <=, >, >=, between, in"),
        ('Rules = [RowCount > "many"]', "> takes a number here, and all of one kind, got '> \"many\"'"),
        ('Rules = [ColumnValues "city" > 5]', "the column is of type string, was compared with 5"),
        ('Rules = [ColumnValues "miles" in ["1"]]', "the column is of type double, was compared with '1'"),
        ('Rules = [ColumnValues "miles" = EMPTY]', "the column is of type double, was compared with EMPTY"),
        ('Rules = [ColumnValues "miles" > now()]', "the column is of type double, was compared with now"),
        ('Rules = [ColumnValues "miles" in []]', "found ']' (allowed: "),
        ('Rules = [ColumnValues "late" = 1]', "the column is of type boolean, was compared with 1"),
        ('Rules = [ColumnValues "miles" matches "x"]', "a column of type double cannot be matched (allowed: string)"),
        ('Rules = [ColumnValues "miles" not > 1]', "found '>' (allowed: between, in, matches)"),
        ('Rules = [ColumnValues "city" = "a;b"]', "a rule must not have a ; in it"),
        ('Rules = [IsComplete "miles" with threshold > 0.5]', "IsComplete takes no threshold"),
        ('Sources = [RowCount]', "found 'RowCount' (allowed: a text in quotes)"),
    ],
)  # fmt: skip
def test_refuses_what_it_does_not_know_and_names_it(contract: Contract, text: str, message: str) -> None:
    with pytest.raises(BadRules) as error:
        parse_rules(text, contract)
    assert message in str(error.value)
    assert str(error.value).startswith("rules.dqdl line ")


def test_a_missing_value_breaks_no_comparison(contract: Contract, spark: SparkSession) -> None:
    nothing: Any = [("", ""), ("", "")]
    assert refused(contract, spark, 'ColumnValues "miles" > 0', nothing) == []
    assert refused(contract, spark, 'ColumnValues "city" not in ["Ulm"]', nothing) == []
