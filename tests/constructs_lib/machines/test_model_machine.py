import json
from dataclasses import replace
from typing import Any

import pytest
from sagemaker.core.shapes import model_card_shapes as shapes

from constructs_lib.machines.common import Surroundings, room_for_attempt
from constructs_lib.machines.jobs import JobLimits, JobPlace, resources
from constructs_lib.machines.makers.parts import ModelParts
from constructs_lib.machines.makers.script import ScriptMaker
from constructs_lib.machines.model import model_machine
from constructs_lib.machines.signing import SigningParts
from constructs_lib.names.gate_file import Gate

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
    "model": {"sha256": "a" * 64, "archive_sha256": "c" * 64, "bytes": 1, "files": []},
    "rows": 100,
    "problem": "binary_classification",
    "metrics": {"auc": 0.72, "log_loss": 0.4},
    "intervals": {"auc": {"low": 0.7, "high": 0.74, "level": 0.95, "method": "bootstrap_percentile"}},
    "champion": None,
    "calibration": {"error": 0.01, "groups": 10, "slope": 1.0, "intercept": 0.0},
    "slices": [],
    "importance": {"distance": 3.0},
    "bias": None,
    "attributions": None,
    "limits": {"latency_ms": {"p50": 1.0, "p99": 2.0}, "bytes": 1},
    "environment": {"python": "3.11.9", "machine": "x86_64", "packages": {"numpy": "2.1"}, "packages_sha256": "e" * 64},
}
CARD = {
    "model_overview": {"model_creator": "flights@example.com"},
    "intended_uses": {"risk_rating": "Low"},
    "evaluation_details": [{"name": "Held-back test split"}],
    "additional_information": {"caveats_and_recommendations": "none"},
}
COMPARED = {"difference": 0.02, "low": 0.01, "high": 0.03, "level": 0.05, "p_value": 0.001, "test": "delong"}
BETTER = {
    "sha256": "d" * 64,
    "metrics": {"auc": 0.7},
    "intervals": {},
    "difference": 0.2,
    "comparison": {"auc": COMPARED},
}
SLICE = {"column": "origin", "slice": "JFK", "rows": 9, "enough": False, "metrics": {}, "interval": None}
REQUESTED = {
    "AlgorithmSpecification": {"TrainingImage": "registry/xgboost:3.2-0", "TrainingInputMode": "File"},
    "HyperParameters": {"num_round": "200", "seed": "2013", "sagemaker_program": "train.py"},
    "InputDataConfig": [{"ChannelName": "train"}],
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
}
"""What describing a training job gives of what was asked for."""
SIGNED = {
    "containers": [{"Image": "image", "ModelDataUrl": "s3://artefacts/models/c/model.tar.gz", "Environment": {}}],
    "statement_uri": "s3://artefacts/statement.json",
    "signature": "c2ln",
    "signing_key": "arn:key",
    "model_uri": "s3://artefacts/models/c/model.tar.gz",
}
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
        "DescribeTraining": result({**REQUESTED, "TrainingJobStatus": "Completed", "BillableTimeInSeconds": 60}),
        "Evaluate": result({}),
        "ReadEvaluation": result({"Body": json.dumps(EVALUATION)}),
        "PublishMetrics": result({}),
        "ReadModelCard": result({"Body": json.dumps(CARD)}),
        "JudgeModel": result({"Payload": {"passed": True, "rules": RULES}}),
        "WriteVerdict": result({}),
        "SignModel": result({"Payload": SIGNED}),
        "VerifyModel": result({"Payload": {"statement_sha256": "5" * 64}}),
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
    assert "VolumeKmsKeyId" not in resources(place, JobLimits(instance_type, 30))


@pytest.mark.parametrize("instance_type", ["ml.m5.large", "ml.c5n.xlarge"])
def test_other_disks_are_encrypted_by_the_key(place: JobPlace, instance_type: str) -> None:
    assert resources(place, JobLimits(instance_type, 30))["VolumeKmsKeyId"] == place.key_arn


