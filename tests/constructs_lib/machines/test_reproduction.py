"""A recorded training run is made again by the model machine, and compared."""

import json
from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.jobs import JobLimits, JobPlace
from constructs_lib.machines.scoring import Scoring
from tests.constructs_lib.machines.test_model_machine import (
    EVALUATION,
    REQUESTED,
    RUN_ID,
    definition_for,
    result,
)

REPLAY_ID = "p0123abcd-01234567"
VERSION = "0123456789abcdef" * 2
GIVEN = {"run_id": REPLAY_ID, "workload": "flight_delays", "replay": RUN_ID}
DATASET = {
    "version": VERSION,
    "splits": {split: {"manifest_uri": f"s3://datasets/{split}.manifest"} for split in ("train", "validation", "test")},
}
RECORD = {
    "workload": "flight_delays",
    "status": "registered",
    "as_of": "2013-05-01T00:00:00Z",
    "bundle": "b" * 64,
    "commit": "c0ffee",
    "dataset_version": VERSION,
    "training": json.dumps(REQUESTED),
    "training_job": "dev-flight-delays-train-first-0-0",
    "hyperparameters": json.dumps({"num_round": "200", "seed": "2013"}),
    "containers": json.dumps([{"Image": "registry/xgboost:3.2-0"}]),
    "model_uri": "s3://artefacts/first/model.tar.gz",
    "model_sha256": "a" * 64,
    "metrics": json.dumps({"auc": 0.72, "log_loss": 0.4}),
}


def record(**changed: str | None) -> list[dict[str, Any]]:
    item = {name: {"S": value} for name, value in {**RECORD, **changed}.items() if value is not None}
    return result({"Item": item})


def evaluated(sha256: str = "a" * 64, difference: float = 0.0, **metrics: float) -> list[dict[str, Any]]:
    document = {
        **EVALUATION,
        "model": {"sha256": sha256},
        "metrics": {"auc": 0.72, "log_loss": 0.4, **metrics},
        "champion": {"sha256": "a" * 64, "metrics": {"auc": 0.72}, "difference": difference},
    }
    return result({"Body": json.dumps(document)})


def any_answers(**changed: Any) -> dict[str, Any]:
    """The same model comes again."""
    return {
        "FindEarlierRun": result({}),
        "FindOriginal": record(),
        "FindBundle": result({"KeyCount": 1}),
        "PinDataset": result({}),
        "FindDataset": result({"KeyCount": 1}),
        "ReadDataset": result({"Body": json.dumps(DATASET)}),
        "Remake": result(
            {
                "TrainingJobName": f"dev-flight-delays-train-{REPLAY_ID}-0-0",
                "ModelArtifacts": {"S3ModelArtifacts": "s3://artefacts/again/model.tar.gz"},
            }
        ),
        "DescribeTraining": result(REQUESTED),
        "Evaluate": result({}),
        "ReadEvaluation": evaluated(),
        "RecordReplay": result({}),
        "RecordFailure": result({}),
        "NotifyFailure": result({}),
        **changed,
    }


@pytest.fixture
def definition(surroundings: Surroundings, place: JobPlace) -> dict[str, Any]:
    return definition_for(surroundings, place, "automatic")


def test_trains_again_by_the_recorded_request_on_the_recorded_dataset(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(), name=REPLAY_ID)
    assert done.arguments("FindOriginal")["Key"] == {"run": {"S": f"model#{RUN_ID}"}}
    asked = done.arguments("Remake")
    assert {name: asked[name] for name in REQUESTED} == REQUESTED
    assert asked["TrainingJobName"] == f"dev-flight-delays-train-{REPLAY_ID}-0-0"
    assert asked["Environment"] == {}
    assert "CheckpointConfig" not in asked and "EnableManagedSpotTraining" not in asked
    assert done.arguments("PinDataset")["Key"] == f"flight_delays/pins/{VERSION}/{REPLAY_ID}.json"
    assert done.arguments("ReadDataset")["Key"] == f"flight_delays/{VERSION}/manifest.json"


def test_reads_the_splits_where_they_are_published_now_and_everything_else_where_it_was(
    definition: dict[str, Any], walk: Any
) -> None:
    def channel(name: str, uri: str, kind: str) -> dict[str, Any]:
        return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3Uri": uri, "S3DataType": kind}}}

    code = channel("code", "s3://artefacts/bundle/", "S3Prefix")
    lustre = {"ChannelName": "validation", "DataSource": {"FileSystemDataSource": {"DirectoryPath": "/a"}}}
    before = [channel("train", "s3://datasets/first/train.manifest", "ManifestFile"), lustre, code]
    training = json.dumps({**REQUESTED, "InputDataConfig": before})
    done = walk(definition, GIVEN, any_answers(FindOriginal=record(training=training)), name=REPLAY_ID)
    after = channel("train", "s3://datasets/train.manifest", "ManifestFile")
    assert done.arguments("Remake")["InputDataConfig"] == [after, lustre, code]


def test_evaluates_the_new_model_beside_the_old_one(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(), name=REPLAY_ID)
    inputs = {each["InputName"]: each["S3Input"]["S3Uri"] for each in done.arguments("Evaluate")["ProcessingInputs"]}
    assert inputs["model"] == "s3://artefacts/again/model.tar.gz"
    assert inputs["champion"] == "s3://artefacts/first/model.tar.gz"
    assert inputs["test"] == "s3://datasets/test.manifest"


