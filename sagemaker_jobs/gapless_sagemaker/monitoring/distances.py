"""How far two samples are apart, from how many rows of each fall into the same bins.

All functions take counts ``(bins,)`` of the baseline and of now, in the same order. What a number's bins are is in
:mod:`gapless_sagemaker.monitoring.sketch`; a category is a bin of its own.

- PSI, the population stability index Σ (a - e) ln(a / e), half a row being added to each bin (N. Siddiqi, Credit Risk
  Scorecards, 2006).
- KS, the largest difference of the two distribution functions (Kolmogorov and Smirnov). For numbers this is also what
  Amazon SageMaker Model Monitor calls the L-infinity distance.
- L-infinity, the largest difference of a bin's shares.
- JS, the Jensen-Shannon divergence in nats, from 0 to ln 2 (J. Lin, Divergence Measures Based on the Shannon Entropy,
  IEEE Transactions on Information Theory 37, 1991). SciPy's ``jensenshannon`` is its square root.
- Wasserstein, the area between the two distribution functions.
- chi-square, the statistic of homogeneity; V, Cramér's measure of its size (H. Cramér, Mathematical Methods of
  Statistics, 1946).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_HALF = 0.5


def shares(counts: Floats) -> Floats:
    """Give the share of each bin; nothing has shares of 0."""
    total = counts.sum()
    return counts / total if total else np.zeros_like(counts)


def psi(before: Floats, now: Floats) -> float:
    """Give the population stability index."""
    expected, actual = shares(before + _HALF), shares(now + _HALF)
    return float(((actual - expected) * np.log(actual / expected)).sum())


def kolmogorov_smirnov(before: Floats, now: Floats) -> float:
    """Give the largest difference of the distribution functions at the upper ends of the bins, from 0 to 1."""
    return float(np.abs(np.cumsum(shares(before)) - np.cumsum(shares(now))).max(initial=0.0))


def largest_difference(before: Floats, now: Floats) -> float:
    """Give the L-infinity distance of the shares, from 0 to 1."""
    return float(np.abs(shares(before) - shares(now)).max(initial=0.0))


def jensen_shannon(before: Floats, now: Floats) -> float:
    """Give the Jensen-Shannon divergence in nats, from 0 to ln 2."""
    p, q = shares(before), shares(now)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(p > 0, p * np.log(p / middle), 0.0) + np.where(q > 0, q * np.log(q / middle), 0.0)
    return max(0.0, float(parts.sum() / 2))


def wasserstein(before: Floats, now: Floats, edges: Floats, *, smooth: bool = False) -> float:
    """Give the earth mover's distance of two samples between the first and the last edge, in the unit of the edges.

    Args:
        before, now: Rows up to each edge, and last those above all of them, shape (edges + 1,).
        edges: Upper ends of the bins, ascending.
        smooth: Whether rows lie anywhere in their bins, so that distribution functions rise evenly. Default: they lie
            at the ends.
    """
    difference = (np.cumsum(shares(before)) - np.cumsum(shares(now)))[:-1]
    widths, left, right = np.diff(edges), difference[:-1], difference[1:]
    if not smooth:
        return float((np.abs(left) * widths).sum())
    sizes = np.abs(left) + np.abs(right)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = np.where(sizes > 0, (left**2 + right**2) / sizes / 2, 0.0)
    return float((np.where(left * right >= 0, sizes / 2, crossing) * widths).sum())


def chi_square(before: Floats, now: Floats) -> tuple[float, int]:
    """Give the statistic of homogeneity, and its degrees of freedom; bins without any row do not count."""
    table = np.vstack([before, now])
    table = table[:, table.sum(axis=0) > 0]
    totals = table.sum(axis=1, keepdims=True)
    if not totals.all() or table.shape[1] < 2:
        return 0.0, 0
    expected = totals * table.sum(axis=0) / totals.sum()
    return float(((table - expected) ** 2 / expected).sum()), table.shape[1] - 1


def cramers_v(statistic: float, rows: float) -> float:
    """Give how large a difference is that chi-square is the statistic of, from 0 to 1; there are two samples."""
    return float(np.sqrt(statistic / rows)) if rows else 0.0
