"""What a model said of rows, beside what is true of them, and how good that is.

Each problem has a class of its own. All of them give their metrics with weights, so that a resample is a vector of
counts and takes no copy of any row: drawing row *i* twice is weighing it with 2. Without weights the figures are those
that scikit-learn defines under the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gapless_sagemaker.predictions import BadPredictions

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

Prediction = Mapping[str, Any]
Metrics = dict[str, float]


class Scored(Protocol):
    """Truth and predictions of the same rows."""

    @property
    def rows(self) -> int:
        """How many rows there are."""

    def metrics(self, weights: Floats | None = None, only: str | None = None) -> Metrics:
        """Give the metrics that are defined on these rows.

        Args:
            weights: How much each row counts, shape (rows,), not negative. Default: each counts once.
            only: A metric that is needed; others may be left out. Default: all.
        """

    def shares(self) -> dict[str, tuple[float, float]]:
        """Give the metrics that are shares of rows: how many rows, and of how many."""

    def some(self, chosen: Booleans) -> Scored:
        """Give the chosen rows, a vector of shape (rows,)."""


def number(prediction: Prediction, part: str) -> float | None:
    """Give a part of a prediction that is a finite number; None for anything else."""
    value = prediction.get(part)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        return None
    return float(value)


def numbers(predictions: Sequence[Prediction], part: str, allowed: str, fits: Callable[[float], bool]) -> Floats:
    """Give one part of every prediction, shape (rows,).

    Raises:
        BadPredictions: One is not a number that fits.
    """
    values = np.empty(len(predictions), dtype=np.float64)
    for place, prediction in enumerate(predictions):
        value = number(prediction, part)
        if value is None or not fits(value):
            raise refusal(place, prediction, allowed)
        values[place] = value
    return values


def refusal(place: int, prediction: Prediction, allowed: str) -> BadPredictions:
    """Give the error of a prediction that has not the form of its problem."""
    return BadPredictions(f"prediction {place}: given {prediction!r:.80}; allowed is {allowed}")


def weighed(counts: Floats, values: Floats) -> float:
    """Give the sum of values, each as often as it counts, both of shape (rows,).

    Not by ``@``: BLAS would start threads for each of thousands of short sums, and they wait for one another.
    """
    return float(np.einsum("i,i->", counts, values))


def ratio(above: float, below: float) -> float:
    """Divide; what has nothing to be divided by is 0, as in scikit-learn."""
    return above / below if below else 0.0


def figures(values: Mapping[str, float]) -> Metrics:
    """Give the metrics that are numbers: one that is not defined on some rows is not there."""
    return {name: float(value) for name, value in values.items() if np.isfinite(value)}
