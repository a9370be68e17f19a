"""Who read and wrote which object: a trail of data events, in a bucket of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_cdk import RemovalPolicy
from aws_cdk import aws_cloudtrail as cloudtrail
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from constructs_lib.buckets import ZoneBucket
from constructs_lib.grants import arn
from constructs_lib.keys import EncryptionKey
from constructs_lib.place import ACCOUNT

_SERVICE = "cloudtrail.amazonaws.com"
_KEPT_REPLACED_DAYS = 1


class AuditTrail(Construct):
    """Defines a trail of everything that is read from and written to buckets, under a key and in a bucket of its own.

    Every hour CloudTrail signs a digest of the files that it has written, so that it shows when one was changed or is
    gone: ``aws cloudtrail validate-logs``. Management events are not in it; an account usually has a trail of those.

    Args:
        name: Physical name of the trail.
        watched: Name to the bucket whose objects are watched.
        access_logs: Receives the access logs of the trail's bucket.
        retention_days: How long the trail is kept, in days.
        removal_policy: What happens to it when the stack goes. Default: it stays.

    Attributes:
        bucket: Where the trail is written.
        key: Encrypts it.
        removal_policy: What happens to it when the stack goes.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        watched: Mapping[Any, s3.IBucket],
        access_logs: s3.IBucket,
        retention_days: int,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    ) -> None:
        super().__init__(scope, construct_id)
        trail_arn = arn("cloudtrail", f"trail/{name}")
        only_this = {"StringEquals": {"aws:SourceArn": trail_arn, "aws:SourceAccount": ACCOUNT}}
        service = iam.ServicePrincipal(_SERVICE)
        self.removal_policy = removal_policy
        self.key = key = EncryptionKey(self, "Key", description="Audit trail", removal_policy=removal_policy)
        for sid, action in (("Describe", "kms:DescribeKey"), ("Encrypt", "kms:GenerateDataKey")):
            key.add_to_resource_policy(
                iam.PolicyStatement(
                    sid=f"Trail{sid}", principals=[service], actions=[action], resources=["*"], conditions=only_this
                )
            )
        self.bucket = ZoneBucket(
            self,
            "Trail",
            key=key,
            access_logs=access_logs,
            expire_after_days=retention_days,
            keep_replaced_days=_KEPT_REPLACED_DAYS,
            removal_policy=removal_policy,
        )
        files = f"{self.bucket.bucket_arn}/AWSLogs/{ACCOUNT}/*"
        for sid, action, resource in (
            ("Look", "s3:GetBucketAcl", self.bucket.bucket_arn),
            ("Write", "s3:PutObject", files),
        ):
            self.bucket.add_to_resource_policy(
                iam.PolicyStatement(
                    sid=f"Trail{sid}",
                    principals=[service],
                    actions=[action],
                    resources=[resource],
                    conditions=only_this,
                )
            )
        field = cloudtrail.CfnTrail.AdvancedFieldSelectorProperty
        trail = cloudtrail.CfnTrail(
            self,
            "Events",
            trail_name=name,
            is_logging=True,
            s3_bucket_name=self.bucket.bucket_name,
            kms_key_id=key.key_arn,
            enable_log_file_validation=True,
            include_global_service_events=False,
            is_multi_region_trail=False,
            advanced_event_selectors=[
                cloudtrail.CfnTrail.AdvancedEventSelectorProperty(
                    name="Objects",
                    field_selectors=[
                        field(field="eventCategory", equal_to=["Data"]),
                        field(field="resources.type", equal_to=["AWS::S3::Object"]),
                        field(
                            field="resources.ARN", starts_with=[f"{bucket.bucket_arn}/" for bucket in watched.values()]
                        ),
                    ],
                )
            ],
        )
        trail.node.add_dependency(self.bucket.policy)
