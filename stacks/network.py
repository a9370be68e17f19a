"""Where jobs and endpoints run."""

from __future__ import annotations

from aws_cdk import Stack
from aws_cdk import aws_kms as kms
from constructs import Construct

from constructs_lib.network import Network
from stacks.config import StageConfig


class NetworkStack(Stack):
    """Stateless.

    Args:
        trains_together: Whether machines of a training job talk to each other. Default: they work alone.

    Attributes:
        network: The stage's network.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        log_key: kms.IKey,
        trains_together: bool = False,
    ) -> None:
        super().__init__(scope, construct_id, description="Gapless: network", tags=stage.tags)
        self.network = Network(
            self,
            "Network",
            plan=stage.network_plan,
            log_key=log_key,
            log_retention_days=stage.log_retention_days,
        )
        if trains_together:
            self.network.allow_among_jobs()
