"""A model machine whose model is searched for by Autopilot."""

import json
from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.jobs import JobLimits, JobPlace
from constructs_lib.machines.makers.automl import AutoMLMaker
from constructs_lib.machines.makers.search import room_for_search
from constructs_lib.machines.model import model_machine
from constructs_lib.machines.scoring import Scoring
from constructs_lib.names.automl_file import AutoMLModel
from constructs_lib.names.file_parts import AllowPickle
from tests.constructs_lib.machines import test_reproduction as replays
from tests.constructs_lib.machines.test_model_machine import EXECUTION, GIVEN, any_answers, any_parts, result

PREFIX = "dev-flight-delays-"
CONTAINER = {
    "Image": "763104351884.dkr.ecr.us-east-1.amazonaws.com/autogluon-inference:1.5.0",
    "ModelDataUrl": "s3://artefacts/flight_delays/training/found/model.tar.gz",
    "Environment": {"MODEL_NAME": "WeightedEnsemble_L2_FULL", "SAGEMAKER_INFERENCE_OUTPUT": "predicted_label"},
}
ASKED: dict[str, Any] = {
    "AutoMLProblemTypeConfig": {
        "TabularJobConfig": {
            "Mode": "ENSEMBLING",
            "ProblemType": "BinaryClassification",
            "TargetAttributeName": "arrives_late",
            "CompletionCriteria": {"MaxCandidates": 3},
        }
    },
    "AutoMLJobObjective": {"MetricName": "F1"},
}
DIGEST = f"sha256:{'7' * 64}"
MODEL = AutoMLModel(
    kind="automl", allow_pickle=AllowPickle(reason="Autopilot keeps its models as pickles"), max_runtime_minutes=5
)


def status(name: str, **more: Any) -> dict[str, Any]:
    return {"result": {"AutoMLJobStatus": name, "AutoMLJobSecondaryStatus": "Any", **more}}


def found(*containers: dict[str, Any]) -> dict[str, Any]:
    best = {
        "CandidateName": "best-7",
        "FinalAutoMLJobObjectiveMetric": {"Value": 0.83},
        "InferenceContainers": list(containers),
    }
    return status("Completed", BestCandidate=best)


def answers(**changed: Any) -> dict[str, Any]:
    encoded = {"hyperparameters": {}, "adapters_sha256": "d" * 64}
    return {
        **any_answers(),
        "Encode": result({}),
        "ReadEncoded": result({"Body": json.dumps(encoded)}),
        "StartSearch": result({"AutoMLJobArn": "arn"}),
        "DescribeSearch": [status("InProgress"), found(CONTAINER)],
        "DescribeRequest": result({**ASKED, "AutoMLJobStatus": "Completed"}),
        "FindFoundImage": result({"Images": [{"ImageId": {"ImageDigest": DIGEST}}]}),
        "StopSearch": result({}),
        "WriteRequests": result({}),
        "CreateScored": result({}),
        "Score": result({"TransformOutput": {"S3OutputPath": "s3://artefacts/predictions"}}),
        "DeleteScored": result({}),
        **changed,
    }


def machine_for(
    surroundings: Surroundings, place: JobPlace, model: AutoMLModel = MODEL, **changed: Any
) -> dict[str, Any]:
    scoring = Scoring("scoring-role", JobLimits("ml.m5.large", 30))
    maker = AutoMLMaker(model=model, adapter_image_uri="adapters")
    return model_machine(surroundings, any_parts(place, maker=maker, scoring=scoring, trains=False, **changed))


@pytest.fixture
def machine(surroundings: Surroundings, place: JobPlace) -> dict[str, Any]:
    return machine_for(surroundings, place)


