"""What one answer is in CloudWatch: values in the log line itself, in the embedded metric format.

The format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

NAMESPACE = "Gapless"
LATENCY = "PredictionLatency"
REFUSED = "PredictionsRefused"
FAILED = "PredictionsFailed"
UNITS = {LATENCY: "Milliseconds", REFUSED: "Count", FAILED: "Count"}


def measured(stage: str, workload: str, status: int, milliseconds: float, at: datetime) -> dict[str, Any]:
    """Gives the part of a log line that CloudWatch makes metrics of."""
    metrics = [{"Name": name, "Unit": unit} for name, unit in UNITS.items()]
    directive = {"Namespace": NAMESPACE, "Dimensions": [["Stage", "Workload"]], "Metrics": metrics}
    return {
        "_aws": {"Timestamp": int(at.timestamp() * 1000), "CloudWatchMetrics": [directive]},
        "Stage": stage,
        "Workload": workload,
        LATENCY: round(milliseconds, 3),
        REFUSED: int(400 <= status < 500),
        FAILED: int(status >= 500),
    }
