"""Collects the numbers that rules need and measures them together: one pass over each table, whatever the rules.

Every number is an aggregate of its table. Only numbers that need groups (how often each value comes) or another table
(a join) cost a pass of their own. All passes are one query.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from gapless_glue.dqdl.rows import chosen, quoted

Values = Mapping[Hashable, float | None]


@dataclass(frozen=True)
class Groups:
    """How often the values of some columns come.

    Attributes:
        rows: Rows with a value in at least one of the columns.
        values: Different values.
        once: Values that one row has.
        entropy: In nats; zero for one value, and where it was not asked for.
    """

    rows: float
    values: float
    once: float
    entropy: float


@dataclass
class Passes:
    """Numbers to be measured on tables, and after ``run`` their values."""

    tables: Mapping[str, DataFrame]
    _aggregates: dict[str, dict[Hashable, Column]] = field(default_factory=dict)
    _others: dict[Hashable, DataFrame] = field(default_factory=dict)
    _values: dict[Hashable, list[float | None]] = field(default_factory=dict)

    def number(self, table: str, name: Hashable, aggregate: Callable[[], Column]) -> Callable[[], float | None]:
        """Asks for an aggregate of a table; equal names are one number. Returns what gives the value after ``run``."""
        wanted = self._aggregates.setdefault(table, {})
        if name not in wanted:
            wanted[name] = aggregate().cast("double")

        def value() -> float | None:
            return self._values[("table", table)][list(wanted).index(name)]

        return value

    def groups(self, table: str, columns: Sequence[str], where: str | None, entropy: bool) -> Callable[[], Groups]:
        """Asks how often the values of some columns come in the chosen rows, and for the entropy where it is wanted."""
        key = ("groups", table, tuple(columns), where)
        if entropy or key not in self._others:
            self._others[key] = _grouped(self.tables[table], columns, where, entropy)

        def value() -> Groups:
            rows, values, once, *others = (number or 0.0 for number in self._values[key])
            return Groups(rows, values, once, others[0] if others else 0.0)

        return value

    def frame(self, name: Hashable, frame: Callable[[], DataFrame]) -> Callable[[], float | None]:
        """Asks for the only number of a data frame with one row."""
        if name not in self._others:
            rows = frame()
            self._others[name] = rows.select(F.array(F.col(rows.columns[0]).cast("double")).alias("numbers"))
        return lambda: self._values[name][0]

    def run(self) -> None:
        """Measures all numbers in one query."""
        branches: dict[Hashable, DataFrame] = {}
        for table, wanted in self._aggregates.items():
            branches[("table", table)] = self.tables[table].agg(F.array(*wanted.values()).alias("numbers"))
        branches.update(self._others)
        if not branches:
            return
        keys = list(branches)
        marked = [frame.select(F.lit(place).alias("place"), "numbers") for place, frame in enumerate(branches.values())]
        for row in reduce(DataFrame.unionAll, marked).collect():
            self._values[keys[row["place"]]] = [_finite(number) for number in row["numbers"]]


def _finite(number: float | None) -> float | None:
    """A number, or nothing for one that is not."""
    return None if number is None or number != number else number


def _grouped(rows: DataFrame, columns: Sequence[str], where: str | None, entropy: bool) -> DataFrame:
    names = [f"key_{place}" for place in range(len(columns))]
    kept = rows if where is None else rows.filter(chosen(where))
    keys = kept.select(*[F.col(quoted(column)).alias(name) for column, name in zip(columns, names, strict=True)])
    some = reduce(lambda left, right: left | right, [F.col(name).isNotNull() for name in names])
    counted = keys.filter(some).groupBy(*names).agg(F.count(F.lit(1)).alias("n"))
    total, count = F.sum("n").cast("double"), F.col("n").cast("double")
    numbers = [total, F.count(F.lit(1)).cast("double"), F.count(F.when(F.col("n") == 1, F.lit(1))).cast("double")]
    if entropy:
        numbers.append(F.ln(total) - F.sum(count * F.ln(count)) / total)
    return counted.agg(F.array(*numbers).alias("numbers"))
