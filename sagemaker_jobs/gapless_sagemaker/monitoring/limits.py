"""From which distance on two samples are called different: large enough to matter, and no accident.

A distance breaks its limit only if it is above both

- what matters, a number that the workload may set, and
- what chance gives to two samples of these sizes from one distribution, but once in ``1 / alpha`` looks. The share
  ``alpha`` is that of the whole report: it is divided by the number of comparisons in it (C. E. Bonferroni, 1936), so
  a hundred columns do not make a hundred chances to be woken up.

With n rows then and m now and k bins that hold rows, what chance gives is, to first order in 1/n + 1/m:

- PSI: (1/n + 1/m) times chi-square with k - 1 degrees of freedom (B. Yurdakul and J. Naranjo, Statistical properties of
  the population stability index, Journal of Risk Model Validation 14, 2020),
- JS: an eighth of that, since ln(a / e) (a - e) and eight times the divergence have the same second order term,
- KS: sqrt(ln(2 / alpha) (1/n + 1/m) / 2) (F. J. Massey, The Kolmogorov-Smirnov test for goodness of fit, Journal of
  the American Statistical Association 46, 1951),
- L-infinity of shares: the normal quantile of the largest of k differences times sqrt(p (1 - p) (1/n + 1/m)) at the
  bin with the largest p (1 - p),
- chi-square: its own quantile.

All of it assumes that rows are independent. Where they come in clumps, chance gives more: raise what matters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy import special

from gapless_sagemaker.monitoring.distances import Floats, shares

MATTERS: Final[Mapping[str, float]] = {
    "psi": 0.2,
    "kolmogorov_smirnov": 0.1,
    "jensen_shannon": 0.02,
    "l_infinity": 0.1,
    "wasserstein": 0.2,
    "cramers_v": 0.1,
}
"""What matters unless the workload says otherwise; Wasserstein in standard deviations of the baseline."""

ALPHA: Final = 0.01
"""How often a report on rows that have not changed may name anything."""


@dataclass(frozen=True)
class Limits:
    """What matters, and how rarely chance may look like it.

    Args:
        matters: Distance → the least value that counts. Default: :data:`MATTERS`.
        alpha: Of a whole report.
    """

    matters: Mapping[str, float] = field(default_factory=lambda: dict(MATTERS))
    alpha: float = ALPHA

    def share(self, comparisons: int) -> float:
        """Give the share of a single comparison among several."""
        return self.alpha / max(1, comparisons)


@dataclass(frozen=True)
class Sizes:
    """What chance depends on.

    Args:
        before: Counts of the baseline.
        now: Counts of now.
        alpha: How often chance may be above the limit.
    """

    before: Floats
    now: Floats
    alpha: float

    @property
    def scale(self) -> float:
        """1/n + 1/m; infinite where one of them has no rows."""
        n, m = float(self.before.sum()), float(self.now.sum())
        return 1 / n + 1 / m if n and m else math.inf

    @property
    def degrees(self) -> int:
        """One less than the bins that hold rows, at least one."""
        return max(1, int(((self.before + self.now) > 0).sum()) - 1)


def by_chance(name: str, sizes: Sizes) -> float:
    """Give what chance reaches of a distance.

    Raises:
        KeyError: There is no such distance.
    """
    return _CHANCE[name](sizes)


def _chi_square(sizes: Sizes) -> float:
    return float(special.chdtri(sizes.degrees, sizes.alpha))


def _psi(sizes: Sizes) -> float:
    return _chi_square(sizes) * sizes.scale


def _jensen_shannon(sizes: Sizes) -> float:
    return _psi(sizes) / 8


def _kolmogorov_smirnov(sizes: Sizes) -> float:
    return math.sqrt(math.log(2 / sizes.alpha) * sizes.scale / 2)


def _l_infinity(sizes: Sizes) -> float:
    together = shares(sizes.before + sizes.now)
    spread = float((together * (1 - together)).max(initial=0.0))
    quantile = float(special.ndtri(1 - sizes.alpha / (2 * (sizes.degrees + 1))))
    return quantile * math.sqrt(spread * sizes.scale)


def _cramers_v(sizes: Sizes) -> float:
    rows = float((sizes.before + sizes.now).sum())
    return math.sqrt(_chi_square(sizes) / rows) if rows else math.inf


_CHANCE = {
    "psi": _psi,
    "jensen_shannon": _jensen_shannon,
    "kolmogorov_smirnov": _kolmogorov_smirnov,
    "l_infinity": _l_infinity,
    "cramers_v": _cramers_v,
}


def two_shares(before: tuple[float, float], now: tuple[float, float]) -> float:
    """Give how unlikely two shares are that differ like this, if nothing has changed: the two-sided p-value.

    Args:
        before, now: How many rows, of how many.
    """
    rows = before[1] + now[1]
    if not before[1] or not now[1]:
        return 1.0
    together = (before[0] + now[0]) / rows
    spread = math.sqrt(together * (1 - together) * (1 / before[1] + 1 / now[1]))
    difference = abs(before[0] / before[1] - now[0] / now[1])
    return float(2 * special.ndtr(-difference / spread)) if spread else 1.0


def quantile_of_normal(alpha: float) -> float:
    """Give the two-sided standard normal quantile."""
    return float(special.ndtri(1 - alpha / 2))


def finite(value: float) -> float | None:
    """Give a number as JSON knows it."""
    return float(value) if np.isfinite(value) else None
