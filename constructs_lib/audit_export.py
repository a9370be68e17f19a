"""What was decided is exported beside the audit trail every night, so that it can be asked by SQL."""

from __future__ import annotations

import json
from typing import Final

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from constructs_lib.alarms import Alarms
from constructs_lib.audit_trail import AuditTrail
from constructs_lib.failure_alarm import watch
from constructs_lib.grants import ServiceRole, acknowledge, grant
from constructs_lib.intake import only_tls, queue_metric
from constructs_lib.keys import READ_ACTIONS, WRITE_ACTIONS
from constructs_lib.names.audit_queries import EXPORTS
from constructs_lib.place import PARTITION

_NIGHTLY: Final = "cron(31 2 * * ? *)"
_DAY: Final = 24 * 3600


class AuditExport(Construct):
    """Defines the nightly export of the audit table, whole, into the bucket of the trail.

    DynamoDB makes it of the table's backups, without a load on the table. An export that could not be asked for sets
    off an alarm; the next night's has everything again.

    Args:
        trail: The trail.
        decisions: The audit table.
        key: Encrypts it.
        alarms: Whom to tell when an export could not be asked for, or why nobody is told.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        trail: AuditTrail,
        decisions: dynamodb.ITable,
        key: kms.IKey,
        alarms: Alarms,
    ) -> None:
        super().__init__(scope, construct_id)
        bucket = trail.bucket
        role = ServiceRole(
            self, "ExportRole", service="scheduler.amazonaws.com", description="Exports the audit table every night"
        )
        grant(role, ["dynamodb:ExportTableToPointInTime"], decisions.table_arn)
        grant(role, ["s3:AbortMultipartUpload", "s3:PutObject", "s3:PutObjectAcl"], f"{bucket.bucket_arn}/{EXPORTS}*")
        grant(role, WRITE_ACTIONS, trail.key.key_arn)
        grant(role, READ_ACTIONS, key.key_arn)
        lost = sqs.CfnQueue(self, "Lost", message_retention_period=14 * _DAY, sqs_managed_sse_enabled=True)
        acknowledge(
            lost, {"AwsSolutions-SQS3": "It is the dead-letter queue, of the schedule that exports every night"}
        )
        policy = {"Version": "2012-10-17", "Statement": [only_tls(lost.attr_arn)]}
        sqs.CfnQueuePolicy(self, "LostPolicy", queues=[lost.ref], policy_document=policy)
        grant(role, ["sqs:SendMessage"], lost.attr_arn)
        request = {
            "TableArn": decisions.table_arn,
            "S3Bucket": bucket.bucket_name,
            "S3Prefix": EXPORTS.rstrip("/"),
            "S3SseAlgorithm": "KMS",
            "S3SseKmsKeyId": trail.key.key_arn,
            "ExportFormat": "DYNAMODB_JSON",
            "ClientToken": "<aws.scheduler.execution-id>",
        }
        made = scheduler.CfnSchedule
        schedule = made(
            self,
            "Export",
            description="Exports the audit table beside the trail",
            schedule_expression=_NIGHTLY,
            flexible_time_window=made.FlexibleTimeWindowProperty(mode="FLEXIBLE", maximum_window_in_minutes=30),
            state="ENABLED",
            target=made.TargetProperty(
                arn=f"arn:{PARTITION}:scheduler:::aws-sdk:dynamodb:exportTableToPointInTime",
                role_arn=role.role_arn,
                input=json.dumps(request),
                dead_letter_config=made.DeadLetterConfigProperty(arn=lost.attr_arn),
                retry_policy=made.RetryPolicyProperty(
                    maximum_event_age_in_seconds=_DAY // 2, maximum_retry_attempts=20
                ),
            ),
        )
        role.come_before(schedule)
        watch(
            self,
            "NotExported",
            alarms=alarms,
            watched=lost,
            metric=queue_metric(lost, "ApproximateNumberOfMessagesVisible"),
            stays_on=True,
            description="The audit table was not exported in a night: what was decided since is not in the queries",
            runbook="Read the message; may the role still export, and write below audit-table/? Then delete it",
        )
