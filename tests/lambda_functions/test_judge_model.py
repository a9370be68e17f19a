"""The gate: a floor, and better than the champion on the same rows."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge_model.handler import BadGate, handler

GATE = {"metric": "auc", "floor": 0.7, "better_than_champion": True, "tolerance": 0.0}
_SHARE = st.floats(0, 1)


def verdict(value: Any, champion: Any = None, **gate: Any) -> Any:
    judged = {**GATE, **gate}
    metrics, champions = ({judged["metric"]: figure} for figure in (value, champion))
    event: Any = {"metrics": metrics, "champion_metrics": champions if champion is not None else None, "gate": judged}
    return handler(event, None)


def passed(value: Any, champion: Any = None, **gate: Any) -> dict[str, bool]:
    return {rule["rule"]: rule["passed"] for rule in verdict(value, champion, **gate)["rules"]}


@pytest.mark.parametrize(("value", "holds"), [(0.69999, False), (0.7, True), (1, True)])
def test_the_metric_has_to_reach_the_floor(value: float, holds: bool) -> None:
    assert passed(value)["floor"] is holds


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
@pytest.mark.parametrize(("value", "holds"), [(0.70001, False), (0.7, True), (0, True)])
def test_a_loss_has_to_stay_below_its_limit(metric: str, value: float, holds: bool) -> None:
    assert passed(value, metric=metric)["floor"] is holds


@pytest.mark.parametrize(
    ("metric", "value", "champion", "tolerance", "holds"),
    [
        ("auc", 0.80, 0.80, 0.0, False),
        ("auc", 0.81, 0.80, 0.0, True),
        ("auc", 0.795, 0.80, 0.01, True),
        ("auc", 0.785, 0.80, 0.01, False),
        ("log_loss", 0.40, 0.40, 0.0, False),
        ("log_loss", 0.39, 0.40, 0.0, True),
        ("log_loss", 0.405, 0.40, 0.01, True),
        ("brier", 0.415, 0.40, 0.01, False),
    ],
)
def test_has_to_beat_the_champion_but_for_the_tolerance(
    metric: str, value: float, champion: float, tolerance: float, holds: bool
) -> None:
    floor = 0.5
    assert passed(value, champion, metric=metric, tolerance=tolerance, floor=floor) == {
        "floor": True,
        "better_than_champion": holds,
    }


def test_the_first_model_needs_no_champion() -> None:
    assert verdict(0.8)["rules"][1] == {
        "rule": "better_than_champion",
        "limit": None,
        "value": 0.8,
        "passed": True,
        "reason": "there is no champion yet",
    }
    without: Any = {"metrics": {"auc": 0.8}, "gate": GATE}
    assert handler(without, None)["passed"] is True


def test_the_comparison_can_be_switched_off() -> None:
    assert passed(0.8, 0.9, better_than_champion=False) == {"floor": True}


def test_says_the_figures_in_its_reasons() -> None:
    rules = verdict(0.65, 0.72)["rules"]
    assert [rule["reason"] for rule in rules] == [
        "auc is 0.6500; allowed is at least 0.7000",
        "auc is 0.6500, the champion's on the same rows 0.7200; allowed is more than 0.7200",
    ]
    assert [rule["limit"] for rule in rules] == [0.7, 0.72]


@given(value=_SHARE, champion=st.none() | _SHARE, floor=_SHARE, tolerance=_SHARE)
def test_passes_exactly_when_every_rule_does(
    value: float, champion: float | None, floor: float, tolerance: float
) -> None:
    judged = verdict(value, champion, floor=floor, tolerance=tolerance)
    assert judged["passed"] is all(rule["passed"] for rule in judged["rules"])
    assert judged["passed"] is (value >= floor and (champion is None or value > champion - tolerance))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"value": 0.8, "metric": "f1"}, "'f1'; allowed are accuracy, auc, brier, log_loss"),
        ({"value": 0.8, "metric": "base_rate"}, "'base_rate'; allowed are"),
        ({"value": None}, "auc in the candidate's metrics is None; allowed is a finite number"),
        ({"value": math.nan}, "is nan"),
        ({"value": True}, "is True"),
        ({"value": 0.8, "champion": math.inf}, "auc in the champion's metrics is inf"),
        ({"value": 0.8, "champion": 0.7, "tolerance": -0.1}, "tolerance of the gate negative: -0.1"),
        ({"value": 0.8, "floor": "high"}, "floor in the gate is 'high'"),
    ],
)
def test_refuses_to_judge_by_figures_that_are_none(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BadGate, match=message):
        verdict(**arguments)
