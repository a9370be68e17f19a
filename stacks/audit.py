"""Who read and wrote which object of the lake."""

from __future__ import annotations

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from constructs_lib.audit_trail import AuditTrail
from constructs_lib.data_lake import DataLake
from stacks.config import AuditTrailConfig, StageConfig


class AuditStack(Stack):
    """Stateful: holds the trail of data events of the lake's buckets."""

    def __init__(
        self, scope: Construct, construct_id: str, *, stage: StageConfig, config: AuditTrailConfig, lake: DataLake
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Gapless: audit trail",
            termination_protection=not stage.removable,
            tags=stage.tags,
        )
        trail = AuditTrail(
            self,
            "Audit",
            name=f"gapless-{stage.name}",
            watched=lake.buckets,
            access_logs=lake.access_logs,
            retention_days=config.retention_days,
            removal_policy=stage.removal_policy,
        )
        CfnOutput(self, "AuditTrailBucket", value=trail.bucket.bucket_name)
