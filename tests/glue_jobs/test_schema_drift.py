"""A file whose columns are not the declared ones: what is found, and what each policy makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pyspark.sql import SparkSession

from gapless_glue.contract import Column, DriftPolicy, Source
from gapless_glue.drift import MOST_ENTRIES, Drift, find_drift, handling_of, report_of_drift
from gapless_glue.errors import BadSchema
from gapless_glue.formats.seen import Seen
from gapless_glue.landing import Staged, StagedFile
from gapless_glue.typed import staged_schema

Shop = Any  # the class of the fixture; conftest.py has it

COLUMNS = ["order", "customer", "placed", "amount", "country", "returned"]


def policy(shop: Shop, **drift: Any) -> None:
    shop.contract["sources"]["orders"]["drift"] = drift
    shop.contract["quality"]["max_quarantined_share"] = 0.9


def land(
    shop: Shop, columns: Sequence[str], first: int = 0, count: int = 48, key: str = "orders.csv", **values: str
) -> None:
    """Lands orders with these columns; a column that orders do not have says its own name."""
    rows = []
    for number in range(first, first + count):
        row = dict(zip(COLUMNS, shop.order(number, **values).split(","), strict=True))
        rows.append(",".join(row.get(name, name) for name in columns))
    text = "".join(f"{line}\n" for line in [",".join(columns), *rows])
    shop.land("orders", key, text.encode())


def counts(report: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = report["phases"]["validation"]["sources"]["orders"]
    return found


def drift(report: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = report["phases"]["validation"]["drift"]
    return found


def entry(kind: str, column: str | None, expected: str, observed: str, policy: str, rows: int, **other: Any) -> Any:
    common = {"source": "orders", "file": "orders.csv", "kind": kind, "column": column}
    found = {"expected": expected, "observed": observed, "policy": policy, "rows": rows, "reads": None}
    return {**common, **found, **other}


def without(*names: str) -> list[str]:
    return [name for name in COLUMNS if name not in names]


def test_finds_nothing_in_a_batch_as_declared(shop: Shop) -> None:
    assert drift(shop.run()) == {"count": 0, "alarming": 0, "entries": []}


def test_an_accepted_column_more_is_left_out_and_recorded(shop: Shop) -> None:
    digest = shop.run()["phases"]["splitting"]["train"]["digest"]
    policy(shop, added="accept")
    land(shop, ["colour", *COLUMNS])
    report = shop.run()
    assert counts(report)["validated"] == 48
    assert report["phases"]["splitting"]["train"]["digest"] == digest
    assert drift(report) == {
        "count": 1,
        "alarming": 1,
        "entries": [entry("added", "colour", "absent", "present", "accept", 48)],
    }


def test_an_accepted_column_less_is_missing_in_every_row_and_recorded(shop: Shop) -> None:
    policy(shop, dropped="accept")
    land(shop, without("amount"))
    report = shop.run()
    assert [row["amount"] for row in shop.rows("validated", "orders", report)] == [None] * 48
    assert drift(report)["entries"] == [entry("dropped", "amount", "double", "absent", "accept", 48)]


@pytest.mark.parametrize("column", ["order", "placed", "returned"], ids=["key", "event time", "target"])
def test_what_names_times_or_labels_a_row_is_never_accepted_as_missing(shop: Shop, column: str) -> None:
    policy(shop, dropped="accept")
    land(shop, without(column))
    with pytest.raises(BadSchema, match=f"missing column '{column}', without which no row can be accepted"):
        shop.run()


def test_a_time_to_settle_by_is_never_accepted_as_missing(shop: Shop) -> None:
    shop.contract["sources"]["orders"]["columns"].append({"name": "changed", "type": "timestamp"})
    shop.contract["sources"]["orders"]["settle"] = {"by": "changed"}
    policy(shop, dropped="accept")
    with pytest.raises(BadSchema, match="missing column 'changed', without which no row can be accepted"):
        shop.run()


def test_a_renamed_column_is_dropped_and_added_and_may_be_accepted(shop: Shop) -> None:
    policy(shop, dropped="accept", added="accept")
    land(shop, [*without("country"), "countries"])
    found = drift(shop.run())["entries"]
    assert [(each["kind"], each["column"]) for each in found] == [("added", "countries"), ("dropped", "country")]


@pytest.mark.parametrize(
    ("kind", "columns", "reason"),
    [
        ("added", [*COLUMNS, "a;b"], "schema drift of the file: column 'a,b' is added"),
        ("dropped", without("country"), "schema drift of the file: column 'country' is dropped"),
        ("reordered", [*reversed(COLUMNS)], "schema drift of the file: columns are in another order"),
        ("dropped", without("returned"), "schema drift of the file: column 'returned' is dropped"),
    ],
)
def test_quarantine_sets_all_rows_of_the_file_aside_and_of_no_other(
    shop: Shop, kind: str, columns: list[str], reason: str
) -> None:
    policy(shop, **{kind: "quarantine"})
    land(shop, columns, 48, 10, "more.csv")
    report = shop.run()
    assert counts(report) == {"rows_in": 58, "validated": 48, "quarantined": 10, "reasons": {reason: 10}}
    assert {row["_source_key"] for row in shop.rows("quarantine", "orders", report)} == {"more.csv"}
    assert [(each["kind"], each["policy"], each["rows"]) for each in drift(report)["entries"]] == [
        (kind, "quarantine", 10)
    ]


def test_another_order_is_read_by_name_and_alarms_nobody(shop: Shop) -> None:
    land(shop, [*reversed(COLUMNS)])
    report = shop.run()
    assert counts(report)["validated"] == 48
    assert (drift(report)["count"], drift(report)["alarming"]) == (1, 0)
    observed = "returned, country, amount, placed, customer, order"
    assert drift(report)["entries"] == [entry("reordered", None, ", ".join(COLUMNS), observed, "accept", 48)]


def test_another_order_may_stop_the_batch(shop: Shop) -> None:
    policy(shop, reordered="stop")
    land(shop, [*reversed(COLUMNS)])
    with pytest.raises(BadSchema, match=r"orders\.csv: columns are in another order: returned, country"):
        shop.run()


@pytest.mark.parametrize(
    "policies", [{"added": "accept", "dropped": "accept"}, {"added": "quarantine", "dropped": "quarantine"}]
)
def test_a_file_without_any_declared_column_always_stops_the_batch(shop: Shop, policies: dict[str, str]) -> None:
    policy(shop, **policies)
    shop.land("orders", "orders.csv", b"a;b\n1;2\n")
    with pytest.raises(BadSchema, match=r"missing column 'order'.*unexpected column 'a;b'"):
        shop.run()


RETYPED = {"amount": "a lot"}


def test_rows_of_a_retyped_column_are_quarantined_and_the_drift_recorded_by_default(shop: Shop) -> None:
    shop.contract["quality"]["max_quarantined_share"] = 0.9
    land(shop, COLUMNS, 0, 30)
    land(shop, COLUMNS, 30, 18, "more.csv", **RETYPED)
    report = shop.run()
    assert counts(report)["reasons"] == {"column amount is not double": 18}
    assert drift(report)["entries"] == [
        entry("retyped", "amount", "double", "string", "quarantine_rows", 18, file="more.csv", reads=0.0)
    ]


def test_an_accepted_retyped_column_is_missing_where_it_does_not_read(shop: Shop) -> None:
    policy(shop, retyped="accept")
    shop.land_orders([*shop.orders(20), *[shop.order(number, amount="many") for number in range(20, 48)]])
    report = shop.run()
    assert counts(report) == {"rows_in": 48, "validated": 48, "quarantined": 0, "reasons": {}}
    amounts = [row["amount"] for row in sorted(shop.rows("validated", "orders", report), key=lambda row: row["order"])]
    assert amounts[19:21] == [29.5, None]
    assert drift(report)["entries"] == [entry("retyped", "amount", "double", "string", "accept", 28, reads=20 / 48)]


@pytest.mark.parametrize(("column", "value"), [("order", "x{}"), ("placed", "yesterday"), ("returned", "perhaps")])
def test_rows_lose_no_key_time_or_target_by_an_accepted_type(shop: Shop, column: str, value: str) -> None:
    policy(shop, retyped="accept")
    bad = [shop.order(number, **{column: value.format(number)}) for number in range(40)]
    shop.land_orders([*bad, *shop.orders(120)[40:]])
    shop.contract["sources"]["orders"]["drift"]["retyped_share"] = 0.3
    report = shop.run()
    assert counts(report)["quarantined"] == 40
    assert [(each["column"], each["policy"]) for each in drift(report)["entries"]] == [(column, "quarantine_rows")]


def test_a_retyped_column_quarantines_its_whole_file(shop: Shop) -> None:
    policy(shop, retyped="quarantine")
    land(shop, COLUMNS, 0, 30)
    shop.land_orders([shop.order(30), *[shop.order(number, amount="many") for number in range(31, 48)]], "more.csv")
    report = shop.run()
    reason = "schema drift of the file: column amount is retyped from double to string"
    assert counts(report)["reasons"] == {reason: 18}


def test_a_retyped_column_stops_the_batch_and_is_named(shop: Shop) -> None:
    policy(shop, retyped="stop")
    land(shop, COLUMNS, customer="1.0")
    with pytest.raises(BadSchema) as error:
        shop.run()
    told = "column customer is retyped from int to double, 0.00% of its values read as int (source orders)"
    assert str(error.value) == f"orders.csv: {told}"
    assert shop.written() == []


def test_no_source_is_written_when_another_one_stops_the_batch(shop: Shop) -> None:
    shop.contract["sources"]["customers"]["drift"] = {"retyped": "stop"}
    shop.land("customers", "customers.csv", b"customer,since,premium\n1,then,true\n")
    with pytest.raises(BadSchema, match=r"customers\.csv: column since is retyped from date to string"):
        shop.run()
    assert shop.written() == []


def test_a_few_values_that_do_not_read_are_errors_of_their_rows(shop: Shop) -> None:
    policy(shop, retyped="stop", retyped_share=0.1)
    shop.land_orders([shop.order(number, amount="many") if number < 4 else shop.order(number) for number in range(48)])
    report = shop.run()
    assert counts(report)["reasons"] == {"column amount is not double": 4}
    assert drift(report)["count"] == 0


def test_json_fields_drift_by_file_and_not_by_line(shop: Shop) -> None:
    policy(shop, added="accept", dropped="accept", reordered="stop")
    shop.contract["sources"]["orders"]["format"] = "json_lines"
    rows = [dict(zip(COLUMNS, line.split(","), strict=True)) for line in shop.orders()]
    objects = [
        {"colour": 1, "returned": row["returned"] == "true", "order": int(row["order"]), "placed": row["placed"]}
        | ({"country": row["country"]} if row["order"] == "7" else {})
        for row in rows
    ]
    shop.land("orders", "orders.csv", "\n".join(map(json.dumps, objects)).encode())
    report = shop.run()
    found = [(each["kind"], each["column"]) for each in drift(report)["entries"]]
    assert found == [("added", "colour"), ("dropped", "customer"), ("dropped", "amount")]
    assert counts(report)["validated"] == 48


# --- what a retyped column is called ----------------------------------------------------------------------------------

TYPES = {"n": "int", "b": "bigint", "x": "double", "d": "date", "t": "timestamp", "f": "boolean", "s": "string"}
Find = Callable[..., list[Drift]]


def source(**other: Any) -> Source:
    columns = tuple(Column(name, kind) for name, kind in TYPES.items())
    defaults: dict[str, Any] = {"time_zone": "UTC", "key": (), "known_later": (), "missing": ("", "NA")}
    return Source(name="things", columns=columns, **{**defaults, **other})


@pytest.fixture
def find(spark: SparkSession) -> Find:
    """Finds the drift of files that are given as the texts of one column each: file → (column, texts)."""

    def call(
        table: Source, files: dict[str, tuple[str, Sequence[str | None]]], problem: str | None = None
    ) -> list[Drift]:
        rows = [
            (*[text if name == column else None for name in TYPES], key, number + 1, position, problem)
            for position, (key, (column, texts)) in enumerate(files.items())
            for number, text in enumerate(texts)
        ]
        staged = Staged(tuple(StagedFile(key, len(texts), Seen()) for key, (_, texts) in files.items()))
        return find_drift(spark.createDataFrame(rows, staged_schema(table)), table, staged)

    return call


OBSERVED: list[tuple[str, list[str | None], str]] = [
    ("n", ["1.0", "2.0"], "double"),
    ("n", ["1e3", "7"], "double"),
    ("n", ["2147483648", "NA", "3", None], "bigint"),
    ("n", ["true", "false"], "boolean"),
    ("n", ["2024-01-01"], "date"),
    ("n", ["x", "2024-01-01"], "string"),
    ("b", ["1.5"], "double"),
    ("b", ["99999999999999999999"], "double"),
    ("x", ["1,5", "2,5"], "string"),
    ("d", ["2024-01-01T00:00:00", "2024-01-02 10:00"], "timestamp"),
    ("d", ["20240101"], "int"),
    ("t", ["2024-01-01"], "date"),
    ("t", ["1704067200"], "int"),
    ("f", ["2", "1"], "int"),
    ("f", ["yes", "no"], "string"),
]


def test_names_the_narrowest_type_that_all_values_of_a_retyped_column_read_as(find: Find) -> None:
    files = {f"{number}.csv": (column, texts) for number, (column, texts, _) in enumerate(OBSERVED)}
    found = find(source(), files)
    assert [(each.file, each.column, each.expected, each.observed) for each in found] == [
        (f"{number}.csv", column, TYPES[column], observed) for number, (column, _, observed) in enumerate(OBSERVED)
    ]


def test_counts_the_values_that_are_there(find: Find) -> None:
    (found,) = find(source(), {"a.csv": ("n", ["1", "NA", "", None, "x", "y"])})
    assert (found.rows, found.reads) == (2, 1 / 3)


@pytest.mark.parametrize(("share", "is_found"), [(0.25, True), (0.26, False)])
def test_a_column_is_retyped_from_the_share_on(find: Find, share: float, is_found: bool) -> None:
    table = source(drift=DriftPolicy(retyped_share=share))
    assert bool(find(table, {"a.csv": ("n", ["1", "2", "3", "x"])})) is is_found


def test_lines_that_are_no_rows_say_nothing_about_types(find: Find) -> None:
    assert find(source(), {"a.csv": ("n", ["x"])}, problem="line has 1 fields instead of 7") == []


def test_a_parquet_column_of_another_type_is_retyped_even_without_values(spark: SparkSession) -> None:
    table = source(format="parquet")
    rows = [(*[None] * len(TYPES), "a.parquet", 1, 0, None, ",n,")]
    staged = Staged((StagedFile("a.parquet", 1, Seen(kinds={"n": {"double"}})),))
    (found,) = find_drift(spark.createDataFrame(rows, staged_schema(table)), table, staged)
    assert (found.column, found.observed, found.rows, found.reads) == ("n", "double", 0, None)


def test_what_a_format_says_of_its_values_is_believed(spark: SparkSession) -> None:
    table = source(format="json_lines", drift=DriftPolicy(retyped="quarantine"))
    rows = [("12", *[None] * 6, "a.json", 1, 0, None, ",n,"), (*[None] * 6, "5", "a.json", 2, 0, None, ",s,")]
    staged = Staged((StagedFile("a.json", 2, Seen(kinds={"n": {"string"}, "s": {"bigint", "array"}})),))
    found = find_drift(spark.createDataFrame(rows, staged_schema(table)), table, staged)
    assert [(each.column, each.observed) for each in found] == [("n", "string"), ("s", "array or bigint")]
    assert handling_of(found, staged).refused == {
        0: "schema drift of the file: column n is retyped from int to string, "
        "column s is retyped from string to array or bigint"
    }


# --- the report -------------------------------------------------------------------------------------------------------


def any_drift(**other: Any) -> Drift:
    values: dict[str, Any] = {
        "source": "things", "file": "a.csv", "kind": "added", "column": "c", "expected": "absent",
        "observed": "present", "policy": "accept", "rows": 1,
    }  # fmt: skip
    return Drift(**{**values, **other})


def test_the_report_stays_small_and_names_what_alarms_first() -> None:
    harmless = [any_drift(kind="reordered", column=None, observed="x" * 1000)] * 200
    found = report_of_drift([*harmless, any_drift(column="y" * 1000)])
    assert (found["count"], found["alarming"], len(found["entries"])) == (201, 1, MOST_ENTRIES)
    assert found["entries"][0]["kind"] == "added"
    assert len(json.dumps(found)) < 100_000


def test_a_reason_names_a_few_findings_and_counts_the_others() -> None:
    staged = Staged((StagedFile("a.csv", 1, Seen()),))
    drifts = [any_drift(column=f"c{number}", policy="quarantine") for number in range(9)]
    reason = handling_of(drifts, staged).refused[0]
    assert reason.startswith("schema drift of the file: column 'c0' is added, ")
    assert reason.endswith("column 'c4' is added, and 4 more")
