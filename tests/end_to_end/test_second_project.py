"""A workload of somebody else goes the whole way, with every option switched on."""

import csv
import datetime as dt
import gzip
import io
import json
from dataclasses import replace
from typing import Any

import pytest

from local.chain import Chain
from local.executions import Execution
from tests.end_to_end.lake import query, scanned_bytes
from tests.end_to_end.live import Live
from tests.end_to_end.second_project import data_input, land
from tests.everything.orders import ORDERS, REGIONS, OrderBatch, csv_gz, order_batch


@pytest.fixture(scope="session")
def march(everything: Live) -> Chain:
    """What the first ten days of March set off, all sources being in the batch."""
    return everything.chain_of(land(everything, order_batch(dt.date(2024, 3, 1), 10), "march"))


def prepare(live: Live, first_day: dt.date, days: int) -> Execution:
    """Runs the data machine alone on orders of some days, without customers."""
    whole = order_batch(first_day, days)
    batch = OrderBatch({"orders.csv.gz": whole.files["orders.csv.gz"]}, whole.sources, whole.as_of)
    place = f"{live.zone('landing')}{first_day}/"
    live.write(f"{place}orders.csv.gz", batch.files["orders.csv.gz"])
    live.write(f"{place}by-hand.json", json.dumps(batch.document()).encode())
    return live.run("data", {"batch_uri": f"{place}by-hand.json", "as_of": batch.as_of, "bundle": live.bundle})


def test_another_workload_gets_from_landed_files_to_a_served_model(march: Chain) -> None:
    assert march.outcome() == "deployed", march


def test_a_batch_of_what_is_new_is_added_to_the_dataset_before_it(everything: Live, march: Chain) -> None:
    data = march.of("data")
    assert data is not None
    before = data.output["dataset"]
    done = prepare(everything, dt.date(2024, 3, 11), 2)
    assert done.status == "SUCCEEDED", (done.error, done.cause)
    dataset = done.output["dataset"]
    assert dataset["parent"] == before["version"]
    assert sum(split["rows"] for split in dataset["splits"].values()) == 12 * 40
    assert done.output["phases"]["accumulation"]["days_written"] == 2
    prefix, *files = everything.read_json(dataset["splits"]["train"]["manifest_uri"])
    assert all(f"version={before['version']}/" in file for file in files)
    assert all(everything.uris(prefix["prefix"] + file) for file in files)
    whole = f"SELECT count(*) FROM every_curated.orders_features WHERE version = '{dataset['version']}'"  # noqa: S608
    assert query(everything, whole) == [["480"]]
    one_day = f"{whole} AND event_day = '2024-03-11'"
    assert query(everything, one_day) == [["40"]]
    assert 0 < scanned_bytes(everything, one_day) < scanned_bytes(everything, whole) / 6


def test_a_batch_that_later_datasets_would_not_have_is_refused(everything: Live, march: Chain) -> None:
    done = prepare(everything, dt.date(2024, 2, 20), 4)
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
    batch, before = drifted_batch(), drift_metric(everything)
    place = f"{everything.zone('landing')}april/"
    for key, body in batch.files.items():
        everything.write(place + key, body)
    document: dict[str, Any] = {"batch_uri": f"{place}drifted.json", "as_of": batch.as_of, "bundle": everything.bundle}
    everything.write(document["batch_uri"], json.dumps(batch.document()).encode())
    done = everything.run("data", document)
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
    reports = [everything.read_json(run.output["dataset"]["report_uri"]) for run in (first, second)]
    assert reports[1]["phases"]["validation"]["compared_with"][-1] == reports[0]["version"]
    assert all(rule["passed"] for rule in reports[1]["phases"]["validation"]["rules"])
    many = order_batch(dt.date(2024, 7, 1), 10, per_day=400)
    third = everything.run("data", data_input(everything, many, many.as_of))
    assert (third.status, third.error) == ("FAILED", "RuleFailed")
    assert "RowCount between 0.01 * avg(last(5)) and 9 * avg(last(5))" in str(third.cause)


def test_the_rules_of_each_source_are_on_its_table(everything: Live) -> None:
    listed = everything.client("glue").list_data_quality_rulesets()["Rulesets"]
    tables = {each["Name"]: each["TargetTable"]["TableName"] for each in listed}
    assert tables == {"every-orders-rules-orders": "orders_orders", "every-orders-rules-customers": "orders_customers"}
    ruleset = everything.client("glue").get_data_quality_ruleset(Name="every-orders-rules-orders")["Ruleset"]
    assert 'ReferentialIntegrity "customer" "customers.customer" > 0.9' in ruleset
    assert "last(" not in ruleset
