"""Whether features still weigh as they did: normalised discounted cumulative gain of their order.

The features of the baseline have attributions a (mean absolute SHAP values). The window's order of features gains
Σ a(feature at rank i) / log2(i + 1); its share of what the baseline's own order gains is NDCG, 1 while the order is the
same. Amazon SageMaker Clarify alerts below 0.90 (Developer Guide, "Feature attribution drift for models in
production").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gapless_sagemaker.monitoring.checks import Finding

ATTRIBUTION_DRIFT: Final = "attribution_drift_check"
LEAST: Final = 0.9


def ndcg(before: Mapping[str, float], now: Mapping[str, float]) -> float:
    """Give the normalised discounted cumulative gain of the window's order, from 0 to 1.

    Args:
        before, now: Feature → mean absolute attribution; a feature that one of them lacks weighs nothing there.
    """
    ideal = _gain(before, _order(before))
    return _gain(before, _order({name: now.get(name, 0.0) for name in before})) / ideal if ideal else 1.0


def _order(attributions: Mapping[str, float]) -> Sequence[str]:
    """Give the features, the greatest first, of equal ones in the order of their names."""
    return sorted(attributions, key=lambda name: (-attributions[name], name))


def _gain(weights: Mapping[str, float], order: Sequence[str]) -> float:
    return sum(weights[name] / math.log2(rank + 1) for rank, name in enumerate(order, start=1))


def check_attributions(
    before: Mapping[str, float], now: Mapping[str, float], least: float = LEAST
) -> tuple[dict[str, Any], list[Finding]]:
    """Hold the window's attributions against the baseline's."""
    value = ndcg(before, now)
    described = {"ndcg": value, "allowed": least, "baseline": dict(before), "now": dict(now)}
    if value >= least:
        return described, []
    text = f"features weigh in another order: NDCG {value:.3f}, allowed {least:.2f}"
    return described, [Finding("all features", ATTRIBUTION_DRIFT, value, least, text)]
