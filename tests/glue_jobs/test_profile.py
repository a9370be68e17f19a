"""What the profile says about the columns of a dataset."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession

from constructs_lib.names.problems import BINARY
from gapless_glue.contract import Column
from gapless_glue.profile import Target, profile
from gapless_glue.profile.bins import Bin, strength
from gapless_glue.profile.pairs import SAMPLE_ROWS, cramers_v, sample_of

ROWS = 400
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
COLUMNS = [
    Column("number", "int"), Column("tail", "double"), Column("leak", "double"), Column("name", "string"),
    Column("title", "string"), Column("same", "int"), Column("none", "string"), Column("id", "string"),
    Column("town", "string"), Column("filled_later", "int"), Column("copy", "boolean"), Column("serial", "bigint"),
]  # fmt: skip


def is_late(n: int) -> bool:
    return n % 2 == 1


def row(n: int) -> tuple[Any, ...]:
    """Row ``n``; every second one is late."""
    late = is_late(n)
    return (
        n * 37 % ROWS if n % 4 else None,
        1e6 if n == 0 else float(n % 50),
        float(late) + n / 10_000,
        "abc"[n % 3],
        {"a": "Ada", "b": "Bob", "c": "Cy"}["abc"[n % 3]],
        7,
        None,
        f"id{n}",
        f"town{n % 280}",
        5 + n % 2 if late or n % 10 == 0 else None,
        not late,
        n // 3,
        late,
        BEGIN + timedelta(hours=n),
        str(n),
    )


def described_rows(spark: SparkSession, columns: list[Column], numbers: range) -> dict[str, Any]:
    types = "number int, tail double, leak double, name string, title string, same int, none string, id string, "
    types += "town string, filled_later int, copy boolean, serial bigint, "
    types += "late boolean, _event_time timestamp, _row_id string"
    return profile(spark.createDataFrame([row(n) for n in numbers], types), columns, Target("late", BINARY))


@pytest.fixture(scope="module")
def described(spark: SparkSession) -> dict[str, Any]:
    return described_rows(spark, COLUMNS, range(ROWS))


def warned(described: dict[str, Any], kind: str) -> list[list[str]]:
    return [found["columns"] for found in described["warnings"] if found["kind"] == kind]


def test_is_json(described: dict[str, Any]) -> None:
    assert json.loads(json.dumps(described, allow_nan=False)) == described


def test_counts_rows_and_balance_of_the_target(described: dict[str, Any]) -> None:
    target = described["target"]
    assert described["rows"] == described["sample_rows"] == ROWS
    assert (target["name"], target["positives"], target["share"]) == ("late", 200, 0.5)


def test_shows_the_balance_of_the_target_over_time(described: dict[str, Any]) -> None:
    over_time = described["target"]["over_time"]
    assert (over_time["edges"][0], over_time["edges"][-1]) == ("2024-01-01T00:00:00Z", "2024-01-17T15:00:00Z")
    assert over_time["rows"] == [20] * 20
    assert over_time["positives"] == [10] * 20


def test_describes_a_number(described: dict[str, Any]) -> None:
    number = described["columns"]["number"]
    assert (number["type"], number["missing"], number["missing_share"]) == ("int", 100, 0.25)
    assert number["distinct"] == pytest.approx(300, rel=0.05)
    assert (number["min"], number["max"]) == (1.0, 399.0)
    assert sum(number["histogram"]["rows"]) == 300
    assert sum(number["histogram"]["positives"]) == 200
    assert len(number["histogram"]["edges"]) == len(number["histogram"]["rows"]) + 1 == 21


def test_percentiles_go_from_the_smallest_to_the_largest_value(described: dict[str, Any]) -> None:
    quantiles = described["columns"]["number"]["quantiles"]
    assert len(quantiles) == 101
    assert (quantiles[0], quantiles[50], quantiles[100]) == (1.0, pytest.approx(200, abs=2), 399.0)
    assert quantiles == sorted(quantiles)
    assert described["columns"]["same"]["quantiles"] == [7.0] * 101


def test_describes_a_text(described: dict[str, Any]) -> None:
    assert described["columns"]["name"]["values"] == [
        {"value": "a", "rows": 134, "positives": 67},
        {"value": "b", "rows": 133, "positives": 67},
        {"value": "c", "rows": 133, "positives": 66},
    ]


def test_counts_the_rarest_of_many_values_together(described: dict[str, Any]) -> None:
    values = described["columns"]["town"]["values"]
    rows = [item["rows"] for item in values]
    assert len(values) == 201
    assert values[-1] == {"value": "(other)", "rows": 80, "positives": 40}
    assert sum(rows) == ROWS
    assert rows[:-1] == sorted(rows[:-1], reverse=True)


def test_an_identifier_is_not_listed_value_by_value(described: dict[str, Any]) -> None:
    assert described["columns"]["id"]["identifies"]
    assert described["columns"]["id"]["values"] == [{"value": "(other)", "rows": ROWS, "positives": 200}]
    assert warned(described, "identifier") == [["number"], ["id"]]


def test_fractions_of_their_own_in_every_row_are_no_identifier(described: dict[str, Any]) -> None:
    assert not described["columns"]["leak"]["identifies"]


def test_warns_of_a_column_that_gives_the_target_away(spark: SparkSession) -> None:
    columns = ["value double", "late boolean", "_event_time timestamp", "_row_id string"]
    rows = [(float(is_late(n) != (n < 8)) + n / 10_000, is_late(n), BEGIN, str(n)) for n in range(ROWS)]
    found = profile(
        spark.createDataFrame(rows, ", ".join(columns)), [Column("value", "double")], Target("late", BINARY)
    )
    assert [item["text"] for item in found["warnings"] if item["kind"] == "leak"] == [
        "value alone tells the target almost surely (strength 0.998): is it known before the event?"
    ]


def test_warns_of_the_target_by_another_name(described: dict[str, Any]) -> None:
    assert ["copy"] in warned(described, "copy")
    assert ["name"] not in warned(described, "copy")


def test_warns_when_a_value_that_is_missing_tells_the_target(described: dict[str, Any]) -> None:
    assert described["columns"]["filled_later"]["missing_strength"] == pytest.approx(0.9)
    assert warned(described, "missing_leak") == [["filled_later"]]


def test_warns_of_columns_that_say_nothing(described: dict[str, Any]) -> None:
    assert warned(described, "constant") == [["same"]]
    assert warned(described, "empty") == [["none"]]


def test_warns_of_a_number_that_follows_the_clock(described: dict[str, Any]) -> None:
    assert described["columns"]["serial"]["clock"] > 0.99
    assert warned(described, "clock") == [["serial"]]


def test_an_outlier_does_not_hide_a_leak(spark: SparkSession) -> None:
    columns = "delay double, late boolean, _event_time timestamp, _row_id string"
    rows = [(1e9 if n == 1 else float(n % 2 * 40 + n % 7), is_late(n), BEGIN, str(n)) for n in range(ROWS)]
    found = profile(spark.createDataFrame(rows, columns), [Column("delay", "double")], Target("late", BINARY))
    assert found["columns"]["delay"]["histogram"]["rows"][0] == ROWS - 1
    assert found["columns"]["delay"]["strength"] == 1.0


def test_a_heap_at_one_value_is_a_bin_of_its_own(spark: SparkSession) -> None:
    columns = "rain double, late boolean, _event_time timestamp, _row_id string"
    rows = [(0.1 + n / 1000 if n % 7 == 1 else 0.0, n % 7 == 1, BEGIN, str(n)) for n in range(ROWS)]
    found = profile(spark.createDataFrame(rows, columns), [Column("rain", "double")], Target("late", BINARY))
    assert found["columns"]["rain"]["strength"] == 1.0


def test_a_rare_missing_value_is_not_taken_for_a_rare_value(spark: SparkSession) -> None:
    columns = "town string, late boolean, _event_time timestamp, _row_id string"
    rows = [(f"town{n % 220}" if n else None, is_late(n), BEGIN, str(n)) for n in range(3 * 220)]
    town = profile(spark.createDataFrame(rows, columns), [Column("town", "string")], Target("late", BINARY))["columns"][
        "town"
    ]
    assert town["missing"] == 1
    assert sum(item["rows"] for item in town["values"]) == 3 * 220 - 1


def test_warns_of_a_target_of_one_class_and_of_a_rare_one(spark: SparkSession) -> None:
    columns = "value double, late boolean, _event_time timestamp, _row_id string"
    for positives, kind in ((0, "one_class"), (2, "rare_class")):
        rows = [(float(n % 9), n < positives, BEGIN + timedelta(hours=n), str(n)) for n in range(ROWS)]
        found = profile(spark.createDataFrame(rows, columns), [Column("value", "double")], Target("late", BINARY))
        assert [item["kind"] for item in found["warnings"] if item["columns"] == ["late"]] == [kind]


def test_compares_numbers_by_correlation_and_categories_by_cramers_v(described: dict[str, Any]) -> None:
    found = {frozenset((pair["left"], pair["right"])): pair for pair in described["pairs"]}
    assert found[frozenset(("name", "title"))] == {
        "left": "name",
        "right": "title",
        "measure": "cramers_v",
        "value": 1.0,
    }
    assert found[frozenset(("tail", "number"))]["measure"] == "pearson"
    assert found[frozenset(("leak", "copy"))]["value"] > 0.98
    assert found[frozenset(("name", "copy"))]["value"] < 0.1
    assert warned(described, "twins")


def test_leaves_columns_that_say_nothing_out_of_the_pairs(described: dict[str, Any]) -> None:
    assert {"same", "none", "id"} <= set(described["not_paired"])
    assert not {"same", "none", "id"} & {pair[side] for pair in described["pairs"] for side in ("left", "right")}


def test_an_empty_dataset_has_a_profile(spark: SparkSession) -> None:
    found = described_rows(spark, COLUMNS, range(0))
    assert found["rows"] == 0
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_sample_is_the_same_rows_whatever_else_there_is(spark: SparkSession) -> None:
    many = spark.range(3 * SAMPLE_ROWS).selectExpr("cast(id as string) as _row_id")
    chosen = {item["_row_id"] for item in sample_of(many, 3 * SAMPLE_ROWS, "_row_id").collect()}
    assert len(chosen) == pytest.approx(SAMPLE_ROWS, rel=0.05)
    half = many.filter("cast(_row_id as bigint) % 2 = 0")
    again = {item["_row_id"] for item in sample_of(half, 3 * SAMPLE_ROWS, "_row_id").collect()}
    assert again == {name for name in chosen if int(name) % 2 == 0}


def test_strength_is_the_area_under_the_roc_curve_of_the_ranked_bins() -> None:
    assert strength([Bin("a", 10, 5), Bin("b", 10, 5)]) == pytest.approx(0.5)
    assert strength([Bin("a", 10, 0), Bin("b", 10, 10)]) == pytest.approx(1.0)
    assert strength([Bin("a", 10, 2), Bin("b", 10, 8)]) == pytest.approx(0.8)
    assert strength([Bin("a", 10, 0)]) is None


def test_cramers_v_is_corrected_for_bias() -> None:
    # phi² = 0.36 for this table of 100 rows: (0.36 - 1/99) / (1 - 1/99) by Bergsma's formula
    cells = {("a", "x"): 40, ("a", "y"): 10, ("b", "x"): 10, ("b", "y"): 40}
    assert cramers_v(cells) == pytest.approx(((0.36 - 1 / 99) / (1 - 1 / 99)) ** 0.5)
    assert cramers_v({("a", "x"): 25, ("a", "y"): 25, ("b", "x"): 25, ("b", "y"): 25}) == 0.0
    assert cramers_v({("a", "x"): 30, ("b", "x"): 70}) is None
