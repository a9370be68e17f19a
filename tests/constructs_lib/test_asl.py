from typing import Any

import pytest

from constructs_lib.asl import (
    BadFlow,
    Catch,
    State,
    all_states,
    choice,
    expression,
    fail,
    for_each,
    go_to,
    jsonata,
    machine,
    parallel,
    remember,
    succeed,
    task,
    wait,
)


def any_task(**options: Any) -> State:
    return task("sns:publish", {"TopicArn": "t"}, **{"timeout": 60, **options})


def failing() -> dict[str, State]:
    return {"ExplainFailure": fail("Failed", "because")}


def test_a_task_retries_transient_errors_with_jitter_and_a_cap() -> None:
    retry = any_task()["Retry"][0]
    assert retry["JitterStrategy"] == "FULL"
    assert 0 < retry["MaxDelaySeconds"] <= 60
    assert retry["MaxAttempts"] > 0
    assert "States.ALL" not in retry["ErrorEquals"]


def test_a_task_retries_what_its_own_service_calls_transient() -> None:
    assert (
        "Glue.ConcurrentRunsExceededException"
        in task("glue:startJobRun.sync", {}, timeout=1)["Retry"][0]["ErrorEquals"]
    )
    assert "S3.SdkClientException" in task("aws-sdk:s3:getObject", {}, timeout=1)["Retry"][0]["ErrorEquals"]


def test_a_task_keeps_error_cause_state_and_input_when_it_fails_for_good() -> None:
    last = any_task()["Catch"][-1]
    assert last["ErrorEquals"] == ["States.ALL"]
    assert last["Next"] == "ExplainFailure"
    assert set(last["Assign"]["failure"]) == {"error", "cause", "state", "input", "redrives"}
    assert last["Output"] == "{% $states.input %}"


def test_a_task_looks_for_its_own_catches_first() -> None:
    catches = any_task(catch=[Catch(["SNS.NotFoundException"], "Make", {"made": True})])["Catch"]
    assert catches[0] == {
        "ErrorEquals": ["SNS.NotFoundException"],
        "Output": "{% $states.input %}",
        "Next": "Make",
        "Assign": {"made": True},
    }


@pytest.mark.parametrize("seconds", [0, -1])
def test_refuses_a_task_without_a_positive_timeout(seconds: int) -> None:
    with pytest.raises(ValueError, match=f"timeout must be a positive number of seconds, got: {seconds}"):
        any_task(timeout=seconds)


def test_refuses_a_task_of_a_service_whose_transient_errors_are_not_known() -> None:
    with pytest.raises(ValueError, match=r"'iot:publish' must be one of .*, cloudwatch, "):
        task("iot:publish", {}, timeout=1)


def test_each_state_leads_to_the_one_below_unless_it_says_otherwise() -> None:
    states = machine(
        "Works",
        {"First": any_task(), "Again": go_to("First", wait(1)), **failing(), "Nap": wait(2)}
        | {"First": any_task(catch=[Catch(["E"], "Nap")]), "End": succeed()},
        timeout=60,
    )["States"]
    assert states["First"]["Next"] == "Again"
    assert states["Again"]["Next"] == "First"
    assert states["Nap"]["Next"] == "End"
    assert "Next" not in states["End"]


def test_a_machine_starts_with_its_first_state_and_speaks_jsonata() -> None:
    definition = machine("Works", {"Begin": remember({"a": 1}), "End": succeed()}, timeout=60)
    assert definition["StartAt"] == "Begin"
    assert definition["QueryLanguage"] == "JSONata"
    assert definition["TimeoutSeconds"] == 60


@pytest.mark.parametrize(
    "states",
    [
        {"Begin": go_to("Nowhere", wait(1)), "End": succeed()},
        {"Begin": choice([("true", "Nowhere")], default="End"), "End": succeed()},
        {"Begin": choice([("true", "End")], default="Nowhere"), "End": succeed()},
        {"Begin": any_task(on_failure="Nowhere"), "End": succeed()},
    ],
)
def test_refuses_a_state_that_leads_nowhere(states: dict[str, State]) -> None:
    with pytest.raises(BadFlow, match="state 'Begin' leads to 'Nowhere', which is none of: Begin, End"):
        machine("Broken", states, timeout=60)


def test_refuses_a_dead_end() -> None:
    with pytest.raises(BadFlow, match="state 'Begin' is the last one, but is no end and leads nowhere"):
        machine("Broken", {"Begin": wait(1)}, timeout=60)


def test_refuses_a_state_that_nothing_leads_to() -> None:
    with pytest.raises(BadFlow, match="nothing leads to: Lost"):
        machine("Broken", {"Begin": succeed(), "Lost": succeed()}, timeout=60)


def test_checks_branches_and_items_as_flows_of_their_own() -> None:
    inner = {"Work": any_task(on_failure="Outside"), "Done": succeed()}
    with pytest.raises(BadFlow, match="leads to 'Outside'"):
        parallel(inner)
    with pytest.raises(BadFlow, match="leads to 'Outside'"):
        for_each("[1]", inner, at_once=1)


def test_lists_the_states_of_branches_and_items_too() -> None:
    definition = machine(
        "Works",
        {
            "Both": parallel({"Left": succeed()}, {"Right": succeed()}),
            "Each": for_each("[1]", {"Item": succeed()}, at_once=1),
            "End": succeed(),
            **failing(),
        },
        timeout=60,
    )
    assert {name for name, _ in all_states(definition)} == {
        "Both",
        "Left",
        "Right",
        "Each",
        "Item",
        "End",
        "ExplainFailure",
    }


def test_puts_marked_expressions_into_one_expression() -> None:
    value = {"a": [1, jsonata("$x & 'b'"), "it's"], "b": None, "c": True}
    assert expression(value) == """{"a": [1, ($x & 'b'), "it's"], "b": null, "c": true}"""
