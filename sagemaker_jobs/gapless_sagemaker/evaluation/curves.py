"""What is drawn of an evaluation: too long for the document that the gate judges, so it lies beside it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gapless_sagemaker.evaluation.binary import BinaryScores
from gapless_sagemaker.evaluation.multiclass import MulticlassScores
from gapless_sagemaker.evaluation.regression import RegressionScores
from gapless_sagemaker.evaluation.scored import Floats, Scored
from gapless_sagemaker.evaluation.untargeted import ClusterScores, ProjectionScores

ROC_POINTS = 200
BINS = 30
MOST_CLASSES = 30
OTHERS = "(others)"


def curves(scored: Scored) -> dict[str, Any]:
    """Give the curves of a problem: ``roc``, ``confusion``, ``errors`` or ``clusters``."""
    if isinstance(scored, BinaryScores):
        return {"roc": _roc(scored)}
    if isinstance(scored, MulticlassScores):
        return {"confusion": _confusion(scored)}
    if isinstance(scored, RegressionScores):
        return {"errors": _histogram(scored.values - scored.truth)}
    if isinstance(scored, ClusterScores):
        return {"clusters": {"rows": np.bincount(scored.clusters).tolist()}}
    if isinstance(scored, ProjectionScores):
        return {"errors": _histogram(scored.errors)}
    raise TypeError(f"no curves of {type(scored).__name__}")


def _roc(scored: BinaryScores) -> dict[str, list[float]]:
    """Give at most :data:`ROC_POINTS` points of the ROC curve; its ends are always there."""
    alarms, hits = scored.roc()
    kept = np.unique(np.linspace(0, len(hits) - 1, ROC_POINTS).round().astype(int))
    return {"fpr": alarms[kept].tolist(), "tpr": hits[kept].tolist()}


def _confusion(scored: MulticlassScores) -> dict[str, Any]:
    """Give how many rows of each class were called what; of many classes the most frequent, the others together."""
    cells = scored.confusion()
    order = np.argsort(-cells.sum(axis=1), kind="stable")
    kept, rest = order[:MOST_CLASSES], order[MOST_CLASSES:]
    names = [scored.classes[place] for place in kept]
    if len(rest):
        names.append(OTHERS)
        cells = np.column_stack([cells[:, kept], cells[:, rest].sum(axis=1)])
        cells = np.vstack([cells[kept], cells[rest].sum(axis=0)])
    else:
        cells = cells[np.ix_(kept, kept)]
    return {"classes": names, "rows": cells.astype(int).tolist()}


def _histogram(values: Floats) -> dict[str, list[float]]:
    counts, edges = np.histogram(values, bins=BINS)
    return {"edges": edges.tolist(), "rows": counts.tolist()}
