import copy
import json
from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.data import DataParts, data_machine
from constructs_lib.names.batch import index_key

RUN_ID = "0123456789abcdef-1"
GIVEN = {
    "run_id": RUN_ID,
    "workload": "flight_delays",
    "batch_uri": "s3://landing/flight_delays/april/_batch.json",
    "as_of": "2013-05-01T00:00:00Z",
    "bundle": {"bundle": "b" * 64, "uri": "s3://artefacts/bundle.tar.gz", "commit": "c0ffee"},
    "triggered_by": {"event": "e"},
}
REPORT: dict[str, Any] = {
    "phases": {
        "validation": {
            "rows_in": 100,
            "rows_validated": 98,
            "rows_quarantined": 2,
            "quarantined_share": 0.02,
            "sources": {"flights": {"validated": 90}, "weather": {"validated": 8}},
            "rules": [
                {"rule": "RowCount > 1", "blocking": True, "passed": True},
                {"rule": 'ColumnValues "hour" < 24', "blocking": False, "passed": False},
            ],
            "drift": {"count": 3, "alarming": 2, "entries": [{"kind": "added", "column": "colour"}]},
        },
        "exploration": {"rows": 90},
        "cleaning": {"rows_in": 90, "rows_out": 90},
        "splitting": {"train": {"rows": 70}},
    }
}
MANIFEST = {
    "version": "v1",
    "tables": [
        {"zone": "validated", "table": "flight_delays_flights", "location": "s3://validated/f/"},
        {"zone": "curated", "table": "flight_delays_features", "location": "s3://curated/f/"},
    ],
    "report_uri": "s3://datasets/report.json",
    "profile_uri": "s3://datasets/profile.json",
}
CONDITION = {
    "error": "S3.S3Exception",
    "cause": "At least one of the pre-conditions you specified did not hold (Service: S3, Status Code: 412)",
}


def result(value: Any) -> list[dict[str, Any]]:
    return [{"result": value}]


def body(value: Any) -> list[dict[str, Any]]:
    return result({"Body": json.dumps(value)})


def any_answers(**changed: Any) -> dict[str, Any]:
    """Everything goes well."""
    return {
        "CheckBatch": result({"Payload": {"version": "v1", "inputs": [], "as_of": "2013-05-01T00:00:00Z"}}),
        "FindDataset": result({"KeyCount": 0}),
        "StartCrawler": result({}),
        "DescribeCrawler": result({"Crawler": {"State": "READY", "LastCrawl": {"Status": "SUCCEEDED"}}}),
        "CountFailedCrawl": result({}),
        "PrepareDataset": result({"JobRunState": "SUCCEEDED"}),
        "ReadReport": body(REPORT),
        "PublishMetrics": result({}),
        "ReadCandidate": body(MANIFEST),
        "PublishDataset": result({"ETag": "e"}),
        "ReadPublished": body(MANIFEST),
        "IndexDataset": result({"ETag": "e"}),
        "DescribeTable": result({"Table": {"StorageDescriptor": {"Columns": [], "Location": "s3://old/"}}}),
        "CreatePartition": result({}),
        "UpdatePartition": result({}),
        "RecordRun": result({}),
        "RecordFailure": result({}),
        "NotifyFailure": result({}),
        **changed,
    }


@pytest.fixture
def definition(surroundings: Surroundings) -> dict[str, Any]:
    zones = {zone: zone for zone in ("validated", "quarantine", "curated", "datasets")}
    databases = {zone: f"dev_{zone}" for zone in ("validated", "quarantine", "curated")}
    parts = DataParts(
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
    )
    return data_machine(surroundings, parts)


def report_with(**validation: Any) -> list[dict[str, Any]]:
    report = copy.deepcopy(REPORT)
    report["phases"]["validation"].update(validation)
    return body(report)


def test_publishes_a_batch_as_a_dataset(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers())
    assert done.status == "SUCCEEDED"
    assert done.output == {"dataset": MANIFEST, "phases": REPORT["phases"]}


def test_the_job_gets_every_argument_that_it_needs(definition: dict[str, Any], walk: Any) -> None:
    arguments = walk(definition, GIVEN, any_answers()).arguments("PrepareDataset")["Arguments"]
    assert arguments == {
        "--batch_uri": GIVEN["batch_uri"],
        "--contract_uri": "s3://assets/contract.json",
        "--bundle_uri": "s3://artefacts/bundle.tar.gz",
        "--version": "v1",
        "--attempt": f"{RUN_ID}-0-0",
        "--as_of": "2013-05-01T00:00:00Z",
        "--engine": "glue-5.1-x",
        "--validated_uri": "s3://validated/flight_delays/",
        "--quarantine_uri": "s3://quarantine/flight_delays/",
        "--curated_uri": "s3://curated/flight_delays/",
        "--datasets_uri": "s3://datasets/flight_delays/",
    }


