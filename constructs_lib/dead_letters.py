"""Where what a rule could not start waits for a person."""

from __future__ import annotations

from aws_cdk import aws_events as events
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.failure_alarm import watch
from constructs_lib.grants import acknowledge
from constructs_lib.intake import queue_metric, queue_policy

_HOUR = 3600
_DAY = 24 * _HOUR


class DeadLetters:
    """Defines the queue of events with which one rule could not start its target, and the alarm on it.

    First the queue, then the rule, whose target ``target`` makes, then ``watch``: each needs the one before.

    Args:
        scope: Gets the queue ``DeadLetterQueue`` and its policy; so there is one in a scope.
        rule: What the rule does, for the reason why the queue has no dead-letter queue of its own.
    """

    def __init__(self, scope: Construct, rule: str) -> None:
        self._scope = scope
        self._queue = sqs.CfnQueue(
            scope, "DeadLetterQueue", message_retention_period=14 * _DAY, sqs_managed_sse_enabled=True
        )
        acknowledge(self._queue, {"AwsSolutions-SQS3": f"It is the dead-letter queue, of the rule that {rule}"})

    def target(
        self,
        target_id: str,
        *,
        arn: str,
        role_arn: str | None = None,
        input_transformer: events.CfnRule.InputTransformerProperty | None = None,
        tries: int = 185,
        hours: int = 24,
    ) -> events.CfnRule.TargetProperty:
        """Returns the rule's target, which leaves here what it could not be started with.

        Args:
            target_id: Id of the target.
            arn: What is started.
            role_arn: The role that starts it. Default: the target's own policy lets the rule start it.
            input_transformer: What it gets in place of the event. Default: the event.
            tries: How often it is tried again.
            hours: For how long.
        """
        return events.CfnRule.TargetProperty(
            id=target_id,
            arn=arn,
            role_arn=role_arn,
            input_transformer=input_transformer,
            dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=self._queue.attr_arn),
            retry_policy=events.CfnRule.RetryPolicyProperty(
                maximum_event_age_in_seconds=hours * _HOUR, maximum_retry_attempts=tries
            ),
        )

    def watch(self, alarm_id: str, *, rule: events.CfnRule, alarms: Alarms, description: str, runbook: str) -> None:
        """Lets the rule leave events here, and tells somebody of the first one.

        Args:
            rule: The rule.
            alarms: Whom to tell, or why nobody is told.
            description: What has not been done then.
            runbook: What to look at first and what to do.
        """
        policy = queue_policy(self._queue.attr_arn, [rule.attr_arn])
        sqs.CfnQueuePolicy(self._scope, "DeadLetterQueuePolicy", queues=[self._queue.ref], policy_document=policy)
        watch(
            self._scope,
            alarm_id,
            alarms=alarms,
            watched=self._queue,
            metric=queue_metric(self._queue, "ApproximateNumberOfMessagesVisible"),
            stays_on=True,
            description=description,
            runbook=runbook,
        )
