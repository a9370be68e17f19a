"""Which mode of serving and which strategy go together, and what a strategy may ask for."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from constructs_lib.names.serving_file import BY_INSTANCES, ROLLOUTS, Serving, allowed_strategies, refusal
from constructs_lib.names.serving_modes import MODES


@pytest.mark.parametrize(
    ("mode", "allowed"),
    [
        ("real_time", ["all_at_once", "canary", "linear", "rolling", "ab", "shadow"]),
        ("serverless", ["all_at_once"]),
        ("asynchronous", ["all_at_once", "canary", "linear", "rolling"]),
        ("multi_model", ["all_at_once", "canary", "linear", "rolling", "ab"]),
        ("batch", ["all_at_once"]),
    ],
)
def test_each_mode_has_its_strategies(mode: str, allowed: list[str]) -> None:
    assert allowed_strategies(mode) == allowed
    for strategy in set(ROLLOUTS) - set(allowed):
        assert str(refusal(mode, strategy)).startswith(f"{strategy} ")


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_that_can_be_deployed_has_a_strategy(mode: str) -> None:
    assert "all_at_once" in allowed_strategies(mode)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"mode": "serverless", "rollout": "rolling"}, "rolling replaces instances in batches, and a serverless"),
        ({"mode": "serverless", "rollout": "canary"}, "allowed with mode serverless: all_at_once"),
        ({"mode": "asynchronous", "rollout": "ab"}, "an asynchronous answer does not name"),
        ({"mode": "edge"}, "expected tags: 'real_time', 'serverless', 'asynchronous'"),
        (
            {"mode": {"kind": "multi_model", "segment": "plan", "values": ["a", "b"]}, "rollout": "shadow"},
            "shadow is not done by SageMaker for endpoints of several models",
        ),
        ({"instance_count": 2, "rollout": {"strategy": "linear", "step": 0.09}}, "greater than or equal to 0.1"),
        ({"instance_count": 2, "rollout": {"strategy": "rolling", "batch": 0.04}}, "greater than or equal to 0.05"),
        ({"instance_count": 2, "rollout": {"strategy": "rolling", "batch": 0.6}}, "less than or equal to 0.5"),
        (
            {"instance_count": 2, "rollout": {"strategy": "linear", "step": 0.1, "bake_minutes": 60}},
            "10 steps of 60 minutes are more than the 420 that SageMaker can be given; allowed: 1 to 42",
        ),
        ({"rollout": "shadow", "capture_percent": 0}, "a shadow is compared by what is captured"),
        ({"prediction_shift": 0.2, "capture_percent": 0}, "with mode real_time and capture_percent 0; allowed with"),
        ({"prediction_shift": 0.2, "mode": "asynchronous"}, "with mode asynchronous and capture_percent 100; allowed"),
        ({"prediction_shift": 0}, "greater than 0"),
    ],
)
def test_refuses_what_cannot_be_with_the_reason(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Serving.model_validate(given)
    assert says in str(caught.value)


@pytest.mark.parametrize("strategy", BY_INSTANCES)
def test_a_share_of_the_instances_needs_two(strategy: str) -> None:
    with pytest.raises(ValidationError, match=f"a rollout by {strategy} needs at least two instances, was 1"):
        Serving.model_validate({"rollout": strategy})
    assert Serving.model_validate({"rollout": strategy, "instance_count": 2}).rollout.strategy == strategy
