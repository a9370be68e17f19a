"""Metrics of CloudWatch over some weeks: one number for each question, or none where nobody published anything."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from local.aws import Aws

DAYS: Final = 28
"""How far is looked back: the four weeks of AWS's whitepaper on right sizing."""

MINUTE: Final = 60
_PERIOD: Final = 300
"""CloudWatch keeps values of a minute for 15 days, and of five minutes for 63."""

_MOST_QUERIES: Final = 500


@dataclass(frozen=True)
class Question:
    """The largest value of a metric's statistic over periods.

    Args:
        namespace, metric, dimensions: The metric.
        statistic: Of each period.
        seconds: How long a period is.
    """

    namespace: str
    metric: str
    dimensions: Mapping[str, str] = field(hash=False)
    statistic: str = "Maximum"
    seconds: int = _PERIOD

    def query(self, number: int) -> dict[str, Any]:
        """As GetMetricData takes it."""
        dimensions = [{"Name": name, "Value": value} for name, value in self.dimensions.items()]
        metric = {"Namespace": self.namespace, "MetricName": self.metric, "Dimensions": dimensions}
        return {"Id": f"q{number}", "MetricStat": {"Metric": metric, "Period": self.seconds, "Stat": self.statistic}}


def ask(aws: Aws, questions: Sequence[Question], now: dt.datetime) -> list[float | None]:
    """The answer to each question, in order."""
    found: dict[int, float] = {}
    for start in range(0, len(questions), _MOST_QUERIES):
        part = questions[start : start + _MOST_QUERIES]
        pages = (
            aws.client("cloudwatch")
            .get_paginator("get_metric_data")
            .paginate(
                MetricDataQueries=[each.query(start + number) for number, each in enumerate(part)],
                StartTime=now - dt.timedelta(days=DAYS),
                EndTime=now + dt.timedelta(seconds=MINUTE),
            )
        )
        for result in (each for page in pages for each in page["MetricDataResults"]):
            number = int(result["Id"][1:])
            most = largest([found.get(number), *result["Values"]])
            if most is not None:
                found[number] = most
    return [found.get(number) for number in range(len(questions))]


def largest(values: Sequence[float | None]) -> float | None:
    """The largest of those that there are."""
    return max((each for each in values if each is not None), default=None)
