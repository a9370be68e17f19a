"""What the profile says about the columns of a dataset."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql import SparkSession

from gapless_glue.contract import Column
from gapless_glue.profile import Bin, profile, strength

COLUMNS = [
    Column("number", "int"), Column("leak", "double"), Column("name", "string"), Column("same", "int"),
    Column("none", "string"), Column("id", "string"),
]  # fmt: skip


@pytest.fixture(scope="module")
def described(spark: SparkSession) -> dict[str, Any]:
    rows: list[tuple[Any, ...]] = [
        (n if n % 4 else None, float(n % 2) + n / 10_000, "abc"[n % 3], 7, None, f"id{n}", n % 2 == 1)
        for n in range(200)
    ]
    schema = "number int, leak double, name string, same int, none string, id string, late boolean"
    return profile(spark.createDataFrame(rows, schema), COLUMNS, "late")


def test_counts_rows_and_balance_of_the_target(described: dict[str, Any]) -> None:
    assert described["rows"] == 200
    assert described["target"] == {"name": "late", "positives": 100, "share": 0.5}


def test_describes_a_number(described: dict[str, Any]) -> None:
    number = described["columns"]["number"]
    assert (number["type"], number["missing"], number["missing_share"]) == ("int", 50, 0.25)
    assert number["distinct"] == pytest.approx(150, rel=0.05)
    assert (number["min"], number["max"]) == (1.0, 199.0)
    assert sum(number["histogram"]["rows"]) == 150
    assert sum(number["histogram"]["positives"]) == 100
    assert len(number["histogram"]["edges"]) == len(number["histogram"]["rows"]) + 1 == 21


def test_describes_a_text(described: dict[str, Any]) -> None:
    assert described["columns"]["name"]["values"] == [
        {"value": "a", "rows": 67, "positives": 33},
        {"value": "b", "rows": 67, "positives": 34},
        {"value": "c", "rows": 66, "positives": 33},
    ]


def test_counts_rare_values_together(described: dict[str, Any]) -> None:
    values = described["columns"]["id"]["values"]
    assert len(values) == 21
    assert values[-1] == {"value": "(other)", "rows": 180, "positives": pytest.approx(90, abs=10)}


def test_warns_of_a_column_that_gives_the_target_away(described: dict[str, Any]) -> None:
    leaks = [text for text in described["warnings"] if text.startswith("leak ")]
    assert leaks == ["leak alone tells the target almost surely (strength 1.000): is it known before the event?"]


def test_a_column_of_identifiers_is_no_leak(described: dict[str, Any]) -> None:
    assert not [text for text in described["warnings"] if text.startswith("id ")]


def test_warns_of_columns_that_say_nothing(described: dict[str, Any]) -> None:
    assert "same has the same value in every row" in described["warnings"]
    assert "none has no value in any row" in described["warnings"]


def test_strength_is_the_area_under_the_roc_curve_of_the_ranked_bins() -> None:
    assert strength([Bin("a", 10, 5), Bin("b", 10, 5)]) == pytest.approx(0.5)
    assert strength([Bin("a", 10, 0), Bin("b", 10, 10)]) == pytest.approx(1.0)
    assert strength([Bin("a", 10, 2), Bin("b", 10, 8)]) == pytest.approx(0.8)
    assert strength([Bin("a", 10, 0)]) is None
