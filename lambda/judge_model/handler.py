"""Judges a trained model: may it be registered?

Invoked by the model machine after the evaluation, with the figures in the event; reads and writes nothing.
The rules, each of which must hold:

``floor``
    The metric of the candidate reaches the workload's limit: at least the limit for a metric of which more is better,
    at most the limit for ``log_loss`` and ``brier``.
``better_than_champion`` (unless the workload switches it off)
    On the same rows the candidate beats the champion, the model approved last: ``value > champion - tolerance``. So
    with the default tolerance of 0 it has to be strictly better, and with 0.01 it may be almost 0.01 worse. For
    ``log_loss`` and ``brier`` it is ``value < champion + tolerance``. While there is no champion the rule holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

HIGHER_IS_BETTER: Mapping[str, bool] = {"auc": True, "accuracy": True, "log_loss": False, "brier": False}


class BadGate(Exception):
    """The gate cannot be judged: a metric is unknown or missing, or a figure is not a finite number."""


class Gate(TypedDict):
    """The workload's gate; the tolerance is in units of the metric, not below 0."""

    metric: str
    floor: float
    better_than_champion: bool
    tolerance: float


class Event(TypedDict):
    """What the machine hands over: the metrics of candidate and champion on the same rows."""

    metrics: Mapping[str, float]
    champion_metrics: NotRequired[Mapping[str, float] | None]
    gate: Gate


class Rule(TypedDict):
    """One rule and how it went; ``limit`` is None where there was nothing to compare with."""

    rule: str
    limit: float | None
    value: float
    passed: bool
    reason: str


class Verdict(TypedDict):
    """Whether every rule holds, and all of them."""

    passed: bool
    rules: list[Rule]


def judge(metrics: Mapping[str, float], champion_metrics: Mapping[str, float] | None, gate: Gate) -> Verdict:
    """Judge a candidate by the rules of this module.

    Raises:
        BadGate: The metric is unknown, a figure is missing or not finite, or the tolerance is negative.
    """
    metric = gate["metric"]
    if metric not in HIGHER_IS_BETTER:
        raise BadGate(f"metric of the gate unknown: {metric!r}; allowed are {', '.join(sorted(HIGHER_IS_BETTER))}")
    value = _figure(metrics, metric, "the candidate's metrics")
    rules = [_floor(metric, value, _figure(gate, "floor", "the gate"))]
    if gate["better_than_champion"]:
        tolerance = _figure(gate, "tolerance", "the gate")
        if tolerance < 0:
            raise BadGate(f"tolerance of the gate negative: {tolerance}; allowed is 0 or more")
        champion = _figure(champion_metrics, metric, "the champion's metrics") if champion_metrics is not None else None
        rules.append(_better(metric, value, champion, tolerance))
    return {"passed": all(rule["passed"] for rule in rules), "rules": rules}


def _floor(metric: str, value: float, limit: float) -> Rule:
    higher = HIGHER_IS_BETTER[metric]
    passed = value >= limit if higher else value <= limit
    reason = f"{metric} is {value:.4f}; allowed is {'at least' if higher else 'at most'} {limit:.4f}"
    return {"rule": "floor", "limit": limit, "value": value, "passed": passed, "reason": reason}


def _better(metric: str, value: float, champion: float | None, tolerance: float) -> Rule:
    rule = "better_than_champion"
    if champion is None:
        return {"rule": rule, "limit": None, "value": value, "passed": True, "reason": "there is no champion yet"}
    higher = HIGHER_IS_BETTER[metric]
    limit = champion - tolerance if higher else champion + tolerance
    passed = value > limit if higher else value < limit
    reason = (
        f"{metric} is {value:.4f}, the champion's on the same rows {champion:.4f}; "
        f"allowed is {'more' if higher else 'less'} than {limit:.4f}"
    )
    return {"rule": rule, "limit": limit, "value": value, "passed": passed, "reason": reason}


def _figure(figures: Mapping[str, Any], name: str, where: str) -> float:
    figure = figures.get(name)
    if isinstance(figure, bool) or not isinstance(figure, int | float) or not math.isfinite(figure):
        raise BadGate(f"{name} in {where} is {figure!r}; allowed is a finite number")
    return float(figure)


def handler(event: Event, context: Any) -> Verdict:  # noqa: ARG001
    """Give the verdict on the figures in the event."""
    return judge(event["metrics"], event.get("champion_metrics"), event["gate"])
