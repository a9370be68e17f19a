"""Which tables a query reads, and which of their partitions, from the syntax tree that DuckDB makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Node = Mapping[str, Any]


class NotSupported(ValueError):
    """The statement is none that is run here; the text says why."""


@dataclass(frozen=True)
class Reference:
    """A table of a query, and what the query asks of its columns.

    Attributes:
        values: Column to the values that are asked for, for columns that a plain ``=`` or ``IN`` restricts.
    """

    database: str
    table: str
    values: Mapping[str, tuple[str, ...]]

    def filter_on(self, keys: Sequence[str]) -> str:
        """The condition on partition keys as GetPartitions takes it; empty when there is none."""
        conditions = [f"{key} IN ({', '.join(self.values[key])})" for key in keys if key in self.values]
        return " AND ".join(conditions)


def references(tree: Node, database: str) -> list[Reference]:
    """The tables that a statement reads.

    Args:
        tree: What ``json_serialize_sql`` makes of the statement.
        database: The database of names that name none.

    Raises:
        NotSupported: It is not one SELECT.
    """
    if tree.get("error"):
        raise NotSupported(f"{tree.get('error_message', 'the statement')}; the local Athena runs SELECT only")
    if len(tree["statements"]) != 1:
        raise NotSupported("one statement at a time")
    root = tree["statements"][0]["node"]
    bound = {entry["key"] for node in _nodes(root) for entry in node.get("cte_map", {}).get("map", [])}
    found: dict[tuple[str, str], list[Node]] = {}
    for node in _nodes(root):
        if node.get("type") != "BASE_TABLE":
            continue
        *schema, table = node["qualified_name"]["path"]
        if not schema and table in bound:
            continue
        name = (schema[-1] if schema else database).lower(), table.lower()
        if name[0] != "information_schema":
            found.setdefault(name, []).append(node)
    return [Reference(*name, _restrictions(root, nodes)) for name, nodes in found.items()]


def column_names(tree: Node) -> list[str] | None:
    """Athena's names for the columns of a result, ``_col<n>`` where there is none; ``None`` when there is a ``*``."""
    node = tree["statements"][0]["node"]
    while node["type"] == "SET_OPERATION_NODE":
        node = node["left"] or node["children"][0]
    items = node.get("select_list", [])
    if not items or any(item["class"] == "STAR" for item in items):
        return None
    return [_column_name(item, position) for position, item in enumerate(items)]


def _column_name(item: Node, position: int) -> str:
    if item.get("alias"):
        return str(item["alias"])
    return str(item["column_names"][-1]) if item["class"] == "COLUMN_REF" else f"_col{position}"


def _restrictions(root: Node, tables: Sequence[Node]) -> Mapping[str, tuple[str, ...]]:
    """What the query's WHERE says about a table that it reads in one place only, and there alone."""
    if len(tables) != 1:
        return {}
    for node in _nodes(root):
        if node.get("from_table") is tables[0] and node.get("where_clause"):
            return dict(_equalities(node["where_clause"]))
    return {}


def _equalities(condition: Node) -> Iterator[tuple[str, tuple[str, ...]]]:
    if condition.get("type") == "CONJUNCTION_AND":
        for child in condition["children"]:
            yield from _equalities(child)
        return
    if condition.get("type") == "COMPARE_EQUAL":
        column, constants = condition["left"], [condition["right"]]
    elif condition.get("type") == "COMPARE_IN":
        column, *constants = condition["children"]
    else:
        return
    literals = [_literal(constant) for constant in constants]
    if column.get("class") == "COLUMN_REF" and all(literals):
        yield column["column_names"][-1].lower(), tuple(literal for literal in literals if literal is not None)


def _literal(constant: Node) -> str | None:
    literal = constant.get("literal", {})
    if constant.get("class") != "CONSTANT" or literal.get("kind") not in ("STRING", "INTEGER"):
        return None
    text = str(literal["text"])
    escaped = text.replace("'", "''")
    return f"'{escaped}'" if literal["kind"] == "STRING" else text


def _nodes(value: Any) -> Iterator[Node]:
    if isinstance(value, Mapping):
        yield value
        for child in value.values():
            yield from _nodes(child)
    elif isinstance(value, list):
        for child in value:
            yield from _nodes(child)
