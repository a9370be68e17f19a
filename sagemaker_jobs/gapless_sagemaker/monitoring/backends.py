"""Baselines as SageMaker Model Monitor and SageMaker Clarify take them, made of what the baseline job knows anyway.

The Amazon SageMaker AI Developer Guide publishes the formats under "Schema for Statistics", "Model quality metrics" and
"Bias drift violations"; Clarify's baselines have the form of its ``analysis.json``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gapless_sagemaker.job import write_json
from gapless_sagemaker.monitoring.baseline import Baseline
from gapless_sagemaker.monitoring.bias import PARITY
from gapless_sagemaker.monitoring.options import MonitoringOptions
from gapless_sagemaker.monitoring.sketch import NumberSketch

QUALITY: Final = "quality_constraints.json"
BIAS: Final = "bias_constraints.json"
ATTRIBUTIONS: Final = "attribution_constraints.json"

_SECTIONS: Final = {
    "binary_classification": "binary_classification_constraints",
    "multiclass_classification": "multiclass_classification_constraints",
    "regression": "regression_constraints",
}
_SKETCH: Final = {"c": 0.64, "k": 2048.0}
"""Parameters of the sketches that Model Monitor keeps."""

Document = dict[str, Any]


def write_backend_baselines(output: Path, content: Mapping[str, Any], baseline: Baseline, statistics: Document) -> None:
    """Write what there is something to say of, and the sketches of numbers into the statistics.

    Args:
        output: The folder.
        content: What the workload asks for.
        baseline: The baseline.
        statistics: ``statistics.json`` of it; written again.
    """
    wishes, problem = MonitoringOptions.read(content), content["problem"]
    write_json(output, "statistics.json", with_sketches(statistics, baseline))
    reached = baseline.metrics["values"].get(baseline.metrics["metric"])
    if problem in _SECTIONS and reached is not None:
        write_json(output, QUALITY, quality_constraints(problem, baseline.metrics["metric"], reached, wishes))
    if baseline.metrics["bias"]:
        write_json(output, BIAS, bias_constraints(content["target"], baseline.metrics["bias"], wishes))
    if baseline.importance:
        write_json(output, ATTRIBUTIONS, attribution_constraints(baseline.importance))


def quality_constraints(problem: str, metric: str, reached: float, wishes: MonitoringOptions) -> Document:
    """Give the constraint on the metric that decides: the test split's figure less the margin, or the floor.

    Args:
        problem: Kind of problem, one that has labels.
        metric: The metric.
        reached: What it was on the test split.
        wishes: Which way it goes, the margin and the floor.
    """
    if wishes.more_is_better:
        threshold, operator, strictest = reached - wishes.margin, "LessThanThreshold", max
    else:
        threshold, operator, strictest = reached + wishes.margin, "GreaterThanThreshold", min
    if wishes.floor is not None:
        threshold = strictest(threshold, wishes.floor)
    return {
        "version": 0.0,
        _SECTIONS[problem]: {metric: {"threshold": threshold, "comparison_operator": operator}},
    }


def bias_constraints(target: str, bias: Mapping[str, Any], wishes: MonitoringOptions) -> Document:
    """Give the bias metrics of the test split, each as far from parity as it may be."""
    facets: dict[str, list[Document]] = {}
    for facet in bias["facets"]:
        found = facet["post_training"]
        metrics = [
            {"name": name, "value": _farthest(name, found[name], wishes.bias_margin)}
            for name in wishes.bias_metrics
            if found.get(name) is not None
        ]
        values = ",".join(_as_clarify_shows(value) for value in facet["values"])
        facets.setdefault(facet["column"], []).append({"value_or_threshold": values, "metrics": metrics})
    return {"version": "1.0", "post_training_bias_metrics": {"label": target, "facets": facets}}


def _farthest(metric: str, reached: float, margin: float) -> float:
    parity = PARITY.get(metric, 0.0)
    return reached + margin if reached >= parity else reached - margin


def _as_clarify_shows(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def attribution_constraints(importance: Mapping[str, float]) -> Document:
    """Give the order of features as Clarify's analysis has it; what counts is the order, and how much each weighs."""
    return {"version": "1.0", "explanations": {"kernel_shap": {"label0": {"global_shap_values": dict(importance)}}}}


def with_sketches(statistics: Document, baseline: Baseline) -> Document:
    """Give the statistics with a sketch beside the buckets of every number, by which Model Monitor measures drift.

    A row of a sketch's level ``i`` stands for ``2**i`` rows of the dataset, so a bin of ``n`` rows is in the levels of
    the binary digits of ``n``.
    """
    return {**statistics, "features": [_sketched(each, baseline) for each in statistics["features"]]}


def _sketched(feature: Document, baseline: Baseline) -> Document:
    sketch = baseline.columns[feature["name"]]
    if not isinstance(sketch, NumberSketch) or not sketch.present:
        return feature
    figures = feature["numerical_statistics"]
    kll = {**figures["distribution"]["kll"], "sketch": {"parameters": _SKETCH, "data": levels(sketch)}}
    return {**feature, "numerical_statistics": {**figures, "distribution": {"kll": kll}}}


def levels(sketch: NumberSketch) -> list[list[float]]:
    """Give the levels of a sketch: the greatest number of each bin, in the levels of its count."""
    ends: Sequence[float] = [*(min(float(edge), sketch.most) for edge in sketch.edges), sketch.most]
    bins = [(max(end, sketch.least), int(count)) for end, count in zip(ends, sketch.counts, strict=True)]
    most = max(count for _, count in bins).bit_length()
    return [[end for end, count in bins if count >> level & 1] for level in range(most)]
