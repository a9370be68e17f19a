"""Figures of a workload in CloudWatch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from constructs_lib.names import metrics


def publish(cloudwatch: Any, stage: str, workload: str, values: Mapping[str, float]) -> None:
    """Publish figures: metric → value. The function's asset needs ``metrics.py`` of the shared names."""
    dimensions = [{"Name": name, "Value": value} for name, value in metrics.dimensions(stage, workload).items()]
    cloudwatch.put_metric_data(
        Namespace=metrics.NAMESPACE,
        MetricData=[{"MetricName": name, "Value": value, "Dimensions": dimensions} for name, value in values.items()],
    )
