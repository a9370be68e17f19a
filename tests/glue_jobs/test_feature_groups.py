"""Feature groups in the data job: what a row gets, what is written, what is refused."""

from __future__ import annotations

import copy
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from constructs_lib.names.workload_file import WorkloadFile
from gapless_glue.errors import BadBundle, BadRecords

Shop = Any  # the class of the fixture; conftest.py has it

GROUP: dict[str, Any] = {
    "source": "visits",
    "key": "person",
    "joined_on": "customer",
    "event_time": "seen_at",
    "features": {"pages": "int", "minutes": "double", "member": "boolean"},
}
VISITS = [
    "1,2024-02-01T00:00:00Z,5,2.5,true",
    "1,2024-02-01T12:00:00.000999Z,,,",
    "2,2024-02-01T06:00:00Z,7,0.1,false",
    ",2024-02-01T06:00:00Z,7,0.1,false",
    "2,,7,0.1,false",
    "2,2024-03-01T00:00:00.001Z,8,0.1,false",
]
FEATURES = """\
def features(sources):
    assert "returned" not in sources["orders"].columns
    return sources["orders"].withColumnRenamed("pages", "_p").withColumnRenamed("_p", "pages")
"""


def with_group(shop: Shop, group: dict[str, Any] | None = None, visits: list[str] = VISITS, scripts: str = "") -> Shop:
    """Gives the shop a group of visits, made of a source of its own."""
    content = copy.deepcopy(SHOP_FILE)
    content["feature_groups"] = {"visits_of": {**GROUP, **(group or {})}}
    content["features"].update(GROUP["features"] if group is None else {**GROUP, **group}["features"])
    shop.contract = WorkloadFile.parse(content).contract()
    shop.scripts = {**shop.scripts, "features.py": (FEATURES + scripts).encode()}
    lines = "\n".join(["person,seen_at,pages,minutes,member", *visits, ""]).encode()
    shop.land("visits", "visits.csv", lines)
    return shop


SHOP_FILE: dict[str, Any] = {
    "name": "shop",
    "owner": "shop@example.com",
    "target": "returned",
    "event_time": "placed",
    "sources": {
        "orders": {
            "key": ["order"],
            "time_zone": "Europe/Berlin",
            "missing": ["", "NA"],
            "known_later": ["returned"],
            "columns": {
                "order": "bigint",
                "customer": "int",
                "placed": "timestamp",
                "amount": "double",
                "country": "string",
                "returned": "boolean",
            },
        },
        "customers": {"key": ["customer"], "columns": {"customer": "int", "since": "date", "premium": "boolean"}},
        "visits": {
            "columns": {
                "person": "int",
                "seen_at": "timestamp",
                "pages": "int",
                "minutes": "double",
                "member": "boolean",
            }
        },
    },
    "features": {"amount": "double", "country": "string"},
}


def rows_of(shop: Shop, report: dict[str, Any], customer: int) -> dict[datetime, tuple[Any, ...]]:
    """What the orders of a customer got: time of the order → the features of the group."""
    found = shop.rows("curated", "features", report)
    return {
        row["_event_time"]: (row["pages"], row["minutes"], row["member"])
        for row in found
        if int(row["_row_id"]) % 3 + 1 == customer
    }


def test_a_row_gets_what_was_known_at_its_event_time(shop: Shop) -> None:
    report = with_group(shop).run()
    known = rows_of(shop, report, 1)
    noon = datetime(2024, 2, 1, 12, tzinfo=UTC)
    midnight = datetime(2024, 2, 1, tzinfo=UTC)
    assert {found for time, found in known.items() if time < midnight} == {(None, None, None)}
    assert {found for time, found in known.items() if midnight <= time < noon} == {(5, 2.5, True)}
    assert {found for time, found in known.items() if time > noon} == {(None, None, None)}
    assert set(rows_of(shop, report, 3).values()) == {(None, None, None)}
    assert report["phases"]["cleaning"]["rows_out"] == 48


def test_the_records_are_written_once_and_counted(shop: Shop) -> None:
    report = with_group(shop).run()
    group = shop.manifest(report)["feature_groups"]["visits_of"]
    assert report["phases"]["feature_groups"] == {"visits_of": group}
    assert (group["records"], group["dropped"]) == (3, {"after as_of": 1, "no event time": 1, "no key": 1})
    records = shop.rows("curated", "visits_of", report)
    assert group["location"].endswith(f"/curated/shop/visits_of/version={report['version']}/attempt=run-1-0-0/")
    assert sorted((row["person"], row["seen_at"]) for row in records) == [
        (1, datetime(2024, 2, 1, tzinfo=UTC)),
        (1, datetime(2024, 2, 1, 12, tzinfo=UTC)),
        (2, datetime(2024, 2, 1, 6, tzinfo=UTC)),
    ]


