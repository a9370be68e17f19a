"""Data frames with one number each, for rules that compare a table with another one or with a statement's answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gapless_glue.dqdl.rows import BadRuleError, quoted

PRIMARY: Final = "primary"
AGGREGATE: Final = re.compile(r"\s*(\w+)\s*\(\s*(.+?)\s*\)\s*")
AGGREGATES: Final = ("sum", "avg")


def table_named(tables: Mapping[str, DataFrame], own: str, alias: str) -> DataFrame:
    """Returns the table that a rule calls by an alias.

    Raises:
        BadRuleError: There is none.
    """
    if alias == PRIMARY:
        return tables[own]
    if alias not in tables:
        others = [name for name in tables if name != own]
        raise BadRuleError(f"data source {alias} not found in additional sources (there are: {', '.join(others)})")
    return tables[alias]


def checked_columns(rows: DataFrame, names: Sequence[str], whose: str) -> list[str]:
    """Returns names of columns as a table has them.

    Raises:
        BadRuleError: The table lacks one.
    """
    known = {column.lower(): column for column in rows.columns}
    absent = [name for name in names if name not in rows.columns and name.lower() not in known]
    if absent:
        raise BadRuleError(f"column {absent[0]} does not exist in {whose} (it has: {', '.join(rows.columns)})")
    return [name if name in rows.columns else known[name.lower()] for name in names]


def row_count(rows: DataFrame) -> DataFrame:
    """The number of rows."""
    return rows.agg(F.count(F.lit(1)).alias("number"))


def aggregate(tables: Mapping[str, DataFrame], own: str, text: str) -> DataFrame:
    """What ``sum(column)``, ``avg(column)`` or ``sum(source.column)`` comes to.

    Raises:
        BadRuleError: The text is none of these, or names what is not there.
    """
    match = AGGREGATE.fullmatch(text)
    if match is None or match[1].lower() not in AGGREGATES:
        raise BadRuleError(f"expected {' or '.join(f'{name}(column)' for name in AGGREGATES)}, got {text!r}")
    source, column = _source_and_column(tables, own, match[2])
    rows = table_named(tables, own, source)
    (name,) = checked_columns(rows, [column], source)
    total = F.sum if match[1].lower() == "sum" else F.avg
    return rows.agg(total(F.col(quoted(name)).cast("double")).alias("number"))


def aggregated_column(text: str) -> str:
    """The column that ``sum(column)`` or ``sum(source.column)`` names; the whole text where it is neither."""
    match = AGGREGATE.fullmatch(text)
    return match[2].rpartition(".")[2] if match else text


def _source_and_column(tables: Mapping[str, DataFrame], own: str, text: str) -> tuple[str, str]:
    """``reference.column`` is a column of another table, unless the own table has a column of that name."""
    source, dot, column = text.partition(".")
    return (source, column) if dot and text not in tables[own].columns else (PRIMARY, text)


def referred(tables: Mapping[str, DataFrame], own: str, columns: str, reference: str) -> DataFrame:
    """How many rows have values that the reference has too; a missing value refers to nothing.

    Args:
        tables: Name → rows.
        own: Name of the table of the rule.
        columns: ``a`` or ``a,b``.
        reference: ``alias.a`` or ``alias.{a,b}``.

    Raises:
        BadRuleError: A table or column is not there, or the numbers of columns differ.
    """
    alias, dot, wanted = reference.partition(".")
    if not dot:
        raise BadRuleError(f'expected "source.column" or "source.{{column,column}}", got {reference!r}')
    rows, known = tables[own], table_named(tables, own, alias)
    left = checked_columns(rows, _listed(columns), own)
    right = checked_columns(known, _listed(wanted.removeprefix("{").removesuffix("}")), alias)
    if len(left) != len(right):
        raise BadRuleError(f"{len(left)} columns refer to {len(right)}")
    names = [f"key_{place}" for place in range(len(left))]
    own_keys = rows.select(*[F.col(quoted(column)).alias(name) for column, name in zip(left, names, strict=True)])
    known_keys = known.select(*[F.col(quoted(column)).alias(name) for column, name in zip(right, names, strict=True)])
    return row_count(own_keys.join(known_keys.distinct(), names, "left_semi"))


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _mapped(text: str) -> list[tuple[str, str]]:
    """Reads ``a,b->c``: own column and the reference's."""
    pairs = [part.partition("->") for part in _listed(text)]
    return [(own.strip(), other.strip() if arrow else own.strip()) for own, arrow, other in pairs]


