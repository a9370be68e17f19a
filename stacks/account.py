"""What exists once per account and region, whoever needs it."""

from __future__ import annotations

from aws_cdk import Environment, Stack
from constructs import Construct

from constructs_lib.catalogue_encryption import CatalogueEncryption
from constructs_lib.keys import EncryptionKey


class AccountStack(Stack):
    """Stateful: the account's catalogue is encrypted under the key of this stack, which therefore always stays."""

    def __init__(self, scope: Construct, construct_id: str, *, env: Environment) -> None:
        super().__init__(
            scope,
            construct_id,
            env=env,
            description="Gapless: what exists once per account and region",
            termination_protection=True,
        )
        key = EncryptionKey(self, "CatalogueKey", description="Glue data catalogue")
        CatalogueEncryption(self, "CatalogueEncryption", key=key)
