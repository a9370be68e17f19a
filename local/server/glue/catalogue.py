"""Partitions of the catalogue's tables, as Glue keeps them: checked against their table, filtered, in pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from local.server import clock
from local.server.glue.partition_filter import BadExpression, matching
from local.server.glue.records import Record, Records
from local.server.host import ServiceError

Document = dict[str, Any]

_MOST_PER_PAGE = 1000


class Catalogue:
    """The operations on partitions; databases and tables stay with ministack."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._account = records.account
        self.operations: dict[str, Callable[[Document], Document]] = {
            "CreatePartition": self._create,
            "BatchCreatePartition": self._create_many,
            "UpdatePartition": self._update,
            "BatchDeletePartition": self._delete_many,
            "GetPartition": self._get,
            "GetPartitions": self._list,
        }

    def _create(self, request: Document) -> Document:
        self._add(self._table(request), request["PartitionInput"])
        return {}

    def _create_many(self, request: Document) -> Document:
        table, errors = self._table(request), []
        for given in request["PartitionInputList"]:
            try:
                self._add(table, given)
            except ServiceError as error:
                errors.append({"PartitionValues": given.get("Values", []), "ErrorDetail": _detail(error)})
        return {"Errors": errors}

    def _update(self, request: Document) -> Document:
        table = self._table(request)
        values, given = request["PartitionValueList"], request["PartitionInput"]
        partition = self._find(table, values)
        new_values = given.get("Values") or values
        _check_count(table, new_values)
        if new_values != values and any(other["Values"] == new_values for other in self._partitions(table)):
            raise ServiceError("AlreadyExistsException", "Partition already exists.")
        made = partition.get("CreationTime")
        partition.clear()
        partition.update(self._partition(table, {**given, "Values": new_values}), CreationTime=made)
        return {}

    def _delete_many(self, request: Document) -> Document:
        table, errors = self._table(request), []
        for wanted in request["PartitionsToDelete"]:
            try:
                self._partitions(table).remove(self._find(table, wanted["Values"]))
            except ServiceError as error:
                errors.append({"PartitionValues": wanted["Values"], "ErrorDetail": _detail(error)})
        return {"Errors": errors}

    def _get(self, request: Document) -> Document:
        return {"Partition": self._find(self._table(request), request["PartitionValues"])}

    def _list(self, request: Document) -> Document:
        table = self._table(request)
        found: Sequence[Record] = self._partitions(table)
        if request.get("Expression"):
            found = _filtered(found, table, request["Expression"])
        start = int(request.get("NextToken") or 0)
        end = start + min(request.get("MaxResults") or _MOST_PER_PAGE, _MOST_PER_PAGE)
        page = (
            [_without_columns(partition) for partition in found[start:end]] if _is_brief(request) else found[start:end]
        )
        return {"Partitions": page, **({"NextToken": str(end)} if end < len(found) else {})}

    def _table(self, request: Document) -> Record:
        table = self._records.table(request["DatabaseName"], request["TableName"])
        if table is None:
            raise ServiceError("EntityNotFoundException", f"Table {request['TableName']} not found.")
        return table

    def _partitions(self, table: Record) -> list[Record]:
        return self._records.partitions(table["DatabaseName"], table["Name"])

    def _find(self, table: Record, values: Sequence[str]) -> Record:
        for partition in self._partitions(table):
            if partition["Values"] == list(values):
                return partition
        raise ServiceError("EntityNotFoundException", "Cannot find partition.")

    def _add(self, table: Record, given: Document) -> None:
        values = given.get("Values", [])
        _check_count(table, values)
        if any(partition["Values"] == values for partition in self._partitions(table)):
            raise ServiceError("AlreadyExistsException", "Partition already exists.")
        self._partitions(table).append(self._partition(table, given))

    def _partition(self, table: Record, given: Document) -> Record:
        return {
            **given,
            "DatabaseName": table["DatabaseName"],
            "TableName": table["Name"],
            "CreationTime": int(clock.now()),
            "CatalogId": self._account,
        }


def _check_count(table: Record, values: Sequence[str]) -> None:
    keys = table.get("PartitionKeys") or []
    if len(values) != len(keys):
        raise ServiceError(
            "InvalidInputException",
            f"The number of partition keys do not match the number of partition values: {table['Name']} has "
            f"{len(keys)} keys, given were {len(values)} values",
        )


def _filtered(partitions: Sequence[Record], table: Record, expression: str) -> list[Record]:
    keys = {key["Name"]: key.get("Type", "string") for key in table.get("PartitionKeys") or []}
    try:
        chosen = matching([partition["Values"] for partition in partitions], keys, expression)
    except BadExpression as error:
        raise ServiceError("InvalidInputException", str(error)) from error
    return [partitions[position] for position in chosen]


def _is_brief(request: Document) -> bool:
    return bool(request.get("ExcludeColumnSchema"))


def _without_columns(partition: Record) -> Record:
    storage = {name: value for name, value in partition.get("StorageDescriptor", {}).items() if name != "Columns"}
    return {**partition, "StorageDescriptor": storage}


def _detail(error: ServiceError) -> Document:
    return {"ErrorCode": error.code, "ErrorMessage": error.message}
