"""LF-tags on databases, tables and columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import aws_lakeformation as lakeformation
from constructs import Construct

from constructs_lib.place import ACCOUNT

_Association = lakeformation.CfnTagAssociation


def tag_database(
    scope: Construct, construct_id: str, *, database: str, tags: Mapping[str, str]
) -> lakeformation.CfnTagAssociation:
    """Defines the tags of a database, which its tables inherit; the caller lets it wait for the database."""
    resource = _Association.ResourceProperty(
        database=_Association.DatabaseResourceProperty(catalog_id=ACCOUNT, name=database)
    )
    return _Association(scope, construct_id, resource=resource, lf_tags=_pairs(tags))


def tag_table(
    scope: Construct, construct_id: str, *, database: str, table: str, tags: Mapping[str, str]
) -> lakeformation.CfnTagAssociation:
    """Defines the tags of a table, which its columns inherit; the caller lets it wait for the table."""
    resource = _Association.ResourceProperty(
        table=_Association.TableResourceProperty(catalog_id=ACCOUNT, database_name=database, name=table)
    )
    return _Association(scope, construct_id, resource=resource, lf_tags=_pairs(tags))


def tag_columns(
    scope: Construct, construct_id: str, *, database: str, table: str, columns: Sequence[str], tags: Mapping[str, str]
) -> lakeformation.CfnTagAssociation:
    """Defines the tags of some columns of a table; the caller lets it wait for the table."""
    resource = _Association.ResourceProperty(
        table_with_columns=_Association.TableWithColumnsResourceProperty(
            catalog_id=ACCOUNT, database_name=database, name=table, column_names=list(columns)
        )
    )
    return _Association(scope, construct_id, resource=resource, lf_tags=_pairs(tags))


def _pairs(tags: Mapping[str, str]) -> list[lakeformation.CfnTagAssociation.LFTagPairProperty]:
    return [
        _Association.LFTagPairProperty(catalog_id=ACCOUNT, tag_key=key, tag_values=[value])
        for key, value in tags.items()
    ]
