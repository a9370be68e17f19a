"""The gate: rules of several families, each judged and told."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constructs_lib.names.gate_file import Gate
from constructs_lib.names.problems import BINARY, CLUSTERING, REGRESSION
from judge_model.handler import handler
from judge_model.rules import BadGate

_SHARE = st.floats(0, 1)


def interval(low: float, high: float) -> dict[str, Any]:
    return {"low": low, "high": high, "level": 0.95, "method": "bootstrap_percentile"}


def compared(low: float, high: float) -> dict[str, Any]:
    """A comparison with these bounds."""
    return {
        "difference": (low + high) / 2,
        "low": low,
        "high": high,
        "level": 0.05,
        "p_value": 0.04,
        "test": "delong",
    }


def champion(metric: str, value: float, low: float, high: float) -> dict[str, Any]:
    return {
        "sha256": "d" * 64,
        "metrics": {metric: value},
        "intervals": {},
        "comparison": {metric: compared(low, high)},
    }


def part(name: str, value: float, low: float, high: float, **others: Any) -> dict[str, Any]:
    """A slice by origin with this AUC and interval."""
    told = {"column": "origin", "slice": name, "rows": 500, "enough": True, "metrics": {"auc": value}}
    return {**told, "interval": interval(low, high), **others}


def verdict(metrics: dict[str, Any], gate: dict[str, Any], problem: str = BINARY, **others: Any) -> Any:
    evaluation = {
        "rows": 1000,
        "metrics": metrics,
        "intervals": {},
        "champion": None,
        "calibration": {"error": 0.02, "groups": 15, "slope": 1.0, "intercept": 0.0},
        "slices": [],
        "bias": None,
        "limits": {"latency_ms": None, "bytes": 1},
        **others,
    }
    event: Any = {"evaluation": evaluation, "gate": Gate(**gate).judged(problem), "problem": problem}
    return handler(event, None)


def rules(family: str, *arguments: Any, **others: Any) -> list[dict[str, Any]]:
    return [rule for rule in verdict(*arguments, **others)["rules"] if rule["rule"] == family]


# --- floor -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "holds"), [(0.69999, False), (0.7, True), (1, True)])
def test_the_metric_has_to_reach_the_floor(value: float, holds: bool) -> None:
    (rule,) = rules("floor", {"auc": value}, {"floor": 0.7})
    assert (rule["passed"], rule["limit"], rule["value"]) == (holds, 0.7, value)


@pytest.mark.parametrize(("value", "holds"), [(0.70001, False), (0.7, True), (0, True)])
@pytest.mark.parametrize(("problem", "metric"), [(BINARY, "log_loss"), (BINARY, "brier"), (REGRESSION, "rmse")])
def test_an_error_has_to_stay_below_its_limit(problem: str, metric: str, value: float, holds: bool) -> None:
    (rule,) = rules("floor", {metric: value}, {"metric": metric, "floor": 0.7}, problem)
    assert rule["passed"] is holds


def test_every_further_metric_has_a_rule_of_its_own() -> None:
    found = rules("floor", {"auc": 0.8, "recall": 0.1}, {"floor": 0.7, "floors": {"recall": 0.2, "precision": 0.1}})
    assert [(rule["limit"], rule["value"], rule["passed"]) for rule in found] == [
        (0.7, 0.8, True),
        (0.2, 0.1, False),
        (0.1, None, False),
    ]
    assert found[2]["reason"] == "precision is not defined on these rows; allowed is at least 0.1000"


def test_says_how_far_the_figure_may_be_off() -> None:
    (rule,) = rules("floor", {"auc": 0.65}, {"floor": 0.7}, intervals={"auc": interval(0.61, 0.69)})
    assert rule["reason"] == "auc is 0.6500 (0.6100 to 0.6900); allowed is at least 0.7000"


def test_a_metric_without_a_floor_has_no_such_rule() -> None:
    assert rules("floor", {"mean_distance": 3.0}, {}, CLUSTERING, calibration=None) == []


# --- champion --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "metric", "low", "high", "margin", "holds"),
    [
        (BINARY, "auc", 0.001, 0.02, 0.0, True),
        (BINARY, "auc", 0.0, 0.0, 0.0, False),
        (BINARY, "auc", -0.001, 0.03, 0.0, False),
        (BINARY, "auc", -0.009, 0.03, 0.01, True),
        (BINARY, "auc", -0.01, 0.03, 0.01, False),
        (BINARY, "log_loss", -0.02, -0.001, 0.0, True),
        (BINARY, "log_loss", -0.02, 0.001, 0.0, False),
        (REGRESSION, "rmse", -3.0, 0.4, 0.5, True),
        (REGRESSION, "rmse", -3.0, 0.6, 0.5, False),
    ],
)
def test_has_to_be_better_than_the_champion_but_for_the_margin(
    problem: str, metric: str, low: float, high: float, margin: float, holds: bool
) -> None:
    gate = {"metric": metric, "champion": {"margin": margin}}
    (rule,) = rules("champion", {metric: 0.8}, gate, problem, champion=champion(metric, 0.79, low, high))
    assert rule["passed"] is holds
    assert rule["limit"] == -margin


def test_a_better_figure_alone_does_not_beat_the_champion() -> None:
    (rule,) = rules("champion", {"auc": 0.82}, {}, champion=champion("auc", 0.80, -0.01, 0.05))
    assert not rule["passed"]
    assert rule["reason"] == (
        "auc is 0.8200, the champion's on the same rows 0.8000: 0.0200 better; the advantage is at least -0.0100 "
        "(delong, level 0.05, p = 0.04) and must be above 0"
    )


def test_the_first_model_needs_no_champion() -> None:
    (rule,) = rules("champion", {"auc": 0.8}, {})
    assert rule == {
        "rule": "champion",
        "limit": None,
        "value": None,
        "passed": True,
        "reason": "there is no champion yet",
    }


def test_a_comparison_that_is_not_required_is_shown() -> None:
    (rule,) = rules("champion", {"auc": 0.7}, {"champion": {"required": False}}, champion=champion("auc", 0.8, -0.2, 0))
    assert rule["passed"]
    assert rule["reason"].startswith(
        "not required; auc is 0.7000, the champion's on the same rows 0.8000: 0.1000 worse"
    )


def test_a_champion_that_cannot_be_compared_with_is_not_beaten() -> None:
    (rule,) = rules("champion", {"auc": 0.7}, {}, champion={**champion("auc", 0.8, 0, 0), "comparison": {}})
    assert (rule["passed"], rule["value"]) == (False, None)
    assert rule["reason"] == "auc of candidate and champion cannot be compared on these 1000 rows"


# --- calibration and slices ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "holds"), [(0.019, False), (0.02, True)])
def test_predictions_may_be_off_by_so_much(limit: float, holds: bool) -> None:
    (rule,) = rules("calibration", {"auc": 0.8}, {"calibration": {"max_error": limit}})
    assert rule["passed"] is holds
    assert rule["reason"].startswith("predictions are off by 0.0200 on average of 15 groups; allowed is at most 0.0")


def test_without_a_limit_calibration_and_slices_are_not_judged() -> None:
    assert [rule["rule"] for rule in verdict({"auc": 0.8}, {}, slices=[part("JFK", 0.1, 0, 0.2)])["rules"]] == [
        "floor",
        "champion",
    ]


def test_a_slice_breaks_the_rule_only_when_its_whole_interval_does() -> None:
    slices = [
        part("EWR", 0.75, 0.72, 0.78),
        part("JFK", 0.58, 0.55, 0.61),
        part("LGA", 0.56, 0.54, 0.59),
        part("NYC", 0.0, 0, 0, enough=False, rows=9, metrics={}, interval=None),
        part("SWF", 0.5, 0, 0, interval=None),
    ]
    found = rules("slices", {"auc": 0.8}, {"slices": {"floor": 0.6}}, slices=slices)
    assert [rule["passed"] for rule in found] == [True, True, False, True, True]
    assert found[2]["reason"] == (
        "auc on origin: LGA is 0.5600 (0.5400 to 0.5900) of 500 rows; "
        "allowed is an interval that reaches at least 0.6000"
    )
    assert found[3]["reason"] == "origin: NYC has 9 rows, too few to judge"
    assert found[4]["reason"] == "origin: SWF cannot be judged: auc has no interval on its 500 rows"


def test_an_error_on_a_slice_may_reach_down_to_its_limit() -> None:
    slices = [
        {**part("a", 0, 3.5, 4.5), "metrics": {"rmse": 4.0}},
        {**part("b", 0, 3.1, 4.5), "metrics": {"rmse": 4.0}},
    ]
    gate = {"metric": "rmse", "slices": {"floor": 3.2}}
    found = rules("slices", {"rmse": 4.0}, gate, REGRESSION, slices=slices)
    assert [rule["passed"] for rule in found] == [False, True]


# --- all of them -----------------------------------------------------------------------------------------------------


@given(value=_SHARE, floor=_SHARE, low=st.none() | st.floats(-1, 1), margin=_SHARE, error=_SHARE, worst=_SHARE)
def test_passes_exactly_when_every_rule_does(
    value: float, floor: float, low: float | None, margin: float, error: float, worst: float
) -> None:
    gate = {"floor": floor, "champion": {"margin": margin}, "calibration": {"max_error": 0.5}, "slices": {"floor": 0.5}}
    other = champion("auc", 0.5, low, max(low, 0)) if low is not None else None
    calibration = {"error": error, "groups": 1, "slope": None, "intercept": None}
    judged = verdict(
        {"auc": value}, gate, champion=other, calibration=calibration, slices=[part("a", worst, worst, worst)]
    )
    assert len(judged["rules"]) == 4
    assert judged["passed"] is all(rule["passed"] for rule in judged["rules"])
    wanted = value >= floor and (low is None or low > -margin) and error <= 0.5 and worst >= 0.5
    assert judged["passed"] is wanted


def test_all_rules_are_told_whatever_the_first_one_says() -> None:
    gate = {"floor": 0.9, "calibration": {"max_error": 0.001}, "slices": {"floor": 0.9}}
    judged = verdict({"auc": 0.5}, gate, slices=[part("JFK", 0.5, 0.4, 0.6)], champion=champion("auc", 0.6, -1, 0))
    assert [(rule["rule"], rule["passed"]) for rule in judged["rules"]] == [
        ("floor", False),
        ("champion", False),
        ("calibration", False),
        ("slices", False),
    ]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"problem": "ranking"}, "problem unknown: 'ranking'; allowed are binary_classification"),
        ({"gate": {"metric": "r2"}}, "'r2'; allowed are accuracy, auc, balanced_accuracy, brier"),
        ({"gate": {"metric": "base_rate"}}, "'base_rate'; allowed are"),
        (
            {"evaluation": {"metrics": {"auc": None}}},
            "auc in the candidate's metrics is None; allowed is a finite number",
        ),
        ({"evaluation": {"metrics": {"auc": math.nan}}}, "is nan"),
        ({"evaluation": {"metrics": {"auc": True}}}, "is True"),
        ({"gate": {"floor": "high"}}, "auc in the gate's floors is 'high'"),
        ({"gate": {"champion": {"required": True, "margin": -0.1}}}, "margin of the gate's champion negative: -0.1"),
        (
            {"evaluation": {"champion": champion("auc", 0.7, math.inf, math.inf)}},
            "difference in the comparison with the champion is inf",
        ),
        (
            {"evaluation": {"calibration": None}, "gate": {"calibration": {"max_error": 1}}},
            "calibration of binary_classification is not measured",
        ),
    ],
)
def test_refuses_to_judge_by_figures_that_are_none(event: dict[str, Any], message: str) -> None:
    evaluation: Any = {"metrics": {"auc": 0.8}, "intervals": {}, "champion": None, "calibration": None, "slices": []}
    given: Any = {
        "evaluation": {**evaluation, **event.get("evaluation", {})},
        "gate": {**Gate().judged(BINARY), **event.get("gate", {})},
        "problem": event.get("problem", BINARY),
    }
    with pytest.raises(BadGate, match=message):
        handler(given, None)
