"""Bias metrics, by the definitions that Amazon SageMaker Clarify publishes.

Sources: "Pre-training Bias Metrics" and "Post-training Data and Model Bias Metrics", Amazon SageMaker AI Developer
Guide, and S. Das et al., Fairness Measures for Machine Learning in Finance, The Journal of Financial Data Science 3(4),
2021. Letters are theirs: facet *d* is the group that may be at a disadvantage, facet *a* everybody else; ``n`` counts
labels as they were observed, ``n'`` as they were predicted; 1 is the favourable outcome and 0 the other.

All of them but the flip test (:mod:`gapless_sagemaker.evaluation.flip_test`) are functions of how many rows fall into
which cell, so they take counts, and any number of tables of counts at once: shape ``(…, 2, 2, 2)``, the axes being
facet (0 is *a*, 1 is *d*), observed label and predicted label. That makes resampling cheap.

As with Clarify a ratio of 0 to 0 is 0, any other ratio to 0 infinite, and the difference of two equal infinities 0.
What has no value at all is NaN: everything while a group is empty, distances between distributions with no outcome in
common, disparities while an outcome never occurs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Metric = Callable[[Floats], Floats]

A, D = 0, 1


def ratio(above: Floats, below: Floats) -> Floats:
    """Divide as Clarify does: 0 / 0 is 0, anything else / 0 infinite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient: Floats = np.where((above == 0) & (below == 0), 0.0, np.divide(above, below))
    return quotient


def difference(first: Floats, second: Floats) -> Floats:
    """Subtract as Clarify does: equal infinities differ by 0."""
    with np.errstate(invalid="ignore"):
        return np.where(first == second, 0.0, np.subtract(first, second))


def _while_both_have_rows(counts: Floats, values: Floats) -> Floats:
    rows = counts.sum(axis=(-1, -2))
    return np.where((rows[..., A] > 0) & (rows[..., D] > 0), values, np.nan)


# --- before training: observed labels only ---------------------------------------------------------------------------


def class_imbalance(counts: Floats) -> Floats:
    """CI = (n_a - n_d) / (n_a + n_d), from -1 to 1: above 0 while *d* has fewer rows."""
    rows = counts.sum(axis=(-1, -2))
    return _while_both_have_rows(counts, ratio(rows[..., A] - rows[..., D], rows.sum(axis=-1)))


def _observed(counts: Floats) -> Floats:
    """Give the shares of the observed labels in each facet, shape (…, facet, label)."""
    labels = counts.sum(axis=-1)
    return ratio(labels, labels.sum(axis=-1, keepdims=True))


def difference_in_labels(counts: Floats) -> Floats:
    """DPL = n_a(1) / n_a - n_d(1) / n_d, from -1 to 1."""
    shares = _observed(counts)
    return _while_both_have_rows(counts, shares[..., A, 1] - shares[..., D, 1])


def _distance(measure: Callable[[Floats, Floats], Floats]) -> Metric:
    """Give a metric of a distance between the labels' distributions in *a* and *d*, over labels that both have."""

    def metric(counts: Floats) -> Floats:
        shares = _observed(counts)
        a, d = shares[..., A, :], shares[..., D, :]
        common = (a > 0) & (d > 0)
        one = np.ones_like(a)  # an outcome that only one of them has adds nothing to any of the distances
        values = measure(np.where(common, a, one), np.where(common, d, one))
        return _while_both_have_rows(counts, np.where(common.any(axis=-1), values, np.nan))

    return metric


def _kl(p: Floats, q: Floats) -> Floats:
    return np.asarray((p * np.log(p / q)).sum(axis=-1))


def _js(p: Floats, q: Floats) -> Floats:
    middle = (p + q) / 2
    return (_kl(p, middle) + _kl(q, middle)) / 2


def _l2(p: Floats, q: Floats) -> Floats:
    return np.asarray(np.sqrt(((p - q) ** 2).sum(axis=-1)))


def _total_variation(p: Floats, q: Floats) -> Floats:
    return np.asarray(np.abs(p - q).sum(axis=-1) / 2)


def _largest(p: Floats, q: Floats) -> Floats:
    return np.asarray(np.abs(p - q).max(axis=-1))


# --- after training: observed and predicted labels -------------------------------------------------------------------


