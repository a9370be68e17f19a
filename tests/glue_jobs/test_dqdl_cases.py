"""The language and the verdicts, held against the cases of the reference implementations (see dqdl_cases)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from gapless_glue.dqdl.evaluate import evaluate_table
from gapless_glue.dqdl.parser import parse
from gapless_glue.dqdl.render import rule_text
from gapless_glue.dqdl.tokens import DqdlError

FOLDER = Path(__file__).parent / "dqdl_cases"
LANGUAGE: dict[str, Any] = json.loads((FOLDER / "dqdl_parse.json").read_text())
VERDICTS: dict[str, Any] = json.loads((FOLDER / "dqdl_eval.json").read_text())

DAMAGED = {
    "Rules=[]": "the rule was put together from two texts and got lost; the nine are below",
    'Rules=[ColumnValues "championnationality" in ["USA","AUS"] ': "its where clause got lost",
}
"""Rulesets of cases that were damaged when they were extracted."""

CASES = [
    pytest.param(test["table"], case, id=f"{test['test']}-{place}")
    for test in VERDICTS["tests"]
    for place, case in enumerate(test["cases"])
    if case["rules"] not in DAMAGED
]


def frame(spark: SparkSession, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> DataFrame:
    """A table whose types are told by its values."""
    kinds = []
    for place in range(len(columns)):
        types = {type(row[place]) for row in rows if row[place] is not None}
        kinds.append("double" if float in types else "bigint" if int in types else "string")
    schema = ", ".join(f"`{name}` {kind}" for name, kind in zip(columns, kinds, strict=True))
    return spark.createDataFrame([tuple(row) for row in rows], schema)


@pytest.mark.parametrize("document", LANGUAGE["invalid_rulesets"])
def test_refuses_with_a_place(document: str) -> None:
    with pytest.raises(DqdlError) as error:
        parse(document)
    assert error.value.line >= 1
    assert error.value.column >= 1
    assert str(error.value).startswith(f"line {error.value.line}, column {error.value.column}: ")


@pytest.mark.parametrize("rule", LANGUAGE["valid_rules_first_argument"])
def test_accepts_and_writes_again_as_it_was(rule: str) -> None:
    (found,) = parse(f"Rules = [ {rule} ]").rules[None]
    assert found.text == rule
    again = rule_text(found)
    (second,) = parse(f"Rules = [ {again} ]").rules[None]
    assert rule_text(second) == again


@pytest.mark.parametrize(("table", "case"), CASES)
def test_gives_the_verdicts_of_the_reference(spark: SparkSession, table: dict[str, Any], case: dict[str, Any]) -> None:
    rules = parse(case["rules"]).rules[None]
    found = evaluate_table(frame(spark, table["columns"], table["rows"]), rules)
    outcomes = [verdict.outcome for verdict in found.verdicts]
    # the reference's spec looks at the first rule only, where all have one outcome
    assert outcomes == [case["expected"][0]] * len(rules), [verdict.reason for verdict in found.verdicts]
    for name, value in case.get("metrics", {}).items():
        assert found.metrics[name] == pytest.approx(value)


def test_no_other_case_is_left_out() -> None:
    cases = [case["rules"] for test in VERDICTS["tests"] for case in test["cases"]]
    assert {rules for rules in cases if rules in DAMAGED} == set(DAMAGED)
    assert (len(cases), len(CASES)) == (103, 93)


SCHEMAS = [
    ("= 1.0", "Failed"), ("!= 1.0", "Passed"), ("> 0.65", "Passed"), (">= 0.67", "Failed"), ("< 0.7", "Passed"),
    ("<= 0.67", "Passed"), ("between 0.6 and 0.7", "Passed"), ("not between 0.7 and 0.9", "Passed"),
    ("not between 0.1 and 0.6", "Passed"),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "outcome"), SCHEMAS)
def test_compares_schemas_as_the_damaged_cases_did(spark: SparkSession, condition: str, outcome: str) -> None:
    names = ["State Name", "State Abbreviation"]
    rows: list[list[Any]] = [["California", "CA", 1]]
    primary = frame(spark, [*names, "ID"], rows)
    others: list[list[Any]] = [["California", "CA", "extra"]]
    reference = frame(spark, [*names, "Description"], others)
    rules = parse(f'Rules = [ SchemaMatch "ref" {condition} ]').rules[None]
    found = evaluate_table(primary, rules, others={"ref": reference})
    assert [verdict.outcome for verdict in found.verdicts] == [outcome]
    assert found.metrics["Dataset.ref.SchemaMatch"] == pytest.approx(2 / 3)


def test_a_where_clause_that_is_neither_true_nor_false_chooses_no_row(spark: SparkSession) -> None:
    columns = ["item", "championnationality", "runnerupnationality"]
    champions: list[list[Any]] = [["1", "USA", "AUS"], ["2", "GER", "AUS"], ["3", "USA", None], ["4", "GER", None]]
    rows = [*champions, ["5", "USA", "USA"]]
    rule = """ColumnValues "championnationality" in ["USA","AUS"] where "runnerupnationality = 'AUS'\""""
    found = evaluate_table(frame(spark, columns, rows), parse(f"Rules = [ {rule} ]").rules[None])
    (verdict,) = found.verdicts
    assert (verdict.outcome, verdict.refused_rows) == ("Failed", 1)


def test_parsing_needs_no_spark() -> None:
    root = Path(__file__).parents[2] / "glue_jobs"
    code = "import gapless_glue.dqdl.parser, gapless_glue.dqdl.render, sys; sys.exit('pyspark' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=False, cwd=root)
    assert found.returncode == 0
