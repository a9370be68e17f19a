import json
from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings, room_for_attempt
from constructs_lib.machines.jobs import JobLimits, JobPlace, volume
from constructs_lib.machines.model import ModelParts, model_machine

RUN_ID = "0123456789abcdef-1"
EXECUTION = f"{RUN_ID}-m0-0"
CHAMPION = "arn:aws:sagemaker:us-east-1:000000000000:model-package/models/2"
PACKAGE = "arn:aws:sagemaker:us-east-1:000000000000:model-package/models/3"
GIVEN = {
    "run_id": RUN_ID,
    "workload": "flight_delays",
    "as_of": "2013-05-01T00:00:00Z",
    "bundle": {"bundle": "b" * 64, "uri": "s3://artefacts/bundle.tar.gz", "commit": "c0ffee"},
    "dataset": {
        "version": "v1",
        "splits": {
            split: {"manifest_uri": f"s3://datasets/{split}.manifest"} for split in ("train", "validation", "test")
        },
    },
}
EVALUATION = {
    "model": {"sha256": "a" * 64, "bytes": 1, "files": []},
    "rows": 100,
    "metrics": {"auc": 0.72, "log_loss": 0.4},
    "champion": None,
    "curves": {"roc": {}},
}
BETTER = {"sha256": "d" * 64, "metrics": {"auc": 0.7}}
RULES = [{"rule": "floor", "limit": 0.65, "value": 0.72, "passed": True, "reason": "auc is 0.72"}]


def result(value: Any) -> list[dict[str, Any]]:
    return [{"result": value}]


def any_answers(**changed: Any) -> dict[str, Any]:
    """A first model that passes the gate."""
    return {
        "FindEarlierRun": result({}),
        "PinDataset": result({"ETag": "e"}),
        "FindDataset": result({"KeyCount": 1}),
        "FindChampion": result({"ModelPackageSummaryList": []}),
        "DescribeChampion": result(
            {"InferenceSpecification": {"Containers": [{"ModelDataUrl": "s3://artefacts/champion/model.tar.gz"}]}}
        ),
        "Train": result(
            {
                "TrainingJobName": f"dev-flight-delays-train-{EXECUTION}-0-0",
                "ModelArtifacts": {"S3ModelArtifacts": "s3://artefacts/new/model.tar.gz"},
            }
        ),
        "Evaluate": result({}),
        "ReadEvaluation": result({"Body": json.dumps(EVALUATION)}),
        "PublishMetrics": result({}),
        "JudgeModel": result({"Payload": {"passed": True, "rules": RULES}}),
        "RegisterModel": result({"ModelPackageArn": PACKAGE}),
        "RecordRun": result({}),
        "CountRegistered": result({}),
        "ApproveModel": result({}),
        "RecordRejection": result({}),
        "RememberRejection": result({}),
        "CountRejected": result({}),
        "RecordFailure": result({}),
        "NotifyFailure": result({}),
        **changed,
    }


def with_champion(**changed: Any) -> dict[str, Any]:
    return any_answers(
        FindChampion=result({"ModelPackageSummaryList": [{"ModelPackageArn": CHAMPION}]}),
        ReadEvaluation=result({"Body": json.dumps({**EVALUATION, "champion": BETTER})}),
        **changed,
    )


@pytest.mark.parametrize("instance_type", ["ml.m5d.large", "ml.g4dn.xlarge", "ml.g5.xlarge", "ml.c6id.large"])
def test_no_key_is_named_for_disks_that_encrypt_themselves(place: JobPlace, instance_type: str) -> None:
    assert "VolumeKmsKeyId" not in volume(place, instance_type)


@pytest.mark.parametrize("instance_type", ["ml.m5.large", "ml.c5n.xlarge"])
def test_other_disks_are_encrypted_by_the_key(place: JobPlace, instance_type: str) -> None:
    assert volume(place, instance_type)["VolumeKmsKeyId"] == place.key_arn


