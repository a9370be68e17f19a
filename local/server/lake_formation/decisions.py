"""Who may do what, by settings, tags and grants; pure functions over the records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from local.server.lake_formation.principals import ANYBODY, plain
from local.server.lake_formation.records import Document


def key_of(database: str, table: str = "", column: str = "") -> str:
    """The key under which the tags of a database, a table or a column are kept; names are in lower case, as Glue's."""
    return "/".join(part.lower() for part in (database, table, column) if part)


def tags_of(records: Document, database: str, table: str = "", column: str = "") -> dict[str, str]:
    """The tags of a resource in the end: those of what holds it, and over them its own."""
    assigned = records["assigned"]
    keys = [key_of(database)]
    keys += [key_of(database, table)] if table else []
    keys += [key_of(database, table, column)] if column else []
    return {tag: value for key in keys for tag, value in assigned.get(key, {}).items()}


def is_administrator(records: Document, principal: str) -> bool:
    """Whether a principal administers the lake."""
    admins = records["settings"]["DataLakeAdmins"]
    return plain(principal) in [plain(admin["DataLakePrincipalIdentifier"]) for admin in admins]


def on_database(records: Document, principal: str, database: str) -> set[str]:
    """The permissions of a principal on a database."""
    return {
        permission for grant in _grants_of(records, principal) for permission in _of_database(records, grant, database)
    }


def on_table(records: Document, principal: str, database: str, table: str) -> set[str]:
    """The permissions of a principal on a table as a whole."""
    found = (_of_table(records, grant, database, table) for grant in _grants_of(records, principal))
    return {permission for permissions in found for permission in permissions}


def readable(records: Document, principal: str, database: str, table: str, columns: Sequence[str]) -> list[str]:
    """Those of a table's columns that a principal may select, in their order."""
    grants = list(_grants_of(records, principal))
    return [
        column
        for column in columns
        if any(_covers({"SELECT"}, _of_column(records, grant, database, table, column)) for grant in grants)
    ]


def effective(records: Document, database: str, table: str, columns: Sequence[str]) -> Iterator[Document]:
    """Yields, grant by grant, what it gives on a table: on the whole of it, or on some of its columns."""
    for grant in records["grants"]:
        whole = _of_table(records, grant, database, table)
        open_columns = [column for column in columns if _of_column(records, grant, database, table, column)]
        if not whole and not open_columns:
            continue
        resource: Document = {"DatabaseName": database, "Name": table}
        if len(open_columns) == len(columns):
            yield {**grant, "Resource": {"Table": resource}}
        elif open_columns:
            yield {**grant, "Resource": {"TableWithColumns": {**resource, "ColumnNames": open_columns}}}


def may_point_at(records: Document, principal: str, location_arn: str) -> bool:
    """Whether a principal may make tables over a location."""
    places = (
        grant["Resource"]["DataLocation"]["ResourceArn"]
        for grant in _grants_of(records, principal)
        if "DataLocation" in grant["Resource"]
    )
    return any(is_under(location_arn, place) for place in places)


def registration(records: Document, location_arn: str) -> Document | None:
    """The registered location that holds an object's or a folder's ARN, the deepest one."""
    found = [each for arn, each in records["locations"].items() if is_under(location_arn, arn)]
    return max(found, key=lambda each: len(each["ResourceArn"]), default=None)


def is_under(location_arn: str, place_arn: str) -> bool:
    """Whether an S3 ARN is a place or lies below it."""
    place = place_arn.rstrip("/*")
    return location_arn.rstrip("/") == place or location_arn.startswith(f"{place}/")


def allows(permissions: set[str], wanted: str) -> bool:
    """Whether permissions hold one; whoever may do anything with a thing may see it."""
    return _covers({wanted}, permissions) or (wanted == "DESCRIBE" and bool(permissions))


def _covers(wanted: set[str], given: set[str]) -> bool:
    return "ALL" in given or bool(wanted & given)


def _grants_of(records: Document, principal: str) -> Iterator[Document]:
    who = (plain(principal), ANYBODY)
    return (grant for grant in records["grants"] if plain(grant["Principal"]["DataLakePrincipalIdentifier"]) in who)


def _of_database(records: Document, grant: Document, database: str) -> set[str]:
    resource = grant["Resource"]
    named = resource.get("Database", {}).get("Name", "").lower() == database.lower()
    policy = resource.get("LFTagPolicy", {})
    tagged = policy.get("ResourceType") == "DATABASE" and _matches(policy, tags_of(records, database))
    return set(grant["Permissions"]) if named or tagged else set()


def _of_table(records: Document, grant: Document, database: str, table: str) -> set[str]:
    resource = grant["Resource"]
    policy = resource.get("LFTagPolicy", {})
    tagged = policy.get("ResourceType") == "TABLE" and _matches(policy, tags_of(records, database, table))
    return set(grant["Permissions"]) if tagged or _names(resource.get("Table"), database, table) else set()


def _of_column(records: Document, grant: Document, database: str, table: str, column: str) -> set[str]:
    resource = grant["Resource"]
    policy = resource.get("LFTagPolicy", {})
    tagged = policy.get("ResourceType") == "TABLE" and _matches(policy, tags_of(records, database, table, column))
    named = _names(resource.get("Table"), database, table) or _names_column(
        resource.get("TableWithColumns"), database, table, column
    )
    return set(grant["Permissions"]) if tagged or named else set()


def _names(resource: Mapping[str, Any] | None, database: str, table: str) -> bool:
    if resource is None or resource["DatabaseName"].lower() != database.lower():
        return False
    return "TableWildcard" in resource or resource.get("Name", "").lower() == table.lower()


def _names_column(resource: Mapping[str, Any] | None, database: str, table: str, column: str) -> bool:
    if resource is None or not _names(resource, database, table):
        return False
    if "ColumnWildcard" in resource:
        excluded = (resource["ColumnWildcard"] or {}).get("ExcludedColumnNames", [])
        return column.lower() not in [name.lower() for name in excluded]
    return column.lower() in [name.lower() for name in resource.get("ColumnNames", [])]


def _matches(policy: Document, tags: Mapping[str, str]) -> bool:
    return all(tags.get(each["TagKey"]) in each["TagValues"] for each in policy["Expression"])