def test_finds_a_champion_that_is_not_on_the_first_page(definition: dict[str, Any], walk: Any) -> None:
    first = result({"ModelPackageSummaryList": [], "NextToken": "page-2"})
    second = result({"ModelPackageSummaryList": [{"ModelPackageArn": CHAMPION}]})
    done = walk(definition, GIVEN, {**with_champion(), "FindChampion": first, "LookFurther": second}, name=EXECUTION)
    assert done.arguments("LookFurther")["NextToken"] == "page-2"
    assert done.arguments("DescribeChampion") == {"ModelPackageName": CHAMPION}


def any_parts(place: JobPlace, **changed: Any) -> ModelParts:
    parts = ModelParts(
        place=place,
        datasets_bucket="datasets",
        group_name="dev-flight-delays-models",
        judge_model_arn="judge",
        signing=SigningParts("sign", "verify"),
        maker=ScriptMaker(image_uri=place.image_uri),
        training_role_arn="training-role",
        processing_role_arn="processing-role",
        problem="binary_classification",
        target="arrives_late",
        training=JobLimits("ml.m5.large", 30),
        jobs=JobLimits("ml.m5.large", 60),
        hyperparameters={"num_round": "200", "seed": "2013"},
        evaluation_options_uri="s3://assets/options.json",
        gate=Gate(metric="auc", floor=0.65).judged("binary_classification"),
        approval="automatic",
        serving_instance_type="ml.m5.large",
    )
    return replace(parts, **changed)


def definition_for(surroundings: Surroundings, place: JobPlace, approval: Any, **more: Any) -> dict[str, Any]:
    return model_machine(surroundings, any_parts(place, approval=approval, **more))


@pytest.fixture
def definition(surroundings: Surroundings, place: JobPlace) -> dict[str, Any]:
    return definition_for(surroundings, place, "automatic")


def test_pins_the_dataset_before_it_looks_whether_it_is_there_and_trains(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(), name=EXECUTION)
    pinned = done.arguments("PinDataset")
    assert pinned["Key"] == f"flight_delays/pins/v1/{RUN_ID}.json"
    assert pinned["Body"] == {
        "version": "v1",
        "run_id": RUN_ID,
        "execution": f"arn:aws:states:us-east-1:000000000000:execution:dev:{EXECUTION}",
    }
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
    assert [each["InputName"] for each in request["ProcessingInputs"]] == ["job", "model", "test", "options"]
    assert done.arguments("JudgeModel")["Payload"]["evaluation"]["champion"] is None


def test_tells_the_evaluation_what_the_workload_asks_for(definition: dict[str, Any], walk: Any) -> None:
    request = walk(definition, GIVEN, any_answers(), name=EXECUTION).arguments("Evaluate")
    arguments = request["AppSpecification"]["ContainerArguments"]
    inputs = {each["InputName"]: each["S3Input"] for each in request["ProcessingInputs"]}
    assert inputs["options"]["S3Uri"] == "s3://assets/options.json"
    assert arguments[arguments.index("--options") + 1] == inputs["options"]["LocalPath"]
    assert arguments[arguments.index("--version") + 1] == "v1"


@pytest.mark.parametrize("slices", [[], [SLICE], [SLICE, SLICE]])
def test_the_gate_gets_every_figure_as_the_evaluation_wrote_it(
    definition: dict[str, Any], walk: Any, slices: list[Any]
) -> None:
    written = {**EVALUATION, "slices": slices, "champion": BETTER}
    done = walk(definition, GIVEN, any_answers(ReadEvaluation=result({"Body": json.dumps(written)})), name=EXECUTION)
    payload = done.arguments("JudgeModel")["Payload"]
    assert payload["problem"] == "binary_classification"
    assert payload["gate"]["champion"] == {"required": True, "level": 0.05, "margin": 0.0}
    elsewhere = ("model", "importance", "attributions", "environment")
    kept = {name: value for name, value in written.items() if name not in elsewhere}
    assert payload["evaluation"] == {**kept, "model_sha256": "a" * 64, "archive_sha256": "c" * 64}


