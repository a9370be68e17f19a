"""The model machine where a built-in algorithm makes the model: encode, train, serve between adapters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.jobs import JobLimits, JobPlace
from constructs_lib.machines.makers.built_in import BuiltInMaker
from constructs_lib.machines.makers.parts import ModelParts
from constructs_lib.machines.model import model_machine
from constructs_lib.machines.scoring import Scoring
from constructs_lib.machines.signing import SigningParts
from constructs_lib.names.algorithms import ALGORITHMS
from constructs_lib.names.built_in_file import BuiltInModel

IMAGE, ADAPTERS = "1234.dkr.ecr.us-east-1.amazonaws.com/algorithm:1", "1234.dkr.ecr.us-east-1.amazonaws.com/sklearn:1"
EXECUTION = "0123456789abcdef-1-m0-0"
ENCODED = f"s3://artefacts/flight_delays/encoded/v1/{EXECUTION}-0-0"
ARTEFACT = "s3://artefacts/new/model.tar.gz"
GIVEN = {
    "run_id": "0123456789abcdef-1",
    "workload": "flight_delays",
    "as_of": "2013-05-01T00:00:00Z",
    "bundle": {"bundle": "b" * 64, "uri": "s3://artefacts/bundle.tar.gz", "commit": "c0ffee"},
    "dataset": {
        "version": "v1",
        "splits": {name: {"manifest_uri": f"s3://data/{name}.manifest"} for name in ("train", "validation", "test")},
    },
}
FOLLOWS = {"feature_dim": "17", "num_class": "3", "num_classes": "3", "num_components": "17", "sample_size": "900",
           "mini_batch_size": "500"}  # fmt: skip


def result(value: Any) -> list[dict[str, Any]]:
    return [{"result": value}]


def answers() -> dict[str, Any]:
    """A first model, up to its scoring, which fails: what comes then is not of interest here."""
    trained = {"TrainingJobName": "job", "ModelArtifacts": {"S3ModelArtifacts": ARTEFACT}}
    return {
        "FindEarlierRun": result({}),
        "PinDataset": result({"ETag": "e"}),
        "FindDataset": result({"KeyCount": 1}),
        "FindChampion": result({"ModelPackageSummaryList": []}),
        "Encode": result({}),
        "ReadEncoded": result({"Body": json.dumps({"hyperparameters": FOLLOWS, "adapters_sha256": "d" * 64})}),
        "Train": result(trained),
        "WriteRequests": result({}),
        "CreateScored": result({}),
        "Score": result({"TransformOutput": {"S3OutputPath": "s3://artefacts/answers"}}),
        "DescribeTraining": result({"HyperParameters": {}, "ResourceConfig": {"InstanceType": "ml.m5.large"}}),
        "DeleteScored": result({}),
        "Evaluate": [{"error": "BadTestSplit", "cause": "enough is seen"}],
        "RecordFailure": result({}),
        "NotifyFailure": result({}),
    }


class Bench:
    """Walks the machine of a model."""

    def __init__(self, surroundings: Surroundings, place: JobPlace, walk: Any) -> None:
        self._surroundings, self._place, self._walk = surroundings, place, walk

    def run(self, problem: str, algorithm: str, channels: dict[str, str] | None = None, **hyperparameters: str) -> Any:
        model = BuiltInModel(kind="built_in", algorithm=algorithm, channels=channels or {})
        parts = ModelParts(
            place=self._place,
            datasets_bucket="datasets",
            group_name="models",
            judge_model_arn="judge",
            signing=SigningParts("sign", "verify"),
            maker=BuiltInMaker(model, IMAGE, ADAPTERS),
            training_role_arn="training-role",
            processing_role_arn="processing-role",
            problem=problem,
            target="late" if problem not in ("clustering", "projection") else None,
            training=JobLimits("ml.m5.large", 30),
            jobs=JobLimits("ml.m5.large", 60),
            hyperparameters={**hyperparameters, "seed": "7"},
            evaluation_options_uri="s3://assets/options.json",
            gate={"metric": "auc"},
            approval="automatic",
            serving_instance_type="ml.m5.large",
            scoring=Scoring("scoring-role", JobLimits("ml.m5.large", 30)),
        )
        return self._walk(model_machine(self._surroundings, parts), GIVEN, answers(), name=EXECUTION)


@pytest.fixture
def bench(surroundings: Surroundings, place: JobPlace, walk: Any) -> Bench:
    return Bench(surroundings, place, walk)


def options_of(done: Any) -> dict[str, str]:
    words = done.arguments("Encode")["AppSpecification"]["ContainerArguments"]
    return dict(zip(words[::2], words[1::2], strict=True))


def test_trains_on_what_was_encoded_in_this_try(bench: Bench) -> None:
    train = bench.run("regression", "linear-learner", epochs="3").arguments("Train")
    assert train["AlgorithmSpecification"]["TrainingImage"] == IMAGE
    assert {
        channel["ChannelName"]: (channel["DataSource"]["S3DataSource"]["S3Uri"], channel["ContentType"])
        for channel in train["InputDataConfig"]
    } == {name: (f"{ENCODED}/{name}/", "text/csv") for name in ("train", "validation")}


def test_hyperparameters_follow_from_problem_and_split_beside_those_that_are_given(bench: Bench) -> None:
    train = bench.run("multiclass_classification", "linear-learner", epochs="3").arguments("Train")
    assert train["HyperParameters"] == {
        "predictor_type": "multiclass_classifier",
        "feature_dim": "17",
        "num_classes": "3",
        "epochs": "3",
    }


def test_what_the_platform_only_proposes_can_be_changed(bench: Bench) -> None:
    done = bench.run("regression", "knn", k="5", sample_size="100").arguments("Train")
    assert (done["HyperParameters"]["sample_size"], done["HyperParameters"]["feature_dim"]) == ("100", "17")


def test_the_seed_is_told_to_algorithms_that_have_one(bench: Bench) -> None:
    trees = bench.run("regression", "xgboost", num_round="3").arguments("Train")["HyperParameters"]
    assert trees == {"objective": "reg:squarederror", "num_round": "3", "seed": "7"}
    assert "seed" not in bench.run("regression", "knn", k="5").arguments("Train")["HyperParameters"]


def test_the_model_is_the_algorithm_between_two_adapters_that_know_their_digest(bench: Bench) -> None:
    (models,) = [call["arguments"] for call in bench.run("regression", "xgboost", num_round="3").calls
                 if call["state"] == "CreateScored"]  # fmt: skip
    request, algorithm, answer = models["Containers"]
    assert algorithm == {"Image": IMAGE, "ModelDataUrl": ARTEFACT}
    assert [each["Image"] for each in (request, answer)] == [ADAPTERS, ADAPTERS]
    assert {each["ModelDataUrl"] for each in (request, answer)} == {f"{ENCODED}/adapters/model.tar.gz"}
    assert [each["Environment"]["SAGEMAKER_PROGRAM"] for each in (request, answer)] == [
        "request_adapter.py",
        "answer_adapter.py",
    ]
    assert {each["Environment"]["GAPLESS_ADAPTERS_SHA256"] for each in (request, answer)} == {"d" * 64}


def test_all_components_are_trained_and_the_answer_keeps_those_that_were_asked_for(bench: Bench) -> None:
    done = bench.run("projection", "pca", num_components="2")
    assert done.arguments("Train")["HyperParameters"]["num_components"] == "17"
    assert options_of(done)["--keep"] == "2"
    assert "--target" not in options_of(done)


def test_neighbours_are_asked_for_their_votes(bench: Bench) -> None:
    (models,) = [call["arguments"] for call in bench.run("binary_classification", "knn", k="3").calls
                 if call["state"] == "CreateScored"]  # fmt: skip
    assert "verbose=true" in models["Containers"][1]["Environment"]["SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"]


def test_an_algorithm_without_an_encoder_reads_what_the_workload_writes(bench: Bench) -> None:
    channels = {"train": "application/jsonlines", "test": "application/jsonlines"}
    done = bench.run("regression", "forecasting-deepar", channels, epochs="3")
    options = options_of(done)
    assert (options["--request"], options["--answer"]) == ("own", "own")
    inputs = {each["InputName"]: each["S3Input"]["S3Uri"] for each in done.arguments("Encode")["ProcessingInputs"]}
    assert inputs[options["--code"].rpartition("/")[2]] == f"s3://artefacts/flight_delays/bundles/{'b' * 64}/"
    assert [channel["ChannelName"] for channel in done.arguments("Train")["InputDataConfig"]] == ["train", "test"]


@pytest.mark.parametrize("algorithm", [name for name, each in ALGORITHMS.items() if each.encoded and not each.pinned])
def test_each_encoded_algorithm_trains_for_each_of_its_problems(bench: Bench, algorithm: str) -> None:
    given: dict[str, Any] = dict.fromkeys(ALGORITHMS[algorithm].required, "2")
    for problem, follows in ALGORITHMS[algorithm].problems.items():
        done = bench.run(problem, algorithm, **given)
        assert set(follows) <= set(done.arguments("Train")["HyperParameters"])
        assert done.path.index("Encode") < done.path.index("ReadEncoded") < done.path.index("Train")
