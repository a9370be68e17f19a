"""Judges a trained model: may it be registered?

Invoked by the model machine after the evaluation, with the figures in the event; reads and writes nothing. Each family
of rules is a module of its own, whose docstring says what it asks for; every rule is judged and told, whatever the
others say, and a model passes when all of them hold.
"""

from __future__ import annotations

from typing import Any, TypedDict

from judge_model import bias, calibration, champion, floor, limits, slices
from judge_model.rules import Document, Rule

FAMILIES = (floor, champion, calibration, slices, bias, limits)


class Event(TypedDict):
    """What the machine hands over: the figures of ``evaluation.json``, the workload's gate, and its problem."""

    evaluation: Document
    gate: Document
    problem: str


class Verdict(TypedDict):
    """Whether every rule holds, and all of them."""

    passed: bool
    rules: list[Rule]


def judge(evaluation: Document, gate: Document, problem: str) -> Verdict:
    """Judge a candidate by every family of rules.

    Raises:
        BadGate: A metric is unknown, or a figure is missing or not finite.
    """
    rules = [rule for family in FAMILIES for rule in family.judge(evaluation, gate, problem)]
    return {"passed": all(rule["passed"] for rule in rules), "rules": rules}


def handler(event: Event, context: Any) -> Verdict:  # noqa: ARG001
    """Give the verdict on the figures in the event."""
    return judge(event["evaluation"], event["gate"], event["problem"])
