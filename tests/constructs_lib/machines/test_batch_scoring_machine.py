"""The scoring machine: the model that serves, every row once, predictions that are there as a whole or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from constructs_lib.machines.batch_scoring import BatchScoringParts, batch_scoring_machine
from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.jobs import JobLimits, JobPlace
from constructs_lib.machines.signing import TAMPERED, SigningParts
from constructs_lib.names.batch_scoring_file import BatchScoring

GIVEN = {
    "run_id": "fedcba9876543210-1",
    "workload": "flight_delays",
    "batch_uri": "s3://landing/flight_delays/scoring/may/_score.json",
    "as_of": "2024-05-01T00:00:00Z",
}
PACKAGE = "arn:aws:sagemaker:us-east-1:000000000000:model-package/models/3"
PLACE = "s3://curated/flight_delays/predictions/20240501T000000.000000Z/v1/attempt=a"
MANIFEST = {"version": "v1", "location": f"{PLACE}/"}


def result(value: Any) -> list[dict[str, Any]]:
    return [{"result": value}]


def answers(**changed: Any) -> dict[str, Any]:
    """Everything goes well, but for what is changed."""
    checked = {
        "version": "v1",
        "as_of": "2024-05-01T00:00:00Z",
        "stamp": "20240501T000000.000000Z",
        "folder_uri": "s3://landing/flight_delays/scoring/may/",
        "marker_sha256": "c" * 64,
        "files": 1,
    }
    package = {
        "ModelApprovalStatus": "Approved",
        "InferenceSpecification": {"Containers": [{"Image": "image:1", "ModelDataUrl": "s3://artefacts/m.tar.gz"}]},
        "CustomerMetadataProperties": {"model_sha256": "a" * 64},
    }
    listed = [{"Key": f"flight_delays/x/{number:08}.jsonl.out", "Size": 9, "ETag": '"e"'} for number in range(2)]
    return {
        "FindLive": result({"Item": {"model_package_arn": {"S": PACKAGE}}}),
        "DescribePackage": result(package),
        "CheckInput": result({"Payload": checked}),
        "FindPublished": result({"KeyCount": 0}),
        "VerifyModel": result({"Payload": {}}),
        "ReadRows": result({}),
        "ReadSummary": result({"Body": json.dumps({"rows": 12, "files": 2})}),
        "CreateModel": result({}),
        "Transform": result({"TransformOutput": {"S3OutputPath": PLACE}}),
        "FindAnswers": result({"Contents": listed}),
        "Publish": result({}),
        "CountRows": result({}),
        "ReadPublished": result({"Body": json.dumps(MANIFEST)}),
        "DescribeTable": result({"Table": {"StorageDescriptor": {"Location": "x", "InputFormat": "text"}}}),
        "CreatePartition": result({}),
        "RecordRun": result({}),
        "RecordFailure": result({}),
        "NotifyFailure": result({}),
        **changed,
    }


def definition_of(surroundings: Surroundings, place: JobPlace, **asked: Any) -> dict[str, Any]:
    parts = BatchScoringParts(
        place=place,
        signing=SigningParts("sign", "verify"),
        check_scoring_arn="check",
        processing_role_arn="processing-role",
        reading=JobLimits("ml.m5.xlarge", 60),
        role_arn="transform-role",
        contract_uri="s3://assets/contract.json",
        curated_bucket="curated",
        database="dev_curated",
        table="flight_delays_predictions",
        asked=BatchScoring(**asked),
    )
    return batch_scoring_machine(surroundings, parts)


@pytest.fixture
def definition(surroundings: Surroundings, place: JobPlace) -> dict[str, Any]:
    return definition_of(surroundings, place)


def test_predictions_are_published_last_and_then_a_partition(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, answers())
    assert done.status == "SUCCEEDED", done.cause
    assert done.output == {
        "version": "v1",
        "manifest_uri": "s3://curated/flight_delays/predictions/20240501T000000.000000Z/v1/manifest.json",
        "model_package_arn": PACKAGE,
    }
    published = done.arguments("Publish")
    assert published["IfNoneMatch"] == "*"
    assert published["Body"]["rows"] == 12
    assert [file["bytes"] for file in published["Body"]["files"]] == [9, 9]
    partition = done.arguments("CreatePartition")["PartitionInput"]
    assert partition["Values"] == ["2024-05-01T00:00:00Z", "v1"]
    assert partition["StorageDescriptor"] == {"Location": f"{PLACE}/", "InputFormat": "text"}


def test_the_transform_joins_each_answer_to_its_row(surroundings: Surroundings, place: JobPlace, walk: Any) -> None:
    asked = {"strategy": "multi_record", "max_payload_mb": 20, "concurrent_requests": 2, "instance_count": 3}
    request = walk(definition_of(surroundings, place, **asked), GIVEN, answers()).arguments("Transform")
    assert request["DataProcessing"] == {
        "InputFilter": "$.request",
        "JoinSource": "Input",
        "OutputFilter": "$['input','SageMakerOutput']",
    }
    assert (request["BatchStrategy"], request["MaxPayloadInMB"], request["MaxConcurrentTransforms"]) == (
        "MultiRecord",
        20,
        2,
    )
    assert request["TransformInput"]["ContentType"] == request["TransformOutput"]["Accept"] == "application/jsonlines"
    assert request["TransformResources"]["InstanceCount"] == 3


def test_what_was_published_is_not_scored_again_but_is_in_the_catalogue(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, answers(FindPublished=result({"KeyCount": 1})))
    assert done.status == "SUCCEEDED"
    assert not {"VerifyModel", "Transform", "Publish", "CountRows"} & set(done.path)
    assert "CreatePartition" in done.path


def test_whoever_publishes_second_points_to_what_the_first_has_written(definition: dict[str, Any], walk: Any) -> None:
    lost = [{"error": "S3.S3Exception", "cause": "At least one of the pre-conditions you specified did not hold"}]
    other = {"version": "v1", "location": "s3://curated/of-the-first/"}
    done = walk(definition, GIVEN, answers(Publish=lost, ReadPublished=result({"Body": json.dumps(other)})))
    assert done.status == "SUCCEEDED"
    assert "CountRows" not in done.path
    assert done.arguments("CreatePartition")["PartitionInput"]["StorageDescriptor"]["Location"] == other["location"]


def test_rows_without_an_answer_are_not_published(definition: dict[str, Any], walk: Any) -> None:
    done = walk(
        definition, GIVEN, answers(FindAnswers=result({"Contents": [{"Key": "a.out", "Size": 1, "ETag": "e"}]}))
    )
    assert (done.status, done.error, done.cause) == ("FAILED", "AnswersMissing", "1 of 2 files of rows were answered")
    assert "Publish" not in done.path


def test_without_a_model_that_serves_nothing_is_scored(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, answers(FindLive=result({})))
    assert done.status == "FAILED"
    assert "no model serves yet" in done.cause
    assert "CheckInput" not in done.path


@pytest.mark.parametrize("error", TAMPERED)
def test_a_model_that_is_not_what_was_signed_scores_nothing(definition: dict[str, Any], walk: Any, error: str) -> None:
    told = json.dumps({"errorType": error, "errorMessage": "not what was signed"})
    done = walk(definition, GIVEN, answers(VerifyModel=[{"error": error, "cause": told}]))
    assert (done.status, done.error) == ("FAILED", error)
    assert "CreateModel" not in done.path


def test_a_model_whose_approval_was_taken_back_scores_nothing(definition: dict[str, Any], walk: Any) -> None:
    rejected = {"ModelApprovalStatus": "Rejected", "InferenceSpecification": {"Containers": []}}
    done = walk(definition, GIVEN, answers(DescribePackage=result(rejected)))
    assert (done.error, done.cause) == ("NotApproved", "the model package is Rejected, not Approved")
