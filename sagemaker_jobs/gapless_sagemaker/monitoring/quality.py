"""How good the answers were, once it is known what was true: against the test split that the model was registered by.

A model counts as worse only if even the better end of the interval of the metric that decides is worse than what it
reached on the test split, less a margin; so a handful of labels does not wake anybody up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from gapless_sagemaker.evaluation.bootstrap import intervals, resample
from gapless_sagemaker.evaluation.scored import Prediction, Scored
from gapless_sagemaker.monitoring.baseline import Baseline
from gapless_sagemaker.monitoring.checks import Finding
from gapless_sagemaker.monitoring.options import MonitoringOptions
from gapless_sagemaker.monitoring.rows import Served

QUALITY: Final = "model_quality_check"
FEWEST_LABELS: Final = 200


class BadLabel(Exception):
    """A label is not what the target is."""


@dataclass(frozen=True)
class Wanted:
    """What a model's answers have to reach.

    Args:
        metric: The metric that decides.
        more_is_better: Which way it goes.
        reached: What the model reached on the test split; None where that is not known.
        margin: How much worse it may be, in units of the metric.
        floor: What it may not fall below whatever it reached (a ceiling where less is better); None without one.
    """

    metric: str
    more_is_better: bool
    reached: float | None
    margin: float
    floor: float | None = None

    @classmethod
    def of(cls, metric: str, wishes: MonitoringOptions, baseline: Baseline) -> Wanted:
        """Say what a workload asks for of the model that a baseline is of."""
        return cls(
            metric=metric,
            more_is_better=wishes.more_is_better,
            reached=baseline.metrics["values"].get(metric),
            margin=wishes.margin,
            floor=wishes.floor,
        )

    @property
    def allowed(self) -> float | None:
        """The limit: the stricter one of what was reached, less the margin, and the floor."""
        sign = 1.0 if self.more_is_better else -1.0
        limits = [] if self.reached is None else [sign * self.reached - self.margin]
        limits += [] if self.floor is None else [sign * self.floor]
        return sign * max(limits) if limits else None


_TRUTH: Final = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def with_labels(table: pa.Table, target: str, problem: str, rows: Sequence[tuple[Served, Any]]) -> pa.Table:
    """Give the table with one more column, the labels; texts are read as what the problem needs.

    Raises:
        BadLabel: One is not of the type of the problem's targets.
    """
    names = [row.inference_id for row, _ in rows]
    labels = [label for _, label in rows]
    match problem:
        case "binary_classification":
            read = [_TRUTH.get(str(label).lower()) for label in labels]
            return table.append_column(target, pa.array(_all(read, names, labels, "true, false, 1 or 0"), pa.bool_()))
        case "regression":
            numbers = [_number(label) for label in labels]
            return table.append_column(target, pa.array(_all(numbers, names, labels, "a number"), pa.float64()))
        case _:
            whole = all(isinstance(label, int) and not isinstance(label, bool) for label in labels)
            texts = labels if whole else [label if isinstance(label, str) else None for label in labels]
            kind = pa.int64() if whole else pa.string()
            allowed = "a text, or whole numbers in all rows"
            return table.append_column(target, pa.array(_all(texts, names, labels, allowed), kind))


def _all(read: Sequence[Any], names: Sequence[str], labels: Sequence[Any], allowed: str) -> Sequence[Any]:
    """Give what was read, if it could be read everywhere."""
    if None in read:
        place = list(read).index(None)
        raise BadLabel(f"label of {names[place]}: given {labels[place]!r:.80}; allowed is {allowed}")
    return read


def _number(label: Any) -> float | None:
    if isinstance(label, bool):
        return None
    try:
        found = float(label)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def measure(scored: Scored, wanted: Wanted, seed: int) -> tuple[dict[str, Any], list[Finding]]:
    """Measure answers whose truth is known.

    Returns:
        ``{"rows", "metrics", "intervals", "metric", "reached", "allowed"}``, and the finding if the model is worse.
    """
    metrics = scored.metrics()
    found = intervals(scored, resample([scored], seed, only=wanted.metric)[0]) if wanted.metric in metrics else {}
    described = {
        "rows": scored.rows,
        "metrics": metrics,
        "intervals": found,
        "metric": wanted.metric,
        "reached": wanted.reached,
        "allowed": wanted.allowed,
    }
    interval, allowed = found.get(wanted.metric), wanted.allowed
    if interval is None or allowed is None or scored.rows < FEWEST_LABELS:
        return described, []
    best = interval["high"] if wanted.more_is_better else interval["low"]
    if (best >= allowed) if wanted.more_is_better else (best <= allowed):
        return described, []
    value = metrics[wanted.metric]
    text = (
        f"{wanted.metric} is {value:.4f} on {scored.rows} labelled rows (95 % interval {interval['low']:.4f} to "
        f"{interval['high']:.4f}), allowed {allowed:.4f}"
    )
    return described, [Finding(wanted.metric, QUALITY, value, allowed, text)]


def predictions_of(rows: Sequence[tuple[Served, Any]]) -> list[Prediction]:
    """Give what was answered to rows that have an answer."""
    return [row.answered for row, _ in rows if row.answered is not None]
