"""Grants of Lake Formation: by tags, and on locations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from aws_cdk import aws_lakeformation as lakeformation
from constructs import Construct

from constructs_lib.place import ACCOUNT

_Grant = lakeformation.CfnPrincipalPermissions


def grant_tagged(
    scope: Construct,
    construct_id: str,
    *,
    principal: str,
    kind: Literal["DATABASE", "TABLE"],
    expression: Mapping[str, Sequence[str]],
    permissions: Sequence[str],
) -> lakeformation.CfnPrincipalPermissions:
    """Defines what a principal may do with every database, or every table and column, that has these tags.

    Args:
        principal: ARN of a role.
        expression: Tag key to the values of which the resource must have one; every key must agree.
        permissions: Lake Formation's words, such as ``SELECT``.
    """
    policy = _Grant.LFTagPolicyResourceProperty(
        catalog_id=ACCOUNT,
        resource_type=kind,
        expression=[_Grant.LFTagProperty(tag_key=key, tag_values=list(values)) for key, values in expression.items()],
    )
    return _permissions(scope, construct_id, principal, _Grant.ResourceProperty(lf_tag_policy=policy), permissions)


def grant_location(
    scope: Construct, construct_id: str, *, principal: str, location_arn: str
) -> lakeformation.CfnPrincipalPermissions:
    """Defines that a principal may point tables and partitions at a registered location; it reads nothing by that."""
    location = _Grant.DataLocationResourceProperty(catalog_id=ACCOUNT, resource_arn=location_arn)
    resource = _Grant.ResourceProperty(data_location=location)
    return _permissions(scope, construct_id, principal, resource, ["DATA_LOCATION_ACCESS"])


def grant_database(
    scope: Construct, construct_id: str, *, principal: str, database: str
) -> lakeformation.CfnPrincipalPermissions:
    """Defines that a principal may see one database, by its name."""
    named = _Grant.DatabaseResourceProperty(catalog_id=ACCOUNT, name=database)
    return _permissions(scope, construct_id, principal, _Grant.ResourceProperty(database=named), ["DESCRIBE"])


def grant_rows(
    scope: Construct, construct_id: str, *, principal: str, database: str, table: str
) -> lakeformation.CfnPrincipalPermissions:
    """Defines that a principal may read one table, by its name."""
    named = _Grant.TableResourceProperty(catalog_id=ACCOUNT, database_name=database, name=table)
    return _permissions(scope, construct_id, principal, _Grant.ResourceProperty(table=named), ["SELECT", "DESCRIBE"])


def _permissions(
    scope: Construct,
    construct_id: str,
    principal: str,
    resource: lakeformation.CfnPrincipalPermissions.ResourceProperty,
    permissions: Sequence[str],
) -> lakeformation.CfnPrincipalPermissions:
    return _Grant(
        scope,
        construct_id,
        principal=_Grant.DataLakePrincipalProperty(data_lake_principal_identifier=principal),
        resource=resource,
        permissions=list(permissions),
        permissions_with_grant_option=[],
    )