def test_finds_a_champion_that_is_not_on_the_first_page(definition: dict[str, Any], walk: Any) -> None:
    first = result({"ModelPackageSummaryList": [], "NextToken": "page-2"})
    second = result({"ModelPackageSummaryList": [{"ModelPackageArn": CHAMPION}]})
    done = walk(definition, GIVEN, {**with_champion(), "FindChampion": first, "LookFurther": second}, name=EXECUTION)
    assert done.arguments("LookFurther")["NextToken"] == "page-2"
    assert done.arguments("DescribeChampion") == {"ModelPackageName": CHAMPION}


def definition_for(surroundings: Surroundings, place: JobPlace, approval: Any) -> dict[str, Any]:
    parts = ModelParts(
        place=place,
        datasets_bucket="datasets",
        group_name="dev-flight-delays-models",
        judge_model_arn="judge",
        training_role_arn="training-role",
        processing_role_arn="processing-role",
        target="arrives_late",
        training=JobLimits("ml.m5.large", 30),
        hyperparameters={"num_round": "200", "seed": "2013"},
        gate={"metric": "auc", "floor": 0.65, "better_than_champion": True, "tolerance": 0.0},
        approval=approval,
        serving_instance_type="ml.m5.large",
    )
    return model_machine(surroundings, parts)


@pytest.fixture
def definition(surroundings: Surroundings, place: JobPlace) -> dict[str, Any]:
    return definition_for(surroundings, place, "automatic")


def test_pins_the_dataset_before_it_looks_whether_it_is_there_and_trains(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(), name=EXECUTION)
    pinned = done.arguments("PinDataset")
    assert pinned["Key"] == f"flight_delays/pins/v1/{RUN_ID}.json"
    assert pinned["Body"] == {"version": "v1", "run_id": RUN_ID, "execution": f"arn:execution:{EXECUTION}"}
    assert done.arguments("FindDataset")["Prefix"] == "flight_delays/v1/manifest.json"
    called = [call["state"] for call in done.calls]
    assert called.index("PinDataset") < called.index("FindDataset") < called.index("Train")


def test_does_not_train_on_a_dataset_that_was_retired(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(FindDataset=result({"KeyCount": 0})), name=EXECUTION)
    assert done.status == "FAILED"
    assert "DatasetRetired: dataset v1 is no longer published" in str(done.cause)
    assert "Train" not in done.path


def test_a_run_that_waited_for_a_retired_dataset_goes_on_when_it_is_back(definition: dict[str, Any], walk: Any) -> None:
    found = [{"result": {"KeyCount": 0}}, {"result": {"KeyCount": 1}}]
    done = walk(definition, GIVEN, any_answers(FindDataset=found), name=EXECUTION, redrives=1)
    assert done.status == "SUCCEEDED"
    assert [call["state"] for call in done.calls].count("PinDataset") == 2


def test_trains_by_the_bundles_script_on_the_published_splits(definition: dict[str, Any], walk: Any) -> None:
    request = walk(definition, GIVEN, any_answers(), name=EXECUTION).arguments("Train")
    channels = {each["ChannelName"]: each["DataSource"]["S3DataSource"] for each in request["InputDataConfig"]}
    assert channels["train"]["S3Uri"] == "s3://datasets/train.manifest"
    assert channels["train"]["S3DataType"] == channels["validation"]["S3DataType"] == "ManifestFile"
    assert channels["code"]["S3Uri"] == f"s3://artefacts/flight_delays/bundles/{'b' * 64}/"
    assert request["HyperParameters"] == {
        "num_round": "200",
        "seed": "2013",
        "target": "arrives_late",
        "sagemaker_program": "train.py",
        "sagemaker_submit_directory": "/opt/ml/input/data/code/sourcedir.tar.gz",
        "sagemaker_container_log_level": "20",
    }
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 1800}


def test_job_names_start_with_the_run_and_are_never_used_twice(definition: dict[str, Any], walk: Any) -> None:
    lost = {"error": "States.TaskFailed", "cause": json.dumps({"FailureReason": "InternalServerError"})}
    answers = any_answers(Train=[lost, any_answers()["Train"][0]])
    done = walk(definition, GIVEN, answers, name=EXECUTION, redrives=1)
    names = [call["arguments"]["TrainingJobName"] for call in done.calls if call["state"] == "Train"]
    assert names == [f"dev-flight-delays-train-{EXECUTION}-0-0", f"dev-flight-delays-train-{EXECUTION}-1-0"]
    assert done.arguments("Evaluate")["ProcessingJobName"] == f"dev-flight-delays-eval-{EXECUTION}-1-0"