def test_searches_on_tables_of_the_splits_and_registers_what_was_found(machine: dict[str, Any], walk: Any) -> None:
    done = walk(machine, GIVEN, answers(), name=EXECUTION)
    assert done.status == "SUCCEEDED", done.cause
    request = done.arguments("StartSearch")
    table = request["AutoMLProblemTypeConfig"]["TabularJobConfig"]
    assert (table["Mode"], table["ProblemType"], table["TargetAttributeName"]) == (
        "ENSEMBLING",
        "BinaryClassification",
        "arrives_late",
    )
    assert table["CompletionCriteria"] == {
        "MaxCandidates": 10,
        "MaxRuntimePerTrainingJobInSeconds": 1800,
        "MaxAutoMLJobRuntimeInSeconds": 300,
    }
    assert request["AutoMLJobObjective"] == {"MetricName": "AUC"}
    channels = {
        each["ChannelType"]: each["DataSource"]["S3DataSource"]["S3Uri"] for each in request["AutoMLJobInputDataConfig"]
    }
    folder = f"s3://artefacts/flight_delays/encoded/v1/{EXECUTION}-0-0"
    assert channels == {"training": f"{folder}/train/", "validation": f"{folder}/validation/"}
    assert request["OutputDataConfig"]["S3OutputPath"] == f"s3://artefacts/flight_delays/training/{EXECUTION}-0"
    package = done.arguments("RegisterModel")
    _, container, _ = done.arguments("SignModel")["Payload"]["containers"]
    assert container["ModelDataUrl"] == CONTAINER["ModelDataUrl"]
    assert container["Environment"] == {
        "MODEL_NAME": "WeightedEnsemble_L2_FULL",
        "SAGEMAKER_INFERENCE_OUTPUT": "probabilities,labels",
    }
    assert package["CustomerMetadataProperties"]["training_job"] == request["AutoMLJobName"]
    recorded = done.arguments("RecordRun")["ExpressionAttributeValues"][":hyperparameters"]["S"]
    assert json.loads(recorded) == {"candidate": "best-7", "objective": "AUC", "objective_value": "0.83"}


def test_a_value_needs_no_word_on_what_to_answer(surroundings: Surroundings, place: JobPlace, walk: Any) -> None:
    done = walk(machine_for(surroundings, place, problem="regression"), GIVEN, answers(), name=EXECUTION)
    _, container, _ = done.arguments("SignModel")["Payload"]["containers"]
    assert container["Environment"] == CONTAINER["Environment"]
    assert done.arguments("StartSearch")["AutoMLJobObjective"] == {"MetricName": "RMSE"}


@pytest.mark.parametrize("name", [EXECUTION, "x" * 80])
def test_names_of_searches_start_with_the_prefix_and_differ_with_each_redrive(
    machine: dict[str, Any], walk: Any, name: str
) -> None:
    failed = [status("Failed", FailureReason="InternalServerError"), found(CONTAINER)]
    done = walk(machine, GIVEN, answers(DescribeSearch=failed), name=name, redrives=1)
    assert done.status == "SUCCEEDED", done.cause
    names = [call["arguments"]["AutoMLJobName"] for call in done.calls if call["state"] == "StartSearch"]
    assert len(set(names)) == 2
    assert all(each.startswith(PREFIX) and len(each) == 32 for each in names)


def test_a_search_that_was_started_already_is_followed(machine: dict[str, Any], walk: Any) -> None:
    taken = [{"error": "SageMaker.ResourceInUseException", "cause": "it exists"}]
    done = walk(machine, GIVEN, answers(StartSearch=taken), name=EXECUTION)
    assert done.status == "SUCCEEDED", done.cause


def test_a_search_that_takes_too_long_is_stopped_and_seen_ended_before_the_machine_fails(
    machine: dict[str, Any], walk: Any
) -> None:
    described = [*[status("InProgress")] * 66, status("Stopping"), status("Stopped")]
    done = walk(machine, GIVEN, answers(DescribeSearch=described), name=EXECUTION)
    assert done.path.count("StopSearch") == 1
    assert done.path[done.path.index("StopSearch") :].count("WaitForSearch") > 1
    assert "the deadline has passed" in str(done.cause)
    assert "RegisterModel" not in done.path


def test_a_search_that_does_not_stop_is_told(machine: dict[str, Any], walk: Any) -> None:
    done = walk(machine, GIVEN, answers(DescribeSearch=[status("Stopping")]), name=EXECUTION)
    assert "SearchStuck" in str(done.cause)