def test_publishes_the_metric_that_decides(definition: dict[str, Any], walk: Any) -> None:
    (metric,) = walk(definition, GIVEN, any_answers(), name=EXECUTION).arguments("PublishMetrics")["MetricData"]
    assert (metric["MetricName"], metric["Value"]) == ("ModelAuc", 0.72)


def test_evaluates_the_champion_on_the_same_rows(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, with_champion(), name=EXECUTION)
    request = done.arguments("Evaluate")
    arguments = request["AppSpecification"]["ContainerArguments"]
    assert arguments[arguments.index("--champion") + 1] == "/opt/ml/processing/input/champion"
    inputs = {each["InputName"]: each["S3Input"] for each in request["ProcessingInputs"]}
    assert inputs["champion"]["S3Uri"] == "s3://artefacts/champion/model.tar.gz"
    assert inputs["test"]["S3DataType"] == "ManifestFile"
    assert done.arguments("JudgeModel")["Payload"]["evaluation"]["champion"] == BETTER


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
        "evaluation_report": f"s3://artefacts/flight_delays/evaluations/{EXECUTION}-0-0/report.html",
        "statement_uri": SIGNED["statement_uri"],
        "signature": "c2ln",
        "signing_key": "arn:key",
        "model_uri": SIGNED["model_uri"],
    }
    assert request["InferenceSpecification"]["Containers"] == SIGNED["containers"]
    assert done.arguments("ApproveModel")["ModelApprovalStatus"] == "Approved"
    assert done.output == {"approved": True, "registered": True, "model_package_arn": PACKAGE, "rules": RULES}


def test_a_package_has_the_card_of_its_evaluation_and_what_it_was_made_of(
    definition: dict[str, Any], place: JobPlace, walk: Any
) -> None:
    done = walk(definition, GIVEN, any_answers(), name=EXECUTION)
    assert done.arguments("ReadModelCard")["Key"] == f"flight_delays/evaluations/{EXECUTION}-0-0/model_card.json"
    card = done.arguments("RegisterModel")["ModelCard"]
    assert card["ModelCardStatus"] == "PendingReview"
    content = json.loads(card["ModelCardContent"])
    assert "\n" not in card["ModelCardContent"]
    assert content["evaluation_details"] == CARD["evaluation_details"]
    uri = "s3://artefacts/new/model.tar.gz"
    assert content["model_overview"] == {"model_creator": "flights@example.com", "model_artifact": [uri]}
    assert content["training_details"]["training_job_details"] == {
        "training_datasets": ["s3://datasets/train.manifest"],
        "training_environment": {"container_image": [place.image_uri]},
        "hyper_parameters": [{"name": "num_round", "value": "200"}, {"name": "seed", "value": "2013"}],
    }
    details = content["additional_information"]["custom_details"]
    assert (details["run"], details["dataset_version"], details["gate"]) == (RUN_ID, "v1", "auc is 0.72")
    assert all(isinstance(value, str) for value in details.values())
    assert content["additional_information"]["caveats_and_recommendations"] == "none"
    shapes.ModelCardContent.model_validate(content, extra="forbid")