def test_job_names_stay_within_what_sagemaker_takes_whatever_an_execution_is_called(
    definition: dict[str, Any], walk: Any
) -> None:
    done = walk(definition, GIVEN, any_answers(), name="x" * 80)
    assert len(done.arguments("Train")["TrainingJobName"]) == 63
    assert len(done.arguments("Evaluate")["ProcessingJobName"]) == 63


def test_the_longest_stage_and_workload_leave_room_for_the_names_that_are_given() -> None:
    prefix = f"{'s' * 8}-{'w' * 20}-"
    assert len(f"{prefix}train-{EXECUTION}-0-0") == 63
    assert room_for_attempt(prefix, "train") == len(f"{EXECUTION}-0-0")


def test_refuses_a_prefix_that_leaves_no_room_for_an_attempt() -> None:
    with pytest.raises(ValueError, match="leaves 8 characters for the id of a train job, at least 20 are needed"):
        room_for_attempt("p" * 49, "train")


def test_evaluates_without_a_champion_while_there_is_none(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(), name=EXECUTION)
    request = done.arguments("Evaluate")
    assert request["AppSpecification"]["ContainerEntrypoint"] == [
        "python3",
        "/opt/ml/processing/input/job/jobs.zip",
        "evaluate",
    ]
    assert "--champion" not in request["AppSpecification"]["ContainerArguments"]
    assert [each["InputName"] for each in request["ProcessingInputs"]] == ["job", "model", "test"]
    assert done.arguments("JudgeModel")["Payload"]["champion_metrics"] is None


def test_evaluates_the_champion_on_the_same_rows(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, with_champion(), name=EXECUTION)
    request = done.arguments("Evaluate")
    arguments = request["AppSpecification"]["ContainerArguments"]
    assert arguments[arguments.index("--champion") + 1] == "/opt/ml/processing/input/champion"
    inputs = {each["InputName"]: each["S3Input"] for each in request["ProcessingInputs"]}
    assert inputs["champion"]["S3Uri"] == "s3://artefacts/champion/model.tar.gz"
    assert inputs["test"]["S3DataType"] == "ManifestFile"
    assert done.arguments("JudgeModel")["Payload"]["champion_metrics"] == BETTER["metrics"]


