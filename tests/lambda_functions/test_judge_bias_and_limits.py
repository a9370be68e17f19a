"""The families of rules about bias and about what a model costs."""

from __future__ import annotations

from typing import Any

import pytest

from constructs_lib.names.fairness_file import BiasRule
from judge_model import bias, limits


def facet(name: str = "black: true", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "column": name.partition(":")[0],
        "rows": 400,
        "group_rows": 40,
        "pre_training": {},
        "post_training": {"DPPL": 0.12, "DI": 0.75, "TE": None},
        "intervals": {"DPPL": {"low": 0.02, "high": 0.22}, "DI": {"low": 0.6, "high": 0.9}},
        "reason": None,
        **more,
    }


def rule(metric: Any = "DPPL", **more: Any) -> dict[str, Any]:
    return BiasRule(metric=metric, **more).model_dump(mode="json", exclude_none=True)


def judged(*rules: dict[str, Any], facets: list[dict[str, Any]] | None = None, training: Any = ()) -> list[Any]:
    evaluation = {"bias": {"facets": facets if facets is not None else [facet()], "training": list(training)}}
    return list(bias.judge(evaluation, {"bias": list(rules)}, "binary_classification"))


@pytest.mark.parametrize(
    ("metric", "at_least", "at_most", "judged_by", "holds"),
    [
        ("DPPL", -0.1, 0.1, "estimate", False),
        ("DPPL", -0.1, 0.12, "estimate", True),
        ("DPPL", 0.12, None, "estimate", True),
        ("DPPL", 0.13, None, "estimate", False),
        ("DPPL", -0.1, 0.1, "interval", True),
        ("DPPL", -0.1, 0.01, "interval", False),
        ("DI", 0.8, 1.25, "estimate", False),
        ("DI", 0.8, 1.25, "interval", True),
        ("DI", 0.95, None, "interval", False),
    ],
)
def test_a_metric_lies_within_its_bounds(
    metric: str, at_least: float | None, at_most: float | None, judged_by: str, holds: bool
) -> None:
    (found,) = judged(rule(metric, at_least=at_least, at_most=at_most, judged_by=judged_by))
    assert found["passed"] is holds


def test_says_the_figures_in_its_reason() -> None:
    (found,) = judged(rule(at_least=-0.1, at_most=0.1))
    reason = "DPPL of black: true is 0.1200 (0.0200 to 0.2200) by 40 of 400 rows; allowed is -0.1 to 0.1"
    assert found == {"rule": "bias", "limit": 0.1, "value": 0.12, "passed": False, "reason": reason}


def test_every_facet_is_judged_unless_one_is_named() -> None:
    both = [facet(), facet("male: false")]
    assert len(judged(rule(at_most=1), rule("DI", at_least=0), facets=both)) == 4
    (found,) = judged(rule(at_most=1, facet="male"), facets=both)
    assert "male: false" in found["reason"]


def test_what_is_known_before_training_is_judged_on_the_rows_of_training() -> None:
    test, train = (facet(pre_training={"DPL": value}) for value in (0.3, 0.1))
    (found,) = judged(rule("DPL", at_most=0.2), facets=[test], training=[{**train, "post_training": {}}])
    assert (found["value"], found["passed"]) == (0.1, True)


@pytest.mark.parametrize(
    ("given", "asked", "reason"),
    [
        (facet(), rule("TE", at_most=1.0), "TE of black: true has no value: it is not defined on these rows"),
        (
            facet(post_training={}, reason="no row is in the group"),
            rule(at_most=1.0),
            "DPPL of black: true has no value: no row is in the group",
        ),
        (
            facet(intervals={}),
            rule(at_most=1.0, judged_by="interval"),
            "DPPL of black: true is 0.1200 and has no interval to be judged by",
        ),
    ],
)
def test_what_cannot_be_shown_breaks_the_rule(given: Any, asked: Any, reason: str) -> None:
    (found,) = judged(asked, facets=[given])
    assert (found["passed"], found["reason"]) == (False, reason)


def test_a_rule_without_any_facet_is_broken() -> None:
    (found,) = bias.judge({"bias": None}, {"bias": [rule(at_most=1.0)]}, "binary_classification")
    assert found["passed"] is False


def cost(latency: float | None, size: int, **limit: Any) -> list[Any]:
    measured = {"latency_ms": None if latency is None else {"p50": 1.0, "p99": latency}, "bytes": size}
    gate = {"limits": limit} if limit else {}
    return list(limits.judge({"limits": measured}, gate, "regression"))


def test_a_model_is_quick_and_small_enough() -> None:
    assert cost(5.0, 100) == []
    assert [found["passed"] for found in cost(5.0, 100, latency_p99_ms=5.0, bytes=100)] == [True, True]
    assert [found["passed"] for found in cost(5.1, 101, latency_p99_ms=5.0, bytes=100)] == [False, False]
    (found,) = cost(5.0, 12_345_678, bytes=10_000_000)
    reason = "the unpacked archive has 12,345,678 bytes; allowed is at most 10,000,000"
    assert found == {"rule": "limits", "limit": 10_000_000, "value": 12_345_678, "passed": False, "reason": reason}


def test_a_latency_that_is_not_known_breaks_its_rule() -> None:
    (found,) = cost(None, 100, latency_p99_ms=5.0)
    assert (found["value"], found["passed"]) == (None, False)
