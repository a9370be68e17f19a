"""One of several classes: their probabilities and the class decided for, against the class that it was."""

from __future__ import annotations

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
    refusal,
    weighed,
)

ALLOWED = '{"probabilities": {class: 0 to 1}, with sum 1, "label": a class of the target\'s type}'
LOSSES = ("log_loss", "brier")
_SUM = 1e-3


@dataclass(frozen=True)
class MulticlassScores:
    """Truth, probabilities and decisions.

    Args:
        classes: The names of the classes, as texts, sorted.
        truth, labels: Places among the classes, shape (rows,).
        probabilities: Shape (rows, classes).
    """

    classes: tuple[str, ...]
    truth: Integers
    probabilities: Floats
    labels: Integers

    @classmethod
    def read(cls, truth: Sequence[str | int], predictions: Sequence[Prediction]) -> MulticlassScores:
        """Read predictions; a class that only the truth has gets the probability 0.

        Raises:
            BadPredictions: One has not the form of :data:`ALLOWED`.
        """
        kind = type(truth[0])
        for place, prediction in enumerate(predictions):
            if not _allowed(prediction, kind):
                raise refusal(place, prediction, ALLOWED)
        named = {name for prediction in predictions for name in prediction["probabilities"]}
        said = {str(prediction["label"]) for prediction in predictions}
        classes = tuple(sorted({str(value) for value in truth} | named | said))
        places = {name: place for place, name in enumerate(classes)}
        probabilities = np.zeros((len(predictions), len(classes)))
        for row, prediction in enumerate(predictions):
            for name, share in prediction["probabilities"].items():
                probabilities[row, places[name]] = share
        return cls(
            classes,
            np.array([places[str(value)] for value in truth], dtype=np.int64),
            probabilities,
            np.array([places[str(prediction["label"])] for prediction in predictions], dtype=np.int64),
        )

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.truth)

    def some(self, chosen: Booleans) -> MulticlassScores:
        """Give the chosen rows; the classes stay."""
        return MulticlassScores(self.classes, self.truth[chosen], self.probabilities[chosen], self.labels[chosen])

    def metrics(self, weights: Floats | None = None, only: str | None = None) -> Metrics:
        """Give the metrics. Macro averages are over the classes that are true or decided for in some row."""
        counts = np.ones(self.rows) if weights is None else weights
        if only in LOSSES:
            return figures(self._losses(counts))
        if only is not None:
            return figures(self._decisions(counts))
        return figures({**self._losses(counts), **self._decisions(counts)})

    def shares(self) -> dict[str, tuple[float, float]]:
        """Give the metrics that are shares of rows."""
        return {"accuracy": (float((self.truth == self.labels).sum()), float(self.rows))}

    def confusion(self, counts: Floats | None = None) -> Floats:
        """Give how many rows of each class were called what, shape (classes, classes)."""
        size = len(self.classes)
        cells = np.bincount(self._cells, weights=counts, minlength=size * size).reshape(size, size)
        return cells.astype(np.float64)

    @cached_property
    def _cells(self) -> Integers:
        return self.truth * len(self.classes) + self.labels

    @cached_property
    def _row_losses(self) -> tuple[Floats, Floats]:
        """Give the logarithmic and the squared loss of each row."""
        own = self.probabilities[np.arange(self.rows), self.truth]
        squares = (self.probabilities**2).sum(axis=1) - 2 * own + 1
        return -np.log(np.clip(own, np.finfo(np.float64).eps, 1.0)), squares

    def _losses(self, counts: Floats) -> Metrics:
        logarithmic, squared = self._row_losses
        total = counts.sum()
        return {"log_loss": weighed(counts, logarithmic) / total, "brier": weighed(counts, squared) / total}

    def _decisions(self, counts: Floats) -> Metrics:
        cells = self.confusion(counts)
        hits, true, called = np.diag(cells), cells.sum(axis=1), cells.sum(axis=0)
        there, total = (true + called) > 0, cells.sum()
        recall = np.divide(hits, true, out=np.zeros_like(hits), where=true > 0)
        precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
        both = true + called
        f1 = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
        alike = weighed(true, called)
        spread = np.sqrt((total**2 - weighed(called, called)) * (total**2 - weighed(true, true)))
        return {
            "accuracy": hits.sum() / total,
            "balanced_accuracy": recall[true > 0].mean(),
            "macro_precision": precision[there].mean(),
            "macro_recall": recall[there].mean(),
            "macro_f1": f1[there].mean(),
            "mcc": (hits.sum() * total - alike) / spread if spread else 0.0,
        }


def _allowed(prediction: Prediction, kind: type) -> bool:
    shares, label = prediction.get("probabilities"), prediction.get("label")
    if not isinstance(shares, dict) or type(label) is not kind:
        return False
    values = list(shares.values())
    if not values or not all(isinstance(each, int | float) and not isinstance(each, bool) for each in values):
        return False
    return bool(min(values) >= 0 and abs(sum(values) - 1) <= _SUM)
