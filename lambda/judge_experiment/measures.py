"""What CloudWatch knows of a variant: how many calls it had, how many failed, how long the slowest took."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

NAMESPACE = "AWS/SageMaker"
PERIOD_SECONDS = 300
"""CloudWatch keeps values of five minutes for 63 days, and values of one minute for 15."""


def sums(cloudwatch: Any, endpoint: str, variant: str, since: datetime, until: datetime) -> tuple[int, int]:
    """Gives how many calls of a variant failed, and how many there were; five minutes count as a whole."""
    failed, calls = _values(cloudwatch, endpoint, variant, since, until, ("Invocation5XXErrors", "Invocations"), "Sum")
    total = round(sum(calls))
    return min(total, round(sum(failed))), total


def p99_ms(cloudwatch: Any, endpoint: str, variant: str, since: datetime, until: datetime) -> float | None:
    """Gives the 99th percentile of the model's latency in the worst five minutes, in ms; none without calls."""
    (values,) = _values(cloudwatch, endpoint, variant, since, until, ("ModelLatency",), "p99")
    return max(values) / 1000 if values else None


def _values(
    cloudwatch: Any,
    endpoint: str,
    variant: str,
    since: datetime,
    until: datetime,
    metrics: Sequence[str],
    statistic: str,
) -> list[list[float]]:
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]
    queries = [
        {
            "Id": f"m{number}",
            "MetricStat": {
                "Metric": {"Namespace": NAMESPACE, "MetricName": metric, "Dimensions": dimensions},
                "Period": PERIOD_SECONDS,
                "Stat": statistic,
            },
        }
        for number, metric in enumerate(metrics)
    ]
    begin = since.replace(minute=since.minute // 5 * 5, second=0, microsecond=0)
    values: dict[str, list[float]] = {query["Id"]: [] for query in queries}  # type: ignore[misc]
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries, StartTime=begin, EndTime=until + timedelta(seconds=1)
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            values[result["Id"]] += result["Values"]
    return list(values.values())
