"""What the data machine does with feature groups after a dataset is published."""

import json
from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.data import DataParts, data_machine
from constructs_lib.machines.feature_ingestion import IngestionParts
from tests.constructs_lib.machines.test_data_machine import GIVEN, any_answers, result

MONTHS = [
    {
        "zone": "curated",
        "table": "flight_delays_weather",
        "values": ["2013", month],
        "location": f"s3://curated/flight_delays/feature_store/weather/x/data/year=2013/month={month}/",
    }
    for month in ("01", "02")
]


def told(*, written: int = 5, refused: int = 0, partitions: list[dict[str, Any]] = MONTHS) -> list[dict[str, Any]]:
    return result({"Body": json.dumps({"written": written, "refused": refused, "partitions": partitions})})


@pytest.fixture
def definition(surroundings: Surroundings) -> dict[str, Any]:
    zones = {zone: zone for zone in ("validated", "quarantine", "curated", "datasets")}
    databases = {zone: f"dev_{zone}" for zone in ("validated", "quarantine", "curated")}
    parts = IngestionParts(
        job_name="ingest",
        job_minutes=30,
        contract_uri="s3://assets/contract.json",
        groups={"weather": "dev-flight-delays-weather"},
        datasets_bucket="datasets",
        quarantine_bucket="quarantine",
    )
    return data_machine(
        surroundings,
        DataParts(
            check_batch_arn="check",
            job_name="prepare",
            job_minutes=60,
            crawler_name="landing",
            contract_uri="s3://assets/contract.json",
            contract_digest="c0",
            bundles_uri="s3://artefacts/flight_delays/bundles/",
            engine="glue-5.1-x",
            buckets=zones,
            databases=databases,
            max_quarantined_share=0.05,
            ingestion=parts,
        ),
    )


def answers(**changed: Any) -> dict[str, Any]:
    return any_answers(
        **{"IngestFeatures": result({}), "ReadIngestion": told(), "CountFeatureRecords": result({}), **changed}
    )


def test_puts_the_records_of_the_published_dataset(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, answers())
    assert done.status == "SUCCEEDED"
    arguments = done.arguments("IngestFeatures")["Arguments"]
    assert arguments["--version"] == "v1"
    assert arguments["--group_names"] == '{"weather": "dev-flight-delays-weather"}'
    assert done.path.index("IndexDataset") < done.path.index("IngestFeatures") < done.path.index("RecordRun")


def test_every_month_of_the_history_is_a_partition_beside_those_of_the_dataset(
    definition: dict[str, Any], walk: Any
) -> None:
    done = walk(definition, GIVEN, answers())
    registered = [
        (each["arguments"]["TableName"], each["arguments"]["PartitionInput"]["Values"])
        for each in done.calls
        if each["state"] == "CreatePartition"
    ]
    assert ("flight_delays_weather", ["2013", "01"]) in registered
    assert ("flight_delays_weather", ["2013", "02"]) in registered
    assert all(values == ["v1"] for table, values in registered if table != "flight_delays_weather")
    assert len(registered) > 2


@pytest.mark.parametrize("partitions", [[], MONTHS[:1]])
def test_a_history_of_one_month_or_none_is_no_trouble(
    definition: dict[str, Any], walk: Any, partitions: list[dict[str, Any]]
) -> None:
    done = walk(definition, GIVEN, answers(ReadIngestion=told(partitions=partitions)))
    assert done.status == "SUCCEEDED"
    months = [
        each["arguments"]["PartitionInput"]["Values"]
        for each in done.calls
        if each["state"] == "CreatePartition" and each["arguments"]["TableName"] == "flight_delays_weather"
    ]
    assert months == [each["values"] for each in partitions]


def test_records_that_were_not_taken_are_counted_and_fail_nothing(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, answers(ReadIngestion=told(written=3, refused=2)))
    figures = {each["MetricName"]: each["Value"] for each in done.arguments("CountFeatureRecords")["MetricData"]}
    assert figures == {"FeatureRecordsWritten": 3, "FeatureRecordsRefused": 2}
    assert done.status == "SUCCEEDED"


def test_a_dataset_that_was_published_before_goes_in_too(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, answers(FindDataset=result({"KeyCount": 1})))
    assert "PrepareDataset" not in done.path
    assert "IngestFeatures" in done.path


def test_a_job_that_failed_fails_the_run(definition: dict[str, Any], walk: Any) -> None:
    failed = [{"error": "States.TaskFailed", "cause": "killed"}]
    done = walk(definition, GIVEN, answers(IngestFeatures=failed))
    assert done.status == "FAILED"
    assert "RegisterPartitions" not in done.path
