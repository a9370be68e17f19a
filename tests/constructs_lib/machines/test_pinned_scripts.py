"""The model machine where AWS ships the algorithm as scripts: copied and compared, trained by, packed, served by."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.jobs import JobLimits, JobPlace
from constructs_lib.machines.makers.built_in import BuiltInMaker
from constructs_lib.machines.makers.parts import ModelParts
from constructs_lib.machines.makers.pinned_scripts import PinnedArchive, PinnedScripts
from constructs_lib.machines.model import model_machine
from constructs_lib.machines.scoring import Scoring
from constructs_lib.names.built_in_file import BuiltInModel
from constructs_lib.names.file_parts import AllowPickle
from tests.constructs_lib.machines.test_built_in_maker import ADAPTERS, ARTEFACT, ENCODED, EXECUTION, GIVEN, IMAGE
from tests.constructs_lib.machines.test_built_in_maker import answers as of_built_in
from tests.constructs_lib.machines.test_model_machine import any_parts, result

SERVING = "1234.dkr.ecr.us-west-2.amazonaws.com/pytorch-inference@sha256:5"
DIGESTS = {"train": "1" * 64, "model": "2" * 64, "serve": "3" * 64}
BUCKET = "jumpstart-cache-prod-us-west-2"
SCRIPTS = PinnedScripts(
    training_script=PinnedArchive(BUCKET, "lightgbm/train/sourcedir.tar.gz", DIGESTS["train"]),
    model=PinnedArchive(BUCKET, "lightgbm/train.tar.gz", DIGESTS["model"]),
    serving_script=PinnedArchive(BUCKET, "lightgbm/serve/sourcedir.tar.gz", DIGESTS["serve"]),
    hyperparameters={"num_boost_round": "5000", "metric": "auto"},
    settings={"sagemaker_program": "transfer_learning.py"},
    environment={"SAGEMAKER_PROGRAM": "inference.py"},
)
MODEL = BuiltInModel(
    kind="built_in", algorithm="lightgbm", allow_pickle=AllowPickle(reason="LightGBM's script keeps models by joblib")
)
COPIES = "s3://artefacts/flight_delays/algorithms"
PACKED = f"s3://artefacts/flight_delays/training/packed/{EXECUTION}-0-0/model.tar.gz"


def base64_of(digest: str) -> str:
    return base64.b64encode(bytes.fromhex(digest)).decode()


def copied(*digests: str) -> list[dict[str, Any]]:
    return [{"result": {"CopyObjectResult": {"ChecksumSHA256": base64_of(each)}}} for each in digests]


def answers(**changed: Any) -> dict[str, Any]:
    return {**of_built_in(), "CopyScript": copied(*DIGESTS.values()), "PackModel": result({}), **changed}


def parts_of(place: JobPlace, scripts: PinnedScripts, **changed: Any) -> ModelParts:
    packs = f"{COPIES}/serve/sourcedir.tar.gz" if scripts.serving_script is not None else None
    parts = any_parts(
        place,
        maker=BuiltInMaker(MODEL, IMAGE, ADAPTERS, SERVING, scripts),
        hyperparameters={"num_boost_round": "30", "seed": "7"},
        scoring=Scoring("scoring-role", JobLimits("ml.m5.large", 30)),
        serving_script_uri=packs,
        allow_pickle=True,
    )
    return replace(parts, **changed)


class Bench:
    """Walks the machine of a model by LightGBM."""

    def __init__(self, surroundings: Surroundings, place: JobPlace, walk: Any) -> None:
        self._surroundings, self._place, self._walk = surroundings, place, walk

    def run(self, scripts: PinnedScripts = SCRIPTS, given: Any = GIVEN, redrives: int = 0, **changed: Any) -> Any:
        machine = model_machine(self._surroundings, parts_of(self._place, scripts))
        return self._walk(machine, given, answers(**changed), name=EXECUTION, redrives=redrives)


@pytest.fixture
def bench(surroundings: Surroundings, place: JobPlace, walk: Any) -> Bench:
    return Bench(surroundings, place, walk)


def test_copies_each_archive_to_a_place_of_its_digest_before_anything_else_is_made(bench: Bench) -> None:
    done = bench.run()
    asked = [call["arguments"] for call in done.calls if call["state"] == "CopyScript"]
    assert [(each["CopySource"], each["Bucket"], each["Key"]) for each in asked] == [
        (f"{BUCKET}/{key}", "artefacts", f"flight_delays/algorithms/{DIGESTS[use]}/{key}")
        for use, key in (
            ("train", "lightgbm/train/sourcedir.tar.gz"),
            ("model", "lightgbm/train.tar.gz"),
            ("serve", "lightgbm/serve/sourcedir.tar.gz"),
        )
    ]
    assert {each["ChecksumAlgorithm"] for each in asked} == {"SHA256"}
    assert done.path.index("CopyScripts") < done.path.index("Encode") < done.path.index("Train")


def test_an_archive_that_is_not_the_pinned_one_ends_the_run_before_it_runs(bench: Bench) -> None:
    done = bench.run(CopyScript=copied(DIGESTS["train"], "f" * 64, DIGESTS["serve"]))
    assert done.status == "FAILED"
    assert "ScriptsChanged" in f"{done.error} {done.cause}"
    assert f"s3://{BUCKET}/lightgbm/train.tar.gz has the SHA-256 {base64_of('f' * 64)}" in str(done.cause)
    assert "Encode" not in done.path and "Train" not in done.path


def test_an_archive_that_nobody_has_seen_is_taken_as_it_is(bench: Bench) -> None:
    unseen = replace(SCRIPTS, model=replace(SCRIPTS.model, sha256=None))
    done = bench.run(unseen, CopyScript=copied(DIGESTS["train"], "f" * 64, DIGESTS["serve"]))
    assert "Train" in done.path
    assert [each["Key"] for each in (call["arguments"] for call in done.calls) if "CopySource" in each][1] == (
        "flight_delays/algorithms/unseen/lightgbm/train.tar.gz"
    )


def test_trains_by_the_copies_as_the_sdk_does_without_a_network(bench: Bench) -> None:
    asked = bench.run().arguments("Train")
    channels = {each["ChannelName"]: each for each in asked["InputDataConfig"]}
    uris = {name: each["DataSource"]["S3DataSource"]["S3Uri"] for name, each in channels.items()}
    assert uris == {
        "training": f"{ENCODED}/training/",
        "code": f"{COPIES}/{DIGESTS['train']}/lightgbm/train/sourcedir.tar.gz",
        "model": f"{COPIES}/{DIGESTS['model']}/lightgbm/train.tar.gz",
    }
    assert channels["model"]["ContentType"] == "application/x-sagemaker-model"
    assert channels["training"]["ContentType"] == "text/csv"
    assert asked["EnableNetworkIsolation"] is True
    assert asked["HyperParameters"] == {
        "num_boost_round": "30",
        "metric": "auto",
        "sagemaker_program": "transfer_learning.py",
    }


def test_both_splits_are_encoded_below_the_one_channel_with_codes_of_categories(bench: Bench) -> None:
    words = bench.run().arguments("Encode")["AppSpecification"]["ContainerArguments"]
    options = dict(zip(words[::2], words[1::2], strict=True))
    assert (options["--below"], options["--categories"], options["--answer"]) == ("training", "codes", "probabilities")
    assert (options["--format"], options["--missing"]) == ("csv", "mean")


def test_the_script_that_serves_is_packed_into_the_model_before_it_is_scored_and_registered(bench: Bench) -> None:
    done = bench.run()
    job = done.arguments("PackModel")
    inputs = {each["InputName"]: each["S3Input"]["S3Uri"] for each in job["ProcessingInputs"]}
    assert (inputs["model"], inputs["code"]) == (ARTEFACT, f"{COPIES}/serve/sourcedir.tar.gz")
    assert job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"] == PACKED.rpartition("/")[0]
    assert "--allow_pickle" in job["AppSpecification"]["ContainerArguments"]
    request, algorithm, answer = done.arguments("CreateScored")["Containers"]
    assert algorithm == {
        "Image": SERVING,
        "ModelDataUrl": PACKED,
        "Environment": {"SAGEMAKER_PROGRAM": "inference.py"},
    }
    assert {each["ModelDataUrl"] for each in (request, answer)} == {f"{ENCODED}/adapters/model.tar.gz"}
    evaluated = {each["InputName"]: each["S3Input"]["S3Uri"] for each in done.arguments("Evaluate")["ProcessingInputs"]}
    assert evaluated["model"] == PACKED


def test_a_model_that_brings_its_script_is_served_as_it_is(bench: Bench) -> None:
    done = bench.run(replace(SCRIPTS, serving_script=None), CopyScript=copied(DIGESTS["train"], DIGESTS["model"]))
    assert "PackModel" not in done.path
    assert done.arguments("CreateScored")["Containers"][1]["ModelDataUrl"] == ARTEFACT


def test_a_model_that_could_not_be_packed_is_packed_again_and_not_trained_again(bench: Bench) -> None:
    failed = {"error": "States.TaskFailed", "cause": "no room"}
    done = bench.run(redrives=1, PackModel=[failed, *result({})])
    assert (done.path.count("Train"), done.path.count("PackModel")) == (1, 2)
    assert "Evaluate" in done.path


def test_a_model_that_is_packed_is_not_packed_again_when_something_later_fails(bench: Bench) -> None:
    failed = {"error": "States.TaskFailed", "cause": "no room"}
    done = bench.run(redrives=1, WriteRequests=[failed, *result({})])
    assert (done.path.count("WriteRequests"), done.path.count("IsPacked"), done.path.count("PackModel")) == (2, 2, 1)
    assert done.arguments("CreateScored")["Containers"][1]["ModelDataUrl"] == PACKED


def test_a_replay_packs_the_model_that_it_makes_again(bench: Bench) -> None:
    original = {
        "status": "registered",
        "workload": "flight_delays",
        "as_of": "2013-05-01T00:00:00Z",
        "bundle": "b" * 64,
        "commit": "c0ffee",
        "dataset_version": "v1",
        "training": json.dumps({"AlgorithmSpecification": {"TrainingImage": IMAGE}, "HyperParameters": {},
                                "InputDataConfig": [], "ResourceConfig": {}}),
        "hyperparameters": "{}",
        "containers": json.dumps([{"Image": SERVING, "ModelDataUrl": "s3://artefacts/old/packed/model.tar.gz"}]),
        "model_uri": "s3://artefacts/old/packed/model.tar.gz",
        "model_sha256": "a" * 64,
        "metrics": "{}",
    }  # fmt: skip
    trained = {"TrainingJobName": "job", "ModelArtifacts": {"S3ModelArtifacts": ARTEFACT}}
    done = bench.run(
        given={"run_id": "r", "workload": "flight_delays", "replay": "0123456789abcdef-1"},
        FindOriginal=result({"Item": {name: {"S": value} for name, value in original.items()}}),
        FindBundle=result({"KeyCount": 1}),
        ReadDataset=result({"Body": json.dumps(GIVEN["dataset"])}),
        Remake=result(trained),
        Score=[*result({"TransformOutput": {"S3OutputPath": "s3://artefacts/answers"}})] * 2,
        CreateScored=[*result({}), *result({})],
        DeleteScored=[*result({}), *result({})],
    )
    assert done.path.index("Remake") < done.path.index("PackModel") < done.path.index("Evaluate")
    evaluated = {each["InputName"]: each["S3Input"]["S3Uri"] for each in done.arguments("Evaluate")["ProcessingInputs"]}
    assert (evaluated["model"], evaluated["champion"]) == (PACKED, "s3://artefacts/old/packed/model.tar.gz")
