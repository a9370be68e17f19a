"""A model machine whose script is told which rows to learn from, and whose record says which it chose."""

import json
from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.jobs import JobPlace
from constructs_lib.machines.model import BAD_WINDOW, model_machine
from gapless_sagemaker.evaluation.window import BadWindow
from tests.constructs_lib.machines.test_model_machine import (
    EVALUATION,
    EXECUTION,
    GIVEN,
    any_answers,
    any_parts,
    result,
)
from tests.constructs_lib.machines.test_tuning_model_machine import answers as tuning_answers
from tests.constructs_lib.machines.test_tuning_model_machine import machine_for

ASKED = '{"days": 120, "kind": "sliding"}'
CHOSEN = {"window": {"kind": "sliding", "days": 120.0}, "rows": 9, "of_rows": 10, "candidates": [], "steps": []}
EVALUATED = result({"Body": json.dumps({**EVALUATION, "window": CHOSEN})})


@pytest.fixture
def machine(surroundings: Surroundings, place: JobPlace) -> dict[str, Any]:
    return model_machine(surroundings, any_parts(place, window=ASKED))


def test_tells_the_script_and_records_what_it_chose(machine: dict[str, Any], walk: Any) -> None:
    done = walk(machine, GIVEN, any_answers(ReadEvaluation=EVALUATED), name=EXECUTION)
    assert done.status == "SUCCEEDED", done.cause
    assert done.arguments("Train")["Environment"]["GAPLESS_WINDOW"] == ASKED
    assert json.loads(done.arguments("RecordRun")["ExpressionAttributeValues"][":window"]["S"]) == CHOSEN


def test_a_refused_model_has_its_window_on_record_too(machine: dict[str, Any], walk: Any) -> None:
    refused = result({"Payload": {"passed": False, "rules": []}})
    done = walk(machine, GIVEN, any_answers(ReadEvaluation=EVALUATED, JudgeModel=refused), name=EXECUTION)
    values = done.arguments("RememberRejection")["ExpressionAttributeValues"]
    assert json.loads(values[":window"]["S"]) == CHOSEN


def test_trials_of_a_tuning_are_told_as_well(surroundings: Surroundings, place: JobPlace, walk: Any) -> None:
    machine = machine_for(surroundings, place, window=ASKED)
    done = walk(machine, GIVEN, {**tuning_answers(), "ReadEvaluation": EVALUATED}, name=EXECUTION)
    environment = done.arguments("StartTuning")["TrainingJobDefinition"]["Environment"]
    assert environment["GAPLESS_WINDOW"] == ASKED


def test_a_script_that_chose_no_window_fails_the_run_for_good(machine: dict[str, Any], walk: Any) -> None:
    assert BadWindow.__name__ == BAD_WINDOW
    cause = json.dumps({"ExitMessage": "BadWindow: the model has no window.json"})
    failed = [{"error": "States.TaskFailed", "cause": cause}]
    done = walk(machine, GIVEN, any_answers(Evaluate=failed), name=EXECUTION)
    assert (done.status, done.error) == ("FAILED", "BadWindow")
    assert done.path[-1] == "Fail"


def test_nothing_is_told_or_recorded_where_nothing_is_asked(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    done = walk(model_machine(surroundings, any_parts(place)), GIVEN, any_answers(), name=EXECUTION)
    assert "GAPLESS_WINDOW" not in done.arguments("Train")["Environment"]
    assert ":window" not in done.arguments("RecordRun")["ExpressionAttributeValues"]
