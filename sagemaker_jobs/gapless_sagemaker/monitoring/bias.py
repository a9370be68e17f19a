"""Whether the model has become unfairer: the bias metrics of labelled rows against those of the test split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gapless_sagemaker.monitoring.checks import Finding

BIAS_DRIFT: Final = "bias_drift_check"
PARITY: Final[Mapping[str, float]] = {"DI": 1.0}
"""Where a metric says that the groups are treated alike; 0 unless it is named."""


def check_bias(
    before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]], metrics: Sequence[str], margin: float
) -> Iterator[Finding]:
    """Find metrics that are farther from parity than they were, by more than a margin and by more than chance.

    Args:
        before, now: Facets as :func:`gapless_sagemaker.evaluation.bias.measure` describes them.
        metrics: The metrics that are looked at.
        margin: How much farther from parity a metric may be.
    """
    known = {facet["name"]: facet for facet in before}
    for facet in now:
        then = known.get(facet["name"])
        if then is None:
            continue
        for metric in metrics:
            value, reached = facet["post_training"].get(metric), then["post_training"].get(metric)
            interval = facet["intervals"].get(metric)
            if value is None or reached is None or interval is None:
                continue
            parity = PARITY.get(metric, 0.0)
            allowed = abs(reached - parity) + margin
            inside = interval["low"] <= parity <= interval["high"]
            nearest = 0.0 if inside else min(abs(interval["low"] - parity), abs(interval["high"] - parity))
            if nearest > allowed:
                text = (
                    f"{metric} of {facet['name']} is {value:.3f}, was {reached:.3f} on the test split; allowed is "
                    f"{allowed:.3f} from {parity:g}"
                )
                yield Finding(str(facet["name"]), BIAS_DRIFT, value, allowed, text)
