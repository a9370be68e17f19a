"""The ``Expression`` of GetPartitions: a filter in SQL over the values of a table's partition keys.

DuckDB evaluates it, after a look at its syntax tree: what Glue's own parser does not take is refused
(https://docs.aws.amazon.com/glue/latest/webapi/API_GetPartitions.html).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb

from local.server.hive_types import to_duckdb

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_ALLOWED_CLASSES = frozenset({"COLUMN_REF", "CONSTANT", "COMPARISON", "CONJUNCTION", "OPERATOR", "BETWEEN"})
_ALLOWED_FUNCTIONS = frozenset({"~~", "!~~", "-"})
_CONFIG: dict[str, str | bool | int | float | list[str]] = {"enable_external_access": False, "threads": 1}


class BadExpression(ValueError):
    """The expression is not one that Glue evaluates; the text says why."""


def matching(rows: Sequence[Sequence[str]], keys: Mapping[str, str], expression: str) -> list[int]:
    """The positions of the rows that the expression holds for.

    Args:
        rows: The values of each partition, one per key, as text.
        keys: Names and Hive types of the partition keys, in the order of the values.
        expression: A condition on them with ``= <> < <= > >= AND OR NOT IN BETWEEN LIKE IS NULL``.

    Raises:
        BadExpression: It cannot be parsed, uses something else, or compares what cannot be compared.
    """
    with duckdb.connect(":memory:", config=_CONFIG) as connection:
        _check(connection, expression)
        columns = ", ".join(f"{_quoted(name)} {to_duckdb(kind)}" for name, kind in keys.items())
        connection.execute(f'CREATE TABLE partitions (" position" INTEGER, {columns})')
        marks = ", ".join("?" for _ in range(len(keys) + 1))
        for position, values in enumerate(rows):
            typed = [None if value == _NO_VALUE else value for value in values]
            connection.execute(f"INSERT INTO partitions VALUES ({marks})", [position, *typed])  # noqa: S608 - only marks
        query = f'SELECT " position" FROM partitions WHERE ({expression}) ORDER BY 1'  # noqa: S608 - it was checked
        try:
            return [position for (position,) in connection.execute(query).fetchall()]
        except duckdb.Error as error:
            reason = str(error).partition("\n")[0]
            raise BadExpression(f"unsupported expression {expression!r}: {reason}") from error


def _check(connection: duckdb.DuckDBPyConnection, expression: str) -> None:
    probe = f"SELECT 1 WHERE ({expression})"
    serialised = connection.execute("SELECT json_serialize_sql(?)", [probe]).fetchone()
    tree: dict[str, Any] = json.loads(serialised[0]) if serialised is not None else {"error": True}
    if tree["error"] or len(tree["statements"]) != 1:
        reason = tree.get("error_message", "it is not one condition")
        raise BadExpression(f"unsupported expression {expression!r}: {reason}")
    node = tree["statements"][0]["node"]
    if node["type"] != "SELECT_NODE" or node["from_table"]["type"] != "EMPTY":
        raise BadExpression(f"unsupported expression {expression!r}: it must be one condition")
    for part in _parts(node["where_clause"]):
        if part["class"] not in _ALLOWED_CLASSES and part.get("function_name") not in _ALLOWED_FUNCTIONS:
            what = part.get("function_name") or part["class"].lower()
            raise BadExpression(
                f"unsupported expression {expression!r}: {what} is not among = <> < <= > >= AND OR NOT IN BETWEEN LIKE"
                " IS NULL"
            )


def _parts(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        if "class" in value:
            yield value
        for child in value.values():
            yield from _parts(child)
    elif isinstance(value, list):
        for child in value:
            yield from _parts(child)


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
