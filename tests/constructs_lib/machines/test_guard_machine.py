"""The machine that looks at a training while it runs."""

from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.guard import GuardParts, guard_machine

JOB = "dev-flight-delays-train-x-0-0"
GIVEN = {"detail": {"TrainingJobName": JOB, "TrainingJobStatus": "InProgress"}}
SEEN = {"tracker": {"steps": 3}, "token": "f/1"}


def looked(verdict: str, rule: str = "", finding: str = "") -> dict[str, Any]:
    return {"result": {"Payload": {"verdict": verdict, "rule": rule, "finding": finding, "seen": SEEN}}}


def parts(**changed: Any) -> GuardParts:
    rules, patterns = {"dead": {"minutes": 5}}, {"loss": "loss:(.*)"}
    return GuardParts(
        **{
            "watch_training_arn": "look",
            "backend": "log",
            "rules": rules,
            "patterns": patterns,
            "most_minutes": 60,
            **changed,
        }
    )


@pytest.fixture
def definition(surroundings: Surroundings) -> dict[str, Any]:
    return guard_machine(surroundings, parts())


def test_a_training_that_ends_by_itself_is_left_alone(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, {"Look": [looked("go_on"), looked("over")]})
    assert done.status == "SUCCEEDED"
    assert done.path == ["Begin", "Look", "Judge", "Pause", "Look", "Judge", "Over"]
    assert done.output == {"job_name": JOB, "stopped": False, "rule": "", "finding": ""}
    first, second = (call["arguments"]["Payload"] for call in done.calls)
    assert (first["job_name"], first["seen"], second["seen"]) == (JOB, {}, SEEN)


def test_a_training_that_breaks_a_rule_is_stopped_recorded_and_told(definition: dict[str, Any], walk: Any) -> None:
    answers = {
        "Look": [looked("stop", "dead", "no loss for 6 minutes")],
        **{state: [{"result": {}}] for state in ("Stop", "RecordStop", "AuditStop", "CountStop", "NotifyStop")},
    }
    done = walk(definition, GIVEN, answers)
    assert done.path[-6:] == ["Stop", "RecordStop", "AuditStop", "CountStop", "NotifyStop", "Stopped"]
    assert done.arguments("Stop") == {"TrainingJobName": JOB}
    record = done.arguments("RecordStop")
    assert record["Key"] == {"run": {"S": f"guard#{JOB}"}}
    assert record["ExpressionAttributeValues"][":finding"] == {"S": "no loss for 6 minutes"}
    assert '"rule":"dead"' in done.arguments("NotifyStop")["Message"]
    assert done.output["stopped"] is True


def test_a_job_that_ended_while_it_was_being_stopped_is_no_failure(definition: dict[str, Any], walk: Any) -> None:
    answers = {
        "Look": [looked("stop", "dead", "no loss")],
        "Stop": [{"error": "SageMaker.SageMakerException", "cause": "The request was rejected"}] * 6,
        **{state: [{"result": {}}] for state in ("RecordStop", "AuditStop", "CountStop", "NotifyStop")},
    }
    assert walk(definition, GIVEN, answers).status == "SUCCEEDED"


@pytest.mark.parametrize(("minutes", "seconds"), [(30, 60), (1000, 60), (7200, 432)])
def test_long_trainings_are_looked_at_less_often_so_that_the_history_has_room(minutes: int, seconds: int) -> None:
    pause = parts(most_minutes=minutes).pause_seconds
    assert pause == seconds
    assert minutes * 60 / pause * 20 < 25_000
