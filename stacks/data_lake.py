"""The stage's data."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from constructs_lib.data_lake import DataLake
from constructs_lib.lake_governance import LakeGovernance
from constructs_lib.machines.jobs import CHECKPOINTS_FOLDER
from constructs_lib.model_promotion import Receiver, let_in
from constructs_lib.names.workload_file import WorkloadFile
from stacks.config import StageConfig

_CHECKPOINT_DAYS = 60
"""How long checkpoints are kept; a training on spare machines ends within 28 days."""


class DataLakeStack(Stack):
    """Stateful.

    Args:
        workloads: Whose data it holds.
        receivers: Stages that take over models of this one.

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
        receivers: tuple[Receiver, ...],
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
        for workload in workloads:
            if workload.training.spot is not None:
                self.lake.expire("artefacts", f"{workload.name}/{CHECKPOINTS_FOLDER}/", _CHECKPOINT_DAYS)
        let_in(self.lake, receivers, tuple(workload.name for workload in workloads))
        governance = LakeGovernance(
            self,
            "Governance",
            stage=stage.name,
            lake=self.lake,
            administrator=administrator,
            workloads=[workload.name for workload in workloads],
            roles=stage.personas.given,
            in_studio=stage.studio is not None,
        )
        self.people: dict[str, str] = governance.personas.role_arns
        for persona, role_arn in governance.personas.role_arns.items():
            CfnOutput(self, f"{persona.title().replace('_', '')}RoleArn", value=role_arn)
        for name, value in (
            ("ArtefactsBucket", self.lake.artefacts.bucket_name),
            ("KeyArn", self.lake.key.key_arn),
            ("SigningKeyArn", self.lake.signing_key.key_arn),
        ):
            CfnOutput(self, name, value=value)