def test_reads_what_this_attempt_wrote(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers())
    assert done.arguments("ReadReport")["Key"] == f"flight_delays/v1/attempt={RUN_ID}-0-0/report.json"
    assert done.arguments("ReadCandidate")["Key"] == f"flight_delays/v1/attempt={RUN_ID}-0-0/manifest.json"


def test_publishes_by_one_write_that_never_overwrites(definition: dict[str, Any], walk: Any) -> None:
    published = walk(definition, GIVEN, any_answers()).arguments("PublishDataset")
    assert published["Key"] == "flight_delays/v1/manifest.json"
    assert published["IfNoneMatch"] == "*"
    assert published["Body"] == MANIFEST


@pytest.mark.parametrize(
    ("as_of", "stamp"),
    [
        ("2013-05-01T00:00:00Z", "20130501T000000.000000Z"),
        ("2013-05-01T04:05:06.000007Z", "20130501T040506.000007Z"),
    ],
)
def test_enters_a_published_dataset_into_the_index_by_its_time(
    definition: dict[str, Any], walk: Any, as_of: str, stamp: str
) -> None:
    checked = result({"Payload": {"version": "v1", "inputs": [], "as_of": as_of}})
    entered = walk(definition, GIVEN, any_answers(CheckBatch=checked)).arguments("IndexDataset")
    assert entered["Key"] == f"flight_delays/index/{stamp}_v1.json"
    assert entered["Key"].endswith(index_key("v1", as_of))
    assert entered["Body"] == {
        "version": "v1",
        "as_of": as_of,
        "manifest_uri": "s3://datasets/flight_delays/v1/manifest.json",
        "report_uri": "s3://datasets/report.json",
        "profile_uri": "s3://datasets/profile.json",
    }


def test_enters_a_dataset_that_was_published_before(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(FindDataset=result({"KeyCount": 1})))
    assert "IndexDataset" in done.path


def test_takes_what_somebody_else_published_meanwhile(definition: dict[str, Any], walk: Any) -> None:
    theirs = {**MANIFEST, "attempt": "theirs"}
    done = walk(definition, GIVEN, any_answers(PublishDataset=[CONDITION], ReadPublished=body(theirs)))
    assert done.status == "SUCCEEDED"
    assert done.output["dataset"]["attempt"] == "theirs"


def test_does_not_take_another_error_of_the_store_for_a_publication(definition: dict[str, Any], walk: Any) -> None:
    denied = {"error": "S3.S3Exception", "cause": "Access Denied (Service: S3, Status Code: 403)"}
    done = walk(definition, GIVEN, any_answers(PublishDataset=[denied]))
    assert done.status == "FAILED"
    assert "ReadPublished" not in done.path


def test_starts_no_job_for_a_dataset_that_is_published(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(FindDataset=result({"KeyCount": 1})))
    assert done.status == "SUCCEEDED"
    assert "PrepareDataset" not in done.path
    assert done.output == {"dataset": MANIFEST, "phases": {}}
    assert "RegisterPartitions" in done.path


def test_partitions_have_the_schema_of_their_table_and_the_files_of_the_attempt(
    definition: dict[str, Any], walk: Any
) -> None:
    created = walk(definition, GIVEN, any_answers()).arguments("CreatePartition")
    assert created == {
        "DatabaseName": "dev_curated",
        "TableName": "flight_delays_features",
        "PartitionInput": {"Values": ["v1"], "StorageDescriptor": {"Columns": [], "Location": "s3://curated/f/"}},
    }


def test_a_partition_that_exists_is_pointed_at_the_published_files(definition: dict[str, Any], walk: Any) -> None:
    exists = [{"error": "Glue.AlreadyExistsException", "cause": "Partition already exists."}]
    done = walk(definition, GIVEN, any_answers(CreatePartition=exists))
    assert done.status == "SUCCEEDED"
    updated = done.arguments("UpdatePartition")
    assert updated["PartitionValueList"] == ["v1"]
    assert updated["PartitionInput"]["StorageDescriptor"]["Location"] == "s3://curated/f/"


