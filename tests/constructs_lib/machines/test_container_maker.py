"""The model machine with a container of the workload's own: the image is found or built, and named by its digest."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.jobs import JobPlace
from constructs_lib.machines.makers.container import ContainerMaker
from constructs_lib.machines.makers.script import ScriptMaker
from constructs_lib.machines.model import model_machine
from constructs_lib.names.scan_file import Scan
from tests.constructs_lib.machines import test_model_machine as model
from tests.constructs_lib.machines import test_scoring as scoring
from tests.constructs_lib.machines.conftest import Walk, Walker

URI = "000000000000.dkr.ecr.us-east-1.amazonaws.com/dev-boxes-images"
DIGEST = f"sha256:{'5' * 64}"
MAKER = ContainerMaker("dev-boxes-images", URI, "0123", "dev-boxes-image", 60, Scan())
THERE = {"result": {"Images": [{"ImageId": {"ImageDigest": DIGEST, "ImageTag": "0123"}}], "Failures": []}}
CLEAN = {"result": {"ImageScanStatus": {"Status": "COMPLETE"}, "ImageScanFindings": {"FindingSeverityCounts": {}}}}
UNSAFE = {
    "result": {
        "ImageScanStatus": {"Status": "COMPLETE"},
        "ImageScanFindings": {
            "FindingSeverityCounts": {"CRITICAL": 1},
            "Findings": [{"Name": "CVE-2026-1", "Severity": "CRITICAL"}],
        },
    }
}
MISSING = {"result": {"Images": [], "Failures": [{"FailureCode": "ImageNotFound"}]}}


@pytest.fixture
def run(surroundings: Surroundings, place: JobPlace, walk: Walker) -> Any:
    definition = model_machine(surroundings, replace(scoring.parts(place), maker=MAKER, hyperparameters={"depth": "3"}))

    def run(**answers: Any) -> Walk:
        given = model.any_answers(
            **{**scoring.scored(), "BuildImage": model.result({}), "ReadScan": [CLEAN], **answers}
        )
        return walk(definition, model.GIVEN, given, name=model.EXECUTION)

    return run


def test_an_image_that_is_there_is_not_built(run: Any) -> None:
    done = run(FindImage=[THERE])
    assert done.status == "SUCCEEDED", done.cause
    assert done.arguments("FindImage")["ImageIds"] == [{"ImageTag": "0123"}]
    assert "BuildImage" not in done.path


def test_an_image_that_is_missing_is_built_first(run: Any) -> None:
    done = run(FindImage=[MISSING], FindBuiltImage=[THERE])
    assert done.status == "SUCCEEDED", done.cause
    assert done.path.index("BuildImage") < done.path.index("FindBuiltImage") < done.path.index("Train")
    assert done.arguments("BuildImage") == {"ProjectName": "dev-boxes-image"}


def test_the_image_trains_scores_and_is_registered_by_its_digest(run: Any) -> None:
    done = run(FindImage=[THERE])
    image = f"{URI}@{DIGEST}"
    training = done.arguments("Train")
    assert training["AlgorithmSpecification"]["TrainingImage"] == image
    assert training["HyperParameters"] == {"depth": "3", "target": "late"}
    assert [channel["ChannelName"] for channel in training["InputDataConfig"]] == ["train", "validation"]
    containers = [{"Image": image, "ModelDataUrl": "s3://artefacts/new/model.tar.gz"}]
    assert done.arguments("CreateScored")["Containers"] == containers
    assert done.arguments("SignModel")["Payload"]["containers"] == containers
    assert done.arguments("RecordRun")["ExpressionAttributeValues"][":image"]["S"] == image


@pytest.mark.parametrize("found", [[THERE], [MISSING]], ids=["there", "built"])
def test_an_image_with_a_critical_finding_does_not_train(run: Any, found: list[Any]) -> None:
    done = run(FindImage=found, FindBuiltImage=[THERE], ReadScan=[UNSAFE])
    assert (done.status, done.error) == ("FAILED", "ImageUnsafe")
    assert f"image {DIGEST} has 1 findings of severity CRITICAL or above: CVE-2026-1 (CRITICAL)" in str(done.cause)
    assert done.arguments("ReadScan")["RepositoryName"] == "dev-boxes-images"
    assert "Train" not in done.path


def test_a_build_of_another_content_ends_the_run(run: Any) -> None:
    done = run(FindImage=[MISSING], FindBuiltImage=[MISSING])
    assert (done.status, done.error) == ("FAILED", "ImageMissing")
    assert "the workload was deployed with another container meanwhile" in str(done.cause)


def test_a_build_that_fails_fails_the_run_with_what_the_build_said(run: Any) -> None:
    phases = [
        {"PhaseType": "DOWNLOAD_SOURCE", "PhaseStatus": "SUCCEEDED", "Contexts": []},
        {"PhaseType": "BUILD", "PhaseStatus": "FAILED", "Contexts": [{"Message": "exit status 1: docker build"}]},
        {"PhaseType": "COMPLETED"},
    ]
    failed = {"error": "States.TaskFailed", "cause": json.dumps({"Build": {"BuildStatus": "FAILED", "Phases": phases}})}
    done = run(FindImage=[MISSING], BuildImage=[failed])
    assert done.status == "FAILED"
    assert "BuildImage failed: States.TaskFailed: exit status 1: docker build" in str(done.cause)
    assert "Train" not in done.path


def test_one_image_of_a_framework_trains_and_another_serves(
    surroundings: Surroundings, place: JobPlace, walk: Walker
) -> None:
    maker = ScriptMaker("pytorch-training:2.6.0-gpu-py312", "pytorch-inference:2.6.0-cpu-py312")
    definition = model_machine(surroundings, replace(scoring.parts(place), maker=maker))
    done = walk(definition, model.GIVEN, model.any_answers(**scoring.scored()), name=model.EXECUTION)
    assert done.status == "SUCCEEDED", done.cause
    assert done.arguments("Train")["AlgorithmSpecification"]["TrainingImage"] == maker.image_uri
    (container,) = done.arguments("SignModel")["Payload"]["containers"]
    assert container["Image"] == maker.serving_image_uri
    assert container["Environment"]["SAGEMAKER_PROGRAM"] == "inference.py"
    assert done.arguments("Evaluate")["AppSpecification"]["ImageUri"] == place.image_uri
