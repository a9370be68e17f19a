"""What all rules of the gate have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypedDict

from constructs_lib.names.problems import PROBLEMS

Document = Mapping[str, Any]


class BadGate(Exception):
    """The gate cannot be judged: a metric is unknown or missing, or a figure is not a finite number."""


class Rule(TypedDict):
    """One rule and how it went.

    ``limit`` is None where there was nothing to compare with, ``value`` where there was no figure.
    """

    rule: str
    limit: float | None
    value: float | None
    passed: bool
    reason: str


def higher_is_better(problem: str, metric: str) -> bool:
    """Say whether more of a metric is better.

    Raises:
        BadGate: The problem has no such metric.
    """
    if problem not in PROBLEMS:
        raise BadGate(f"problem unknown: {problem!r}; allowed are {', '.join(PROBLEMS)}")
    metrics = PROBLEMS[problem].metrics
    if metric not in metrics:
        raise BadGate(f"metric of the gate unknown: {metric!r}; allowed are {', '.join(sorted(metrics))}")
    return metrics[metric]


def figure(figures: Document, name: str, where: str) -> float:
    """Give a figure.

    Raises:
        BadGate: It is not a finite number.
    """
    value = figures.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadGate(f"{name} in {where} is {value!r}; allowed is a finite number")
    return float(value)


def reaches(value: float, limit: float, *, higher: bool) -> bool:
    """Say whether a value is as good as a limit, or better."""
    return value >= limit if higher else value <= limit


def at(limit: float, *, higher: bool) -> str:
    """Say what a limit asks for."""
    return f"at {'least' if higher else 'most'} {limit:.4f}"


def within(interval: Document | None) -> str:
    """Say how far a figure may be off, in words that follow it."""
    return "" if interval is None else f" ({interval['low']:.4f} to {interval['high']:.4f})"