@pytest.mark.parametrize(
    ("validation", "error", "cause"),
    [
        ({"rows_validated": 97}, "RowsLost", "100 rows came in, but 97 were validated and 2 quarantined"),
        (
            {"rows_validated": 90, "rows_quarantined": 10, "quarantined_share": 0.1},
            "QuarantineLimitExceeded",
            "10 of 100 rows were quarantined, a share of 0.1; allowed is 0.05",
        ),
        (
            {"rules": [{"rule": "RowCount > 1000", "blocking": True, "passed": False}]},
            "RuleFailed",
            "rules that the batch does not keep: RowCount > 1000",
        ),
        (
            {"sources": {"flights": {"validated": 98}, "weather": {"validated": 0}}},
            "SourceEmpty",
            "no row is valid of: weather",
        ),
    ],
)
def test_refuses_a_bad_batch_with_the_figures(
    definition: dict[str, Any], walk: Any, validation: dict[str, Any], error: str, cause: str
) -> None:
    done = walk(definition, GIVEN, any_answers(ReadReport=report_with(**validation)))
    assert (done.status, done.error) == ("FAILED", error)
    assert done.cause == f"{cause}; report: s3://datasets/flight_delays/v1/attempt={RUN_ID}-0-0/report.json"
    assert "PublishDataset" not in done.path


def test_publishes_how_good_a_batch_was_even_when_it_is_refused(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(ReadReport=report_with(rows_validated=97)))
    figures = {each["MetricName"]: each["Value"] for each in done.arguments("PublishMetrics")["MetricData"]}
    assert figures == {
        "RowsIn": 100, "RowsValidated": 97, "RowsQuarantined": 2, "QuarantinedShare": 0.02, "SchemaDrift": 2,
    }  # fmt: skip


def test_shows_the_drift_before_it_judges_the_batch(definition: dict[str, Any], walk: Any) -> None:
    assert definition["States"]["SchemaDrift"]["Assign"] == {"drift_figures": "{% $phases.validation.drift %}"}
    path = walk(definition, GIVEN, any_answers()).path
    assert path.index("SchemaDrift") == path.index("Validation") - 1


def test_a_share_at_the_limit_is_accepted(definition: dict[str, Any], walk: Any) -> None:
    report = report_with(rows_validated=95, rows_quarantined=5, quarantined_share=0.05)
    assert walk(definition, GIVEN, any_answers(ReadReport=report)).status == "SUCCEEDED"


def test_a_running_crawler_is_as_good_as_a_started_one(definition: dict[str, Any], walk: Any) -> None:
    running = [{"error": "Glue.CrawlerRunningException", "cause": "running"}]
    done = walk(definition, GIVEN, any_answers(StartCrawler=running))
    assert done.status == "SUCCEEDED"
    assert "Crawled" in done.path


@pytest.mark.parametrize(
    "changed",
    [
        {"StartCrawler": [{"error": "Glue.EntityNotFoundException", "cause": "no crawler"}]},
        {"DescribeCrawler": [{"error": "Glue.EntityNotFoundException", "cause": "no crawler"}]},
        {"DescribeCrawler": result({"Crawler": {"State": "READY", "LastCrawl": {"Status": "FAILED"}}})},
        {"DescribeCrawler": result({"Crawler": {"State": "RUNNING"}})},
    ],
)
def test_a_failed_crawl_is_counted_and_fails_nothing(
    definition: dict[str, Any], walk: Any, changed: dict[str, Any]
) -> None:
    done = walk(definition, GIVEN, any_answers(**changed))
    assert done.status == "SUCCEEDED"
    assert done.arguments("CountFailedCrawl")["MetricData"][0]["MetricName"] == "CrawlFailed"
    assert done.seconds <= 21 * 60


def test_not_even_counting_a_failed_crawl_fails_the_run(definition: dict[str, Any], walk: Any) -> None:
    down = [{"error": "CloudWatch.CloudWatchException", "cause": "down"}]
    crawler = result({"Crawler": {"State": "READY", "LastCrawl": {"Status": "FAILED"}}})
    done = walk(definition, GIVEN, any_answers(DescribeCrawler=crawler, CountFailedCrawl=down))
    assert done.status == "SUCCEEDED"


def test_a_refused_batch_ends_with_the_functions_own_words(definition: dict[str, Any], walk: Any) -> None:
    cause = json.dumps({"errorType": "BadBatch", "errorMessage": "source planes is missing", "stackTrace": []})
    done = walk(definition, GIVEN, any_answers(CheckBatch=[{"error": "BadBatch", "cause": cause}]))
    assert (done.status, done.error, done.cause) == ("FAILED", "BadBatch", "source planes is missing")


def test_a_refused_schema_has_its_name_although_the_job_only_has_a_message(
    definition: dict[str, Any], walk: Any
) -> None:
    message = "Error Category: UNCLASSIFIED_ERROR; BadSchema: flights.csv has no column hour"
    failed = {"error": "States.TaskFailed", "cause": json.dumps({"JobRunState": "FAILED", "ErrorMessage": message})}
    done = walk(definition, GIVEN, any_answers(PrepareDataset=[failed]))
    assert (done.status, done.error, done.cause) == ("FAILED", "BadSchema", message)


