"""How often the values of columns come: how many different ones there are, and how many come once.

Counting them takes a counter for each different value, in every engine: time and memory that grow with the table.
Whole numbers that lie close together (ids, nearly always) do with less: 64 neighbours share a *word*, a number whose
bits say which of them are there. Words have as many bits set as there are different values; where these are as many as
the rows, every value comes once. Numbers far apart have a word each, which costs little more than counting them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from gapless_glue.dqdl.rows import chosen, quoted

NUMBERS: Final = "numbers"
WHOLE: Final = ("tinyint", "smallint", "int", "bigint")
WORD: Final = "shiftright(key_0, 6)"
BIT: Final = "shiftleft(1L, cast(key_0 & 63 as int))"


class Detail(IntEnum):
    """What is asked about groups; each but UNIQUE says what those before it say, too.

    UNIQUE expects that no value repeats, and asks how many come once where that is wrong.
    """

    VALUES = 0
    UNIQUE = 1
    ONCE = 2
    ENTROPY = 3


@dataclass(frozen=True)
class Groups:
    """How often the values of some columns come.

    Attributes:
        rows: Rows with a value in at least one of the columns.
        values: Different values.
        once: Values that one row has; nothing where it is not known.
        entropy: In nats; zero for one value, and where it was not asked for.
    """

    rows: float
    values: float
    once: float | None = None
    entropy: float = 0.0

    @classmethod
    def of(cls, numbers: Sequence[float | None]) -> Groups:
        """Reads what ``Keys.measured`` gives."""
        rows, values, *others = (number or 0.0 for number in numbers)
        if not others and rows == values:
            return cls(rows, values, rows)
        return cls(rows, values, *others)


@dataclass(frozen=True)
class Keys:
    """Columns of a table whose values are compared, in the rows that a where clause chooses."""

    table: str
    columns: tuple[str, ...]
    where: str | None

    def measured(self, tables: Mapping[str, DataFrame], detail: Detail) -> DataFrame:
        """One row with an array: rows that have a value, different values; with more detail also how many values come
        once, and the entropy.
        """
        rows = tables[self.table]
        names = [f"key_{place}" for place in range(len(self.columns))]
        columns = [F.col(quoted(column)).alias(name) for column, name in zip(self.columns, names, strict=True)]
        some = reduce(lambda left, right: left | right, [F.col(name).isNotNull() for name in names])
        keys = (rows if self.where is None else rows.filter(chosen(self.where))).select(*columns).filter(some)
        if detail <= Detail.UNIQUE and len(names) == 1 and dict(rows.dtypes)[self.columns[0]] in WHOLE:
            return _in_words(keys)
        return _counted(keys.groupBy(*names).agg(F.count(F.lit(1)).alias("n")), detail)


def _in_words(keys: DataFrame) -> DataFrame:
    words = keys.select(F.col("key_0").cast("bigint").alias("key_0")).groupBy(F.expr(WORD).alias("word"))
    return words.agg(F.count(F.lit(1)).alias("n"), F.expr(f"bit_or({BIT})").alias("bits")).agg(
        _array("sum(n)", "sum(bit_count(bits))")
    )


def _counted(groups: DataFrame, detail: Detail) -> DataFrame:
    numbers = ["sum(n)", "count(1)", "count(case when n = 1 then 1 end)"]
    if detail == Detail.ENTROPY:
        total, count = "cast(sum(n) as double)", "cast(n as double)"
        numbers.append(f"ln({total}) - sum({count} * ln({count})) / {total}")
    return groups.agg(_array(*numbers))


def _array(*numbers: str) -> Column:
    return F.expr(f"array({', '.join(f'cast({number} as double)' for number in numbers)})").alias(NUMBERS)
