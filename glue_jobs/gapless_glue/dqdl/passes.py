"""Collects the numbers that rules need and measures them together, in one query.

Three kinds of numbers, each a branch of the query:

- how many rows and values there are: an engine answers that from the statistics which columnar files carry, without
  reading a row, as long as nothing else is asked beside it;
- all other aggregates of a table: one pass over it, whatever the rules;
- numbers about equal values (see ``groups``) or another table (a join): a pass of their own.

Only whole numbers that should be unique and turn out to repeat cost a second query, which counts them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from gapless_glue.dqdl.groups import NUMBERS, Detail, Groups, Keys
from gapless_glue.dqdl.rows import chosen, quoted

Value = Callable[[], float | None]


@dataclass
class Passes:
    """Numbers to be measured on tables, and after ``run`` their values."""

    tables: Mapping[str, DataFrame]
    _presences: dict[str, dict[Hashable, Column]] = field(default_factory=dict)
    _aggregates: dict[str, dict[Hashable, Column]] = field(default_factory=dict)
    _frames: dict[Hashable, DataFrame] = field(default_factory=dict)
    _details: dict[Keys, Detail] = field(default_factory=dict)
    _values: dict[Hashable, list[float | None]] = field(default_factory=dict)

    def number(self, table: str, name: Hashable, aggregate: Callable[[], Column]) -> Value:
        """Asks for an aggregate of a table; equal names are one number. Returns what gives the value after ``run``."""
        wanted = self._aggregates.setdefault(table, {})
        return self._asked(("table", table), wanted, name, aggregate)

    def present(self, table: str, column: str | None = None, where: str | None = None) -> Value:
        """Asks how many of the chosen rows have a value in a column, or how many there are."""
        value = F.lit(1) if column is None else F.col(quoted(column))
        if where is not None:
            return self.number(table, ("present", column, where), lambda: F.count(F.when(chosen(where), value)))
        wanted = self._presences.setdefault(table, {})
        return self._asked(("presence", table), wanted, column, lambda: F.count(value))

    def groups(self, table: str, columns: Sequence[str], where: str | None, detail: Detail) -> Callable[[], Groups]:
        """Asks how often the values of some columns come in the chosen rows, as far as the detail says."""
        keys = Keys(table, tuple(columns), where)
        self._details[keys] = max(detail, self._details.get(keys, detail))
        return lambda: Groups.of(self._values[keys])

    def frame(self, name: Hashable, frame: Callable[[], DataFrame]) -> Value:
        """Asks for the only number of a data frame with one row."""
        if name not in self._frames:
            rows = frame()
            self._frames[name] = rows.select(F.array(F.col(rows.columns[0]).cast("double")).alias(NUMBERS))
        return lambda: self._values[name][0]

    def run(self) -> None:
        """Measures all numbers, and again those about values that were taken for unique and are not."""
        branches: dict[Hashable, DataFrame] = {}
        for kind, tables in (("presence", self._presences), ("table", self._aggregates)):
            for table, wanted in tables.items():
                branches[kind, table] = self.tables[table].agg(F.array(*wanted.values()).alias(NUMBERS))
        groups: dict[Hashable, DataFrame] = {
            keys: keys.measured(self.tables, detail) for keys, detail in self._details.items()
        }
        self._measure({**branches, **self._frames, **groups})
        repeated = [keys for keys, detail in self._details.items() if detail == Detail.UNIQUE and self._repeats(keys)]
        self._measure({keys: keys.measured(self.tables, Detail.ONCE) for keys in repeated})

    def _repeats(self, keys: Keys) -> bool:
        found = Groups.of(self._values[keys])
        return found.once is None and found.rows != found.values

    def _asked(
        self, branch: Hashable, wanted: dict[Hashable, Column], name: Hashable, aggregate: Callable[[], Column]
    ) -> Value:
        if name not in wanted:
            wanted[name] = aggregate().cast("double")
        return lambda: self._values[branch][list(wanted).index(name)]

    def _measure(self, branches: Mapping[Hashable, DataFrame]) -> None:
        """Measures branches, each a data frame of one row with an array of numbers, in one query."""
        if not branches:
            return
        keys = list(branches)
        marked = [frame.select(F.lit(place).alias("place"), NUMBERS) for place, frame in enumerate(branches.values())]
        for row in reduce(DataFrame.unionAll, marked).collect():
            self._values[keys[row["place"]]] = [_finite(number) for number in row[NUMBERS]]


def _finite(number: float | None) -> float | None:
    """A number, or nothing for one that is not."""
    return None if number is None or number != number else number
