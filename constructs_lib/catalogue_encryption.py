"""Encryption of an account's Glue data catalogue."""

from __future__ import annotations

from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from constructs_lib.keys import WRITE_ACTIONS
from constructs_lib.place import ACCOUNT


class CatalogueEncryption(Construct):
    """Defines that an account's Glue data catalogue and its connections' passwords are encrypted.

    Glue uses the key through a role of its own, so that those who read tables need no permission on the key. There
    is one catalogue per account and region: two of these in one would overwrite each other's setting.

    Args:
        key: Encrypts the catalogue.
    """

    def __init__(self, scope: Construct, construct_id: str, *, key: kms.IKey) -> None:
        super().__init__(scope, construct_id)
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "glue.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": ACCOUNT}}
            ),
        )
        grant = iam.Grant.add_to_principal(
            grantee=role, actions=["kms:Encrypt", *WRITE_ACTIONS], resource_arns=[key.key_arn]
        )
        settings = glue.CfnDataCatalogEncryptionSettings
        encryption = settings(
            self,
            "Settings",
            catalog_id=ACCOUNT,
            data_catalog_encryption_settings=settings.DataCatalogEncryptionSettingsProperty(
                encryption_at_rest=settings.EncryptionAtRestProperty(
                    catalog_encryption_mode="SSE-KMS-WITH-SERVICE-ROLE",
                    catalog_encryption_service_role=role.role_arn,
                    sse_aws_kms_key_id=key.key_arn,
                ),
                connection_password_encryption=settings.ConnectionPasswordEncryptionProperty(
                    return_connection_password_encrypted=True, kms_key_id=key.key_arn
                ),
            ),
        )
        grant.apply_before(encryption)
