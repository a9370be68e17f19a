"""A model machine that searches hyperparameters only when there is a reason to, and else trains by what was found."""

import json
from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.jobs import JobPlace
from constructs_lib.machines.makers.container import ContainerMaker
from constructs_lib.machines.model import model_machine
from constructs_lib.names.scan_file import Scan
from tests.constructs_lib.machines.test_model_machine import EXECUTION, GIVEN, any_answers, any_parts, result
from tests.constructs_lib.machines.test_tuning_model_machine import answers as tuning_answers
from tests.constructs_lib.machines.test_tuning_model_machine import machine_for, parts_of, status

FOUND = {
    "name": "earlier",
    "space": "here",
    "bundle": "b" * 64,
    "image": "of another day",
    "hyperparameters": json.dumps({"eta": "0.2", "max_depth": "6"}),
}


def last(**changed: str | None) -> list[dict[str, Any]]:
    """What the runs table says of the last tuning; None leaves an attribute out."""
    values = {name: value for name, value in {**FOUND, **changed}.items() if value is not None}
    return result({"Item": {name: {"S": value} for name, value in values.items()}})


def answers(**changed: Any) -> dict[str, Any]:
    return {
        **tuning_answers(),
        "FindTuned": last(),
        "TrainTuned": any_answers()["Train"],
        **changed,
    }


def recorded(done: Any, state: str = "RecordRun") -> dict[str, str]:
    values = done.arguments(state)["ExpressionAttributeValues"]
    return {name.removeprefix(":"): value["S"] for name, value in values.items()}


@pytest.fixture
def machine(surroundings: Surroundings, place: JobPlace) -> dict[str, Any]:
    return machine_for(surroundings, place, parts_of(space="here"))


def test_trains_once_by_what_the_last_tuning_has_found(
    machine: dict[str, Any], surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    done = walk(machine, {**GIVEN, "search": False}, answers(), name=EXECUTION)
    assert done.status == "SUCCEEDED", done.cause
    assert not {"StartTuning", "RememberTuning"} & set(done.path)
    asked = done.arguments("TrainTuned")
    once = walk(model_machine(surroundings, any_parts(place)), GIVEN, any_answers(), name=EXECUTION).arguments("Train")
    assert asked == {**once, "HyperParameters": {**once["HyperParameters"], "eta": "0.2", "max_depth": "6"}}
    kept = recorded(done)
    assert json.loads(kept["hyperparameters"]) == {
        "num_round": "200",
        "seed": "2013",
        "eta": "0.2",
        "max_depth": "6",
    }
    assert (kept["search"], kept["tuned_by"], kept["tuning"]) == ("none", "earlier", "{}")


@pytest.mark.parametrize(
    ("given", "found", "reason"),
    [
        ({"search": True}, last(), "it was asked for"),
        ({}, result({}), "nothing was found yet"),
        ({}, last(hyperparameters=None), "nothing was found yet"),
        ({}, last(space="there"), "the search space has changed"),
        ({"search": False}, last(bundle="a" * 64), "the scripts have changed"),
    ],
)
def test_searches_when_there_is_a_reason_and_says_which(
    machine: dict[str, Any], walk: Any, given: dict[str, Any], found: Any, reason: str
) -> None:
    done = walk(machine, {**GIVEN, **given}, answers(FindTuned=found), name=EXECUTION)
    assert done.status == "SUCCEEDED", done.cause
    assert "TrainTuned" not in done.path
    kept = recorded(done)
    name = done.arguments("StartTuning")["HyperParameterTuningJobName"]
    assert (kept["search"], kept["tuned_by"], json.loads(kept["tuning"])["name"]) == (reason, name, name)


def test_what_a_search_has_found_is_kept_for_the_trainings_after_it(machine: dict[str, Any], walk: Any) -> None:
    searched = walk(machine, {**GIVEN, "search": True}, answers(), name=EXECUTION)
    written = searched.arguments("RememberTuning")
    assert written["Key"] == searched.arguments("FindTuned")["Key"]
    names = written["ExpressionAttributeNames"]
    item = {names[f"#{name[1:]}"]: value for name, value in written["ExpressionAttributeValues"].items()}
    after = walk(machine, GIVEN, answers(FindTuned=result({"Item": item})), name=EXECUTION)
    assert after.arguments("TrainTuned")["HyperParameters"]["eta"] == "0.2"
    assert recorded(after)["tuned_by"] == searched.arguments("StartTuning")["HyperParameterTuningJobName"]


def test_a_search_begins_with_the_last_tuning_where_that_is_configured(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    machine = machine_for(surroundings, place, parts_of(space="here", warm_start="TransferLearning"))
    kin = result({"Item": {"name": {"S": "earlier"}, "kinship": {"S": "kin"}}})
    done = walk(machine, {**GIVEN, "search": True}, answers(FindParent=kin), name=EXECUTION)
    assert done.status == "SUCCEEDED", done.cause
    assert "WarmStartConfig" in done.arguments("StartWarmTuning")


def test_a_redriven_search_goes_on_with_its_tuning_and_its_reason(machine: dict[str, Any], walk: Any) -> None:
    lost = [{"error": "SageMaker.AccessDenied", "cause": "not today"}, status("Completed")]
    taken = [{"result": {}}, {"error": "SageMaker.ResourceInUseException", "cause": "exists"}]
    given = {**GIVEN, "search": True}
    done = walk(machine, given, answers(DescribeTuning=lost, StartTuning=taken), name=EXECUTION, redrives=1)
    assert done.status == "SUCCEEDED", done.cause
    assert done.path.count("FindTuned") == 1
    assert recorded(done)["search"] == "it was asked for"


def test_a_rejected_model_is_recorded_with_where_its_hyperparameters_are_from(
    machine: dict[str, Any], walk: Any
) -> None:
    refused = result({"Payload": {"passed": False, "rules": []}})
    done = walk(machine, GIVEN, answers(JudgeModel=refused), name=EXECUTION)
    assert (recorded(done, "RememberRejection")["search"], recorded(done, "RememberRejection")["tuned_by"]) == (
        "none",
        "earlier",
    )


@pytest.mark.parametrize(
    ("image", "searches"), [("registry/images@sha256:1", False), ("registry/images@sha256:0", True)]
)
def test_another_container_is_another_code(
    surroundings: Surroundings, place: JobPlace, walk: Any, image: str, searches: bool
) -> None:
    maker = ContainerMaker("images", "registry/images", "tag", "build", 60, Scan())
    machine = machine_for(surroundings, place, parts_of(space="here"), maker=maker)
    built = result({"Images": [{"ImageId": {"ImageDigest": "sha256:1"}}]})
    clean = result({"ImageScanStatus": {"Status": "COMPLETE"}, "ImageScanFindings": {"FindingSeverityCounts": {}}})
    given = answers(FindImage=built, ReadScan=clean, FindTuned=last(image=image))
    done = walk(machine, GIVEN, given, name=EXECUTION)
    assert done.status == "SUCCEEDED", done.cause
    assert ("StartTuning" in done.path) == searches


def test_a_training_that_takes_over_is_repeated_by_its_own_request(machine: dict[str, Any], walk: Any) -> None:
    done = walk(machine, GIVEN, answers(), name=EXECUTION)
    trained = any_answers()["Train"][0]["result"]["TrainingJobName"]
    assert done.arguments("DescribeTraining") == {"TrainingJobName": trained}
