"""What each kind of state does, as AWS documents it."""

from typing import Any

import pytest

FAILS = {"Type": "Fail", "Error": "Broken", "Cause": "on purpose"}


def passing(**fields: Any) -> dict[str, Any]:
    return {"Type": "Pass", "End": True, **fields}


def test_variables_are_assigned_and_seen_later(machines: Any) -> None:
    states = {
        "First": {"Type": "Pass", "Assign": {"x": "{% $states.input.n + 1 %}"}, "Output": {}, "Next": "Second"},
        "Second": passing(Output={"x": "{% $x %}"}),
    }
    assert machines.run(states, {"n": 4})["output"] == {"x": 5}


def test_variables_of_a_branch_stay_in_it(machines: Any) -> None:
    branch = {"StartAt": "In", "States": {"In": passing(Assign={"inner": 1})}}
    states = {
        "Both": {"Type": "Parallel", "Branches": [branch], "Next": "After"},
        "After": passing(Output="{% $exists($inner) %}"),
    }
    assert machines.run(states)["output"] is False


def test_a_branch_sees_outer_variables_and_its_arguments(machines: Any) -> None:
    branch = {"StartAt": "In", "States": {"In": passing(Output="{% [$outer, $states.input.a] %}")}}
    states = {
        "Set": {"Type": "Pass", "Assign": {"outer": 7}, "Next": "Both"},
        "Both": {"Type": "Parallel", "Arguments": {"a": 8}, "Branches": [branch], "End": True},
    }
    assert machines.run(states)["output"] == [[7, 8]]


def test_parallel_makes_its_output_of_the_branches_results(machines: Any) -> None:
    branches = [{"StartAt": "In", "States": {"In": passing(Output=number)}} for number in (1, 2)]
    states = {"Both": {"Type": "Parallel", "Branches": branches, "Output": "{% $sum($states.result) %}", "End": True}}
    assert machines.run(states)["output"] == 3


def test_a_failing_branch_calls_off_the_others(machines: Any) -> None:
    slow = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 100_000, "End": True}}}
    broken = {"StartAt": "Fail", "States": {"Fail": FAILS}}
    states = {
        "Both": {
            "Type": "Parallel",
            "Branches": [slow, broken],
            "Catch": [{"ErrorEquals": ["Broken"], "Next": "Caught"}],
            "End": True,
        },
        "Caught": passing(),
    }
    assert machines.run(states)["output"] == {"Error": "Broken", "Cause": "on purpose"}


def test_map_gives_item_and_index(machines: Any) -> None:
    states = {
        "Each": {
            "Type": "Map",
            "Items": "{% $states.input.list %}",
            "ItemSelector": {
                "at": "{% $states.context.Map.Item.Index %}",
                "is": "{% $states.context.Map.Item.Value %}",
            },
            "MaxConcurrency": 2,
            "ItemProcessor": {"StartAt": "One", "States": {"One": passing(Output="{% $string($states.input) %}")}},
            "End": True,
        }
    }
    assert machines.run(states, {"list": ["a", "b", "c"]})["output"] == [
        '{"at":0,"is":"a"}',
        '{"at":1,"is":"b"}',
        '{"at":2,"is":"c"}',
    ]


def test_map_of_nothing_is_an_empty_list(machines: Any) -> None:
    processor = {"StartAt": "One", "States": {"One": passing()}}
    states = {"Each": {"Type": "Map", "Items": "{% [] %}", "ItemProcessor": processor, "End": True}}
    assert machines.run(states)["output"] == []


@pytest.mark.parametrize(("n", "expected"), [(1, {"rule": 1}), (2, {"n": 2}), (3, "default")])
def test_choice_takes_the_first_rule_or_the_default(machines: Any, n: int, expected: Any) -> None:
    states = {
        "Choose": {
            "Type": "Choice",
            "Choices": [
                {"Condition": "{% $states.input.n = 1 %}", "Output": {"rule": 1}, "Next": "End"},
                {"Condition": "{% $states.input.n = 2 %}", "Next": "End"},
            ],
            "Output": "default",
            "Default": "End",
        },
        "End": {"Type": "Succeed"},
    }
    assert machines.run(states, {"n": n})["output"] == expected


def test_choice_without_a_match_fails(machines: Any) -> None:
    states = {
        "Choose": {"Type": "Choice", "Choices": [{"Condition": "{% false %}", "Next": "End"}]},
        "End": {"Type": "Succeed"},
    }
    assert machines.run(states)["error"] == "States.NoChoiceMatched"


def test_a_condition_that_is_no_boolean_fails(machines: Any) -> None:
    states = {
        "Choose": {"Type": "Choice", "Choices": [{"Condition": "{% 1 %}", "Next": "End"}], "Default": "End"},
        "End": {"Type": "Succeed"},
    }
    assert machines.run(states)["error"] == "States.QueryEvaluationError"


