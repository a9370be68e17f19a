"""Whom to tell, and the key for what operations keeps."""

from __future__ import annotations

from aws_cdk import Stack
from constructs import Construct

from constructs_lib.keys import EncryptionKey
from constructs_lib.on_call import OnCallTopic
from stacks.config import StageConfig


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
        self.key = EncryptionKey(
            self,
            "Key",
            description="Alarms and logs",
            publishers=["cloudwatch.amazonaws.com"],
            logs=True,
            removal_policy=stage.removal_policy,
        )
        self.on_call = OnCallTopic(self, "OnCall", key=self.key, email=stage.on_call_email)
