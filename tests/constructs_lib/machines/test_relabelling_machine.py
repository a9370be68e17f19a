"""A labelling job is made of the rows that were chosen, waited for, and its labels are taken in."""

from typing import Any

import pytest
from botocore.session import Session
from botocore.validate import ParamValidator

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.relabelling import LabellingParts, relabelling_machine
from constructs_lib.names.relabelling_file import GroundTruth
from tests.constructs_lib.names.test_relabelling_file import JOB

GIVEN = {"run_id": "any-event", "workload": "flight_delays", "as_of": "2026-03-01T04:23:00Z"}
CHOSEN = {
    "run": "20260301T042300Z",
    "rows": 3,
    "manifest_uri": "s3://artefacts/manifest.json",
    "tasks_uri": "s3://artefacts/tasks.manifest",
}
OUTPUT = "s3://artefacts/flight_delays/relabelling/labelled/job/manifests/output/output.manifest"
NAME = "dev-flight-delays-label-20260301T042300Z"


def result(value: Any) -> dict[str, Any]:
    return {"result": value}


def status(name: str, **more: Any) -> dict[str, Any]:
    return result({"LabelingJobStatus": name, **more})


def any_answers(**changed: Any) -> dict[str, Any]:
    """Three rows are chosen, and labelled at the second look."""
    done = status("Completed", LabelingJobOutput={"OutputDatasetS3Uri": OUTPUT})
    return {
        "ChooseRows": [result({"Payload": CHOSEN})],
        "CreateJob": [result({"LabelingJobArn": "arn"})],
        "DescribeJob": [status("InProgress"), done],
        "StopJob": [result({})],
        "ImportLabels": [result({"Payload": {"accepted": 2, "refused": 1, "labels": 2}})],
        **{name: [result({})] for name in ("RecordRun", "RecordNothing", "RecordFailure", "NotifyFailure")},
        **changed,
    }


@pytest.fixture
def definition(surroundings: Surroundings) -> dict[str, Any]:
    parts = LabellingParts(
        choose_arn="choose",
        import_arn="import",
        asked=GroundTruth.model_validate({**JOB, "max_days": 1}),
        role_arn="arn:aws:iam::000000000000:role/labels",
        key_arn="arn:aws:kms:us-east-1:000000000000:key/any",
        template_uri="s3://assets/template.liquid",
        labels_uri="s3://assets/labels.json",
        output_uri="s3://artefacts/flight_delays/relabelling/labelled/",
    )
    return relabelling_machine(surroundings, parts)


def test_what_is_asked_of_the_service_is_what_it_takes(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers())
    model = Session().get_service_model("sagemaker")
    for state, operation in (("CreateJob", "CreateLabelingJob"), ("DescribeJob", "DescribeLabelingJob")):
        shape = model.operation_model(operation).input_shape
        assert ParamValidator().validate(done.arguments(state), shape).generate_report() == ""
    request = done.arguments("CreateJob")
    assert request["LabelingJobName"] == NAME
    assert request["InputConfig"]["DataSource"]["S3DataSource"]["ManifestS3Uri"] == CHOSEN["tasks_uri"]
    assert request["HumanTaskConfig"]["WorkteamArn"] == JOB["work_team"]


def test_labels_are_taken_in_once_the_job_has_ended(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers())
    assert done.output == {"labelled": True, "rows": 3, "labels": 2}
    assert done.path.count("WaitForLabels") == 2
    assert done.arguments("ChooseRows")["Payload"] == {"as_of": GIVEN["as_of"]}
    assert done.arguments("ImportLabels")["Payload"]["uri"] == OUTPUT
    values = done.arguments("RecordRun")["ExpressionAttributeValues"]
    assert (values[":job"], values[":accepted"]) == ({"S": NAME}, {"S": "2"})


def test_without_rows_there_is_no_job(definition: dict[str, Any], walk: Any) -> None:
    nothing = {**CHOSEN, "rows": 0, "manifest_uri": "none", "tasks_uri": "none"}
    done = walk(definition, GIVEN, any_answers(ChooseRows=[result({"Payload": nothing})]))
    assert done.output == {"labelled": False, "rows": 0, "labels": 0}
    assert "CreateJob" not in done.path


def test_a_job_that_was_started_before_is_followed(definition: dict[str, Any], walk: Any) -> None:
    taken = {"error": "SageMaker.ResourceInUseException", "cause": "the name is taken"}
    done = walk(definition, GIVEN, any_answers(CreateJob=[taken]))
    assert (done.status, done.output["labels"]) == ("SUCCEEDED", 2)


def test_what_a_stopped_job_has_labelled_counts(definition: dict[str, Any], walk: Any) -> None:
    stopped = status("Stopped", LabelingJobOutput={"OutputDatasetS3Uri": OUTPUT})
    assert walk(definition, GIVEN, any_answers(DescribeJob=[stopped])).output["labels"] == 2


def test_a_failed_job_fails_the_run_with_its_reason(definition: dict[str, Any], walk: Any) -> None:
    failed = status("Failed", FailureReason="the team has no members")
    done = walk(definition, GIVEN, any_answers(DescribeJob=[failed]))
    assert (done.status, done.error) == ("FAILED", "LabellingFailed")
    assert done.cause == f"{NAME} is Failed: the team has no members"


def test_a_job_that_does_not_end_is_stopped(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(DescribeJob=[status("InProgress")]))
    assert done.path.count("StopJob") == 1
    assert "told to stop and has not" in str(done.cause)
