"""The kinds of problem that a workload may have: what its target is, what a prediction says, how good it is measured.

A prediction of a row is an object:

- ``binary_classification``: ``{"probability": p, "label": bool}``,
- ``multiclass_classification``: ``{"probabilities": {class: p}, "label": class}``,
- ``regression``: ``{"value": number}``,
- ``clustering``: ``{"cluster": int, "distance": d}`` with the distance to the cluster's centre,
- ``projection``: ``{"projection": [number, …], "error": e}`` with the squared error of the reconstruction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

BINARY: Final = "binary_classification"
MULTICLASS: Final = "multiclass_classification"
REGRESSION: Final = "regression"
CLUSTERING: Final = "clustering"
PROJECTION: Final = "projection"


@dataclass(frozen=True)
class Problem:
    """One kind of problem.

    Attributes:
        targets: The types that the target may have; none for a problem without a target.
        metrics: What a gate may judge by: name → whether more is better.
        metric: The one that decides unless the workload names another.
    """

    targets: tuple[str, ...]
    metrics: Mapping[str, bool]
    metric: str


PROBLEMS: Final[Mapping[str, Problem]] = {
    BINARY: Problem(
        targets=("boolean",),
        metrics={
            "auc": True,
            "pr_auc": True,
            "log_loss": False,
            "brier": False,
            "accuracy": True,
            "balanced_accuracy": True,
            "f1": True,
            "precision": True,
            "recall": True,
            "mcc": True,
        },
        metric="auc",
    ),
    MULTICLASS: Problem(
        targets=("string", "int"),
        metrics={
            "log_loss": False,
            "brier": False,
            "accuracy": True,
            "balanced_accuracy": True,
            "macro_f1": True,
            "macro_precision": True,
            "macro_recall": True,
            "mcc": True,
        },
        metric="mcc",
    ),
    REGRESSION: Problem(
        targets=("int", "bigint", "double"),
        metrics={"rmse": False, "mae": False, "median_ae": False, "r2": True, "mape": False},
        metric="r2",
    ),
    CLUSTERING: Problem(
        targets=(),
        metrics={"mean_distance": False, "rms_distance": False, "silhouette": True},
        metric="mean_distance",
    ),
    PROJECTION: Problem(targets=(), metrics={"mean_error": False, "root_mean_error": False}, metric="mean_error"),
}

GUESSING: Final[Mapping[str, float]] = {"auc": 0.5, "mcc": 0.0, "r2": 0.0}
"""What is reached without knowing anything of a row, where that does not depend on the data."""
