"""Do predictions mean what they say? Groups of rows with like predictions, beside what happened in them.

Of a yes or no the probability is compared with how often the answer was yes, of classes the probability of the class
decided for with how often it was right (C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017), of a
number its mean with the mean of the truth. Rows of one prediction stay together; as far as that allows, groups have
equal sizes.

``error`` is the mean distance between both over the groups, weighted by their rows: the expected calibration error, in
the unit of what is predicted. It is above 0 by chance alone, the more so the fewer rows. ``slope`` and ``intercept``
are 1 and 0 for calibrated predictions: of a logistic regression of the answer on the logit of the probability (D. Cox,
Two Further Applications of a Model for Binary Regression, Biometrika 45, 1958), or of a linear one of the truth on the
prediction.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gapless_sagemaker.evaluation.binary import BinaryScores
from gapless_sagemaker.evaluation.bootstrap import wilson
from gapless_sagemaker.evaluation.multiclass import MulticlassScores
from gapless_sagemaker.evaluation.regression import RegressionScores
from gapless_sagemaker.evaluation.scored import Floats, Integers, Scored

GROUPS = 15
ROWS_PER_GROUP = 10
_STEPS = 50
_CLOSE = 1e-10


def calibration(scored: Scored) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Give the figures, and the reliability curve behind them; None for problems without a target.

    Returns:
        ``{"error", "groups", "slope", "intercept"}``, slope and intercept None where they are not defined, and
        ``{"predicted", "observed", "count"}``, for probabilities with ``low`` and ``high`` of what was observed.
    """
    if isinstance(scored, BinaryScores):
        line = logistic_line(logit(scored.probabilities), scored.truth.astype(np.float64))
        return _figures(scored.probabilities, scored.truth.astype(np.float64), line, shares=True)
    if isinstance(scored, MulticlassScores):
        confidence = scored.probabilities[np.arange(scored.rows), scored.labels]
        return _figures(confidence, (scored.truth == scored.labels).astype(np.float64), None, shares=True)
    if isinstance(scored, RegressionScores):
        return _figures(scored.values, scored.truth, linear_line(scored.values, scored.truth), shares=False)
    return None


def groups_of(predictions: Floats, most: int = GROUPS) -> Integers:
    """Give the group of each row, from 0, by rank; rows of one prediction are in one group.

    Args:
        predictions: Shape (rows,).
        most: How many groups there are at most; a group of few rows would say nothing.
    """
    rows = len(predictions)
    count = min(most, max(1, rows // ROWS_PER_GROUP))
    _, places, sizes = np.unique(predictions, return_inverse=True, return_counts=True)
    middles = np.cumsum(sizes) - sizes / 2
    wanted = np.minimum((middles * count / rows).astype(np.int64), count - 1)
    return np.unique(wanted, return_inverse=True)[1][places]


def _figures(
    predictions: Floats, observed: Floats, line: tuple[float, float] | None, *, shares: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    groups = groups_of(predictions)
    sizes = np.bincount(groups)
    said, was = (np.bincount(groups, weights=values) / sizes for values in (predictions, observed))
    curve: dict[str, Any] = {"predicted": said.tolist(), "observed": was.tolist(), "count": sizes.tolist()}
    if shares:
        bounds = [wilson(share * size, size) for share, size in zip(was.tolist(), sizes.tolist(), strict=True)]
        curve |= {side: [each[side] for each in bounds] for side in ("low", "high")}
    slope, intercept = line if line is not None else (None, None)
    error = float(np.abs(said - was) @ sizes / len(predictions))
    return {"error": error, "groups": len(sizes), "slope": slope, "intercept": intercept}, curve


def logit(probabilities: Floats) -> Floats:
    """Give the logarithms of the odds; 0 and 1 are taken as just above and below."""
    tiny = np.finfo(np.float64).eps
    inside = np.clip(probabilities, tiny, 1 - tiny)
    return np.log(inside) - np.log1p(-inside)


def logistic_line(x: Floats, y: Floats) -> tuple[float, float] | None:
    """Fit P(y = 1) = 1 / (1 + exp(-(slope x + intercept))) by maximum likelihood, Newton's method.

    Returns:
        Slope and intercept; None where there is no maximum: all x equal, or one class to one side of the other.
    """
    if np.ptp(x) == 0 or _separated(x, y):
        return None
    shift, scale = x.mean(), x.std()
    design = np.column_stack([(x - shift) / scale, np.ones_like(x)])
    line = np.zeros(2)
    for _ in range(_STEPS):
        odds = np.clip(design @ line, -500, 500)
        p = 1 / (1 + np.exp(-odds))
        weighted = design * np.maximum(p * (1 - p), 1e-12)[:, None]
        step = np.linalg.solve(weighted.T @ design, design.T @ (y - p))
        line = line + step * min(1.0, 5.0 / float(np.abs(step).max())) if step.any() else line
        if np.abs(step).max() < _CLOSE:
            break
    else:
        return None
    slope = float(line[0] / scale)
    return slope, float(line[1] - slope * shift)


def _separated(x: Floats, y: Floats) -> bool:
    ones, zeros = x[y == 1], x[y == 0]
    if not len(ones) or not len(zeros):
        return True
    return bool(ones.min() >= zeros.max() or ones.max() <= zeros.min())


def linear_line(x: Floats, y: Floats) -> tuple[float, float] | None:
    """Fit y = slope x + intercept by least squares; None where all x are equal."""
    spread = float(((x - x.mean()) ** 2).sum())
    if not spread:
        return None
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / spread)
    return slope, float(y.mean() - slope * x.mean())
