"""The stage's data."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from constructs_lib.data_lake import DataLake
from constructs_lib.lake_governance import LakeGovernance
from constructs_lib.names.workload_file import WorkloadFile
from stacks.config import StageConfig


class DataLakeStack(Stack):
    """Stateful.

    Args:
        workloads: Whose data it holds.

    Attributes:
        lake: Zones, catalogue and tables of the stage.
        people: Persona to the ARN of its role.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        workloads: Sequence[WorkloadFile],
        administrator: str,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Gapless: data lake",
            termination_protection=not stage.removable,
            tags=stage.tags,
        )
        self.lake = DataLake(
            self,
            "Lake",
            stage=stage.name,
            log_retention_days=stage.log_retention_days,
            removal_policy=stage.removal_policy,
            expires_retired=any(workload.dataset_retention is not None for workload in workloads),
            administrator=administrator,
        )
        governance = LakeGovernance(
            self,
            "Governance",
            stage=stage.name,
            lake=self.lake,
            administrator=administrator,
            workloads=[workload.name for workload in workloads],
            roles=stage.personas.given,
        )
        self.people: dict[str, str] = governance.personas.role_arns
        for persona, role_arn in governance.personas.role_arns.items():
            CfnOutput(self, f"{persona.title().replace('_', '')}RoleArn", value=role_arn)
