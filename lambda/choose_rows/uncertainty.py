"""How unsure a model was of a row: pure functions of its prediction. More is less sure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from constructs_lib.names.problems import BINARY, MULTICLASS


def uncertainty(
    how: str, problem: str, prediction: Mapping[str, Any], other: Mapping[str, Any] | None = None
) -> float | None:
    """Give how unsure a model was; None where the prediction does not say.

    Args:
        how: ``margin``, one less what lies between the two likeliest classes; ``entropy``, that of the classes, one
            where all are alike; ``spread``, the distance of two models' numbers.
        problem: What is predicted.
        prediction: What was answered.
        other: What another model said of the same row, for ``spread``.
    """
    try:
        if how == "spread":
            return _finite(abs(float(prediction["value"]) - float(other["value"]))) if other is not None else None
        shares = shares_of(problem, prediction)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if len(shares) < 2 or not all(0 <= share <= 1 for share in shares):
        return None
    return margin(shares) if how == "margin" else entropy(shares)


def shares_of(problem: str, prediction: Mapping[str, Any]) -> list[float]:
    """Give the probabilities of the classes.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: The prediction has none.
    """
    if problem == BINARY:
        probability = float(prediction["probability"])
        return [probability, 1 - probability]
    if problem == MULTICLASS:
        return [float(share) for share in prediction["probabilities"].values()]
    raise ValueError(f"problem {problem} has no classes")


def margin(shares: Sequence[float]) -> float:
    """Give one less the distance of the two largest shares."""
    first, second = sorted(shares, reverse=True)[:2]
    return 1 - (first - second)


def entropy(shares: Sequence[float]) -> float:
    """Give the entropy in units of the largest there can be."""
    return -sum(share * math.log(share) for share in shares if share > 0) / math.log(len(shares))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
