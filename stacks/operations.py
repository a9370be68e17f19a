"""Whom to tell, what is watched for its cost, and the key for what operations keeps."""

from __future__ import annotations

from aws_cdk import Stack
from constructs import Construct

from constructs_lib.cost_watch import PUBLISHERS, CostWatch
from constructs_lib.keys import EncryptionKey
from constructs_lib.on_call import ALARMS, OnCallTopic
from stacks.config import STAGE_TAG, StageConfig


class OperationsStack(Stack):
    """Stateful: logs of the stage are encrypted under the key of this stack.

    Attributes:
        key: Encrypts alarms' messages and log groups.
        on_call: Receives every alarm and every failure of a pipeline.
    """

    def __init__(self, scope: Construct, construct_id: str, *, stage: StageConfig) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Gapless: on-call topic",
            termination_protection=not stage.removable,
            tags=stage.tags,
        )
        publishers = (ALARMS, *(PUBLISHERS if stage.budget is not None else ()))
        self.key = EncryptionKey(
            self,
            "Key",
            description="Alarms and logs",
            publishers=publishers,
            logs=True,
            removal_policy=stage.removal_policy,
        )
        self.on_call = OnCallTopic(self, "OnCall", key=self.key, email=stage.on_call_email, publishers=publishers)
        if stage.budget is not None:
            CostWatch(
                self,
                "Costs",
                name=f"gapless-{stage.name}",
                tag=STAGE_TAG,
                value=stage.name,
                monthly_usd=stage.budget.monthly_usd,
                unusual_usd=stage.budget.unusual_usd,
                topic=self.on_call,
            )
