"""What the data machine does besides where datasets accumulate."""

import json
from dataclasses import replace
from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.data import DataParts, data_machine

GIVEN = {
    "run_id": "0123456789abcdef-1",
    "workload": "flight_delays",
    "batch_uri": "s3://landing/flight_delays/april/_batch.json",
    "as_of": "2013-05-01T00:00:00Z",
    "bundle": {"bundle": "b" * 64, "uri": "s3://artefacts/bundle.tar.gz", "commit": "c0ffee"},
}
PIECES = ["s3://datasets/flight_delays/v1/attempt=a/partitions-0000.json"]
TABLES = [{"zone": "validated", "table": "flight_delays_flights", "location": "s3://validated/f/"}]
MANIFEST = {"version": "v1", "tables": TABLES, "day_partitions": PIECES, "report_uri": "r", "profile_uri": "p"}
VALIDATION = {
    "rows_in": 1,
    "rows_validated": 1,
    "rows_quarantined": 0,
    "quarantined_share": 0,
    "sources": {"flights": {"validated": 1}},
    "rules": [],
    "drift": {"count": 0, "alarming": 0, "entries": []},
}
DAYS = [{"day": f"2013-04-{day:02}", "location": f"s3://curated/{day}/"} for day in (1, 2)]


def result(value: Any) -> list[dict[str, Any]]:
    return [{"result": value}]


def body(value: Any) -> list[dict[str, Any]]:
    return result({"Body": json.dumps(value)})


def any_answers(**changed: Any) -> dict[str, Any]:
    """Everything goes well."""
    checked = {"Payload": {"version": "v1", "inputs": [], "as_of": "2013-05-01T00:00:00Z", "parent": "v0"}}
    return {
        "CheckBatch": result(checked),
        "FindDataset": result({"KeyCount": 0}),
        "StartCrawler": result({}),
        "DescribeCrawler": result({"Crawler": {"State": "READY", "LastCrawl": {"Status": "SUCCEEDED"}}}),
        "PrepareDataset": result({"JobRunState": "SUCCEEDED"}),
        "ReadReport": body({"phases": {"validation": VALIDATION, "exploration": {}, "cleaning": {}, "splitting": {}}}),
        "PublishMetrics": result({}),
        "ReadCandidate": body(MANIFEST),
        "CheckAgain": result(checked),
        "PublishDataset": result({"ETag": "e"}),
        "ReadPublished": body(MANIFEST),
        "IndexDataset": result({"ETag": "e"}),
        "DescribeTable": result({"Table": {"StorageDescriptor": {}}}),
        "CreatePartition": result({}),
        "DescribeFeatures": result({"Table": {"StorageDescriptor": {"Columns": ["c"], "Location": "s3://old/"}}}),
        "ReadDays": body({"partitions": DAYS}),
        "CreateDays": result({"Errors": []}),
        "RecordRun": result({}),
        "RecordFailure": result({}),
        "NotifyFailure": result({}),
        **changed,
    }


def any_parts(**changed: Any) -> DataParts:
    zones = {zone: zone for zone in ("validated", "quarantine", "curated", "datasets")}
    databases = {zone: f"dev_{zone}" for zone in ("validated", "quarantine", "curated")}
    parts = DataParts(
        check_batch_arn="check",
        job_name="prepare",
        job_minutes=60,
        crawler_name="landing",
        contract_uri="s3://a/c.json",
        contract_digest="c0",
        bundles_uri="s3://artefacts/flight_delays/bundles/",
        engine="glue-5.1-x",
        buckets=zones,
        databases=databases,
        max_quarantined_share=0.05,
        accumulates=True,
    )
    return replace(parts, **changed)


@pytest.fixture
def definition(surroundings: Surroundings) -> dict[str, Any]:
    return data_machine(surroundings, any_parts())


def test_the_job_is_told_the_parent_that_the_check_found(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers())
    assert done.status == "SUCCEEDED"
    assert done.arguments("PrepareDataset")["Arguments"]["--parent"] == "v0"


def test_points_the_catalogue_at_every_day(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers())
    assert done.arguments("ReadDays")["Key"] == "flight_delays/v1/attempt=a/partitions-0000.json"
    created = done.arguments("CreateDays")
    assert (created["DatabaseName"], created["TableName"]) == ("dev_curated", "flight_delays_features")
    assert created["PartitionInputList"] == [
        {"Values": ["v1", day["day"]], "StorageDescriptor": {"Columns": ["c"], "Location": day["location"]}}
        for day in DAYS
    ]


def test_a_single_day_is_a_list_too(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(ReadDays=body({"partitions": DAYS[:1]})))
    assert len(done.arguments("CreateDays")["PartitionInputList"]) == 1


def test_days_that_are_there_already_are_as_good(definition: dict[str, Any], walk: Any) -> None:
    there = [{"PartitionValues": ["v1", "x"], "ErrorDetail": {"ErrorCode": "AlreadyExistsException"}}]
    assert walk(definition, GIVEN, any_answers(CreateDays=result({"Errors": there}))).status == "SUCCEEDED"


def test_a_day_that_the_catalogue_does_not_take_fails_the_run(definition: dict[str, Any], walk: Any) -> None:
    refused = [{"PartitionValues": ["v1", "x"], "ErrorDetail": {"ErrorCode": "InternalServiceException"}}]
    done = walk(definition, GIVEN, any_answers(CreateDays=result({"Errors": refused})))
    assert (done.status, "DaysRefused" in json.dumps(done.arguments("RecordFailure"))) == ("FAILED", True)


@pytest.mark.parametrize("state", ["ReadDays", "CreateDays", "DescribeFeatures", "CheckAgain"])
def test_failures_of_these_states_are_told_like_all_others(definition: dict[str, Any], walk: Any, state: str) -> None:
    done = walk(definition, GIVEN, any_answers(**{state: [{"error": "Glue.AccessDeniedException", "cause": "no"}]}))
    assert done.status == "FAILED"
    assert "NotifyFailure" in done.path


def test_nothing_is_published_when_another_dataset_was_meanwhile(definition: dict[str, Any], walk: Any) -> None:
    other = {"Payload": {"version": "v2", "inputs": [], "as_of": "2013-05-01T00:00:00Z", "parent": "v1"}}
    done = walk(definition, GIVEN, any_answers(CheckAgain=result(other)))
    assert done.status == "FAILED"
    assert "PublishDataset" not in done.path
    assert "ParentChanged" in json.dumps(done.arguments("RecordFailure"))


def test_answers_that_came_meanwhile_are_for_the_next_dataset(surroundings: Surroundings, walk: Any) -> None:
    uri = "s3://artefacts/flight_delays/relabelling/answered/00000007.jsonl"
    checked = {**any_answers()["CheckBatch"][0]["result"]["Payload"], "answers_uri": uri}
    definition = data_machine(surroundings, any_parts(relabels=True))
    done = walk(definition, GIVEN, any_answers(CheckBatch=result({"Payload": checked})))
    assert done.status == "SUCCEEDED", done.cause
    assert done.arguments("PrepareDataset")["Arguments"]["--answers_uri"] == uri
    assert done.arguments("CheckAgain")["Payload"] == {**done.arguments("CheckBatch")["Payload"], "answers_uri": uri}


def test_what_was_published_before_is_catalogued_again(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(FindDataset=result({"KeyCount": 1})))
    assert done.status == "SUCCEEDED"
    assert "CreateDays" in done.path and "CheckAgain" not in done.path
