"""Alarms: whom to tell when something fails, or why nobody is told.

Every construct that can fail takes ``alarms: Alarms`` as a required argument, so that silence is a decision
that somebody wrote down, not an omission.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from aws_cdk import CfnResource
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns
from constructs import Construct, IConstruct

NO_ALARMS_METADATA = "gapless:no-alarms"
"""Key of the template metadata in which a resource without alarms says why."""

Comparison = Literal[
    "GreaterThanOrEqualToThreshold", "GreaterThanThreshold", "LessThanThreshold", "LessThanOrEqualToThreshold"
]
_COMPARED = "compared"
"""Id of the expression in an alarm that has one."""

MissingData = Literal["notBreaching", "breaching", "ignore", "missing"]
Severity = Literal["critical", "high", "low"]
"""``critical``: somebody is not served; ``high``: work stands still; ``low``: to be looked at on a working day."""


@dataclass(frozen=True, eq=False)
class Incident:
    """Alarms that one cause sets off together: people are told of them once, by one composite alarm.

    Args:
        name: Physical name of the composite alarm, from ``names.naming.incident_name``.
        what: What has happened when any of them is on, in a sentence.
        severity: How soon somebody has to look.
        page: The page for people, with the section.

    Attributes:
        members: The alarms, in the order in which they were defined.
        alone: Alarms that belong to it and tell by themselves, as they stay on.
    """

    name: str
    what: str
    severity: Severity
    page: str
    members: list[cloudwatch.CfnAlarm] = field(default_factory=list, init=False)
    alone: list[cloudwatch.CfnAlarm] = field(default_factory=list, init=False)


@dataclass(frozen=True)
class FailureAlarms:
    """Failures are told to a topic.

    Args:
        topic: Receives a message when an alarm goes off and another when it is over.
        incident: What the alarms are told of together by. Default: each is told of by itself.
    """

    topic: sns.ITopic
    incident: Incident | None = None

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


@dataclass(frozen=True)
class MetricMath:
    """An expression of several metrics, in CloudWatch's metric math.

    Args:
        expression: Such as ``IF(requests >= 20, errors / requests, 0)``.
        metrics: The names in the expression and what they stand for, all with the same period.
    """

    expression: str
    metrics: Mapping[str, Metric]

    @property
    def period_seconds(self) -> int:
        """Length of one data point.

        Raises:
            ValueError: The metrics have different periods, or there are none.
        """
        periods = {metric.period_seconds for metric in self.metrics.values()}
        if len(periods) != 1:
            raise ValueError(f"metrics of {self.expression!r} must have one period, got: {sorted(periods)}")
        return periods.pop()


def alarm(
    scope: Construct,
    construct_id: str,
    *,
    alarms: FailureAlarms,
    metric: Metric | MetricMath,
    threshold: float,
    description: str,
    runbook: str,
    comparison: Comparison = "GreaterThanOrEqualToThreshold",
    evaluation_periods: int = 1,
    missing_data: MissingData = "notBreaching",
    name: str | None = None,
    stays_on: bool = False,
) -> cloudwatch.CfnAlarm:
    """Defines an alarm that tells the topic when it goes off and when it is over, or whose incident does.

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
        stays_on: Whether it stays on until a person has done something. It would keep the alarm of its incident on as
            long, and whatever happens meanwhile would be told to nobody; so it is told of by itself. Default: it goes
            off by itself.

    Raises:
        ValueError: Description or runbook is empty.
    """
    if not description.strip() or not runbook.strip():
        raise ValueError(f"alarm {construct_id} needs a description and a runbook")
    return _told(
        scope,
        construct_id,
        alarms,
        description,
        runbook,
        alarms.incident if not stays_on else None,
        alarm_name=name,
        **(_watched(metric) if isinstance(metric, Metric) else {"metrics": _queries(metric)}),
        comparison_operator=comparison,
        evaluation_periods=evaluation_periods,
        datapoints_to_alarm=evaluation_periods,
        threshold=threshold,
        treat_missing_data=missing_data,
    )


def unusual_alarm(
    scope: Construct,
    construct_id: str,
    *,
    alarms: FailureAlarms,
    metric: Metric,
    description: str,
    runbook: str,
    width: float = 3,
    evaluation_periods: int = 2,
) -> cloudwatch.CfnAlarm:
    """Defines an alarm on a metric without a right value: it goes off outside of the band that CloudWatch has learnt.

    CloudWatch learns from up to two weeks, with the hours of the day and the days of the week; until then, and where
    there is no data, the alarm is quiet.

    Args:
        scope, construct_id, alarms, metric, description, runbook: As for ``alarm``.
        width: Width of the band to either side, in standard deviations. Default: three.
        evaluation_periods: Data points in a row that must be outside. Default: two.
    """
    queries = _queries(MetricMath(f"ANOMALY_DETECTION_BAND(watched, {width:g})", {"watched": metric}), both=True)
    return _told(
        scope,
        construct_id,
        alarms,
        description,
        runbook,
        alarms.incident,
        metrics=queries,
        threshold_metric_id=_COMPARED,
        comparison_operator="LessThanLowerOrGreaterThanUpperThreshold",
        evaluation_periods=evaluation_periods,
        datapoints_to_alarm=evaluation_periods,
        treat_missing_data="notBreaching",
    )


def _told(
    scope: Construct,
    construct_id: str,
    alarms: FailureAlarms,
    what: str,
    runbook: str,
    incident: Incident | None,
    **properties: Any,
) -> cloudwatch.CfnAlarm:
    """Defines an alarm that tells by itself, or by the incident that it then is a member of."""
    told = [alarms.topic_arn] if incident is None else None
    made = cloudwatch.CfnAlarm(
        scope,
        construct_id,
        alarm_description=_description(what, runbook, alarms.incident, incident),
        actions_enabled=True,
        alarm_actions=told,
        ok_actions=told,
        **properties,
    )
    if incident is not None:
        incident.members.append(made)
    elif alarms.incident is not None:
        alarms.incident.alone.append(made)
    return made


def _description(what: str, runbook: str, belongs_to: Incident | None, told_by: Incident | None) -> str:
    lines = [what]
    if belongs_to is not None:
        lines += [f"Severity: {belongs_to.severity}", f"Page: {belongs_to.page}"]
    if told_by is not None:
        lines.append(f"Told by: {told_by.name}")
    return "\n".join([*lines, f"Runbook: {runbook}"])


def _watched(metric: Metric) -> dict[str, Any]:
    is_percentile = metric.statistic.startswith("p")
    return {
        "namespace": metric.namespace,
        "metric_name": metric.name,
        "statistic": None if is_percentile else metric.statistic,
        "extended_statistic": metric.statistic if is_percentile else None,
        "dimensions": [
            cloudwatch.CfnAlarm.DimensionProperty(name=key, value=value)
            for key, value in sorted(metric.dimensions.items())
        ],
        "period": metric.period_seconds,
    }


def _queries(math: MetricMath, *, both: bool = False) -> list[cloudwatch.CfnAlarm.MetricDataQueryProperty]:
    """The expression, which alone is compared unless ``both`` are, and what its names stand for."""
    query = cloudwatch.CfnAlarm.MetricDataQueryProperty
    stands_for = [
        query(
            id=name,
            return_data=both,
            metric_stat=cloudwatch.CfnAlarm.MetricStatProperty(
                metric=cloudwatch.CfnAlarm.MetricProperty(
                    namespace=metric.namespace,
                    metric_name=metric.name,
                    dimensions=[
                        cloudwatch.CfnAlarm.DimensionProperty(name=key, value=value)
                        for key, value in sorted(metric.dimensions.items())
                    ],
                ),
                period=math.period_seconds,
                stat=metric.statistic,
            ),
        )
        for name, metric in sorted(math.metrics.items())
    ]
    return [query(id=_COMPARED, expression=math.expression, return_data=True), *stands_for]


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
