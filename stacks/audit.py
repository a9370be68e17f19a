"""Who read and wrote which object of the lake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from constructs_lib.audit_queries import AuditQueries
from constructs_lib.audit_trail import AuditTrail
from constructs_lib.data_lake import DataLake
from stacks.config import AuditTrailConfig, StageConfig

AUDITOR: Final = "auditor"
"""The persona that asks."""


class AuditStack(Stack):
    """Stateful: holds the trail of data events of the lake's buckets, and the catalogue of it.

    Args:
        people: Persona to the ARN of its role.

    Attributes:
        trail: The trail.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        config: AuditTrailConfig,
        lake: DataLake,
        people: Mapping[str, str],
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Gapless: audit trail",
            termination_protection=not stage.removable,
            tags=stage.tags,
        )
        self.trail = trail = AuditTrail(
            self,
            "Audit",
            name=f"gapless-{stage.name}",
            watched=lake.buckets,
            access_logs=lake.access_logs,
            retention_days=config.retention_days,
            removal_policy=stage.removal_policy,
        )
        queries = AuditQueries(
            self,
            "Queries",
            stage=stage.name,
            trail=trail,
            retention_days=config.retention_days,
        )
        queries.grant_ask(AUDITOR, people[AUDITOR], own=AUDITOR not in stage.personas.given)
        CfnOutput(self, "AuditTrailBucket", value=trail.bucket.bucket_name)
