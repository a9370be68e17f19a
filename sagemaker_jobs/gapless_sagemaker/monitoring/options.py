"""What the workload asks of the monitor; every part has a default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from gapless_sagemaker.monitoring.checks import Tolerance
from gapless_sagemaker.monitoring.limits import ALPHA, MATTERS, Limits

BIAS_METRICS: Final = ("DPPL", "DI")
WEEKS: Final = 4

Reference = Literal["all", "season", "weeks"]


@dataclass(frozen=True)
class MonitoringOptions:
    """What is compared, and from when on it counts.

    Args:
        reference: ``season``: rows of the dataset from the same calendar months while there are enough; ``all`` of its
            rows; or ``weeks``: what the same model was asked in the last weeks, while that was enough.
        weeks: How many of them.
        limits: Of distances.
        tolerance: Of shares of rows.
        more_is_better: Which way the metric that decides goes.
        margin: By how much answers may be worse than on the test split, in units of that metric.
        floor: What the metric may not fall below; None without one.
        bias_metrics, bias_margin: Which bias metrics are looked at, and how much farther from parity they may be.
    """

    reference: Reference = "season"
    weeks: int = WEEKS
    limits: Limits = field(default_factory=Limits)
    tolerance: Tolerance = field(default_factory=Tolerance)
    more_is_better: bool = True
    margin: float = 0.0
    floor: float | None = None
    bias_metrics: tuple[str, ...] = BIAS_METRICS
    bias_margin: float = 0.1

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> MonitoringOptions:
        """Read the key ``monitoring`` of the options; what it does not say keeps its default."""
        asked = content.get("monitoring") or {}
        return cls(
            reference=asked.get("reference", "season"),
            weeks=asked.get("weeks", WEEKS),
            limits=Limits({**MATTERS, **asked.get("matters", {})}, asked.get("alpha", ALPHA)),
            tolerance=Tolerance(**asked.get("tolerance", {})),
            more_is_better=content["more_is_better"],
            margin=asked.get("margin", 0.0),
            floor=asked.get("floor"),
            bias_metrics=tuple(asked.get("bias_metrics", BIAS_METRICS)),
            bias_margin=asked.get("bias_margin", 0.1),
        )