def test_a_failure_is_recorded_and_told_with_its_input(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(ReadReport=[{"error": "S3.NoSuchKeyException", "cause": "no such key"}]))
    recorded = done.arguments("RecordFailure")
    assert recorded["Key"] == {"run": {"S": f"data#{RUN_ID}"}}
    values = {key: value["S"] for key, value in recorded["ExpressionAttributeValues"].items()}
    assert values[":status"] == "failed"
    assert values[":error"] == "S3.NoSuchKeyException"
    assert values[":failed_state"] == "ReadReport"
    assert json.loads(values[":input"]) == GIVEN
    told = done.arguments("NotifyFailure")
    assert told["TopicArn"].endswith(":on-call")
    message = json.loads(told["Message"])
    assert (message["error"], message["state"], message["input"]) == ("S3.NoSuchKeyException", "ReadReport", GIVEN)


def test_a_failure_is_told_although_it_cannot_be_recorded(definition: dict[str, Any], walk: Any) -> None:
    down = [{"error": "DynamoDB.AmazonDynamoDBException", "cause": "down"}]
    lost = [{"error": "S3.NoSuchKeyException", "cause": "no such key"}]
    done = walk(definition, GIVEN, any_answers(ReadReport=lost, RecordFailure=down, NotifyFailure=down))
    assert "NotifyFailure" in done.path
    assert (done.status, done.error) == ("FAILED", "States.QueryEvaluationError")
    assert "ReadReport failed: S3.NoSuchKeyException: no such key" in str(done.cause)


def test_a_failure_without_a_cause_is_recorded_too(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(ReadReport=[{"error": "States.Timeout"}]))
    assert done.arguments("RecordFailure")["ExpressionAttributeValues"][":error"] == {"S": "States.Timeout"}


def test_a_cause_that_was_cut_off_does_not_hide_the_failure(definition: dict[str, Any], walk: Any) -> None:
    cut = {"error": "States.TaskFailed", "cause": '{"JobRunState": "FAILED", "ErrorMessage": "worker lo'}
    done = walk(definition, GIVEN, any_answers(PrepareDataset=[cut]))
    assert "worker lo" in json.loads(done.arguments("NotifyFailure")["Message"])["cause"]


def test_a_lost_worker_is_made_good_by_a_redrive(definition: dict[str, Any], walk: Any) -> None:
    lost = {"error": "States.TaskFailed", "cause": json.dumps({"ErrorMessage": "the worker was lost"})}
    answers = any_answers(PrepareDataset=[lost, {"result": {}}])
    done = walk(definition, GIVEN, answers, redrives=1)
    assert done.status == "SUCCEEDED"
    assert done.arguments("PrepareDataset")["Arguments"]["--attempt"] == f"{RUN_ID}-1-0"
    assert done.arguments("ReadReport")["Key"] == f"flight_delays/v1/attempt={RUN_ID}-1-0/report.json"


def test_the_record_of_a_run_that_succeeded_at_last_tells_no_failure(definition: dict[str, Any], walk: Any) -> None:
    recorded = walk(definition, GIVEN, any_answers()).arguments("RecordRun")
    assert recorded["UpdateExpression"].endswith(" REMOVE #error, #cause, #failed_state, #input")
    assert recorded["ExpressionAttributeNames"]["#failed_state"] == "failed_state"
    assert recorded["ExpressionAttributeValues"][":status"] == {"S": "succeeded"}


def test_a_second_failure_after_a_redrive_fails_again(definition: dict[str, Any], walk: Any) -> None:
    lost = {"error": "States.TaskFailed", "cause": json.dumps({"ErrorMessage": "the worker was lost"})}
    done = walk(definition, GIVEN, any_answers(PrepareDataset=[lost]), redrives=2)
    assert done.status == "FAILED"
    assert done.path.count("PrepareDataset") == 3


def test_a_redrive_cannot_help_a_bad_batch(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(ReadReport=report_with(rows_validated=97)), redrives=1)
    assert (done.status, done.error) == ("FAILED", "RowsLost")
    assert done.path[-2:] == ["(redriven)", "Fail"]


@pytest.mark.parametrize(
    "state",
    [
        "CheckBatch",
        "FindDataset",
        "PrepareDataset",
        "ReadReport",
        "PublishMetrics",
        "ReadCandidate",
        "PublishDataset",
        "ReadPublished",
        "DescribeTable",
        "CreatePartition",
        "RecordRun",
    ],
)
def test_every_step_can_fail_and_be_redriven_to_the_same_dataset(
    definition: dict[str, Any], walk: Any, state: str
) -> None:
    answers = any_answers()
    answers[state] = [{"error": "Some.SdkException", "cause": "unreachable"}, *answers[state]]
    done = walk(definition, GIVEN, answers, redrives=1)
    assert done.status == "SUCCEEDED"
    assert done.output["dataset"] == MANIFEST
    assert "NotifyFailure" in done.path