def test_a_failed_search_is_told_with_autopilots_reason(machine: dict[str, Any], walk: Any) -> None:
    failed = [status("Failed", FailureReason="the training data has fewer than 500 rows")]
    done = walk(machine, GIVEN, answers(DescribeSearch=failed), name=EXECUTION)
    assert "SearchFailed: the training data has fewer than 500 rows" in str(done.cause)


@pytest.mark.parametrize("best", [[], [CONTAINER, CONTAINER]])
def test_nothing_is_served_that_is_not_one_container(machine: dict[str, Any], walk: Any, best: list[Any]) -> None:
    done = walk(machine, GIVEN, answers(DescribeSearch=[found(*best)]), name=EXECUTION)
    assert f"NoCandidate: {done.arguments('DescribeSearch')['AutoMLJobName']}" in str(done.cause)


def test_a_prefix_has_to_leave_room_for_what_tells_searches_apart() -> None:
    assert room_for_search(PREFIX) == 14
    with pytest.raises(
        ValueError, match="at most 32 characters, of which 'production-flight-delays-' leaves 7; at least"
    ):
        room_for_search("production-flight-delays-")


def test_the_record_holds_what_was_searched_for_and_the_image_by_digest(machine: dict[str, Any], walk: Any) -> None:
    done = walk(machine, GIVEN, answers(), name=EXECUTION)
    recorded = done.arguments("RecordRun")["ExpressionAttributeValues"]
    assert json.loads(recorded[":training"]["S"]) == ASKED
    assert done.arguments("FindFoundImage") == {
        "RegistryId": "763104351884",
        "RepositoryName": "autogluon-inference",
        "ImageIds": [{"ImageTag": "1.5.0"}],
    }
    by_digest = f"763104351884.dkr.ecr.us-east-1.amazonaws.com/autogluon-inference@{DIGEST}"
    assert recorded[":image"] == {"S": by_digest}
    assert done.arguments("SignModel")["Payload"]["containers"][1]["Image"] == by_digest


def test_an_image_that_nobody_else_may_look_at_keeps_its_tag(machine: dict[str, Any], walk: Any) -> None:
    denied = [{"error": "Ecr.EcrException", "cause": "not authorized to perform: ecr:BatchGetImage"}]
    done = walk(machine, GIVEN, answers(FindFoundImage=denied), name=EXECUTION)
    assert done.status == "SUCCEEDED", done.cause
    assert done.arguments("SignModel")["Payload"]["containers"][1]["Image"] == CONTAINER["Image"]


def replay_answers(**changed: Any) -> dict[str, Any]:
    of_replay = ("FindBundle", "ReadDataset", "RecordReplay")
    return {
        **answers(),
        **{name: replays.any_answers()[name] for name in of_replay},
        "FindOriginal": replays.record(training=json.dumps(ASKED)),
        "ReadEvaluation": replays.evaluated(),
        **changed,
    }


def test_a_replay_searches_again_for_what_was_recorded_on_the_same_splits(machine: dict[str, Any], walk: Any) -> None:
    done = walk(machine, replays.GIVEN, replay_answers(), name=replays.REPLAY_ID)
    assert done.status == "SUCCEEDED", done.cause
    assert done.output["replayed"]["identical"] is True
    request = done.arguments("StartSearch")
    assert {name: request[name] for name in ASKED} == ASKED
    splits = [each["S3Input"]["S3Uri"] for each in done.arguments("Encode")["ProcessingInputs"]]
    assert "s3://datasets/train.manifest" in splits
    inputs = {each["InputName"]: each["S3Input"]["S3Uri"] for each in done.arguments("Evaluate")["ProcessingInputs"]}
    assert (inputs["model"], inputs["champion"]) == (CONTAINER["ModelDataUrl"], replays.RECORD["model_uri"])
    assert "RegisterModel" not in done.path


def test_a_redriven_replay_searches_no_second_time(machine: dict[str, Any], walk: Any) -> None:
    lost = {"error": "States.TaskFailed", "cause": "the worker was lost"}
    given = replay_answers(Evaluate=[lost, {"result": {}}])
    done = walk(machine, replays.GIVEN, given, name=replays.REPLAY_ID, redrives=1)
    assert done.status == "SUCCEEDED", done.cause
    assert done.path.count("StartSearch") == 1
