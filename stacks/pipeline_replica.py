"""Artefacts of a pipeline in other regions than its own."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import CfnOutput, Environment, Stack
from constructs import Construct

from constructs_lib.artefact_bucket import ArtefactBucket
from constructs_lib.keys import EncryptionKey
from stacks.pipeline_config import PipelineConfig


class ReplicaStack(Stack):
    """Stateful: artefacts of the pipeline for stages in another region than its own."""

    def __init__(self, scope: Construct, *, config: PipelineConfig, region: str, readers: Sequence[str]) -> None:
        super().__init__(
            scope,
            f"Pipeline-{region}",
            stack_name=f"{config.name}-pipeline-{region}",
            env=Environment(account=config.account, region=region),
            description="Gapless: artefacts of the delivery pipeline",
            termination_protection=True,
        )
        key = EncryptionKey(self, "Key", description="Artefacts of the delivery pipeline")
        bucket = ArtefactBucket(self, "Artefacts", key=key, readers=readers)
        self.outputs = {"Bucket": bucket.bucket_name, "KeyArn": key.key_arn}
        for name, value in self.outputs.items():
            CfnOutput(self, name, value=value)
