"""Targets that are no yes or no, from the landed files to the dataset and its profile."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession

from constructs_lib.names.problems import CLUSTERING, MULTICLASS, REGRESSION
from constructs_lib.names.workload_file import WorkloadFile
from gapless_glue.contract import Column
from gapless_glue.profile import Target, compare, profile
from gapless_glue.profile.bins import Bin, strength
from tests.glue_jobs.conftest import SHOP, Shop

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)


def sell(shop: Shop, problem: str, target: str | None, **others: Any) -> dict[str, Any]:
    """Runs the data job for this problem; returns its report."""
    content = {**copy.deepcopy(SHOP), "problem": problem, "target": target, **others}
    if target is None:
        del content["target"]
    if target in content["sources"]["orders"]["columns"]:
        content["sources"]["orders"]["known_later"] = ["returned", target]
    content["features"] = {name: kind for name, kind in SHOP["features"].items() if name != target}
    shop.contract = WorkloadFile.parse(content).contract()
    return shop.run()


def test_a_number_stays_a_number(shop: Shop) -> None:
    report = sell(shop, REGRESSION, "amount")
    (first, *_) = shop.split("train", report)
    assert list(first) == ["country", "premium", "amount", "_event_time", "_row_id"]
    assert first["amount"] == 10.5
    assert report["phases"]["splitting"]["train"]["positives"] is None
    assert shop.manifest(report)["splits"]["test"]["rows"] > 0


def test_a_class_stays_a_text(shop: Shop) -> None:
    report = sell(shop, MULTICLASS, "country")
    assert {row["country"] for row in shop.split("train", report)} == {"DE", "FR"}


def test_a_number_that_is_not_finite_is_no_number_to_learn_from(shop: Shop) -> None:
    derive = (
        "from pyspark.sql import functions as F\n"
        "def derive(orders):\n"
        "    strange = F.when(F.col('order') == 3, float('inf')).when(F.col('order') == 4, float('nan'))\n"
        "    return orders.withColumn('worth', strange.otherwise(F.col('amount')))\n"
    )
    shop.scripts["features.py"] = shop.scripts["features.py"] + derive.encode()
    report = sell(shop, REGRESSION, "worth", derived={"worth": "double"})
    assert report["phases"]["cleaning"]["changes"] == {"no outcome (target missing)": 2}


def test_rows_without_a_number_to_learn_from_are_dropped(shop: Shop) -> None:
    shop.land_orders([*shop.orders(46), shop.order(46, amount="NA"), shop.order(47, amount="Infinity")])
    shop.scripts["rules.dqdl"] = b"Rules = [ RowCount > 0 ]"
    report = sell(shop, REGRESSION, "amount")
    dropped = report["phases"]["cleaning"]["changes"].get("no outcome (target missing)", 0)
    assert dropped + report["phases"]["validation"]["rows_quarantined"] == 2
    assert all(row["amount"] < 100 for name in ("train", "validation", "test") for row in shop.split(name, report))


def test_without_a_target_every_row_is_kept_and_no_column_added(shop: Shop) -> None:
    report = sell(shop, CLUSTERING, None)
    rows = [row for name in ("train", "validation", "test") for row in shop.split(name, report)]
    assert len(rows) == 48
    assert list(rows[0]) == ["amount", "country", "premium", "_event_time", "_row_id"]
    described = json.loads((shop.dataset(report) / "profile.json").read_text())
    assert (described["target"]["name"], described["target"]["share"]) == (None, None)
    assert [column["strength"] for column in described["columns"].values()] == [None] * 3


def described(spark: SparkSession, problem: str, values: list[Any], kind: str) -> dict[str, Any]:
    """The profile of rows with a feature that copies the target, one that tells some of it, and one that does not."""
    order = sorted(set(values))
    rows = [
        (value, order.index(value) // 2, n % 7, value, BEGIN + timedelta(hours=n), str(n))
        for n, value in enumerate(values)
    ]
    types = f"copy {kind}, some int, nothing int, target {kind}, _event_time timestamp, _row_id string"
    columns = [Column("copy", kind), Column("some", "int"), Column("nothing", "int")]
    return profile(spark.createDataFrame(rows, types), columns, Target("target", problem))


NUMBERS = [float(n * 37 % 400) for n in range(400)]
CLASSES = ["abcd"[n * 37 % 400 // 100] if n % 400 else "rare" for n in range(1200)]


def test_tells_how_much_a_feature_says_of_a_number(spark: SparkSession) -> None:
    found = described(spark, REGRESSION, NUMBERS, "double")
    columns = found["columns"]
    assert columns["copy"]["strength"] == 1.0
    assert columns["copy"]["correlation"] == pytest.approx(1.0)
    assert columns["nothing"]["strength"] < 0.6
    assert found["target"]["shown"] == "target is above its median, 199.5"
    assert (found["target"]["min"], found["target"]["max"], found["target"]["share"]) == (0.0, 399.0, 0.5)
    assert len(found["target"]["quantiles"]) == 101
    assert ["copy"] in [item["columns"] for item in found["warnings"] if item["kind"] == "copy"]


def test_tells_how_much_a_feature_says_of_classes(spark: SparkSession) -> None:
    found = described(spark, MULTICLASS, CLASSES, "string")
    strengths = {name: column["strength"] for name, column in found["columns"].items()}
    assert strengths["copy"] == pytest.approx(1.0, abs=0.01)
    assert strengths["nothing"] < 0.6 < 0.75 < strengths["some"] < 0.95
    assert found["target"]["classes"] == 5
    assert found["target"]["values"][0] == {"value": "b", "rows": 300}
    assert [item["text"] for item in found["warnings"] if item["kind"] == "rare_class"] == [
        "1 of 5 classes of target are rare: together they have 0.25% of the rows"
    ]


def test_the_strengths_for_several_classes_are_averaged_by_their_rows() -> None:
    """Of the first class the area is 1, of the second 0.7: 15 of its rows behind 10 others and beside 15."""
    bins = [Bin("x", 10, 10, (0,)), Bin("y", 30, 0, (15,))]
    assert strength(bins) == pytest.approx((10 * 1 + 15 * 0.7) / 25)


@pytest.mark.parametrize(
    ("problem", "kind", "before", "now"),
    [
        (REGRESSION, "double", NUMBERS, [value + 200 for value in NUMBERS]),
        (MULTICLASS, "string", CLASSES, ["a" if value == "b" else value for value in CLASSES]),
    ],
)
def test_warns_when_the_target_has_moved(
    spark: SparkSession, problem: str, kind: str, before: list[Any], now: list[Any]
) -> None:
    earlier, later = (described(spark, problem, values, kind) for values in (before, now))
    assert [item["kind"] for item in compare(earlier, later)["warnings"] if "target" in item["columns"]] == [
        "target_moved"
    ]
    assert "target_moved" not in [item["kind"] for item in compare(earlier, earlier)["warnings"]]
