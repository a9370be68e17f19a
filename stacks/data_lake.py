"""The stage's data."""

from __future__ import annotations

from aws_cdk import Stack
from constructs import Construct

from constructs_lib.data_lake import DataLake
from stacks.config import StageConfig


class DataLakeStack(Stack):
    """Stateful.

    Attributes:
        lake: Zones, catalogue and tables of the stage.
    """

    def __init__(self, scope: Construct, construct_id: str, *, stage: StageConfig) -> None:
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
        )
