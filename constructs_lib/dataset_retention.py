"""Datasets that nobody needs any more go; so does what broken-off runs have left behind."""

from __future__ import annotations

from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.data_lake import RETIRED_TAG, DataLake, Zone
from constructs_lib.failure_alarm import watch
from constructs_lib.grants import acknowledge
from constructs_lib.intake import queue_metric, queue_policy
from constructs_lib.model_registry import ModelRegistry
from constructs_lib.names.retention_file import DatasetRetention
from constructs_lib.place import ACCOUNT
from constructs_lib.python_function import PythonFunction

_DAY = 24 * 3600
_EVERY_NIGHT = "cron(17 3 * * ? *)"
_ZONES: tuple[Zone, ...] = ("validated", "quarantine", "curated")


class DatasetRetirement(Construct):
    """Defines a function that retires a workload's datasets every night.

    It withdraws datasets and marks their rows; what removes marked rows is the lifecycle of the datasets bucket. The
    lake must have been made with ``expires_retired``.

    Args:
        workload: Whose datasets they are.
        keep: Which of them are kept.
        lake: Where they are.
        registry: The models that keep datasets from being retired.
        alarms: Whom to tell when a call fails, or why nobody is told.
        log_retention_days: How long the function's log is kept, in days.

    Attributes:
        function: The function.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        workload: str,
        keep: DatasetRetention,
        lake: DataLake,
        registry: ModelRegistry,
        alarms: Alarms,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        self.function = PythonFunction(
            self,
            "Function",
            folder="retire_datasets",
            description="Retires datasets that nobody needs any more, and removes leftovers",
            timeout_seconds=900,
            memory_mb=512,
            alarms=alarms,
            log_key=lake.key,
            log_retention_days=log_retention_days,
            environment={
                "WORKLOAD": workload,
                **{f"{zone.upper()}_BUCKET": lake.buckets[zone].bucket_name for zone in ("datasets", *_ZONES)},
                "MODEL_PACKAGE_GROUP": registry.group_name,
                "KEEP_NEWEST": str(keep.keep_newest),
                "KEEP_DAYS": str(keep.keep_days),
                "RETIRED_TAG": RETIRED_TAG,
            },
        )
        self._grant(lake, registry, f"{workload}/")
        self._run_every_night(f"Retires datasets of {workload}", alarms)

    def _run_every_night(self, description: str, alarms: Alarms) -> None:
        dead = sqs.CfnQueue(self, "DeadLetterQueue", message_retention_period=14 * _DAY, sqs_managed_sse_enabled=True)
        acknowledge(dead, {"AwsSolutions-SQS3": "It is the dead-letter queue, of the rule that calls the function"})
        rule = events.CfnRule(
            self,
            "Nightly",
            description=description,
            schedule_expression=_EVERY_NIGHT,
            state="ENABLED",
            targets=[
                events.CfnRule.TargetProperty(
                    id="Function",
                    arn=self.function.function_arn,
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=dead.attr_arn),
                    retry_policy=events.CfnRule.RetryPolicyProperty(
                        maximum_event_age_in_seconds=_DAY, maximum_retry_attempts=185
                    ),
                )
            ],
        )
        lambda_.CfnPermission(
            self,
            "Permission",
            action="lambda:InvokeFunction",
            function_name=self.function.function_arn,
            principal="events.amazonaws.com",
            source_account=ACCOUNT,
            source_arn=rule.attr_arn,
        )
        policy = queue_policy(dead.attr_arn, [rule.attr_arn])
        sqs.CfnQueuePolicy(self, "DeadLetterQueuePolicy", queues=[dead.ref], policy_document=policy)
        watch(
            self,
            "NotCalled",
            alarms=alarms,
            watched=dead,
            metric=queue_metric(dead, "ApproximateNumberOfMessagesVisible"),
            description="Datasets were not looked through: the function could not be called",
            runbook="May the rule call the function? The next night goes on by itself; delete the message",
        )

    def _grant(self, lake: DataLake, registry: ModelRegistry, folder: str) -> None:
        lake.grant_read(self.function, "datasets", folder)
        lake.grant_write(self.function, "datasets", folder)
        lake.grant_mark(self.function, "datasets", folder)
        lake.grant_delete(self.function, "datasets", folder)
        for zone in _ZONES:
            lake.grant_list(self.function, zone, folder)
            lake.grant_delete(self.function, zone, folder)
        registry.grant_list(self.function)