def test_succeed_shapes_its_output(machines: Any) -> None:
    assert machines.run({"End": {"Type": "Succeed", "Output": {"a": "{% 1 + 1 %}"}}})["output"] == {"a": 2}


def test_fail_evaluates_error_and_cause(machines: Any) -> None:
    states = {"End": {"Type": "Fail", "Error": "{% 'Bad' & 'Batch' %}", "Cause": "{% $string($states.input) %}"}}
    ended = machines.run(states, {"a": 1})
    assert (ended["status"], ended["error"], ended["cause"]) == ("FAILED", "BadBatch", '{"a":1}')


def test_waits_are_scaled(machines: Any) -> None:
    ended = machines.run({"Wait": {"Type": "Wait", "Seconds": "{% 20 %}", "End": True}})
    took = (ended["stopDate"] - ended["startDate"]).total_seconds()
    assert 0.4 <= took < 10


def test_machine_timeouts_are_not_scaled(machines: Any) -> None:
    ended = machines.run({"Wait": {"Type": "Wait", "Seconds": 100_000, "End": True}}, TimeoutSeconds=1)
    assert (ended["status"], ended["error"]) == ("TIMED_OUT", "States.Timeout")


def test_an_expression_without_a_value_fails(machines: Any) -> None:
    ended = machines.run({"Pass": passing(Output="{% $states.input.missing %}")})
    assert ended["error"] == "States.QueryEvaluationError"
    assert "$states.input.missing" in ended["cause"]


def test_output_beyond_the_limit_fails_and_nothing_catches_it(machines: Any) -> None:
    big = {"StartAt": "Big", "States": {"Big": passing(Output="{% $pad('', 300000, 'x') %}")}}
    states = {
        "Both": {
            "Type": "Parallel",
            "Branches": [big],
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}],
            "End": True,
        },
        "Caught": passing(),
    }
    assert machines.run(states)["error"] == "States.DataLimitExceeded"


def test_the_context_names_execution_machine_and_state(machines: Any) -> None:
    execution = machines.start({"Show": passing(Output="{% $states.context %}")}, {"a": 1})
    context = machines.wait(execution)["output"]
    assert context["Execution"]["Id"] == execution
    assert context["Execution"]["Input"] == {"a": 1}
    assert context["Execution"]["RedriveCount"] == 0
    assert context["State"]["Name"] == "Show"
    assert context["State"]["RetryCount"] == 0
    assert context["State"]["EnteredTime"].endswith("Z")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("$hash('x', 'SHA-256')", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"),
        ("$parse('{\"a\": [1, 2.5]}').a", [1, 2.5]),
        ("$partition([1, 2, 3], 2)", [[1, 2], [3]]),
        ("$range(0, 10, 5)", [0, 5, 10]),
        ("6 / 2", 3),
        ("$exists($states.input.missing)", False),
    ],
)
def test_functions_that_step_functions_adds(machines: Any, expression: str, expected: Any) -> None:
    assert machines.run({"Pass": passing(Output=f"{{% {expression} %}}")})["output"] == expected


def test_a_json_path_machine_is_refused_by_name(machines: Any) -> None:
    ended = machines.run({"Pass": passing()}, QueryLanguage="JSONPath")
    assert ended["error"] == "States.Runtime"
    assert "JSONPath" in ended["cause"]


def test_a_next_that_does_not_exist_fails(machines: Any) -> None:
    ended = machines.run({"Pass": {"Type": "Pass", "Next": "Nowhere"}})
    assert "Nowhere" in ended["cause"]


def test_history_tells_every_state(machines: Any) -> None:
    execution = machines.start({"One": {"Type": "Pass", "Next": "Two"}, "Two": {"Type": "Succeed"}})
    machines.wait(execution)
    assert [event["type"] for event in machines.history(execution)] == [
        "ExecutionStarted",
        "PassStateEntered",
        "PassStateExited",
        "SucceedStateEntered",
        "SucceedStateExited",
        "ExecutionSucceeded",
    ]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$exists($none)", True),
        ("[$none, 'other'][0]", None),
        ("$exists($made.a)", True),
        ("$map($made.list, function($each) {$each})", [1, None, 2]),
        ("$filter($states.input.list, function($each) {$each = null})", None),
        ("$sift($made, function($each) {$each = null})", {"a": None}),
        ("$map($parse('[1, null]'), function($each) {$each})", [1, None]),
    ],
)
def test_null_is_a_value_wherever_it_comes_from(machines: Any, expression: str, value: Any) -> None:
    """As in the reference implementation of JSONata: only what is missing has no value."""
    states = {
        "Set": {"Type": "Pass", "Assign": {"none": None, "made": {"a": None, "list": [1, None, 2]}}, "Next": "Get"},
        "Get": passing(Output="{% " + expression + " %}"),
    }
    assert machines.run(states, {"list": [1, None]})["output"] == value
