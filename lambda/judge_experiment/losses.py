"""How wrong a prediction was, between 0 and 1, by the kind of problem.

Yes or no: the Brier score of the row, (p - y)². Classes: half the Brier score over all classes, the same for two of
them. A number: the absolute error in units of ``clip``; errors beyond it all count as 1, so that a few cannot decide
alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from constructs_lib.names.problems import BINARY, MULTICLASS, REGRESSION

JUDGED = (BINARY, MULTICLASS, REGRESSION)


class NoLoss(Exception):
    """A prediction or outcome that does not say what it has to."""


def loss_of(problem: str, predictions: Sequence[Mapping[str, Any]], outcomes: Sequence[Any], clip: float) -> float:
    """Gives the mean loss of the predictions of one request.

    Raises:
        NoLoss: There are not as many outcomes as predictions, or one is of another kind.
    """
    if not predictions or len(predictions) != len(outcomes):
        raise NoLoss(f"{len(outcomes)} outcomes of {len(predictions)} predictions")
    try:
        losses = [_loss(problem, *pair, clip) for pair in zip(predictions, outcomes, strict=True)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NoLoss(f"{type(error).__name__}: {error}") from error
    return sum(losses) / len(losses)


def _loss(problem: str, prediction: Mapping[str, Any], outcome: Any, clip: float) -> float:
    if problem == BINARY:
        loss = (_probability(prediction["probability"]) - _truth(outcome)) ** 2
    elif problem == MULTICLASS:
        given = {str(name): _probability(share) for name, share in prediction["probabilities"].items()}
        if str(outcome) not in given:
            raise ValueError(f"{outcome!r} is none of the classes")
        loss = sum((share - (name == str(outcome))) ** 2 for name, share in given.items()) / 2
    else:
        loss = abs(float(prediction["value"]) - float(outcome)) / clip
    if not loss >= 0:
        raise ValueError("it is no number")
    return min(1.0, loss)


def _probability(value: Any) -> float:
    share = float(value)
    if not 0 <= share <= 1:
        raise ValueError(f"{share} is no probability")
    return share


def _truth(outcome: Any) -> int:
    texts = {"true": 1, "1": 1, "1.0": 1, "false": 0, "0": 0, "0.0": 0}
    return texts[str(outcome).lower()]
