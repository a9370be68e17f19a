"""Which resources a Glue call is checked on.

A call on a table is checked on the table, its database and the catalogue; one on a database is checked on the database
and the catalogue (https://docs.aws.amazon.com/glue/latest/dg/glue-specifying-resource-arns.html).
"""

from __future__ import annotations

from typing import Any

_OF_TABLES = frozenset(
    [
        "CreateTable",
        "UpdateTable",
        "DeleteTable",
        "BatchDeleteTable",
        "GetTable",
        "GetTableVersion",
        "GetTableVersions",
        "CreatePartition",
        "UpdatePartition",
        "DeletePartition",
        "GetPartition",
        "GetPartitions",
        "BatchCreatePartition",
        "BatchDeletePartition",
        "BatchGetPartition",
        "BatchUpdatePartition",
        "CreatePartitionIndex",
        "DeletePartitionIndex",
        "GetPartitionIndexes",
        "UpdateColumnStatisticsForTable",
        "GetColumnStatisticsForTable",
        "DeleteColumnStatisticsForTable",
        "UpdateColumnStatisticsForPartition",
        "GetColumnStatisticsForPartition",
        "DeleteColumnStatisticsForPartition",
    ]
)
_OF_DATABASES = frozenset(["CreateDatabase", "UpdateDatabase", "DeleteDatabase", "GetDatabase", "GetDatabases"])
_KINDS = ("Crawler", "Job", "Trigger", "Workflow", "Connection", "DataQualityRuleset")


def resources(prefix: str, operation: str, document: dict[str, Any]) -> list[str]:
    """The ARNs that a call is checked on, the most telling one first.

    Args:
        prefix: ``arn:aws:glue:<region>:<account>``.
        operation: The operation's name, such as ``GetPartitions``.
        document: The request.
    """
    if operation == "GetTables":  # it leaves out the tables that the caller may not see
        return [f"{prefix}:database/{document.get('DatabaseName', '')}", f"{prefix}:catalog"]
    if operation in _OF_TABLES:
        database = document.get("DatabaseName", "")
        tables = [f"{prefix}:table/{database}/{table}" for table in _table_names(operation, document)]
        return [*tables, f"{prefix}:database/{database}", f"{prefix}:catalog"]
    if operation in _OF_DATABASES:
        name = document.get("Name") or document.get("DatabaseInput", {}).get("Name") or "*"
        return [f"{prefix}:database/{name}", f"{prefix}:catalog"]
    if operation.endswith("TagResource") or operation == "GetTags":
        return [document.get("ResourceArn") or document.get("resourceArn") or "*"]
    return [_named(prefix, operation, document)]


def table_of(operation: str, document: dict[str, Any]) -> str:
    """The name of the one table that a call is about, or an empty text."""
    names = _table_names(operation, document) if operation in _OF_TABLES else []
    return str(names[0]) if names else ""


def _table_names(operation: str, document: dict[str, Any]) -> list[str]:
    if operation == "BatchDeleteTable":
        return list(document.get("TablesToDelete", []))
    name = document.get("TableName") or document.get("Name") or document.get("TableInput", {}).get("Name", "")
    return [name]


def _named(prefix: str, operation: str, document: dict[str, Any]) -> str:
    kind = next((kind for kind in _KINDS if kind in operation), None)
    if kind is None:
        return "*"
    name = document.get("JobName") or document.get("CrawlerName") or document.get("Name") or "*"
    return f"{prefix}:{kind[0].lower()}{kind[1:]}/{name}"
