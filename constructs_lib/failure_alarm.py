"""One alarm for what a construct defines, or a written reason for its absence."""

from __future__ import annotations

from aws_cdk import CfnResource
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from constructs_lib.alarms import Alarms, Metric, NoAlarms, alarm, record_silence


def watch(
    scope: Construct,
    construct_id: str,
    *,
    alarms: Alarms,
    watched: CfnResource,
    metric: Metric,
    description: str,
    runbook: str,
    threshold: float = 1,
    stays_on: bool = False,
) -> list[cloudwatch.CfnAlarm]:
    """Defines an alarm on a metric of a resource, or writes into the template why there is none.

    Args:
        alarms: Whom to tell, or why nobody is told.
        watched: The resource.
        metric: Its metric.
        description: What has happened when the alarm goes off.
        runbook: What to look at first and what to do.
        threshold: At or above it the alarm goes off. Default: one.
        stays_on: As for ``alarm``.

    Returns:
        The alarm, or nothing.
    """
    if isinstance(alarms, NoAlarms):
        record_silence(watched, alarms)
        return []
    return [
        alarm(
            scope,
            construct_id,
            alarms=alarms,
            metric=metric,
            threshold=threshold,
            description=description,
            runbook=runbook,
            stays_on=stays_on,
        )
    ]
