"""Lake Formation's settings of an account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import RemovalPolicy
from aws_cdk import aws_lakeformation as lakeformation
from constructs import Construct

from constructs_lib.place import ACCOUNT


class LakeSettings(Construct):
    """Defines who administers Lake Formation, that IAM alone opens no new database or table, and the keys of LF-tags.

    There is one set of settings per account and region: administrators are added to those that are there, and stay when
    the stack goes, so that nobody loses a lake with it.

    Args:
        administrator: ARN of the role that deploys stacks: only an administrator may tag and grant.
        tags: Tag key to its values.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, administrator: str, tags: Mapping[str, Sequence[str]]
    ) -> None:
        super().__init__(scope, construct_id)
        settings = lakeformation.CfnDataLakeSettings
        made = settings(
            self,
            "Settings",
            admins=[settings.DataLakePrincipalProperty(data_lake_principal_identifier=administrator)],
            create_database_default_permissions=[],
            create_table_default_permissions=[],
            mutation_type="APPEND",
        )
        made.apply_removal_policy(RemovalPolicy.RETAIN)
        for key, values in tags.items():
            tag = lakeformation.CfnTag(
                self, f"{key.capitalize()}Tag", catalog_id=ACCOUNT, tag_key=key, tag_values=list(values)
            )
            tag.add_resource_dependency(made)