def test_models_that_only_their_containers_can_ask_answer_side_by_side(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    scoring = Scoring("scoring-role", JobLimits("ml.m5.large", 30))
    adapter = {"Image": "registry/adapter@sha256:0", "ModelDataUrl": "s3://assets/adapter.tar.gz"}
    own = {"Image": "registry/own@sha256:1", "ModelDataUrl": RECORD["model_uri"], "ImageDigest": "sha256:1"}
    answers = any_answers(
        FindOriginal=record(containers=json.dumps([adapter, own])),
        WriteRequests=result({}),
        ScoreModels=result([{"uri": "s3://artefacts/new/"}, {"uri": "s3://artefacts/old/"}]),
    )
    definition = definition_for(surroundings, place, "automatic", scoring=scoring)
    definition["States"]["ScoreModels"] = {
        **{name: value for name, value in definition["States"]["ScoreModels"].items() if name != "ItemProcessor"},
        "Type": "Task",
        "Resource": "none",
        "Arguments": {"models": definition["States"]["ScoreModels"]["Items"]},
    }
    done = walk(definition, GIVEN, answers, name=REPLAY_ID)
    candidate, champion = done.arguments("ScoreModels")["models"]
    new = {"Image": own["Image"], "ModelDataUrl": "s3://artefacts/again/model.tar.gz"}
    old = {"Image": own["Image"], "ModelDataUrl": own["ModelDataUrl"]}
    assert candidate["containers"] == [adapter, new]
    assert champion["containers"] == [adapter, old]
    assert done.status == "SUCCEEDED", done.cause


def test_a_model_of_the_same_bytes_holds(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(), name=REPLAY_ID)
    assert done.status == "SUCCEEDED", done.cause
    assert done.output == {
        "replayed": {
            "run": RUN_ID,
            "identical": True,
            "difference": 0,
            "tolerance": 1e-6,
            "model_sha256": "a" * 64,
            "metrics": {"auc": 0.72, "log_loss": 0.4},
        }
    }
    values = done.arguments("RecordReplay")["ExpressionAttributeValues"]
    assert values[":status"] == {"S": "replayed"}
    assert values[":replay_of"] == {"S": RUN_ID}
    assert json.loads(values[":training"]["S"]) == REQUESTED


def test_publishes_registers_judges_and_counts_nothing(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(), name=REPLAY_ID)
    called = {call["state"] for call in done.calls}
    assert called == set(any_answers()) - {"RecordFailure", "NotifyFailure"}


def test_other_bytes_hold_while_no_prediction_differs_by_more_than_the_tolerance(
    definition: dict[str, Any], walk: Any
) -> None:
    answers = any_answers(ReadEvaluation=evaluated("f" * 64, 1e-3, auc=0.7201))
    done = walk(definition, {**GIVEN, "tolerance": 1e-3}, answers, name=REPLAY_ID)
    assert done.status == "SUCCEEDED"
    assert (done.output["replayed"]["identical"], done.output["replayed"]["difference"]) == (False, 1e-3)


def test_other_predictions_fail_with_the_figures(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(ReadEvaluation=evaluated("f" * 64, 0.02, auc=0.7)), name=REPLAY_ID)
    assert (done.status, done.error) == ("FAILED", "ReplayDiffers")
    assert done.cause == (
        f"run {RUN_ID} again gave another model: digest was {'a' * 64}, is {'f' * 64}; "
        "largest difference of a prediction is 0.02, allowed is 0.000001; auc was 0.72, is 0.7"
    )
    assert done.arguments("RecordReplay")["ExpressionAttributeValues"][":status"] == {"S": "differs"}


def test_other_metrics_of_the_same_model_fail_as_well(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(ReadEvaluation=evaluated(log_loss=0.41)), name=REPLAY_ID)
    assert done.error == "ReplayDiffers"
    assert "log_loss was 0.4, is 0.41" in str(done.cause) and "auc" not in str(done.cause)


def test_a_metric_that_is_measured_since_then_is_no_difference(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(ReadEvaluation=evaluated(brier=0.2)), name=REPLAY_ID)
    assert done.status == "SUCCEEDED"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (result({}), f"flight_delays has no run {RUN_ID} of the model pipeline"),
        (record(workload="train_delays"), f"flight_delays has no run {RUN_ID} of the model pipeline"),
        (record(status="failed", model_sha256=None), f"run {RUN_ID} cannot be repeated: it is failed and has no model"),
        (
            record(training="{}"),
            f"run {RUN_ID} cannot be repeated: it is registered and its request was not recorded",
        ),
    ],
)
def test_says_what_cannot_be_repeated(
    definition: dict[str, Any], walk: Any, found: list[dict[str, Any]], said: str
) -> None:
    done = walk(definition, GIVEN, any_answers(FindOriginal=found), name=REPLAY_ID)
    assert (done.status, done.error, done.cause) == ("FAILED", "NotReplayable", said)
    assert "Remake" not in done.path


def test_says_that_the_bundle_is_gone(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(FindBundle=result({"KeyCount": 0})), name=REPLAY_ID)
    assert (done.error, done.cause) == (
        "NotReplayable",
        f"run {RUN_ID} cannot be repeated: its bundle {'b' * 64} is gone",
    )
    assert done.arguments("FindBundle")["Prefix"] == f"flight_delays/bundles/{'b' * 64}/sourcedir.tar.gz"


def test_says_that_the_dataset_was_retired(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(FindDataset=result({"KeyCount": 0})), name=REPLAY_ID)
    assert done.status == "FAILED"
    assert f"DatasetRetired: dataset {VERSION} is no longer published" in str(done.cause)


def test_a_redriven_replay_trains_no_second_time(definition: dict[str, Any], walk: Any) -> None:
    lost = {"error": "States.TaskFailed", "cause": "the worker was lost"}
    done = walk(definition, GIVEN, any_answers(Evaluate=[lost, {"result": {}}]), name=REPLAY_ID, redrives=1)
    assert done.status == "SUCCEEDED"
    assert done.path.count("Remake") == 1
    assert "RegisterModel" not in done.path
