"""What exists once per account and region, whoever needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import CfnOutput, DefaultStackSynthesizer, Environment, Fn, Stack
from constructs import Construct

from constructs_lib.api_logs import ApiLogs
from constructs_lib.catalogue_encryption import CatalogueEncryption
from constructs_lib.keys import EncryptionKey
from constructs_lib.lake_settings import LakeSettings

ACCOUNT_STACK = "Account"
"""Its name, in each account and region."""

ADMINISTRATOR_OUTPUT = "LakeAdministratorArn"


class AccountStack(Stack):
    """Stateful: the account's catalogue is encrypted under the key of this stack, which therefore always stays.

    The role that CloudFormation deploys stacks with becomes an administrator of Lake Formation, as only administrators
    may tag and grant; stages ask for it by the output ``LakeAdministratorArn`` and therefore come after the settings.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        env: Environment,
        tags: Mapping[str, Sequence[str]],
        api_logs: Sequence[str] = (),
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=ACCOUNT_STACK,
            env=env,
            description="Gapless: what exists once per account and region",
            termination_protection=True,
        )
        key = EncryptionKey(self, "CatalogueKey", description="Glue data catalogue")
        CatalogueEncryption(self, "CatalogueEncryption", key=key)
        administrator = Fn.sub(_deploying_role(self))
        LakeSettings(self, "LakeFormation", administrator=administrator, tags=tags)
        if api_logs:
            ApiLogs(self, "ApiLogs", log_groups=api_logs)
        CfnOutput(self, ADMINISTRATOR_OUTPUT, value=administrator)


def _deploying_role(stack: Stack) -> str:
    """Returns the ARN of the bootstrapped role that CloudFormation takes, with pseudo parameters in it."""
    synthesizer = stack.synthesizer
    if not isinstance(synthesizer, DefaultStackSynthesizer):
        raise TypeError(f"the account stack must deploy with a bootstrapped role, got: {type(synthesizer).__name__}")
    return synthesizer.cloud_formation_execution_role_arn
