"""What Lake Formation says to calls of the catalogue and to queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.server.host import Caller, Denied, Host
from local.server.lake_formation import decisions
from local.server.lake_formation.principals import is_root, plain
from local.server.lake_formation.records import Document, records_in

_ON_DATABASES = {
    "GetDatabase": "DESCRIBE",
    "UpdateDatabase": "ALTER",
    "DeleteDatabase": "DROP",
    "CreateTable": "CREATE_TABLE",
}
_ON_TABLES = {
    "GetTable": "DESCRIBE",
    "GetTableVersion": "DESCRIBE",
    "GetTableVersions": "DESCRIBE",
    "GetPartition": "DESCRIBE",
    "GetPartitions": "DESCRIBE",
    "BatchGetPartition": "DESCRIBE",
    "UpdateTable": "ALTER",
    "CreatePartition": "ALTER",
    "BatchCreatePartition": "ALTER",
    "UpdatePartition": "ALTER",
    "BatchUpdatePartition": "ALTER",
    "DeletePartition": "ALTER",
    "BatchDeletePartition": "ALTER",
    "DeleteTable": "DROP",
}


@dataclass(frozen=True)
class Handed:
    """What a query may have of a governed table: the columns, and a client that reads its objects."""

    columns: tuple[str, ...]
    s3: Any


class Guard:
    """Refuses what no grant allows, on tables whose location is registered and databases that have tags.

    The account's own user passes; an administrator may do everything with the catalogue and reads no row by it.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._records = records_in(host.settings.state_dir)

    def check(self, caller: Caller, operation: str, request: Document, table: Document | None) -> None:
        """Refuse a call of the catalogue.

        Args:
            table: The table that the call is about, as it is now.

        Raises:
            Denied: A permission of Lake Formation is missing.
        """
        records, who = self._records.document, caller.arn
        if is_root(who) or decisions.is_administrator(records, who):
            return
        if operation in _ON_DATABASES:
            database = request.get("DatabaseName") or request.get("Name") or ""
            if decisions.tags_of(records, database):
                _require(decisions.on_database(records, who, database), _ON_DATABASES[operation], database)
        if operation in _ON_TABLES and table is not None and self._is_governed(table):
            self._check_table(who, _ON_TABLES[operation], table)
        for location in _locations(request):
            arn = _arn(location)
            if decisions.registration(records, arn) and not decisions.may_point_at(records, who, arn):
                raise Denied(f"Insufficient Lake Formation permission(s): Required Data Location Access on {location}")

    def seen(self, caller: Caller, table: Document) -> Document | None:
        """A table as a caller sees it, with the columns that are for its eyes, or nothing."""
        records, who = self._records.document, caller.arn
        if is_root(who) or decisions.is_administrator(records, who) or not self._is_governed(table):
            return table
        if decisions.on_table(records, who, table["DatabaseName"], table["Name"]) - {"SELECT"}:
            return table
        columns = self._readable(who, table)
        return _with_columns(table, columns) if columns else None

    def sees_database(self, caller: Caller, name: str) -> bool:
        """Whether a database is in a caller's list of databases."""
        records, who = self._records.document, caller.arn
        free = is_root(who) or decisions.is_administrator(records, who) or not decisions.tags_of(records, name)
        return free or bool(decisions.on_database(records, who, name))

    def made(self, caller: Caller, database: str, table: str) -> None:
        """Whoever makes a governed table may do everything with it."""
        if is_root(caller.arn) or not decisions.tags_of(self._records.document, database):
            return
        grant = {
            "Principal": {"DataLakePrincipalIdentifier": plain(caller.arn)},
            "Resource": {"Table": {"DatabaseName": database, "Name": table}},
            "Permissions": ["ALL"],
            "PermissionsWithGrantOption": ["ALL"],
        }
        with self._records.changing() as draft:
            draft["grants"].append(grant)

    def hand_out(self, caller: Caller, table: Document) -> Handed | None:
        """What a query of a caller may have of a table; nothing when the table is not governed.

        Raises:
            Denied: The caller may read no column, or IAM lets it have no data from Lake Formation.
        """
        if is_root(caller.arn) or not self._is_governed(table):
            return None
        self._host.check(caller, "lakeformation:GetDataAccess", "*")
        columns = self._readable(caller.arn, table)
        if not columns:
            raise Denied(f"Insufficient Lake Formation permission(s): Required Select on {table['Name']}")
        location = decisions.registration(self._records.document, _arn(table["StorageDescriptor"]["Location"]))
        assert location is not None  # noqa: S101 - governed tables have one
        credentials = self._host.mint(location["RoleArn"], "lakeformation.amazonaws.com", "athena")
        return Handed(tuple(columns), self._host.client("s3", credentials))

    def _check_table(self, who: str, wanted: str, table: Document) -> None:
        database, name = table["DatabaseName"], table["Name"]
        permissions = decisions.on_table(self._records.document, who, database, name)
        if wanted == "DESCRIBE" and self._readable(who, table):
            return
        _require(permissions, wanted, name)

    def _is_governed(self, table: Document) -> bool:
        location = table.get("StorageDescriptor", {}).get("Location", "")
        return decisions.registration(self._records.document, _arn(location)) is not None

    def _readable(self, who: str, table: Document) -> list[str]:
        columns = [each["Name"] for each in _columns(table)]
        return decisions.readable(self._records.document, who, table["DatabaseName"], table["Name"], columns)


def _columns(table: Mapping[str, Any]) -> list[Document]:
    return [*table["StorageDescriptor"].get("Columns", []), *(table.get("PartitionKeys") or [])]


def _with_columns(table: Document, names: list[str]) -> Document:
    storage = table["StorageDescriptor"]
    kept = [column for column in storage.get("Columns", []) if column["Name"] in names]
    return {**table, "StorageDescriptor": {**storage, "Columns": kept}}


def _require(permissions: set[str], wanted: str, name: str) -> None:
    if not decisions.allows(permissions, wanted):
        words = wanted.replace("_", " ").title()
        raise Denied(f"Insufficient Lake Formation permission(s): Required {words} on {name}")


def _locations(request: Document) -> list[str]:
    """The S3 locations that a call points tables or partitions at."""
    inputs = [request.get("TableInput"), request.get("PartitionInput"), *request.get("PartitionInputList", [])]
    found = [(each or {}).get("StorageDescriptor", {}).get("Location", "") for each in inputs]
    return [location for location in found if location]


def _arn(location: str) -> str:
    return f"arn:aws:s3:::{location.partition('://')[2]}"
