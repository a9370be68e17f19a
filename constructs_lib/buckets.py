"""Buckets of the lake: private, encrypted, versioned, logged, kept."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from constructs_lib.place import ACCOUNT

_NEWEST_TLS = 1.2
_CLOSED = s3.BlockPublicAccess.BLOCK_ALL


class AccessLogBucket(s3.Bucket):
    """Defines where the access logs of the account's other buckets go.

    S3 delivers access logs only to buckets under its own keys, so this one has no customer-managed key.

    Args:
        retention_days: How long logs are kept, in days.
        removal_policy: What happens when the stack goes. Default: the bucket stays.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        retention_days: int,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            block_public_access=_CLOSED,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=_NEWEST_TLS,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            versioned=True,
            removal_policy=removal_policy,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="Expire",
                    expiration=Duration.days(retention_days),
                    noncurrent_version_expiration=Duration.days(1),
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                )
            ],
        )
        self.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AccessLogs",
                principals=[iam.ServicePrincipal("logging.s3.amazonaws.com")],
                actions=["s3:PutObject"],
                resources=[f"{self.bucket_arn}/*"],
                conditions={"StringEquals": {"aws:SourceAccount": ACCOUNT}},
            )
        )


class ZoneBucket(s3.Bucket):
    """Defines the bucket of one lake zone; every object that is made in it is an event on the default event bus.

    Args:
        key: Encrypts the objects; a request for any other encryption is the writer's own decision and pays for
            its own key.
        access_logs: Receives this bucket's access logs, under the bucket's id.
        expire_after_days: Objects older than this go, in days. Default: they stay.
        expire_tagged: Objects with this tag and the value ``true`` go within two days. Default: they stay.
        keep_replaced_days: How long replaced and deleted versions can be brought back, in days. Default: 90.
        removal_policy: What happens when the stack goes. Default: the bucket stays.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        key: kms.IKey,
        access_logs: s3.IBucket,
        expire_after_days: int | None = None,
        expire_tagged: str | None = None,
        keep_replaced_days: int = 90,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            block_public_access=_CLOSED,
            bucket_key_enabled=True,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key,
            enforce_ssl=True,
            minimum_tls_version=_NEWEST_TLS,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            versioned=True,
            removal_policy=removal_policy,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="Tidy",
                    expiration=None if expire_after_days is None else Duration.days(expire_after_days),
                    noncurrent_version_expiration=Duration.days(keep_replaced_days),
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                ),
                *(() if expire_tagged is None else (_expire_tagged(expire_tagged),)),
            ],
        )
        # The L2 switch for events would bring a custom resource, that for access logs wants a flag in the app's
        # context; the properties themselves do without.
        resource = self.node.default_child
        assert isinstance(resource, s3.CfnBucket)  # noqa: S101
        resource.logging_configuration = s3.CfnBucket.LoggingConfigurationProperty(
            destination_bucket_name=access_logs.bucket_name, log_file_prefix=f"{construct_id.lower()}/"
        )
        resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
        )


def _expire_tagged(tag: str) -> s3.LifecycleRule:
    """S3 counts the days from when an object was made, not from when it was tagged; so one day is "soon"."""
    return s3.LifecycleRule(id="ExpireTagged", tag_filters={tag: "true"}, expiration=Duration.days(1))