def test_a_workload_without_groups_has_no_word_of_them(shop: Shop) -> None:
    report = shop.run()
    assert "feature_groups" not in report["phases"]
    assert "feature_groups" not in shop.manifest(report)


def test_a_row_without_a_record_gets_the_defaults(shop: Shop) -> None:
    defaults = {"pages": 0, "minutes": 1.5, "member": False}
    report = with_group(shop, {"fallback": "default", "defaults": defaults}).run()
    assert set(rows_of(shop, report, 3).values()) == {(0, 1.5, False)}
    assert set(rows_of(shop, report, 1).values()) == {(0, 1.5, False), (5, 2.5, True), (None, None, None)}


def test_a_row_that_may_not_be_without_a_record_is_dropped_with_the_reason(shop: Shop) -> None:
    report = with_group(shop, {"fallback": "refuse"}).run()
    cleaning = report["phases"]["cleaning"]
    assert cleaning["changes"] == {"no record of visits_of": 48 - cleaning["rows_out"]}
    assert not rows_of(shop, report, 3)
    assert Counter(rows_of(shop, report, 2).values()) == {(7, 0.1, False): 14}


def test_an_old_record_counts_as_none(shop: Shop) -> None:
    report = with_group(shop, {"max_age_minutes": 240, "fallback": "refuse"}).run()
    assert sorted(time.hour for time in rows_of(shop, report, 2)) == [6, 9]


def test_a_function_makes_records_of_what_is_known_later_for_later(shop: Shop) -> None:
    """What became of an order may be a feature of orders after it: the join keeps it from the order itself."""
    script = """
def returns_of_records(sources):
    from pyspark.sql import Window, functions as F
    orders = sources["orders"]
    until = Window.partitionBy("customer").orderBy("placed").rowsBetween(Window.unboundedPreceding, 0)
    return orders.select(
        F.col("customer").alias("person"),
        (F.col("placed") + F.expr("interval '1' minute")).alias("known_at"),
        F.sum(F.col("returned").cast("int")).over(until).alias("returned_before"),
    )
"""
    content = copy.deepcopy(SHOP_FILE)
    content["feature_groups"] = {
        "returns_of": {
            "key": "person",
            "joined_on": "customer",
            "event_time": "known_at",
            "features": {"returned_before": "int"},
        }
    }
    content["features"]["returned_before"] = "int"
    del content["sources"]["visits"]
    shop.contract = WorkloadFile.parse(content).contract()
    shop.scripts["features.py"] = ("def features(sources): return sources['orders']\n" + script).encode()
    report = shop.run()
    rows = sorted(shop.rows("curated", "features", report), key=lambda row: row["_event_time"])
    seen: Counter[int] = Counter()
    for row in rows:
        customer = int(row["_row_id"]) % 3
        assert row["returned_before"] == seen.get(customer)
        seen[customer] += row["returned"]


def test_a_record_has_only_values_that_the_store_gives_back_as_they_were(shop: Shop) -> None:
    """No NaN, no infinity, and times in milliseconds."""
    script = """
def visits_of_records(sources):
    from pyspark.sql import functions as F
    minutes = F.when(F.col("person") == 1, F.lit(float("nan"))).otherwise(F.lit(float("-inf")))
    return sources["visits"].withColumn("minutes", minutes)
"""
    report = with_group(shop, {"source": None}, scripts=script).run()
    records = shop.rows("curated", "visits_of", report)
    assert {row["minutes"] for row in records} == {None}
    assert {row["seen_at"].microsecond for row in records} == {0}


def test_two_records_of_a_thing_at_one_time_are_refused(shop: Shop) -> None:
    twice = ["1,2024-02-01T00:00:00Z,5,2.5,true", "1,2024-02-01T00:00:00.000400Z,6,2.5,true"]
    with pytest.raises(BadRecords, match="visits_of: 2 records of person 1 at 2024-02-01T00:00:00"):
        with_group(shop, visits=twice).run()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("", "features.py has no function visits_of_records, and the feature group has no source"),
        ("def visits_of_records(sources): return sources['visit']", "visits_of_records failed: KeyError"),
        (
            "def visits_of_records(sources): return sources['visits'].drop('pages')",
            "the result of visits_of_records has no column pages",
        ),
    ],
)
def test_a_bundle_that_makes_no_records_is_refused(shop: Shop, script: str, told: str) -> None:
    with pytest.raises(BadBundle, match=told):
        with_group(shop, {"source": None}, scripts=script).run()


def test_a_second_run_gives_the_same_digests(shop: Shop) -> None:
    with_group(shop)
    assert shop.run()["phases"]["splitting"] == shop.run()["phases"]["splitting"]