def test_bias_before_training_is_looked_for_in_the_rows_of_training(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    for reads_train in (False, True):
        definition = definition_for(surroundings, place, "automatic", reads_train=reads_train)
        request = walk(definition, GIVEN, any_answers(), name=EXECUTION).arguments("Evaluate")
        uris = {each["InputName"]: each["S3Input"]["S3Uri"] for each in request["ProcessingInputs"]}
        assert uris.get("train") == ("s3://datasets/train.manifest" if reads_train else None)
        assert ("--train" in request["AppSpecification"]["ContainerArguments"]) is reads_train


def test_a_record_holds_what_it_takes_to_repeat_the_run(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(), name=EXECUTION)
    recorded = {
        name[1:]: value["S"] for name, value in done.arguments("RecordRun")["ExpressionAttributeValues"].items()
    }
    assert json.loads(recorded["training"]) == REQUESTED
    assert recorded["seed"] == "2013"
    assert json.loads(recorded["environment"]) == EVALUATION["environment"]
    assert json.loads(recorded["containers"])[0]["ModelDataUrl"] == recorded["model_uri"]
    assert (recorded["dataset_version"], recorded["bundle"], recorded["commit"]) == ("v1", "b" * 64, "c0ffee")
    assert recorded["model_sha256"] == "a" * 64


def test_what_was_evaluated_is_signed_with_what_it_was_made_of(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(), name=EXECUTION)
    payload = done.arguments("SignModel")["Payload"]
    assert payload["evaluated"] == {
        "model_uri": "s3://artefacts/new/model.tar.gz",
        "archive_sha256": "c" * 64,
        "evaluation_uri": f"s3://artefacts/flight_delays/evaluations/{EXECUTION}-0-0/evaluation.json",
    }
    assert [each["ModelDataUrl"] for each in payload["containers"]] == ["s3://artefacts/new/model.tar.gz"]
    registered = done.arguments("RegisterModel")["CustomerMetadataProperties"]
    assert payload["properties"].items() <= registered.items()
    written = done.arguments("RecordRun")["ExpressionAttributeValues"]
    assert (written[":archive_sha256"], written[":statement_uri"]) == (
        {"S": "c" * 64},
        {"S": SIGNED["statement_uri"]},
    )


def test_what_is_to_be_registered_is_verified_before(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(), name=EXECUTION)
    verified, registered = done.arguments("VerifyModel")["Payload"], done.arguments("RegisterModel")
    assert verified["containers"] == registered["InferenceSpecification"]["Containers"]
    told = registered["CustomerMetadataProperties"]
    assert verified["properties"] == {name: told[name] for name in told if name != "evaluation_report"}
    assert done.path.index("JudgeModel") < done.path.index("SignModel") < done.path.index("RegisterModel")


@pytest.mark.parametrize("state", ["SignModel", "VerifyModel"])
def test_a_model_that_is_not_what_was_evaluated_is_not_registered(
    definition: dict[str, Any], walk: Any, state: str
) -> None:
    told = json.dumps({"errorType": "ArtefactTampered", "errorMessage": "model.tar.gz has another SHA-256"})
    done = walk(definition, GIVEN, any_answers(**{state: [{"error": "ArtefactTampered", "cause": told}]}))
    assert (done.status, done.error, done.cause) == ("FAILED", "ArtefactTampered", "model.tar.gz has another SHA-256")
    assert "RegisterModel" not in done.path


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


@pytest.mark.parametrize("passed", [True, False])
def test_the_verdict_is_a_page_beside_the_report(definition: dict[str, Any], walk: Any, passed: bool) -> None:
    rules = [{"rule": "floor", "passed": passed, "reason": 'auc is 0.6 < 0.65 & "low"'}]
    judged = result({"Payload": {"passed": passed, "rules": rules}})
    asked = walk(definition, GIVEN, any_answers(JudgeModel=judged), name=EXECUTION).arguments("WriteVerdict")
    assert asked["Key"] == f"flight_delays/evaluations/{EXECUTION}-0-0/verdict.html"
    assert '0.6 &lt; 0.65 &amp; "low"' in asked["Body"] and "report.html" in asked["Body"]
    assert ("It passed" in asked["Body"], "holds</td>" in asked["Body"]) == (passed, passed)
    assert f"Verdict on run {RUN_ID} of flight_delays" in asked["Body"]


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
