"""Histories folded into states, and where a run stands."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from local.chain import Chain, Package
from local.executions import execution_arn, fold_states
from local.failures import from_history, from_record
from tests.local.cli.report_fixture import PACKAGE_ARN, RUN_ID, any_chain, execution

BEGIN = dt.datetime(2013, 5, 1, tzinfo=dt.UTC)


def _event(second: float, kind: str, name: str = "", **details: str) -> dict[str, Any]:
    event: dict[str, Any] = {"type": kind, "timestamp": BEGIN + dt.timedelta(seconds=second)}
    if kind.endswith("StateEntered"):
        event["stateEnteredEventDetails"] = {"name": name}
    elif kind.endswith("StateExited"):
        event["stateExitedEventDetails"] = {"name": name}
    elif details:
        event[kind[0].lower() + kind[1:] + "EventDetails"] = details
    return event


def test_states_come_in_the_order_of_their_first_entry_with_their_times() -> None:
    states = fold_states(
        [_event(0, "TaskStateEntered", "A"), _event(2, "TaskStateExited", "A"), _event(2, "ChoiceStateEntered", "B")]
    )
    assert [(state.name, state.exited) for state in states] == [("A", BEGIN + dt.timedelta(seconds=2)), ("B", None)]


def test_a_state_in_a_loop_is_counted_once_with_its_visits() -> None:
    events = [
        event
        for turn in range(3)
        for event in (_event(turn, "WaitStateEntered", "W"), _event(turn, "WaitStateExited", "W"))
    ]
    (state,) = fold_states(events)
    assert (state.visits, state.entered, state.exited) == (3, BEGIN, BEGIN + dt.timedelta(seconds=2))


def test_a_retried_state_that_succeeds_has_no_error() -> None:
    events = [
        _event(0, "TaskStateEntered", "A"),
        _event(1, "TaskFailed", error="Throttled", cause="too many"),
        _event(2, "TaskSucceeded"),
        _event(2, "TaskStateExited", "A"),
    ]
    assert fold_states(events)[0].error is None


def test_a_caught_failure_stays_the_culprit_when_later_states_go_well() -> None:
    events = [
        _event(0, "TaskStateEntered", "Train"),
        _event(1, "TaskFailed", error="States.TaskFailed", cause="no model"),
        _event(1, "TaskStateExited", "Train"),
        _event(1, "TaskStateEntered", "Notify"),
        _event(2, "TaskSucceeded"),
        _event(2, "TaskStateExited", "Notify"),
        _event(2, "FailStateEntered", "Fail"),
    ]
    culprit = replace(execution("model", 0, 2, [], status="FAILED"), states=fold_states(events)).culprit()
    assert culprit is not None
    assert (culprit.name, culprit.cause) == ("Train", "no model")


def test_the_arn_of_an_execution_follows_from_its_machine_and_name() -> None:
    machine = "arn:aws:states:us-east-1:000000000000:stateMachine:dev-flight-delays-loop"
    assert execution_arn(machine, "x-1") == "arn:aws:states:us-east-1:000000000000:execution:dev-flight-delays-loop:x-1"


@pytest.mark.parametrize(
    ("chain", "finished", "outcome"),
    [
        (any_chain(), True, "deployed"),
        (Chain(RUN_ID, (), None), False, "running"),
        (Chain(RUN_ID, any_chain().executions[:3], None), True, "the gate turned"),
        (Chain(RUN_ID, any_chain().executions[:3], Package(PACKAGE_ARN, "Approved")), False, "running"),
        (Chain(RUN_ID, any_chain().executions[:3], Package(PACKAGE_ARN, "PendingManualApproval")), True, "waiting for"),
        (
            Chain(
                RUN_ID,
                (execution("loop", 0, 2, [], status="FAILED"), execution("data", 0, 1, [], status="FAILED")),
                None,
            ),
            True,
            "failed in the data pipeline",
        ),
        (
            Chain(
                RUN_ID,
                (execution("loop", 0, 2, [], status="RUNNING"), execution("data", 0, 1, [], status="FAILED")),
                None,
            ),
            False,
            "running",
        ),
    ],
    ids=["deployed", "nothing yet", "rejected", "approved only", "pending", "failed", "loop retries"],
)
def test_where_a_run_stands(chain: Chain, finished: bool, outcome: str) -> None:
    assert chain.finished is finished
    assert outcome in chain.outcome()


def test_the_record_of_the_run_tells_what_failed() -> None:
    record = {"error": "BadSchema", "cause": "BadSchema: flights lacks dep_time", "failed_state": "Ingest"}
    found = from_record(execution("data", 0, 1, [], status="FAILED"), record, "jr_1")
    assert found.text() == (
        "state Ingest of the data pipeline failed: BadSchema\n"
        "BadSchema: flights lacks dep_time\nlog: python -m local logs jr_1"
    )


def test_the_innermost_message_is_dug_out_of_a_nested_cause() -> None:
    cause = '{"Error": "States.TaskFailed", "Cause": "{\\"FailureReason\\": \\"ExecuteUserScriptError: no model\\"}"}'
    failed = execution("model", 0, 1, [], status="FAILED", error="States.TaskFailed", cause=cause)
    assert from_history(failed, "log").message == "ExecuteUserScriptError: no model"