def _of_facets(rate: Callable[[Floats], Floats], *, first: int) -> Metric:
    """Give the difference of a rate between the facets; ``first`` is the facet that it is taken from."""

    def metric(counts: Floats) -> Floats:
        rates = rate(counts)
        return _while_both_have_rows(counts, difference(rates[..., first], rates[..., 1 - first]))

    return metric


def _predicted_share(counts: Floats) -> Floats:
    """n'(1) / n in each facet."""
    return ratio(counts[..., 1].sum(axis=-1), counts.sum(axis=(-1, -2)))


def disparate_impact(counts: Floats) -> Floats:
    """DI = (n'_d(1) / n_d) / (n'_a(1) / n_a), from 0 up: 1 is parity."""
    shares = _predicted_share(counts)
    return _while_both_have_rows(counts, ratio(shares[..., D], shares[..., A]))


def _conditional(label: int) -> Callable[[Floats], Floats]:
    """n(label) / n'(label) in each facet."""
    return lambda counts: ratio(counts[..., label, :].sum(axis=-1), counts[..., label].sum(axis=-1))


def _hit_among_observed(label: int) -> Callable[[Floats], Floats]:
    """Of the rows with this observed label, the share that is predicted so."""
    return lambda counts: ratio(counts[..., label, label], counts[..., label, :].sum(axis=-1))


def _hit_among_predicted(label: int) -> Callable[[Floats], Floats]:
    """Of the rows with this predicted label, the share that is observed so."""
    return lambda counts: ratio(counts[..., label, label], counts[..., label].sum(axis=-1))


def _accuracy(counts: Floats) -> Floats:
    return ratio(counts[..., 0, 0] + counts[..., 1, 1], counts.sum(axis=(-1, -2)))


def _errors(counts: Floats) -> Floats:
    """False negatives per false positive."""
    return ratio(counts[..., 1, 0], counts[..., 0, 1])


def generalised_entropy(counts: Floats) -> Floats:
    """GE with alpha 2: half the squared coefficient of variation of the benefits y' - y + 1, over all rows."""
    cells = counts.sum(axis=-3)
    rows = cells.sum(axis=(-1, -2))
    benefit = np.array([[1.0, 2.0], [0.0, 1.0]])
    mean = ratio((cells * benefit).sum(axis=(-1, -2)), rows)
    squares = ratio((cells * benefit**2).sum(axis=(-1, -2)), rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(mean > 0, (squares / mean**2 - 1) / 2, np.nan)


def conditional_disparity(outcomes: Floats) -> Floats:
    """CDD: the mean over groups, by rows, of (rejected that are *d*) / rejected - (accepted that are *d*) / accepted.

    Args:
        outcomes: Counts, shape (…, group, facet, outcome); outcomes observed give CDDL, predicted ones CDDPL.
    """
    sizes = outcomes.sum(axis=-2)
    shares = ratio(outcomes[..., D, :], sizes)
    rows = sizes.sum(axis=-1)
    mean = ratio((rows * (shares[..., 0] - shares[..., 1])).sum(axis=-1), rows.sum(axis=-1))
    both_occur = (sizes.sum(axis=-2) > 0).all(axis=-1)
    return np.where(both_occur, mean, np.nan)


PRE_TRAINING: Mapping[str, Metric] = {
    "CI": class_imbalance,
    "DPL": difference_in_labels,
    "KL": _distance(_kl),
    "JS": _distance(_js),
    "LP": _distance(_l2),
    "TVD": _distance(_total_variation),
    "KS": _distance(_largest),
}
"""Class imbalance; difference in proportions of labels; distances between the labels' distributions."""

POST_TRAINING: Mapping[str, Metric] = {
    "DPPL": _of_facets(_predicted_share, first=A),
    "DI": disparate_impact,
    "DCAcc": _of_facets(_conditional(1), first=A),
    "DCR": _of_facets(_conditional(0), first=D),
    "SD": _of_facets(_hit_among_observed(0), first=D),
    "RD": _of_facets(_hit_among_observed(1), first=A),
    "DAR": _of_facets(_hit_among_predicted(1), first=A),
    "DRR": _of_facets(_hit_among_predicted(0), first=D),
    "AD": _of_facets(_accuracy, first=A),
    "TE": _of_facets(_errors, first=D),
    "GE": generalised_entropy,
}
"""Difference in positive proportions in predicted labels; disparate impact; differences in conditional acceptance and
rejection, specificity, recall, acceptance and rejection rates, accuracy and error ratios; generalised entropy."""
