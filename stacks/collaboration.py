"""What people work together with: experiments that everybody sees, and notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from constructs_lib.data_lake import DataLake
from constructs_lib.experiment_tracking import ExperimentTracking
from constructs_lib.names.governance import PERSONAS, READ
from constructs_lib.network import Network
from constructs_lib.studio import Repository, Studio
from stacks.config import StageConfig, StudioConfig, TrackingConfig


class CollaborationStack(Stack):
    """Stateful.

    Attributes:
        tracking: Where experiments are logged, where the stage asks for it.
        studio: Where notebooks run, likewise.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        lake: DataLake,
        network: Network,
        people: Mapping[str, str],
        workloads: Sequence[str],
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Gapless: collaboration",
            termination_protection=not stage.removable,
            tags=stage.tags,
        )
        self.tracking = self._define_tracking(stage, stage.tracking, lake) if stage.tracking is not None else None
        readers = {persona.name: people[persona.name] for persona in PERSONAS if persona.permission == READ}
        self.studio = (
            self._define_studio(stage, stage.studio, lake, network, readers, workloads)
            if stage.studio is not None
            else None
        )

    def _define_tracking(self, stage: StageConfig, config: TrackingConfig, lake: DataLake) -> ExperimentTracking:
        tracking = ExperimentTracking(
            self,
            "Tracking",
            stage=stage.name,
            lake=lake,
            server=config.server,
            removal_policy=stage.removal_policy,
        )
        CfnOutput(self, "TrackingArn", value=tracking.arn)
        return tracking

    def _define_studio(
        self,
        stage: StageConfig,
        config: StudioConfig,
        lake: DataLake,
        network: Network,
        readers: Mapping[str, str],
        workloads: Sequence[str],
    ) -> Studio:
        own = [persona for persona in readers if persona not in stage.personas.given]
        studio = Studio(
            self,
            "Studio",
            stage=stage.name,
            network=network,
            key=lake.key,
            personas=readers,
            own_roles=own,
            workloads=workloads,
            idle_minutes=config.idle_minutes,
            repository=Repository(**config.repository.model_dump()) if config.repository is not None else None,
            tracking=self.tracking,
        )
        CfnOutput(self, "StudioDomainId", value=studio.domain_id)
        return studio
