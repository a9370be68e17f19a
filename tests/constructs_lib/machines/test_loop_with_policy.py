"""A loop that asks the policy of trainings between its two machines, and tells it how a training came out."""

import json
from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.loop import LoopParts, loop_machine
from tests.constructs_lib.machines.test_loop_machine import APPROVED, GIVEN, REJECTED, RUN_ID, result
from tests.constructs_lib.machines.test_loop_machine import any_answers as without_policy

SPLITS = {"train": {"rows": 70, "from": "2013-01-01T00:00:00Z", "to": "2013-04-30T00:00:00Z"}}
YES = {"retrain": True, "search": False, "trigger": "new_data", "text": "retrains: …", "rules": [{"rule": "once"}]}
NO = {**YES, "retrain": False, "text": "did not retrain because 3 new labelled rows of at least 500"}
ASKED = {"trigger": "drift", "as_of": "2013-06-07T00:00:00Z", "reason": "psi 0.4", "by": "dev-flight-delays-monitor"}


def any_answers(**changed: Any) -> dict[str, Any]:
    more = {name: result({}) for name in ("RecordUnchanged", "ReleaseUntrained")}
    told = {name: result({"Payload": {}}) for name in ("TellPolicy", "TellPolicyOfFailure")}
    dataset = {"version": "v1", "splits": SPLITS}
    return {
        **without_policy(RunData=result({"Output": {"dataset": dataset, "phases": {}}})),
        **more,
        **told,
        "AskPolicy": result({"Payload": YES}),
        **changed,
    }


@pytest.fixture
def definition(surroundings: Surroundings) -> dict[str, Any]:
    return loop_machine(surroundings, LoopParts("arn:data", "arn:model", "arn:policy"))


def recorded(call: dict[str, Any]) -> dict[str, str]:
    return {key: value["S"] for key, value in call["ExpressionAttributeValues"].items()}


def test_asks_the_policy_with_the_rows_of_the_dataset_before_it_trains(definition: dict[str, Any], walk: Any) -> None:
    given = {**GIVEN, "triggered_by": {"event": "e1", "source": "aws.s3", "detail_type": "Object Created"}}
    done = walk(definition, given, any_answers())
    assert done.status == "SUCCEEDED", done.cause
    assert done.path.index("RunData") < done.path.index("AskPolicy") < done.path.index("RunModel")
    asked = done.arguments("AskPolicy")
    assert asked["FunctionName"] == "arn:policy"
    assert asked["Payload"] == {
        "action": "decide",
        "run_id": RUN_ID,
        "decision_id": f"{RUN_ID}-0",
        "as_of": GIVEN["as_of"],
        "asked": {},
        "event": "e1",
        "dataset": {"version": "v1", "splits": SPLITS},
    }


def test_hands_on_who_asked_and_bears_a_run_that_nobody_knows_the_event_of(
    definition: dict[str, Any], walk: Any
) -> None:
    payload = walk(definition, {**GIVEN, "asked": ASKED}, any_answers()).arguments("AskPolicy")["Payload"]
    assert (payload["asked"], payload["event"]) == (ASKED, "")


def test_a_run_that_may_not_train_ends_well_with_the_reason_and_gives_the_lease_back(
    definition: dict[str, Any], walk: Any
) -> None:
    done = walk(definition, GIVEN, any_answers(AskPolicy=result({"Payload": NO})))
    assert done.status == "SUCCEEDED"
    assert not {"RunModel", "TellPolicy", "RecordFailure"} & set(done.path)
    assert done.output == {**REJECTED, "decision": NO["text"]}
    assert done.arguments("ReleaseUntrained")["ExpressionAttributeValues"] == {":owner": {"S": RUN_ID}}
    values = recorded(done.arguments("RecordUnchanged"))
    assert values[":decision"] == NO["text"]
    assert values[":outcome"] == "did not retrain"
    assert json.loads(values[":decision_rules"]) == NO["rules"]


@pytest.mark.parametrize(
    ("outcome", "told"),
    [(APPROVED, "promoted"), ({**APPROVED, "approved": False}, "promoted"), (REJECTED, "refused")],
)
def test_tells_the_policy_how_the_challenger_was_judged(
    definition: dict[str, Any], walk: Any, outcome: dict[str, Any], told: str
) -> None:
    done = walk(definition, {**GIVEN, "asked": ASKED}, any_answers(RunModel=result({"Output": outcome})))
    payload = done.arguments("TellPolicy")["Payload"]
    assert payload == {
        "action": "ended",
        "run_id": RUN_ID,
        "as_of": GIVEN["as_of"],
        "asked": ASKED,
        "outcome": told,
    }
    assert recorded(done.arguments("RecordRun"))[":decision"] == YES["text"]


def test_tells_the_policy_of_a_failure_before_the_lease_is_given_back(definition: dict[str, Any], walk: Any) -> None:
    failed = {"error": "States.TaskFailed", "cause": json.dumps({"Error": "BadBundle", "Cause": "no train.py"})}
    done = walk(definition, GIVEN, any_answers(RunModel=[failed]))
    assert (done.status, done.error) == ("FAILED", "BadBundle")
    assert done.arguments("TellPolicyOfFailure")["Payload"]["outcome"] == "failed"
    assert done.path.index("TellPolicyOfFailure") < done.path.index("ReleaseLeaseOfFailed")


def test_gives_the_lease_back_when_the_policy_cannot_be_told(definition: dict[str, Any], walk: Any) -> None:
    broken = {"error": "Lambda.Unknown", "cause": "broken"}
    answers = any_answers(AskPolicy=[broken], TellPolicyOfFailure=[broken])
    done = walk(definition, GIVEN, answers)
    assert done.status == "FAILED"
    assert "Lambda.Unknown" in str(done.cause)
    assert "ReleaseLeaseOfFailed" in done.path


@pytest.mark.parametrize("search", [True, False])
def test_hands_the_search_on_to_the_model_machine_and_records_it(
    definition: dict[str, Any], walk: Any, search: bool
) -> None:
    done = walk(definition, GIVEN, any_answers(AskPolicy=result({"Payload": {**YES, "search": search}})))
    assert done.arguments("RunModel")["Input"]["search"] is search
    assert recorded(done.arguments("RecordRun"))[":search"] == json.dumps(search)
