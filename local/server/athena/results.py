"""Values and types as Athena writes them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

_TYPES = {
    "boolean": "boolean",
    "tinyint": "tinyint",
    "smallint": "smallint",
    "integer": "integer",
    "bigint": "bigint",
    "hugeint": "decimal",
    "decimal": "decimal",
    "float": "float",
    "double": "double",
    "date": "date",
    "blob": "varbinary",
    "list": "array",
    "array": "array",
    "struct": "row",
    "map": "map",
}


def athena_type(duckdb_type: Any) -> str:
    """The name of a ``DuckDBPyType`` among Athena's types; what it does not know is ``varchar``."""
    kind = str(duckdb_type.id)
    if kind.startswith("timestamp"):
        return "timestamp with time zone" if kind.endswith("zone") else "timestamp"
    return _TYPES.get(kind, "varchar")


def as_text(value: Any) -> str | None:
    """A value as Athena writes it; ``None`` stays ``None``."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.datetime):
        zone = " UTC" if value.tzinfo is not None else ""
        return f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03}{zone}"
    if isinstance(value, bytes):
        return value.hex(" ")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}={_inner(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_inner(inner) for inner in value) + "]"
    return str(value)


def _inner(value: Any) -> str:
    text = as_text(value)
    return "null" if text is None else text


def as_csv(columns: Sequence[str], rows: Sequence[Sequence[str | None]]) -> bytes:
    """A result file: every value in double quotes, nothing at all for NULL."""
    lines = [",".join(_cell(value) for value in row) for row in (columns, *rows)]
    return "".join(f"{line}\n" for line in lines).encode()


def _cell(value: str | None) -> str:
    if value is None:
        return ""
    escaped = value.replace('"', '""')
    return f'"{escaped}"'
