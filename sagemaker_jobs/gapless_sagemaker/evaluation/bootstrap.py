"""How far figures may be off: resampling of the rows.

Rows are drawn with replacement, as many as there are, again and again; the spread of a metric over these resamples is
that of the metric over other test splits of the same size (B. Efron, R. Tibshirani, An Introduction to the Bootstrap,
1993; intervals by percentiles, chapter 13). Shares of rows (accuracy, precision, recall) have Wilson's interval
instead (E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22, 1927), which is
right for few rows and for shares of 0 and 1 as well. Rows are taken to be independent; where they come in clumps,
such as flights of one stormy day, intervals are too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from gapless_sagemaker.evaluation.scored import Floats, Scored

LEVEL = 0.95
PERCENTILE, WILSON = "bootstrap_percentile", "wilson"
MOST_REPLICATES, FEWEST_REPLICATES = 1000, 200
_WORK = 20_000_000
_ENOUGH = 0.5
"""The share of resamples in which a metric must be defined, if there is to be an interval."""


@dataclass(frozen=True)
class Resamples:
    """Metrics over resamples, each of shape (replicates,); NaN where one is not defined."""

    values: Mapping[str, Floats]

    def interval(self, name: str, level: float = LEVEL) -> dict[str, Any] | None:
        """Give the interval between the outer percentiles; None for a metric that is rarely defined."""
        values = self.values[name]
        defined = values[np.isfinite(values)]
        if len(defined) < _ENOUGH * len(values):
            return None
        low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
        return {"low": float(low), "high": float(high), "level": level, "method": PERCENTILE}


def replicates_for(rows: int) -> int:
    """Give how many resamples to draw: fewer of many rows, whose figures are more certain."""
    return int(np.clip(_WORK // max(rows, 1), FEWEST_REPLICATES, MOST_REPLICATES))


def resample(scored: Sequence[Scored], seed: int, only: str | None = None) -> list[Resamples]:
    """Measure models on the same resamples.

    Args:
        scored: What each of them said of the same rows.
        seed: Equal seeds and rows give equal resamples.
        only: The one metric to measure. Default: all.

    Returns:
        One per model, in their order.
    """
    rows, random = scored[0].rows, np.random.default_rng(seed)
    count = replicates_for(rows)
    names = [[only] if only is not None else list(each.metrics()) for each in scored]
    values = [{name: np.full(count, np.nan) for name in own} for own in names]
    for replicate in range(count):
        drawn = random.integers(0, rows, rows, dtype=np.int32)
        weights = np.bincount(drawn, minlength=rows).astype(np.float64)
        for each, kept in zip(scored, values, strict=True):
            found = each.metrics(weights, only)
            for name, column in kept.items():
                column[replicate] = found.get(name, np.nan)
    return [Resamples(kept) for kept in values]


def intervals(scored: Scored, resamples: Resamples) -> dict[str, dict[str, Any]]:
    """Give the interval of every metric that has one."""
    found = {name: resamples.interval(name) for name in resamples.values}
    found |= {name: wilson(*share) for name, share in scored.shares().items() if name in resamples.values}
    return {name: interval for name, interval in found.items() if interval is not None}


def wilson(successes: float, trials: float, level: float = LEVEL) -> dict[str, Any]:
    """Give Wilson's score interval of a share; 0 to 1 without trials."""
    if not trials:
        return {"low": 0.0, "high": 1.0, "level": level, "method": WILSON}
    z = float(stats.norm.ppf((1 + level) / 2))
    share, extra = successes / trials, z * z / trials
    middle = (share + extra / 2) / (1 + extra)
    half = z * np.sqrt(share * (1 - share) / trials + extra / (4 * trials)) / (1 + extra)
    low, high = max(0.0, float(middle - half)), min(1.0, float(middle + half))
    return {"low": low, "high": high, "level": level, "method": WILSON}
