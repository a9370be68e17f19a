"""A workload of somebody else goes the whole way, with every option switched on."""

import csv
import datetime as dt
import gzip
import io
from dataclasses import replace
from typing import Any

import pytest

from local.chain import Chain
from local.executions import Execution
from tests.end_to_end.habits import Habits
from tests.end_to_end.lake import query, scanned_bytes
from tests.end_to_end.live import Live
from tests.end_to_end.second_project import data_input
from tests.everything.orders import ORDERS, REGIONS, OrderBatch, csv_gz, order_batch


def test_another_workload_gets_from_landed_files_to_a_served_model(march: Chain) -> None:
    assert march.outcome() == "deployed", march


def test_dataset_history_online_store_and_model_have_the_same_features(everything: Live, march: Chain) -> None:
    habits = Habits(everything, "customer_habits")
    dataset = habits.of_dataset()
    assert len(dataset) == 400
    assert habits.of_rows_by(habits.history()) == dataset
    assert habits.online() == habits.newest(habits.history())
    assert habits.count_by_query("2024", "03") == sum(len(moments) for moments in habits.history().values())
    assert habits.count_by_query("2024", "02") == 0
    assert any(known["orders_before"] > 5 for known in dataset.values())
    for as_of in ("2024-03-11T00:00:00Z", "2024-03-15T12:00:00Z", "2024-06-01T00:00:00Z"):
        asked = habits.ask(as_of)
        assert asked.got == {customer: habits.known(customer, as_of) for customer in habits.customers}
        assert asked.fell_back == {customer for customer in habits.customers if habits.is_default(customer, as_of)}


def add(live: Live, first_day: dt.date, days: int, *sources: str) -> Execution:
    """Runs the data machine alone on orders of some days; the batch holds these sources only."""
    whole = order_batch(first_day, days)
    files = {key: body for key, body in whole.files.items() if whole.sources[key] in sources}
    return live.run("data", data_input(live, replace(whole, files=files), first_day.isoformat()))


@pytest.fixture(scope="session")
def begun(daily: Live) -> dict[str, Any]:
    """The first dataset of daily orders, all sources being in its batch."""
    done = add(daily, dt.date(2024, 3, 1), 10, "orders", "customers")
    assert done.status == "SUCCEEDED", (done.error, done.cause)
    dataset: dict[str, Any] = done.output["dataset"]
    return dataset


def test_a_batch_of_what_is_new_is_added_to_the_dataset_before_it(daily: Live, begun: dict[str, Any]) -> None:
    done = add(daily, dt.date(2024, 3, 11), 2, "orders")
    assert done.status == "SUCCEEDED", (done.error, done.cause)
    dataset = done.output["dataset"]
    assert dataset["parent"] == begun["version"]
    assert sum(split["rows"] for split in dataset["splits"].values()) == 12 * 40
    assert done.output["phases"]["accumulation"]["days_written"] == 2
    prefix, *files = daily.read_json(dataset["splits"]["train"]["manifest_uri"])
    assert all(f"version={begun['version']}/" in file for file in files)
    assert all(daily.uris(prefix["prefix"] + file) for file in files)
    table = "every_curated.daily_orders_features"
    whole = f"SELECT count(*) FROM {table} WHERE version = '{dataset['version']}'"  # noqa: S608
    assert query(daily, whole) == [["480"]]
    one_day = f"{whole} AND event_day = '2024-03-11'"
    assert query(daily, one_day) == [["40"]]
    assert 0 < scanned_bytes(daily, one_day) < scanned_bytes(daily, whole) / 6


def test_a_batch_that_later_datasets_would_not_have_is_refused(daily: Live, begun: dict[str, Any]) -> None:
    done = add(daily, dt.date(2024, 2, 20), 4, "orders")
    assert (done.status, done.error) == ("FAILED", "BadBatch")
    assert "land it again with a later one" in str(done.cause)