def matched(tables: Mapping[str, DataFrame], own: str, alias: str, keys: str, columns: str | None) -> DataFrame:
    """How many rows have a row with the same keys in the reference, and there the same values (missing is a value).

    Raises:
        BadRuleError: A table or column is not there.
    """
    rows, known = tables[own], table_named(tables, own, alias)
    key_pairs = _mapped(keys)
    value_pairs = _mapped(columns) if columns else _other_columns(rows, [pair[0] for pair in key_pairs])
    left = checked_columns(rows, [pair[0] for pair in [*key_pairs, *value_pairs]], own)
    right = checked_columns(known, [pair[1] for pair in [*key_pairs, *value_pairs]], alias)
    mine = rows.select(*[F.col(quoted(name)).alias(f"own_{place}") for place, name in enumerate(left)])
    theirs = known.select(*[F.col(quoted(name)).alias(f"other_{place}") for place, name in enumerate(right)])
    conditions = [
        F.col(f"own_{place}") == F.col(f"other_{place}")
        if place < len(key_pairs)
        else F.col(f"own_{place}").eqNullSafe(F.col(f"other_{place}"))
        for place in range(len(left))
    ]
    return row_count(mine.join(theirs, reduce(lambda one, other: one & other, conditions), "left_semi"))


def _other_columns(rows: DataFrame, keys: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, name) for name in rows.columns if name not in keys]


def schema_match(rows: DataFrame, known: DataFrame) -> float:
    """Which share of the columns the reference has with the same type; zero when it has more or fewer columns."""
    mine = {field.name: field.dataType.typeName() for field in rows.schema.fields}
    theirs = {field.name: field.dataType.typeName() for field in known.schema.fields}
    if not mine or len(mine) != len(theirs):
        return 0.0
    return sum(theirs.get(name) == kind for name, kind in mine.items()) / len(mine)


def answer(tables: Mapping[str, DataFrame], own: str, statement: str) -> DataFrame:
    """Returns what an SQL statement gives; ``primary`` is the rule's own table, the others go by their names."""
    for name, rows in {**tables, PRIMARY: tables[own]}.items():
        rows.createOrReplaceTempView(name)
    return tables[own].sparkSession.sql(statement)


def scalar(tables: Mapping[str, DataFrame], own: str, statement: str) -> float:
    """Returns the only number that an SQL statement gives.

    Raises:
        BadRuleError: It gives more or less than one number.
    """
    rows = answer(tables, own, statement)
    if len(rows.columns) != 1:
        raise BadRuleError(f"the statement must give one number, it gives {len(rows.columns)} columns")
    found = rows.limit(2).collect()
    if len(found) != 1 or not isinstance(found[0][0], int | float):
        what = f"{len(found)} rows or more" if len(found) != 1 else repr(found[0][0])
        raise BadRuleError(f"the statement must give one number, it gives {what}")
    return float(found[0][0])


def answered(tables: Mapping[str, DataFrame], own: str, statement: str) -> int:
    """Returns how many rows of the table an SQL statement gives back, compared by the columns that it selects.

    Raises:
        BadRuleError: It selects something that is not a column of the table.
    """
    given = answer(tables, own, statement)
    names = checked_columns(tables[own], given.columns, "the rule's own table; select columns of primary only")
    mine = tables[own].select(*[F.col(quoted(name)).alias(f"own_{place}") for place, name in enumerate(names)])
    theirs = given.toDF(*[f"other_{place}" for place in range(len(names))]).distinct()
    same = [F.col(f"own_{place}").eqNullSafe(F.col(f"other_{place}")) for place in range(len(names))]
    found = mine.join(theirs, reduce(lambda one, other: one & other, same), "left_semi").count()
    return int(found)
