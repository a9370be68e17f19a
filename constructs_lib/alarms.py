"""Alarms: whom to tell when something fails, or why nobody is told.

Every construct that can fail takes ``alarms: Alarms`` as a required argument, so that silence is a decision
that somebody wrote down, not an omission.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from aws_cdk import CfnResource
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns
from constructs import Construct, IConstruct

NO_ALARMS_METADATA = "gapless:no-alarms"
"""Key of the template metadata in which a resource without alarms says why."""

Comparison = Literal[
    "GreaterThanOrEqualToThreshold", "GreaterThanThreshold", "LessThanThreshold", "LessThanOrEqualToThreshold"
]
MissingData = Literal["notBreaching", "breaching", "ignore", "missing"]


@dataclass(frozen=True)
class FailureAlarms:
    """Failures are told to a topic.

    Args:
        topic: Receives a message when an alarm goes off and another when it is over.
    """

    topic: sns.ITopic

    @cached_property
    def topic_arn(self) -> str:
        """The topic's ARN."""
        return self.topic.topic_arn


@dataclass(frozen=True)
class NoAlarms:
    """Nobody is told of failures, for a reason that ends up in the template.

    Args:
        reason: Why silence is right, in a sentence.

    Raises:
        ValueError: The reason is shorter than twenty characters.
    """

    reason: str

    def __post_init__(self) -> None:
        if len(self.reason.strip()) < 20:
            raise ValueError(f"reason for no alarms must be a sentence of at least 20 characters, got: {self.reason!r}")


Alarms = FailureAlarms | NoAlarms


@dataclass(frozen=True)
class Metric:
    """Names one CloudWatch metric and how its values are summed up.

    Args:
        namespace: Such as ``AWS/Lambda``.
        name: Such as ``Errors``.
        dimensions: Name to value; values may be tokens.
        statistic: Such as ``Sum``, ``Maximum`` or ``p90``.
        period_seconds: Length of one data point.
    """

    namespace: str
    name: str
    dimensions: Mapping[str, str] = field(default_factory=dict)
    statistic: str = "Sum"
    period_seconds: int = 300


def alarm(
    scope: Construct,
    construct_id: str,
    *,
    alarms: FailureAlarms,
    metric: Metric,
    threshold: float,
    description: str,
    runbook: str,
    comparison: Comparison = "GreaterThanOrEqualToThreshold",
    evaluation_periods: int = 1,
    missing_data: MissingData = "notBreaching",
    name: str | None = None,
) -> cloudwatch.CfnAlarm:
    """Defines an alarm that tells the topic when it goes off and when it is over.

    Args:
        scope: Where the alarm lives, usually what it watches.
        construct_id: PascalCase id in the scope.
        alarms: Whom to tell.
        metric: What is watched.
        threshold: Compared with each data point, in the metric's unit.
        description: What has happened when this goes off, in a sentence.
        runbook: What to look at first and what to do.
        comparison: How a data point is compared. Default: at or above the threshold.
        evaluation_periods: Data points in a row that must breach. Default: one.
        missing_data: What a period without data counts as. Default: quiet.
        name: Physical name, only where something must know it before deployment. Default: made by CloudFormation.

    Raises:
        ValueError: Description or runbook is empty.
    """
    if not description.strip() or not runbook.strip():
        raise ValueError(f"alarm {construct_id} needs a description and a runbook")
    is_percentile = metric.statistic.startswith("p")
    return cloudwatch.CfnAlarm(
        scope,
        construct_id,
        alarm_name=name,
        alarm_description=f"{description}\nRunbook: {runbook}",
        namespace=metric.namespace,
        metric_name=metric.name,
        statistic=None if is_percentile else metric.statistic,
        extended_statistic=metric.statistic if is_percentile else None,
        dimensions=[
            cloudwatch.CfnAlarm.DimensionProperty(name=key, value=value)
            for key, value in sorted(metric.dimensions.items())
        ],
        period=metric.period_seconds,
        comparison_operator=comparison,
        evaluation_periods=evaluation_periods,
        datapoints_to_alarm=evaluation_periods,
        threshold=threshold,
        treat_missing_data=missing_data,
        actions_enabled=True,
        alarm_actions=[alarms.topic_arn],
        ok_actions=[alarms.topic_arn],
    )


def record_silence(resource: IConstruct, silence: NoAlarms) -> None:
    """Writes the reason for no alarms into the template, as metadata of the resource.

    Args:
        resource: The resource, or a construct whose default child it is.
        silence: The reason.

    Raises:
        TypeError: The construct has no resource of its own.
    """
    target = resource if isinstance(resource, CfnResource) else resource.node.default_child
    if not isinstance(target, CfnResource):
        raise TypeError(f"{resource.node.path} has no resource that could hold the reason")
    target.add_metadata(NO_ALARMS_METADATA, silence.reason)
