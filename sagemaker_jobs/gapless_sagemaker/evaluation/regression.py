"""A number: what was said against what it was."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gapless_sagemaker.evaluation.scored import (
    Booleans,
    Floats,
    Integers,
    Metrics,
    Prediction,
    figures,
    numbers,
    weighed,
)

ALLOWED = '{"value": a finite number}'


@dataclass(frozen=True)
class RegressionScores:
    """Truth and predictions, each of shape (rows,), in the unit of the target."""

    truth: Floats
    values: Floats

    @classmethod
    def read(cls, truth: Floats, predictions: Sequence[Prediction]) -> RegressionScores:
        """Read predictions.

        Raises:
            BadPredictions: One has not the form of :data:`ALLOWED`.
        """
        return cls(truth, numbers(predictions, "value", ALLOWED, math.isfinite))

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.truth)

    def some(self, chosen: Booleans) -> RegressionScores:
        """Give the chosen rows."""
        return RegressionScores(self.truth[chosen], self.values[chosen])

    def metrics(self, weights: Floats | None = None, only: str | None = None) -> Metrics:
        """Give the metrics: ``r2`` while the truth varies, ``mape`` (a share, not percent) while it is never 0."""
        counts = np.ones(self.rows) if weights is None else weights
        total = counts.sum()
        squared = weighed(counts, self._squares)
        mean = weighed(counts, self.truth) / total
        spread = weighed(counts, (self.truth - mean) ** 2)
        found = {"rmse": np.sqrt(squared / total), "mae": weighed(counts, self._sizes) / total}
        if only in (None, "median_ae"):
            found["median_ae"] = self._median(counts)
        if spread > 0:
            found["r2"] = 1 - squared / spread
        if self._shares is not None:
            found["mape"] = weighed(counts, self._shares) / total
        return figures(found)

    def shares(self) -> dict[str, tuple[float, float]]:
        """Give the metrics that are shares of rows: none."""
        return {}

    @cached_property
    def _sizes(self) -> Floats:
        return np.abs(self.values - self.truth)

    @cached_property
    def _squares(self) -> Floats:
        return np.asarray(self._sizes**2)

    @cached_property
    def _shares(self) -> Floats | None:
        return None if (self.truth == 0).any() else self._sizes / np.abs(self.truth)

    @cached_property
    def _order(self) -> Integers:
        return np.argsort(self._sizes, kind="stable")

    def _median(self, counts: Floats) -> float:
        """Give the median size of an error, each row standing for as many as it counts."""
        upto = np.cumsum(counts[self._order])
        low, high = np.searchsorted(upto, [(upto[-1] - 1) // 2, upto[-1] // 2], side="right")
        ordered = self._sizes[self._order]
        return float((ordered[low] + ordered[high]) / 2)