def drifted_batch() -> OrderBatch:
    """Orders of ten days, the first hundred of them twice; customers with other columns than declared."""
    batch = order_batch(dt.date(2024, 4, 1), 10, seed=2)
    orders = list(csv.reader(io.StringIO(gzip.decompress(batch.files["orders.csv.gz"]).decode())))[1:]
    newer = [[number, customer, f"{at[:-3]}30Z", *others] for number, customer, at, *others in orders[:100]]
    customers = [[REGIONS[number % 3], "gold", f"c{number:02}"] for number in range(30)]
    files = {
        **batch.files,
        "newer.csv.gz": csv_gz(ORDERS, newer),
        "customers.csv.gz": csv_gz(["region", "loyalty", "customer"], customers),
    }
    return replace(batch, files=files, sources={**batch.sources, "newer.csv.gz": "orders"})


def drift_metric(live: Live) -> float:
    """How many findings were counted in the last hour."""
    now = dt.datetime.now(dt.UTC)
    found = live.client("cloudwatch").get_metric_statistics(
        Namespace="Gapless",
        MetricName="SchemaDrift",
        Dimensions=[{"Name": "Stage", "Value": "every"}, {"Name": "Workload", "Value": "orders"}],
        StartTime=now - dt.timedelta(hours=1),
        EndTime=now + dt.timedelta(minutes=1),
        Period=7200,
        Statistics=["Sum"],
    )["Datapoints"]
    return float(sum(point["Sum"] for point in found))


def test_drifted_files_and_newer_rows_are_handled_as_the_workload_says(everything: Live) -> None:
    before = drift_metric(everything)
    done = everything.run("data", data_input(everything, drifted_batch(), "april"))
    assert done.status == "SUCCEEDED", (done.error, done.cause)
    found = done.output["phases"]["validation"]
    assert found["sources"]["orders"]["reasons"] == {"superseded by a newer row of the same key": 100}
    assert found["quarantined_share"] == 0
    assert [(each["kind"], each["column"], each["policy"]) for each in found["drift"]["entries"]] == [
        ("added", "loyalty", "accept"),
        ("dropped", "since", "accept"),
        ("reordered", None, "accept"),
    ]
    assert drift_metric(everything) - before == 2


def test_a_batch_is_held_against_the_datasets_before_it(everything: Live, march: Chain) -> None:
    usual = [order_batch(dt.date(2024, month, 1), 10) for month in (5, 6)]
    first, second = (everything.run("data", data_input(everything, batch, batch.as_of)) for batch in usual)
    assert (first.status, second.status) == ("SUCCEEDED", "SUCCEEDED"), (first.cause, second.cause)
    reports = [everything.read_json(run.output["dataset"]["report_uri"]) for run in (first, second)]
    assert reports[1]["phases"]["validation"]["compared_with"][-1] == reports[0]["version"]
    assert all(rule["passed"] for rule in reports[1]["phases"]["validation"]["rules"])
    many = order_batch(dt.date(2024, 7, 1), 10, per_day=400)
    third = everything.run("data", data_input(everything, many, many.as_of))
    assert (third.status, third.error) == ("FAILED", "RuleFailed")
    assert "RowCount between 0.01 * avg(last(5)) and 9 * avg(last(5))" in str(third.cause)


def test_the_rules_of_each_source_are_on_its_table(everything: Live) -> None:
    listed = everything.client("glue").list_data_quality_rulesets()["Rulesets"]
    mine = [each for each in listed if each["Name"].startswith("every-orders-")]
    tables = {each["Name"]: each["TargetTable"]["TableName"] for each in mine}
    assert tables == {"every-orders-rules-orders": "orders_orders", "every-orders-rules-customers": "orders_customers"}
    ruleset = everything.client("glue").get_data_quality_ruleset(Name="every-orders-rules-orders")["Ruleset"]
    assert 'ReferentialIntegrity "customer" "customers.customer" > 0.9' in ruleset
    assert "last(" not in ruleset
