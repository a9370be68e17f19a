"""A yes or a no: probabilities and decisions against what happened."""

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
    numbers,
    ratio,
    refusal,
    weighed,
)

ALLOWED = '{"probability": 0 to 1, "label": true or false}'
RANKING = ("auc", "pr_auc")
LOSSES = ("log_loss", "brier", "base_rate")


@dataclass(frozen=True)
class BinaryScores:
    """Truth, probabilities and decisions, each of shape (rows,)."""

    truth: Booleans
    probabilities: Floats
    labels: Booleans

    @classmethod
    def read(cls, truth: Booleans, predictions: Sequence[Prediction]) -> BinaryScores:
        """Read predictions.

        Raises:
            BadPredictions: One has not the form of :data:`ALLOWED`.
        """
        for place, prediction in enumerate(predictions):
            if not isinstance(prediction.get("label"), bool):
                raise refusal(place, prediction, ALLOWED)
        probabilities = numbers(predictions, "probability", ALLOWED, lambda value: 0 <= value <= 1)
        return cls(truth, probabilities, np.array([each["label"] for each in predictions], dtype=np.bool_))

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.truth)

    def some(self, chosen: Booleans) -> BinaryScores:
        """Give the chosen rows."""
        return BinaryScores(self.truth[chosen], self.probabilities[chosen], self.labels[chosen])

    def metrics(self, weights: Floats | None = None, only: str | None = None) -> Metrics:
        """Give the metrics; those of a ranking only while there are rows of both classes."""
        counts = np.ones(self.rows) if weights is None else weights
        if only in RANKING:
            return figures(self._ranking(counts))
        if only in LOSSES:
            return figures(self._losses(counts))
        if only is not None:
            return figures(self._decisions(counts))
        return figures({**self._ranking(counts), **self._losses(counts), **self._decisions(counts)})

    def shares(self) -> dict[str, tuple[float, float]]:
        """Give the metrics that are shares of rows."""
        right_no, false_yes, missed, hits = (float(count) for count in np.bincount(self._cells, minlength=4))
        return {
            "accuracy": (hits + right_no, float(self.rows)),
            "precision": (hits, hits + false_yes),
            "recall": (hits, hits + missed),
        }

    def roc(self) -> tuple[Floats, Floats]:
        """Give false and true positive rates, from the highest probability down; both begin with 0 and end with 1."""
        hits, alarms = self._ranked(np.ones(self.rows))
        return np.append(0.0, alarms / alarms[-1]), np.append(0.0, hits / hits[-1])

    @cached_property
    def _order(self) -> Integers:
        return np.argsort(-self.probabilities, kind="stable")

    @cached_property
    def _ordered_truth(self) -> Floats:
        return self._ones[self._order]

    @cached_property
    def _ends(self) -> Integers:
        """Where the rows of one probability end, in that order."""
        ordered = self.probabilities[self._order]
        return np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)

    @cached_property
    def _row_losses(self) -> Floats:
        tiny = np.finfo(np.float64).eps
        said = np.where(self.truth, self.probabilities, 1 - self.probabilities)
        return np.asarray(-np.log(np.clip(said, tiny, 1.0)))

    @cached_property
    def _ones(self) -> Floats:
        return self.truth.astype(np.float64)

    @cached_property
    def _squares(self) -> Floats:
        return np.asarray((self.probabilities - self.truth) ** 2)

    @cached_property
    def _cells(self) -> Integers:
        """0 to 3: truth twice, decision once."""
        return 2 * self.truth.astype(np.int64) + self.labels

    def _ranked(self, counts: Floats) -> tuple[Floats, Floats]:
        """Give hits and false alarms if everything down to each probability were called a yes."""
        ordered = counts[self._order]
        hits = np.cumsum(ordered * self._ordered_truth)[self._ends]
        return hits, np.cumsum(ordered)[self._ends] - hits

    def _ranking(self, counts: Floats) -> Metrics:
        hits, alarms = self._ranked(counts)
        positives, negatives = hits[-1], alarms[-1]
        if not positives or not negatives:
            return {}
        before, gained = np.append(0.0, hits[:-1]), np.diff(hits, prepend=0.0)
        called = hits + alarms
        precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
        area = np.sum(np.diff(alarms, prepend=0.0) * (before + hits)) / 2
        return {"auc": area / (positives * negatives), "pr_auc": np.sum(gained * precision) / positives}

    def _losses(self, counts: Floats) -> Metrics:
        total = counts.sum()
        return {
            "log_loss": weighed(counts, self._row_losses) / total,
            "brier": weighed(counts, self._squares) / total,
            "base_rate": weighed(counts, self._ones) / total,
        }

    def _decisions(self, counts: Floats) -> Metrics:
        right_no, false_yes, missed, hits = np.bincount(self._cells, weights=counts, minlength=4)
        total, positives, negatives = right_no + false_yes + missed + hits, missed + hits, right_no + false_yes
        recalls = [ratio(right, all_of) for right, all_of in ((hits, positives), (right_no, negatives)) if all_of]
        margins = positives * negatives * (hits + false_yes) * (right_no + missed)
        return {
            "accuracy": (hits + right_no) / total,
            "balanced_accuracy": float(np.mean(recalls)),
            "precision": ratio(hits, hits + false_yes),
            "recall": ratio(hits, positives),
            "f1": ratio(2 * hits, 2 * hits + false_yes + missed),
            "mcc": ratio(hits * right_no - false_yes * missed, float(np.sqrt(margins))),
        }
