"""Is one model better than another on the same rows? A paired test for each metric.

- ``auc``: E. DeLong, D. DeLong, D. Clarke-Pearson, Comparing the Areas under Two or More Correlated Receiver Operating
  Characteristic Curves, Biometrics 44, 1988, by midranks as in X. Sun, W. Xu, Fast Implementation of DeLong's
  Algorithm, IEEE Signal Processing Letters 21, 2014.
- ``accuracy``: McNemar's test, exact: of the rows that only one of both got right, how many (Q. McNemar, Psychometrika
  12, 1947). Its interval is that of D. Bonett, R. Price, Adjusted Wald Confidence Interval for a Difference of Binomial
  Proportions Based on Paired Data, Journal of Educational and Behavioral Statistics 37, 2012.
- any other metric: paired bootstrap, both models on the same resamples (B. Efron, R. Tibshirani, An Introduction to the
  Bootstrap, 1993, chapter 16).

A comparison is ``{"difference", "low", "high", "level", "p_value", "test"}``: model minus champion, the bounds that it
exceeds and stays below each with probability 1 - level, and the two-sided p-value of no difference at all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from gapless_sagemaker.evaluation.binary import BinaryScores
from gapless_sagemaker.evaluation.bootstrap import Resamples
from gapless_sagemaker.evaluation.multiclass import MulticlassScores
from gapless_sagemaker.evaluation.scored import Booleans, Floats, Scored

DELONG, MCNEMAR, BOOTSTRAP = "delong", "mcnemar", "paired_bootstrap"

Comparison = dict[str, Any]


def compare(
    model: Scored, champion: Scored, resampled: tuple[Resamples, Resamples], level: float
) -> dict[str, Comparison]:
    """Compare two models by every metric that both have.

    Args:
        resampled: Both models' metrics on the same resamples.
        level: The probability with which each of both bounds may be wrong, such as 0.05.
    """
    own, other = model.metrics(), champion.metrics()
    found = {
        name: _bootstrapped(own[name] - other[name], resampled[0].values[name] - resampled[1].values[name], level)
        for name in own
        if name in other
    }
    if isinstance(model, BinaryScores) and isinstance(champion, BinaryScores):
        found["auc"] = delong(model.truth, model.probabilities, champion.probabilities, level)
    if isinstance(model, BinaryScores | MulticlassScores):
        assert isinstance(champion, BinaryScores | MulticlassScores)  # noqa: S101 - of one problem
        found["accuracy"] = mcnemar(right(model), right(champion), level)
    return {name: comparison for name, comparison in found.items() if comparison is not None}


def right(scores: BinaryScores | MulticlassScores) -> Booleans:
    """Tell in which rows a model decided rightly."""
    return np.asarray(scores.truth == scores.labels)


def delong(truth: Booleans, first: Floats, second: Floats, level: float) -> Comparison:
    """Compare areas under ROC curves of two rankings of the same rows.

    Args:
        truth: Shape (rows,), with both classes in it.
        first, second: What rows are ranked by, shape (rows,).
    """
    areas, positive_parts, negative_parts = [], [], []
    for scores in (first, second):
        area, of_positives, of_negatives = _placements(scores[truth], scores[~truth])
        areas.append(area)
        positive_parts.append(of_positives)
        negative_parts.append(of_negatives)
    variance = _variance(positive_parts[0] - positive_parts[1]) + _variance(negative_parts[0] - negative_parts[1])
    return _normal(areas[0] - areas[1], float(np.sqrt(variance)), level, DELONG)


def mcnemar(first: Booleans, second: Booleans, level: float) -> Comparison:
    """Compare how often two models are right on the same rows, shape (rows,)."""
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(~first & second))
    rows, apart = len(first), only_first + only_second
    p_value = float(stats.binomtest(only_first, apart).pvalue) if apart else 1.0
    adjusted = [(count + 1) / (rows + 2) for count in (only_first, only_second)]
    middle = adjusted[0] - adjusted[1]
    spread = np.sqrt((sum(adjusted) - middle**2) / (rows + 2))
    reach = float(stats.norm.ppf(1 - level)) * spread
    return {
        "difference": (only_first - only_second) / rows,
        "low": float(middle - reach),
        "high": float(middle + reach),
        "level": level,
        "p_value": p_value,
        "test": MCNEMAR,
    }


def _placements(positives: Floats, negatives: Floats) -> tuple[float, Floats, Floats]:
    """Give the area, and for each positive and negative row the share of the other class that it is told from."""
    m, n = len(positives), len(negatives)
    ranks = stats.rankdata(np.concatenate([positives, negatives]))
    of_positives = (ranks[:m] - stats.rankdata(positives)) / n
    of_negatives = 1 - (ranks[m:] - stats.rankdata(negatives)) / m
    return float(of_positives.mean()), of_positives, of_negatives


def _variance(parts: Floats) -> float:
    """Give the variance of a mean; that of a single value is not known and taken as the largest possible."""
    return float(parts.var(ddof=1) / len(parts)) if len(parts) > 1 else 1.0


def _normal(difference: float, deviation: float, level: float, test: str) -> Comparison:
    reach = float(stats.norm.ppf(1 - level)) * deviation
    p_value = 2 * float(stats.norm.sf(abs(difference) / deviation)) if deviation else float(difference == 0)
    return {
        "difference": difference,
        "low": difference - reach,
        "high": difference + reach,
        "level": level,
        "p_value": p_value,
        "test": test,
    }


def _bootstrapped(difference: float, drawn: Floats, level: float) -> Comparison | None:
    defined = drawn[np.isfinite(drawn)]
    if len(defined) < len(drawn) / 2:
        return None
    low, high = np.quantile(defined, [level, 1 - level])
    farther = int(np.sum(np.abs(defined - difference) >= abs(difference)))
    return {
        "difference": difference,
        "low": float(low),
        "high": float(high),
        "level": level,
        "p_value": (1 + farther) / (1 + len(defined)),
        "test": BOOTSTRAP,
    }
