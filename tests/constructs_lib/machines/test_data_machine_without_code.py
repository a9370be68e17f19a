"""The data machine when a recipe or a flow makes the features between the two runs of its job."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
import pytest
from botocore.validate import validate_parameters

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.data import DataParts, data_machine
from constructs_lib.machines.jobs import JobLimits, JobPlace
from constructs_lib.machines.no_code import FlowRun, RecipeRun

RUN_ID = "0123456789abcdef-1"
ATTEMPT = f"{RUN_ID}-0-0"
HANDOVER = f"flight_delays/handover/version=v1/attempt={ATTEMPT}/"
NAME = f"dev-flight-delays-features-{ATTEMPT}"
ROLE = "arn:aws:iam::000000000000:role/features"
KEY = "arn:aws:kms:us-east-1:000000000000:key/lake"
STEPS = [{"Action": {"Operation": "UPPER_CASE", "Parameters": {"sourceColumn": "carrier"}}}]
GIVEN = {
    "run_id": RUN_ID,
    "workload": "flight_delays",
    "batch_uri": "s3://landing/flight_delays/april/_batch.json",
    "as_of": "2013-05-01T00:00:00Z",
    "bundle": {"bundle": "b" * 64, "uri": "s3://artefacts/bundle.tar.gz", "commit": "c0ffee"},
}
VALIDATION = {
    "rows_in": 100,
    "rows_validated": 100,
    "rows_quarantined": 0,
    "quarantined_share": 0,
    "sources": {"flights": {"validated": 100}},
    "rules": [{"rule": "RowCount > 1", "blocking": True, "passed": True}],
    "drift": {"alarming": 0},
}
REPORT = {"phases": {"validation": VALIDATION, "exploration": {}, "cleaning": {}, "splitting": {}}}
TABLE = {"zone": "curated", "table": "flight_delays_features", "location": "s3://curated/f/"}
MANIFEST = {"version": "v1", "tables": [TABLE], "report_uri": "s3://r", "profile_uri": "s3://p"}
RECIPE_STATES = ["CreateRecipe", "PublishRecipe", "CreateFeaturesInput", "CreateFeaturesJob", "MakeFeatures"]
REMOVAL = ["RemoveFeaturesJob", "RemoveFeaturesInput", "RemoveRecipe"]


def result(value: Any) -> list[dict[str, Any]]:
    return [{"result": value}]


def failed(error: str, cause: str = "no") -> list[dict[str, Any]]:
    return [{"error": error, "cause": cause}]


def body(value: Any) -> list[dict[str, Any]]:
    return result({"Body": json.dumps(value)})


def any_answers(**changed: Any) -> dict[str, Any]:
    """Everything goes well."""
    nothing = ["StartCrawler", "PrepareDataset", "TakeFeatures", "PublishMetrics", "PublishDataset", "IndexDataset"]
    nothing += ["CreatePartition", "RecordRun", "RecordFailure", "NotifyFailure", *RECIPE_STATES, *REMOVAL]
    return {
        **{state: result({}) for state in nothing},
        "CheckBatch": result({"Payload": {"version": "v1", "as_of": "2013-05-01T00:00:00Z"}}),
        "FindDataset": result({"KeyCount": 0}),
        "DescribeCrawler": result({"Crawler": {"State": "READY", "LastCrawl": {"Status": "SUCCEEDED"}}}),
        "FindHandover": result({"KeyCount": 1}),
        "DescribeTable": result({"Table": {"StorageDescriptor": {"Columns": []}}}),
        "ReadReport": body(REPORT),
        "ReadCandidate": body(MANIFEST),
        "ReadPublished": body(MANIFEST),
        **changed,
    }


def definition_of(surroundings: Surroundings, run: RecipeRun | FlowRun) -> dict[str, Any]:
    zones = {zone: zone for zone in ("validated", "quarantine", "curated", "datasets")}
    databases = {zone: f"dev_{zone}" for zone in ("validated", "quarantine", "curated")}
    parts = DataParts(
        "check", "prepare", 60, "landing", "s3://c.json", "c0", "s3://b/", "e", zones, databases, 0.05, features=run
    )
    return data_machine(surroundings, parts)


@pytest.fixture
def recipe(surroundings: Surroundings) -> dict[str, Any]:
    return definition_of(surroundings, RecipeRun(STEPS, ROLE, KEY, "curated", "flights", 5, 60))


@pytest.fixture
def flow(surroundings: Surroundings, place: JobPlace) -> dict[str, Any]:
    image = "663277389841.dkr.ecr.us-east-1.amazonaws.com/sagemaker-data-wrangler-container:3.x"
    limits = JobLimits("ml.m5.4xlarge", 60, instance_count=2)
    run = FlowRun(place, image, ROLE, "s3://assets/a.flow", "curated", ["flights", "weather"], "n1.default", limits)
    return definition_of(surroundings, run)


def check_request(service: str, operation: str, request: Any) -> None:
    """Holds a request against the service's own model."""
    model = botocore.session.get_session().get_service_model(service)
    report = validate_parameters(request, model.operation_model(operation).input_shape)
    assert report is None, report


