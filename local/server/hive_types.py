"""Column types of the catalogue (Hive's) in terms of DuckDB's, and back."""

from __future__ import annotations

from typing import Any

_TO_DUCKDB = {
    "boolean": "BOOLEAN",
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "int": "INTEGER",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "float": "FLOAT",
    "real": "FLOAT",
    "double": "DOUBLE",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "binary": "BLOB",
    "string": "VARCHAR",
    "varchar": "VARCHAR",
    "char": "VARCHAR",
}

_OF_DUCKDB = {
    "boolean": "boolean",
    "tinyint": "tinyint",
    "utinyint": "smallint",
    "smallint": "smallint",
    "usmallint": "int",
    "integer": "int",
    "uinteger": "bigint",
    "bigint": "bigint",
    "ubigint": "decimal(20,0)",
    "hugeint": "decimal(38,0)",
    "float": "float",
    "double": "double",
    "date": "date",
    "blob": "binary",
    "varchar": "string",
}


def to_duckdb(hive_type: str) -> str:
    """The DuckDB type of a Hive type, such as ``STRUCT("a" BIGINT)[]`` for ``array<struct<a:bigint>>``.

    Raises:
        ValueError: The type is none of Hive's.
    """
    text = hive_type.strip().lower()
    head, _, rest = text.partition("<")
    if rest:
        return _nested(hive_type, head, _split(rest.removesuffix(">")))
    base, _, precision = text.partition("(")
    if base == "decimal":
        return f"DECIMAL({precision}" if precision else "DECIMAL(10,0)"
    if base not in _TO_DUCKDB:
        raise ValueError(f"the column type {hive_type!r} is unknown; allowed are {', '.join(sorted(_TO_DUCKDB))}")
    return _TO_DUCKDB[base]


def _nested(hive_type: str, head: str, parts: list[str]) -> str:
    if head == "array" and len(parts) == 1:
        return f"{to_duckdb(parts[0])}[]"
    if head == "map" and len(parts) == 2:
        return f"MAP({to_duckdb(parts[0])}, {to_duckdb(parts[1])})"
    if head == "struct":
        fields = (part.partition(":") for part in parts)
        return "STRUCT(" + ", ".join(f'"{name}" {to_duckdb(kind)}' for name, _, kind in fields) + ")"
    raise ValueError(f"the column type {hive_type!r} is unknown; allowed nested types are array, map and struct")


def _split(text: str) -> list[str]:
    """Split at the commas that are in no bracket."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "<(") - (character in ">)")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def of_duckdb(duckdb_type: Any) -> str:
    """The Hive type of a ``DuckDBPyType``; what Hive does not have becomes ``string``."""
    kind = duckdb_type.id
    if kind == "decimal":
        digits = dict(duckdb_type.children)
        return f"decimal({digits['precision']},{digits['scale']})"
    if kind in ("list", "array"):
        return f"array<{of_duckdb(duckdb_type.children[0][1])}>"
    if kind == "struct":
        return "struct<" + ",".join(f"{name}:{of_duckdb(child)}" for name, child in duckdb_type.children) + ">"
    if kind == "map":
        children = dict(duckdb_type.children)
        return f"map<{of_duckdb(children['key'])},{of_duckdb(children['value'])}>"
    if kind.startswith("timestamp"):
        return "timestamp"
    return _OF_DUCKDB.get(kind, "string")
