"""Problems without a target: clusters and projections, measured by how far rows lie from what stands for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gapless_sagemaker.evaluation.scored import (
    Booleans,
    Floats,
    Integers,
    Metrics,
    Prediction,
    figures,
    numbers,
    refusal,
    weighed,
)
from gapless_sagemaker.evaluation.silhouette import silhouettes

CLUSTER = '{"cluster": a whole number from 0, "distance": a number from 0}'
PROJECTION = '{"projection": [a finite number, …], "error": a number from 0}'


@dataclass(frozen=True)
class ClusterScores:
    """Clusters, the distances to their centres, and silhouettes where they were measured, each of shape (rows,)."""

    clusters: Integers
    distances: Floats
    silhouettes: Floats | None = None

    @classmethod
    def read(cls, predictions: Sequence[Prediction], points: Floats | None = None) -> ClusterScores:
        """Read predictions.

        Args:
            points: The rows, shape (rows, dimensions). Default: there are no silhouettes.

        Raises:
            BadPredictions: One has not the form of :data:`CLUSTER`.
        """
        for place, prediction in enumerate(predictions):
            cluster = prediction.get("cluster")
            if isinstance(cluster, bool) or not isinstance(cluster, int) or cluster < 0:
                raise refusal(place, prediction, CLUSTER)
        distances = numbers(predictions, "distance", CLUSTER, lambda value: value >= 0)
        clusters = np.array([prediction["cluster"] for prediction in predictions], dtype=np.int64)
        return cls(clusters, distances, None if points is None else silhouettes(points, clusters))

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.clusters)

    def some(self, chosen: Booleans) -> ClusterScores:
        """Give the chosen rows."""
        measured = None if self.silhouettes is None else self.silhouettes[chosen]
        return ClusterScores(self.clusters[chosen], self.distances[chosen], measured)

    def shares(self) -> dict[str, tuple[float, float]]:
        """Give the metrics that are shares of rows: none."""
        return {}

    def metrics(self, weights: Floats | None = None, only: str | None = None) -> Metrics:  # noqa: ARG002
        """Give mean silhouette, mean and root mean square distance, clusters in use, and the share of the smallest."""
        counts = np.ones(self.rows) if weights is None else weights
        total, sizes = counts.sum(), np.bincount(self.clusters, weights=counts)
        return figures(
            {
                "silhouette": self._silhouette(counts),
                "mean_distance": weighed(counts, self.distances) / total,
                "rms_distance": np.sqrt(weighed(counts, self.distances**2) / total),
                "clusters": float(np.count_nonzero(sizes)),
                "smallest_share": sizes[sizes > 0].min() / total,
            }
        )

    def _silhouette(self, counts: Floats) -> float:
        """Give the mean over the rows that have one; NaN where none has."""
        if self.silhouettes is None:
            return float("nan")
        there = ~np.isnan(self.silhouettes)
        total = counts[there].sum()
        return weighed(counts[there], self.silhouettes[there]) / total if total > 0 else float("nan")


@dataclass(frozen=True)
class ProjectionScores:
    """Squared errors of the reconstruction, shape (rows,)."""

    errors: Floats

    @classmethod
    def read(cls, predictions: Sequence[Prediction]) -> ProjectionScores:
        """Read predictions.

        Raises:
            BadPredictions: One has not the form of :data:`PROJECTION`.
        """
        for place, prediction in enumerate(predictions):
            axes = prediction.get("projection")
            if not isinstance(axes, list) or not axes or not all(isinstance(each, int | float) for each in axes):
                raise refusal(place, prediction, PROJECTION)
        return cls(numbers(predictions, "error", PROJECTION, lambda value: value >= 0))

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.errors)

    def some(self, chosen: Booleans) -> ProjectionScores:
        """Give the chosen rows."""
        return ProjectionScores(self.errors[chosen])

    def shares(self) -> dict[str, tuple[float, float]]:
        """Give the metrics that are shares of rows: none."""
        return {}

    def metrics(self, weights: Floats | None = None, only: str | None = None) -> Metrics:  # noqa: ARG002
        """Give mean and root mean square error of the reconstruction."""
        counts = np.ones(self.rows) if weights is None else weights
        mean = weighed(counts, self.errors) / counts.sum()
        return figures({"mean_error": mean, "root_mean_error": np.sqrt(mean)})