def slot_states(path: list[str]) -> list[str]:
    outer = {"PrepareDataset", "FindHandover", "TakeFeatures", *RECIPE_STATES, *REMOVAL}
    return [state for state in path if state in outer]


def test_a_recipe_runs_between_the_two_runs_of_the_job(recipe: dict[str, Any], walk: Any) -> None:
    done = walk(recipe, GIVEN, any_answers())
    assert done.status == "SUCCEEDED"
    assert slot_states(done.path) == ["PrepareDataset", "FindHandover", *RECIPE_STATES, *REMOVAL, "TakeFeatures"]


def test_a_flow_runs_between_the_two_runs_of_the_job(flow: dict[str, Any], walk: Any) -> None:
    done = walk(flow, GIVEN, any_answers())
    assert done.status == "SUCCEEDED"
    assert slot_states(done.path) == ["PrepareDataset", "FindHandover", "MakeFeatures", "TakeFeatures"]


def test_the_second_run_is_of_the_same_attempt_and_knows_where_features_are(recipe: dict[str, Any], walk: Any) -> None:
    done = walk(recipe, GIVEN, any_answers())
    first, second = (done.arguments(state)["Arguments"] for state in ("PrepareDataset", "TakeFeatures"))
    assert second == {**first, "--returned_uri": f"s3://curated/{HANDOVER}out/"}
    assert first["--attempt"] == ATTEMPT
    assert done.arguments("FindHandover")["Prefix"] == f"flight_delays/v1/attempt={ATTEMPT}/handover.json"
    assert done.arguments("ReadCandidate")["Key"] == f"flight_delays/v1/attempt={ATTEMPT}/manifest.json"


@pytest.mark.parametrize(
    ("state", "operation"),
    [
        ("CreateRecipe", "CreateRecipe"),
        ("PublishRecipe", "PublishRecipe"),
        ("CreateFeaturesInput", "CreateDataset"),
        ("CreateFeaturesJob", "CreateRecipeJob"),
        ("MakeFeatures", "StartJobRun"),
        ("RemoveFeaturesJob", "DeleteJob"),
        ("RemoveFeaturesInput", "DeleteDataset"),
        ("RemoveRecipe", "BatchDeleteRecipeVersion"),
    ],
)
def test_databrew_takes_every_request(recipe: dict[str, Any], walk: Any, state: str, operation: str) -> None:
    request = walk(recipe, GIVEN, any_answers()).arguments(state)
    check_request("databrew", operation, request)
    assert request["Name"] == NAME


def test_a_recipe_reads_and_writes_below_the_run_s_own_path_encrypted(recipe: dict[str, Any], walk: Any) -> None:
    done = walk(recipe, GIVEN, any_answers())
    job, place = done.arguments("CreateFeaturesJob"), {"Bucket": "curated", "BucketOwner": "000000000000"}
    read = done.arguments("CreateFeaturesInput")
    assert read["Input"]["S3InputDefinition"] == {**place, "Key": f"{HANDOVER}in/flights/"}
    assert job["Outputs"] == [{"Format": "PARQUET", "Location": {**place, "Key": f"{HANDOVER}out/"}}]
    assert (job["EncryptionMode"], job["EncryptionKeyArn"]) == ("SSE-KMS", KEY)
    assert job["RecipeReference"] == {"Name": NAME, "RecipeVersion": "1.0"}
    assert done.arguments("CreateRecipe")["Steps"] == STEPS


def test_what_is_made_carries_the_tags_that_its_permission_asks_for(recipe: dict[str, Any], walk: Any) -> None:
    done = walk(recipe, GIVEN, any_answers())
    for state in ("CreateRecipe", "CreateFeaturesInput", "CreateFeaturesJob"):
        assert done.arguments(state)["Tags"] == {"gapless:stage": "dev", "gapless:workload": "flight_delays"}


def test_a_job_of_databrew_ends_by_its_own_limit_before_its_task_does(recipe: dict[str, Any]) -> None:
    states = recipe["States"]["Ingest"]["Branches"][1]["States"]
    assert states["CreateFeaturesJob"]["Arguments"]["Timeout"] * 60 < states["MakeFeatures"]["TimeoutSeconds"]


@pytest.mark.parametrize("state", ["CreateRecipe", "CreateFeaturesInput", "CreateFeaturesJob"])
def test_what_an_earlier_try_has_made_is_as_good(recipe: dict[str, Any], walk: Any, state: str) -> None:
    done = walk(recipe, GIVEN, any_answers(**{state: failed("DataBrew.ConflictException")}))
    assert done.status == "SUCCEEDED"


