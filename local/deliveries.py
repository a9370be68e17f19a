"""The four figures of the deliveries of a workload's models, as CloudWatch has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from constructs_lib.names import metrics
from local.aws import Aws
from local.clock import account_now
from local.settings import Settings
from local.status import Line

DAYS = 28
"""How far back is looked."""


@dataclass(frozen=True)
class Deliveries:
    """What was delivered in the last four weeks; durations are seconds, on average.

    Args:
        attempts: How many deployments were attempted.
        failed: How many of them failed, or were followed by an alarm.
        lead_time: From a batch to its model serving; ``None`` where nothing was delivered.
        time_to_restore: From an alarm of the endpoint until none was on; ``None`` where there was none.
    """

    attempts: int
    failed: int
    lead_time: float | None
    time_to_restore: float | None


def read_deliveries(settings: Settings, aws: Aws) -> Deliveries:
    """Ask CloudWatch for the figures of the workload."""
    total, average = "Sum", "Average"
    return Deliveries(
        attempts=int(_figure(settings, aws, metrics.DELIVERIES, total) or 0),
        failed=int(_figure(settings, aws, metrics.DELIVERIES_FAILED, total) or 0),
        lead_time=_figure(settings, aws, metrics.LEAD_TIME, average),
        time_to_restore=_figure(settings, aws, metrics.TIME_TO_RESTORE, average),
    )


def delivery_lines(settings: Settings, aws: Aws) -> Iterator[Line]:
    """How often models are delivered, how fast, how well, and how fast what went wrong was mended."""
    found = read_deliveries(settings, aws)
    yield Line("deployment frequency", "OK", f"{found.attempts - found.failed} in the last {DAYS} days")
    yield Line("lead time", "OK", _duration(found.lead_time, "nothing was deployed"))
    failed = f"{found.failed / found.attempts:.0%} of {found.attempts}" if found.attempts else "nothing was deployed"
    yield Line("change failure rate", "OK", failed)
    yield Line("time to restore", "OK", _duration(found.time_to_restore, "nothing had to be restored"))


def _figure(settings: Settings, aws: Aws, name: str, statistic: str) -> float | None:
    now = account_now(settings)
    points = aws.client("cloudwatch").get_metric_statistics(
        Namespace=metrics.NAMESPACE,
        MetricName=name,
        Dimensions=[
            {"Name": key, "Value": value}
            for key, value in metrics.dimensions(settings.stage, settings.workload).items()
        ],
        StartTime=now - timedelta(days=DAYS),
        EndTime=now + timedelta(minutes=1),
        Period=DAYS * 24 * 3600,
        Statistics=[statistic, "SampleCount"],
    )["Datapoints"]
    if not points:
        return None
    total = sum(point[statistic] * (point["SampleCount"] if statistic == "Average" else 1) for point in points)
    return float(total / sum(point["SampleCount"] for point in points) if statistic == "Average" else total)


def _duration(seconds: float | None, none: str) -> str:
    if seconds is None:
        return none
    return f"{seconds:.0f} s on average" if seconds < 3600 else f"{seconds / 3600:.1f} h on average"
