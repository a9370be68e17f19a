"""The model machine has runs logged to MLflow, where the stage has it, and no run depends on that."""

from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.jobs import JobPlace
from tests.constructs_lib.machines.test_model_machine import (
    EXECUTION,
    GIVEN,
    RULES,
    RUN_ID,
    any_answers,
    definition_for,
    earlier,
    result,
)
from tests.constructs_lib.machines.test_reproduction import GIVEN as REPLAY
from tests.constructs_lib.machines.test_reproduction import any_answers as replay_answers

LOGGED = result({"Payload": {"experiment_id": "1", "mlflow_run": "m"}})
BROKEN = result({"Payload": {"passed": False, "rules": [{**RULES[0], "passed": False}]}})


def logging(**changed: Any) -> dict[str, Any]:
    logged = dict.fromkeys(("LogRegistered", "LogRejected", "LogFailed"), LOGGED)
    return any_answers(**{**logged, **changed})


@pytest.fixture
def definition(surroundings: Surroundings, place: JobPlace) -> dict[str, Any]:
    return definition_for(surroundings, place, "automatic", log_experiment_arn="log")


def test_nobody_logs_where_the_stage_has_no_mlflow(surroundings: Surroundings, place: JobPlace) -> None:
    states = definition_for(surroundings, place, "automatic")["States"]
    assert not [name for name in states if name.startswith("Log")]


def test_a_registered_run_is_logged_after_its_approval(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, logging(), name=EXECUTION)
    assert done.status == "SUCCEEDED"
    assert done.path[-3:] == ["ApproveModel", "LogRegistered", "Approved"]
    asked = done.arguments("LogRegistered")
    assert asked["FunctionName"] == "log"
    assert asked["Payload"] == {
        "run_id": RUN_ID,
        "ended": "2026-01-01T00:00:00.000Z",
        "given": {
            "as_of": GIVEN["as_of"],
            "bundle": "b" * 64,
            "commit": "c0ffee",
            "dataset_version": "v1",
        },
    }


def test_a_run_that_waits_for_a_person_is_logged(surroundings: Surroundings, place: JobPlace, walk: Any) -> None:
    by_hand = definition_for(surroundings, place, "manual", log_experiment_arn="log")
    assert walk(by_hand, GIVEN, logging(), name=EXECUTION).path[-2:] == ["LogRegistered", "AwaitsApproval"]


def test_a_rejected_run_is_logged_once_it_is_recorded(definition: dict[str, Any], walk: Any) -> None:
    path = walk(definition, GIVEN, logging(JudgeModel=BROKEN), name=EXECUTION).path
    assert path.index("RememberRejection") < path.index("LogRejected") == len(path) - 2


def test_a_redriven_run_that_was_rejected_before_is_logged(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, logging(FindEarlierRun=earlier("rejected", "none")))
    assert done.path[-2:] == ["LogRejected", "Rejected"]


def test_a_failed_run_is_logged_and_fails_as_it_would(definition: dict[str, Any], walk: Any) -> None:
    refused = [{"error": "States.TaskFailed", "cause": '{"FailureReason": "UnsafeArtefact: a pickle"}'}]
    done = walk(definition, GIVEN, logging(Evaluate=refused), name=EXECUTION)
    assert (done.status, done.error) == ("FAILED", "UnsafeArtefact")
    assert done.path.index("RecordFailure") < done.path.index("LogFailed")


@pytest.mark.parametrize("state", ["LogRegistered", "LogFailed"])
def test_a_run_ends_as_it_would_when_it_cannot_be_logged(definition: dict[str, Any], walk: Any, state: str) -> None:
    down = [{"error": "TrackingUnavailable", "cause": "MLflow does not answer"}]
    answers = logging(**{state: down})
    if state == "LogFailed":
        answers["Evaluate"] = [{"error": "States.TaskFailed", "cause": "UnsafeArtefact: a pickle"}]
    done = walk(definition, GIVEN, answers, name=EXECUTION)
    assert (done.status, done.error) == (("FAILED", "UnsafeArtefact") if state == "LogFailed" else ("SUCCEEDED", None))


def test_another_try_is_made_while_mlflow_does_not_answer(definition: dict[str, Any]) -> None:
    assert "TrackingUnavailable" in definition["States"]["LogRegistered"]["Retry"][0]["ErrorEquals"]


def test_a_replay_is_no_experiment(definition: dict[str, Any], walk: Any) -> None:
    well = walk(definition, REPLAY, replay_answers(), name="p0")
    badly = walk(definition, REPLAY, replay_answers(FindBundle=result({"KeyCount": 0})), name="p0")
    assert (well.status, badly.error) == ("SUCCEEDED", "NotReplayable")
    assert not [name for name in (*well.path, *badly.path) if name.startswith("Log")]