@pytest.mark.parametrize("state", RECIPE_STATES)
def test_everything_is_removed_when_a_step_of_a_recipe_fails(recipe: dict[str, Any], walk: Any, state: str) -> None:
    done = walk(recipe, GIVEN, any_answers(**{state: failed("States.TaskFailed", "the column is not there")}))
    assert done.status == "FAILED"
    assert slot_states(done.path)[-3:] == REMOVAL
    assert "the column is not there" in done.cause
    assert "NotifyFailure" in done.path


@pytest.mark.parametrize("state", REMOVAL)
def test_what_cannot_be_removed_fails_no_run(recipe: dict[str, Any], walk: Any, state: str) -> None:
    done = walk(recipe, GIVEN, any_answers(**{state: failed("DataBrew.ResourceNotFoundException")}))
    assert done.status == "SUCCEEDED"
    assert slot_states(done.path)[-4:] == [*REMOVAL, "TakeFeatures"]


def test_sagemaker_takes_the_request_of_a_flow(flow: dict[str, Any], walk: Any) -> None:
    request = walk(flow, GIVEN, any_answers()).arguments("MakeFeatures")
    check_request("sagemaker", "CreateProcessingJob", request)
    assert len(request["ProcessingJobName"]) <= 63
    assert request["AppSpecification"]["ContainerArguments"] == [
        """--output-config '{"n1.default": {"content_type": "PARQUET"}}'"""
    ]


def test_a_flow_finds_each_source_under_its_name_and_writes_where_the_job_reads(
    flow: dict[str, Any], walk: Any
) -> None:
    done = walk(flow, GIVEN, any_answers())
    request = done.arguments("MakeFeatures")
    found = {each["S3Input"]["LocalPath"]: each["S3Input"]["S3Uri"] for each in request["ProcessingInputs"]}
    assert found == {
        "/opt/ml/processing/flow": "s3://assets/a.flow",
        "/opt/ml/processing/flights": f"s3://curated/{HANDOVER}in/flights/",
        "/opt/ml/processing/weather": f"s3://curated/{HANDOVER}in/weather/",
    }
    (output,) = request["ProcessingOutputConfig"]["Outputs"]
    assert output["OutputName"] == "n1.default"
    assert output["S3Output"]["S3Uri"] == f"s3://curated/{HANDOVER}out/{ATTEMPT}/"
    assert done.arguments("TakeFeatures")["Arguments"]["--returned_uri"] == output["S3Output"]["S3Uri"]


def test_a_flow_that_fails_fails_the_run_with_its_reason(flow: dict[str, Any], walk: Any) -> None:
    done = walk(flow, GIVEN, any_answers(MakeFeatures=failed("States.TaskFailed", '{"FailureReason": "no column"}')))
    assert done.status == "FAILED"
    assert "no column" in done.cause
    assert "TakeFeatures" not in done.path


@pytest.mark.parametrize("which", ["recipe", "flow"])
def test_a_batch_that_is_refused_costs_neither_a_recipe_nor_a_flow(
    request: pytest.FixtureRequest, walk: Any, which: str
) -> None:
    report = {"phases": {**REPORT["phases"], "validation": {**VALIDATION, "quarantined_share": 0.5}}}
    answers = any_answers(FindHandover=result({"KeyCount": 0}), ReadReport=body(report))
    done = walk(request.getfixturevalue(which), GIVEN, answers)
    assert done.error == "QuarantineLimitExceeded"
    assert slot_states(done.path) == ["PrepareDataset", "FindHandover"]


@pytest.mark.parametrize(("error", "ends"), [("BadFeatures", True), ("RowsLost", True), ("TakenOver", False)])
def test_features_that_are_wrong_are_wrong_again_but_a_lost_race_is_not(
    recipe: dict[str, Any], walk: Any, error: str, ends: bool
) -> None:
    cause = json.dumps({"ErrorMessage": f"gapless_glue.errors.{error}: told"})
    done = walk(recipe, GIVEN, any_answers(TakeFeatures=failed("States.TaskFailed", cause)))
    assert (done.error == error) is ends


def test_features_of_a_service_are_not_made_again_to_compare(recipe: dict[str, Any], walk: Any) -> None:
    done = walk(recipe, {"run_id": RUN_ID, "workload": "flight_delays", "replay": True, "version": "v1"}, any_answers())
    assert (done.status, done.error) == ("FAILED", "NotReplayable")
    assert "PrepareDataset" not in done.path


def test_a_redriven_run_hands_over_anew(recipe: dict[str, Any], walk: Any) -> None:
    lost = [*failed("States.TaskFailed", "the worker was lost"), *result({})]
    done = walk(recipe, GIVEN, any_answers(TakeFeatures=lost), redrives=1)
    assert done.status == "SUCCEEDED"
    assert done.arguments("MakeFeatures")["Name"] == f"dev-flight-delays-features-{RUN_ID}-1-0"
    assert done.arguments("TakeFeatures")["Arguments"]["--attempt"] == f"{RUN_ID}-1-0"
