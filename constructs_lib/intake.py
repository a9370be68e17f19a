"""Events become executions: rules, a queue, its dead letters and the function that starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from constructs_lib.alarms import Alarms, Metric
from constructs_lib.failure_alarm import watch
from constructs_lib.grants import grant
from constructs_lib.python_function import PythonFunction

_DAY = 24 * 3600
_TRIES = 5


class EventIntake(Construct):
    """Defines the way from events to a function: nothing is lost, and what cannot be handled waits for a person.

    Rules put events on one queue. The function takes them in small batches and says which it could not handle; those
    come again, five times in all, then they lie in the dead-letter queue for 14 days. Events that cannot be put on the
    queue go there as well. What lies there is done again by moving it back: ``aws sqs start-message-move-task``.

    Args:
        patterns: Rule id to event pattern, on the default bus.
        starter: The function; gets SQS messages whose bodies are the events.
        starter_timeout_seconds: Its time limit; a message is hidden six times as long.
        alarms: Whom to tell when events wait too long or were given up, or why nobody is told.
        schedules: Rule id to a schedule such as ``rate(1 hour)``, at which an event comes by itself. Default: none.
        failures: Rule id to a pattern of events that tell of something that failed elsewhere: they lie in the
            dead-letter queue until somebody moves them. Default: none.
        batch_size: Events that the function gets at once, at most. Default: ten.
        waiting_minutes: For how long an event may wait before somebody is told. Default: 15 minutes.
        lost: What is not done when events are given up, for the alarm.

    Attributes:
        queue_url, queue_arn, dead_letter_queue_url, dead_letter_queue_arn: Of the queues.
        alarms: The alarms, or nothing.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        patterns: Mapping[str, Mapping[str, Any]],
        starter: PythonFunction,
        starter_timeout_seconds: int,
        alarms: Alarms,
        schedules: Mapping[str, str] | None = None,
        failures: Mapping[str, Mapping[str, Any]] | None = None,
        batch_size: int = 10,
        waiting_minutes: int = 15,
        lost: str = "a batch or an approval was not started",
    ) -> None:
        super().__init__(scope, construct_id)
        dead = sqs.CfnQueue(self, "DeadLetterQueue", message_retention_period=14 * _DAY, sqs_managed_sse_enabled=True)
        queue = sqs.CfnQueue(
            self,
            "Queue",
            message_retention_period=4 * _DAY,
            sqs_managed_sse_enabled=True,
            visibility_timeout=6 * starter_timeout_seconds,
            redrive_policy={"deadLetterTargetArn": dead.attr_arn, "maxReceiveCount": _TRIES},
        )
        self.queue_url: str = queue.ref
        self.queue_arn: str = queue.attr_arn
        self.dead_letter_queue_url: str = dead.ref
        self.dead_letter_queue_arn: str = dead.attr_arn
        rules = [self._rule(name, event_pattern=dict(pattern)) for name, pattern in patterns.items()]
        rules += [self._rule(name, schedule_expression=each) for name, each in (schedules or {}).items()]
        rules += [
            self._rule(name, to=dead.attr_arn, event_pattern=dict(each)) for name, each in (failures or {}).items()
        ]
        for name, target in (("QueuePolicy", queue), ("DeadLetterQueuePolicy", dead)):
            sqs.CfnQueuePolicy(
                self,
                name,
                queues=[target.ref],
                policy_document=queue_policy(target.attr_arn, [r.attr_arn for r in rules]),
            )
        self._feed(starter, batch_size)
        self.alarms: list[cloudwatch.CfnAlarm] = [
            *watch(
                self,
                "GivenUp",
                alarms=alarms,
                watched=dead,
                metric=queue_metric(dead, "ApproximateNumberOfMessagesVisible"),
                stays_on=True,
                description=f"Events were given up: {lost}",
                runbook="Read the dead-letter queue and the starter's log; when mended, move the messages back",
            ),
            *watch(
                self,
                "Waiting",
                alarms=alarms,
                watched=queue,
                metric=queue_metric(queue, "ApproximateAgeOfOldestMessage"),
                threshold=waiting_minutes * 60,
                description=f"An event has waited for more than {waiting_minutes} minutes to be started",
                runbook="Read the starter's log; is it throttled, or is its event source switched off",
            ),
        ]

    def _rule(self, name: str, *, to: str | None = None, **when: Any) -> events.CfnRule:
        rule = events.CfnRule
        return rule(
            self,
            name,
            **when,
            state="ENABLED",
            targets=[
                rule.TargetProperty(
                    id="Queue",
                    arn=to if to is not None else self.queue_arn,
                    dead_letter_config=rule.DeadLetterConfigProperty(arn=self.dead_letter_queue_arn),
                    retry_policy=rule.RetryPolicyProperty(
                        maximum_event_age_in_seconds=_DAY, maximum_retry_attempts=185
                    ),
                )
            ],
        )

    def _feed(self, starter: PythonFunction, batch_size: int) -> None:
        grant(
            starter,
            ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
            self.queue_arn,
        )
        mapping = lambda_.CfnEventSourceMapping(
            self,
            "Mapping",
            event_source_arn=self.queue_arn,
            function_name=starter.function_name,
            batch_size=batch_size,
            function_response_types=["ReportBatchItemFailures"],
            scaling_config=lambda_.CfnEventSourceMapping.ScalingConfigProperty(maximum_concurrency=2),
        )
        starter.role.come_before(mapping)


def queue_metric(queue: sqs.CfnQueue, name: str) -> Metric:
    """Returns a metric of a queue, the largest value of each minute."""
    return Metric("AWS/SQS", name, {"QueueName": queue.attr_queue_name}, statistic="Maximum", period_seconds=60)


def queue_policy(queue_arn: str, rule_arns: Sequence[str]) -> dict[str, Any]:
    """Returns the policy of a queue to which only these rules send, and only over TLS."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Rules",
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue_arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": list(rule_arns)}},
            },
            only_tls(queue_arn),
        ],
    }


def only_tls(queue_arn: str) -> dict[str, Any]:
    """Returns the statement by which a queue refuses whatever does not come over TLS."""
    return {
        "Sid": "OnlyTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": queue_arn,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
