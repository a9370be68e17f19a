"""Where a pipeline keeps what its actions hand over."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from constructs_lib.buckets import AccessLogBucket, ZoneBucket
from constructs_lib.keys import READ_ACTIONS

KEPT_DAYS = 90


class ArtefactBucket(ZoneBucket):
    """Defines a bucket of artefacts, which go after 90 days.

    Args:
        key: Encrypts them.
        readers: ARNs of roles that read them, of other accounts too. Default: whoever is granted it.
    """

    def __init__(self, scope: Construct, construct_id: str, *, key: kms.Key, readers: Sequence[str] = ()) -> None:
        logs = AccessLogBucket(scope, f"{construct_id}AccessLogs", retention_days=KEPT_DAYS)
        super().__init__(
            scope,
            construct_id,
            key=key,
            access_logs=logs,
            expire_after_days=KEPT_DAYS,
            keep_replaced_days=1,
        )
        if readers:
            principals: list[iam.IPrincipal] = [iam.ArnPrincipal(role) for role in readers]
            self.add_to_resource_policy(
                iam.PolicyStatement(
                    sid="Readers",
                    principals=principals,
                    actions=["s3:GetObject", "s3:GetObjectVersion"],
                    resources=[f"{self.bucket_arn}/*"],
                )
            )
            self.add_to_resource_policy(
                iam.PolicyStatement(
                    sid="Listers", principals=principals, actions=["s3:ListBucket"], resources=[self.bucket_arn]
                )
            )
            key.add_to_resource_policy(
                iam.PolicyStatement(sid="Readers", principals=principals, actions=list(READ_ACTIONS), resources=["*"])
            )
