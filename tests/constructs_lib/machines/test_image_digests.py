"""A run asks which digest the tag of an image has, and names the digest from then on."""

import json
from dataclasses import replace
from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.images import JOBS, SERVING, TRAINING, TaggedImage, pinned
from constructs_lib.machines.jobs import JobPlace
from constructs_lib.machines.makers.script import ScriptMaker
from tests.constructs_lib.machines import test_reproduction as replays
from tests.constructs_lib.machines.test_model_machine import EXECUTION, GIVEN, any_answers, definition_for, result

REGISTRY = "763104351884"
ADDRESS = f"{REGISTRY}.dkr.ecr.us-east-1.amazonaws.com/pytorch"
DENIED = {"error": "Ecr.EcrException", "cause": "not authorized to perform: ecr:BatchGetImage"}


def image(name: str, **changed: Any) -> TaggedImage:
    return replace(TaggedImage(name, REGISTRY, f"pytorch-{name}", f"{ADDRESS}-{name}", "2.6.0"), **changed)


def found(*digits: str) -> list[dict[str, Any]]:
    return [{"result": {"Images": [{"ImageId": {"ImageDigest": f"sha256:{digit * 64}"}}]}} for digit in digits]


@pytest.fixture
def definition(surroundings: Surroundings, place: JobPlace) -> dict[str, Any]:
    return with_images(surroundings, place)


def with_images(surroundings: Surroundings, place: JobPlace, **changed: Any) -> dict[str, Any]:
    images = [image(JOBS), image(TRAINING, **changed), image(SERVING)]
    maker = ScriptMaker(pinned(TRAINING), pinned(SERVING))
    named = replace(place, image_uri=pinned(JOBS))
    return definition_for(surroundings, named, "automatic", maker=maker, images=images)


def test_jobs_package_and_record_name_the_digests_that_the_tags_have_now(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(LookUpDigest=found("1", "2", "3")), name=EXECUTION)
    assert done.status == "SUCCEEDED", done.cause
    assert [call["arguments"] for call in done.calls if call["state"] == "LookUpDigest"][1] == {
        "RegistryId": REGISTRY,
        "RepositoryName": "pytorch-training",
        "ImageIds": [{"ImageTag": "2.6.0"}],
    }
    digits = {JOBS: "1", TRAINING: "2", SERVING: "3"}
    by_digest = {name: f"{ADDRESS}-{name}@sha256:{digit * 64}" for name, digit in digits.items()}
    jobs, training, serving = by_digest.values()
    assert done.arguments("Train")["AlgorithmSpecification"]["TrainingImage"] == training
    assert done.arguments("Evaluate")["AppSpecification"]["ImageUri"] == jobs
    assert [each["Image"] for each in done.arguments("SignModel")["Payload"]["containers"]] == [serving]
    recorded = done.arguments("RecordRun")["ExpressionAttributeValues"]
    assert recorded[":image"] == {"S": training}
    assert json.loads(recorded[":images"]["S"]) == by_digest
    card = json.loads(done.arguments("RegisterModel")["ModelCard"]["ModelCardContent"])
    assert card["training_details"]["training_job_details"]["training_environment"] == {"container_image": [training]}


def test_a_redriven_run_keeps_the_digests_that_it_began_with(definition: dict[str, Any], walk: Any) -> None:
    lost = {"error": "States.TaskFailed", "cause": "the worker was lost"}
    answers = any_answers(LookUpDigest=found("1", "2", "3", "4"), Train=[lost, *any_answers()["Train"]])
    done = walk(definition, GIVEN, answers, name=EXECUTION, redrives=1)
    assert done.status == "SUCCEEDED", done.cause
    assert done.path.count("LookUpDigest") == 3
    assert done.arguments("Train")["AlgorithmSpecification"]["TrainingImage"].endswith("2" * 64)


def test_a_tag_that_has_no_image_ends_the_run_by_its_name(definition: dict[str, Any], walk: Any) -> None:
    answers = any_answers(LookUpDigest=[*found("1"), *result({"Images": [], "Failures": []})])
    done = walk(definition, GIVEN, answers, name=EXECUTION)
    assert (done.status, done.error) == ("FAILED", "ImageUnknown")
    assert f"there is no image {ADDRESS}-training:2.6.0" in str(done.cause)
    assert "Train" not in done.path


def test_a_denial_fails_the_run(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(LookUpDigest=[*found("1"), DENIED]), name=EXECUTION)
    assert done.status == "FAILED"
    assert "FindImages failed: Ecr.EcrException: not authorized to perform: ecr:BatchGetImage" in str(done.cause)


def test_an_image_that_only_sagemaker_may_see_goes_by_its_tag(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    answers = any_answers(LookUpDigest=[*found("1"), DENIED, *found("3")])
    done = walk(with_images(surroundings, place, hidden=True), GIVEN, answers, name=EXECUTION)
    assert done.status == "SUCCEEDED", done.cause
    assert done.arguments("Train")["AlgorithmSpecification"]["TrainingImage"] == f"{ADDRESS}-training:2.6.0"


def test_a_replay_evaluates_in_the_image_of_the_run_that_it_repeats(definition: dict[str, Any], walk: Any) -> None:
    first = f"{ADDRESS}-jobs@sha256:{'9' * 64}"
    original = replays.record(images=json.dumps({JOBS: first}))
    answers = replays.any_answers(FindOriginal=original, LookUpDigest=found("1", "2", "3"))
    done = walk(definition, replays.GIVEN, answers, name=replays.REPLAY_ID)
    assert done.status == "SUCCEEDED", done.cause
    assert done.arguments("Evaluate")["AppSpecification"]["ImageUri"] == first
    trained_in = done.arguments("Remake")["AlgorithmSpecification"]["TrainingImage"]
    assert done.arguments("RecordReplay")["ExpressionAttributeValues"][":image"] == {"S": trained_in}


def test_a_run_from_before_images_were_recorded_is_replayed_in_those_of_now(
    definition: dict[str, Any], walk: Any
) -> None:
    done = walk(
        definition, replays.GIVEN, replays.any_answers(LookUpDigest=found("1", "2", "3")), name=replays.REPLAY_ID
    )
    assert done.status == "SUCCEEDED", done.cause
    assert done.arguments("Evaluate")["AppSpecification"]["ImageUri"].endswith("1" * 64)