def test_reads_the_evaluation_of_this_attempt(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(), name=EXECUTION)
    folder = f"flight_delays/evaluations/{EXECUTION}-0-0"
    written = done.arguments("Evaluate")["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]
    assert written["S3Uri"] == f"s3://artefacts/{folder}"
    assert done.arguments("ReadEvaluation")["Key"] == f"{folder}/evaluation.json"


def test_registers_a_model_with_what_it_was_made_of_and_approves_it(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(), name=EXECUTION)
    request = done.arguments("RegisterModel")
    assert request["ModelApprovalStatus"] == "PendingManualApproval"
    assert request["ClientToken"] == EXECUTION
    assert request["CustomerMetadataProperties"] == {
        "run_id": RUN_ID,
        "dataset_version": "v1",
        "bundle": "b" * 64,
        "commit": "c0ffee",
        "model_sha256": "a" * 64,
        "training_job": f"dev-flight-delays-train-{EXECUTION}-0-0",
    }
    assert done.arguments("ApproveModel")["ModelApprovalStatus"] == "Approved"
    assert done.output == {"approved": True, "registered": True, "model_package_arn": PACKAGE, "rules": RULES}


def test_the_run_is_recorded_before_the_approval_starts_a_deployment(definition: dict[str, Any], walk: Any) -> None:
    path = walk(definition, GIVEN, any_answers(), name=EXECUTION).path
    assert path.index("RegisterModel") < path.index("RecordRun") < path.index("ApproveModel")


def test_leaves_the_approval_to_a_person_where_the_workload_says_so(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    by_hand = definition_for(surroundings, place, "manual")
    done = walk(by_hand, GIVEN, any_answers(), name=EXECUTION)
    assert "ApproveModel" not in by_hand["States"]
    assert done.output == {"approved": False, "registered": True, "model_package_arn": PACKAGE, "rules": RULES}


def test_a_model_that_is_not_good_enough_is_recorded_and_not_registered(definition: dict[str, Any], walk: Any) -> None:
    broken = [{**RULES[0], "passed": False}]
    done = walk(definition, GIVEN, any_answers(JudgeModel=result({"Payload": {"passed": False, "rules": broken}})))
    assert done.status == "SUCCEEDED"
    assert "RegisterModel" not in done.path
    assert done.output == {"approved": False, "registered": False, "model_package_arn": "none", "rules": broken}
    audit = done.arguments("RecordRejection")["Item"]
    assert audit["workload"] == {"S": "flight_delays"}
    assert audit["event"] == {"S": f"model-rejected#{RUN_ID}"}
    assert json.loads(audit["rules"]["S"]) == broken
    assert done.arguments("CountRejected")["MetricData"][0]["MetricName"] == "GateRejected"
    assert done.arguments("RememberRejection")["ExpressionAttributeValues"][":status"] == {"S": "rejected"}


def earlier(status: str, arn: str) -> list[dict[str, Any]]:
    item = {"status": {"S": status}, "rules": {"S": json.dumps(RULES)}, "model_package_arn": {"S": arn}}
    return result({"Item": item})


def test_a_run_that_registered_a_model_before_registers_no_second_one(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(FindEarlierRun=earlier("registered", PACKAGE)))
    assert "Train" not in done.path
    assert done.arguments("ApproveModel")["ModelPackageArn"] == PACKAGE
    assert done.output == {"approved": True, "registered": True, "model_package_arn": PACKAGE, "rules": RULES}


def test_a_run_that_was_rejected_before_stays_rejected(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(FindEarlierRun=earlier("rejected", "none")))
    assert "Train" not in done.path
    assert done.output["registered"] is False


def test_a_run_that_failed_before_starts_over(definition: dict[str, Any], walk: Any) -> None:
    assert "Train" in walk(definition, GIVEN, any_answers(FindEarlierRun=earlier("failed", "none"))).path


def test_a_redrive_after_the_training_does_not_train_again(definition: dict[str, Any], walk: Any) -> None:
    lost = {"error": "States.TaskFailed", "cause": json.dumps({"FailureReason": "InternalServerError"})}
    done = walk(definition, GIVEN, any_answers(Evaluate=[lost, {"result": {}}]), name=EXECUTION, redrives=1)
    assert done.status == "SUCCEEDED"
    assert done.path.count("Train") == 1
    assert done.path.count("Evaluate") == 2


def test_an_unsafe_artefact_is_refused_by_its_name(definition: dict[str, Any], walk: Any) -> None:
    message = "UnsafeArtefact: member model.pkl is a pickle"
    failed = {
        "error": "States.TaskFailed",
        "cause": json.dumps({"FailureReason": "AlgorithmError", "ExitMessage": message}),
    }
    done = walk(definition, GIVEN, any_answers(Evaluate=[failed]))
    assert (done.status, done.error, done.cause) == ("FAILED", "UnsafeArtefact", message)
    assert "RegisterModel" not in done.path


def test_the_scripts_own_reason_of_a_failed_training_is_told(definition: dict[str, Any], walk: Any) -> None:
    reason = "AlgorithmError: ExecuteUserScriptError: ValueError: no rows"
    failed = {
        "error": "States.TaskFailed",
        "cause": json.dumps({"TrainingJobStatus": "Failed", "FailureReason": reason}),
    }
    done = walk(definition, GIVEN, any_answers(Train=[failed]))
    assert done.status == "FAILED"
    assert json.loads(done.arguments("NotifyFailure")["Message"])["cause"] == reason
    assert reason in str(done.cause)
