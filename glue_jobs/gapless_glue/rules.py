"""The simple rules of ``rules.dqdl``, a subset of AWS Glue's Data Quality Definition Language.

The file holds one ruleset per source, ``Rules <source> = [ … ]``; ``Rules = [ … ]`` is the primary source's. What is
between the brackets is plain DQDL. Rules about rows (IsComplete, IsUnique, ColumnValues) quarantine the rows that break
them; rules about the table (RowCount, Completeness, Uniqueness) block the dataset. ``between`` excludes both ends. A
missing value breaks IsComplete and no other rule.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from pyspark.sql import Column
from pyspark.sql import functions as F

from gapless_glue.contract import Contract, Source
from gapless_glue.errors import BadRules

ROW_RULES: Final = ("IsComplete", "IsUnique", "ColumnValues")
TABLE_RULES: Final = ("RowCount", "Completeness", "Uniqueness")
NUMBERS: Final = ("int", "bigint", "double")
COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
TOKENS: Final = re.compile(
    r"""(?P<blank>\s+|\#[^\n]*)|(?P<text>"[^"\n]*")|(?P<number>-?\d+(?:\.\d+)?(?![\w.]))
      |(?P<word>[A-Za-z_]\w*)|(?P<sign><=|>=|!=|[=<>\[\],])""",
    re.VERBOSE,
)

Value = str | float
Item = TypeVar("Item")


@dataclass(frozen=True)
class Condition:
    """A comparison with constants: ``between``, ``in`` or one of ``COMPARISONS``, perhaps negated."""

    operator: str
    values: tuple[Value, ...]
    negated: bool = False

    def holds(self, column: Column) -> Column:
        """Returns the condition on a column; null where the column is null."""
        low, *rest = self.values
        if self.operator == "between":
            found = (column > low) & (column < rest[0])
        elif self.operator == "in":
            found = column.isin(list(self.values))
        else:
            found = getattr(operator, COMPARISONS[self.operator].__name__)(column, low)
        return ~found if self.negated else found

    def holds_for(self, value: float) -> bool:
        """Tells whether the condition holds for one number."""
        numbers = [float(item) for item in self.values]
        if self.operator == "between":
            found = numbers[0] < value < numbers[1]
        elif self.operator == "in":
            found = value in numbers
        else:
            found = COMPARISONS[self.operator](value, numbers[0])
        return found != self.negated


@dataclass(frozen=True)
class Rule:
    """One rule of one source; ``text`` is the rule as it is shown in reasons and reports."""

    source: str
    text: str
    name: str
    column: str | None
    condition: Condition | None

    @property
    def is_about_rows(self) -> bool:
        return self.name in ROW_RULES

    def broken_by(self, column: Column) -> Column:
        """Returns where a row breaks an IsComplete or ColumnValues rule, given the typed column."""
        if self.condition is None:
            return column.isNull()
        return F.coalesce(~self.condition.holds(column), F.lit(False))

    def passed_by(self, value: float) -> bool:
        """Tells whether a table has the measured value that the rule wants."""
        if self.condition is None:
            raise ValueError(f"rule {self.text} measures nothing")
        return self.condition.holds_for(value)


def parse_rules(text: str, contract: Contract) -> list[Rule]:
    """Reads all rulesets of a file, checked against the contract.

    Raises:
        BadRules: The text is not in the subset, or names an unknown rule, source or column; the message has the line.
    """
    return list(_Parser(text, contract).rulesets())


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    line: int
    start: int
    end: int


class _Parser:
    def __init__(self, text: str, contract: Contract) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._at = 0
        self._contract = contract

    def rulesets(self) -> Iterator[Rule]:
        seen: set[str] = set()
        while self._next.kind != "end":
            self._take("Rules")
            name = self._take_kind("word").text if self._next.kind == "word" else self._contract.primary
            if name not in self._contract.sources:
                raise self._error(f"unknown source {name!r} (allowed: {', '.join(self._contract.sources)})")
            if name in seen:
                raise self._error(f"source {name} has two rulesets")
            seen.add(name)
            self._take("=")
            yield from self._listed(partial(self._rule, self._contract.sources[name]))

    def _listed(self, item: Callable[[], Item]) -> list[Item]:
        """Reads ``[item, item, …]``."""
        self._take("[")
        items = []
        while self._next.text != "]":
            items.append(item())
            if self._next.text != "]":
                self._take(",")
        self._take("]")
        return items

    def _rule(self, source: Source) -> Rule:
        start = self._at
        name = self._take_kind("word").text
        if name not in ROW_RULES + TABLE_RULES:
            raise self._error(f"unknown rule {name!r} (allowed: {', '.join(ROW_RULES + TABLE_RULES)})")
        column = None if name == "RowCount" else self._column(name, source)
        condition = None if name in ("IsComplete", "IsUnique") else self._condition()
        text = " ".join(self._text[self._tokens[start].start : self._tokens[self._at - 1].end].split())
        if condition is not None:
            self._check_values(text, condition, self._compared_type(name, column, source))
        return Rule(source.name, text, name, column, condition)

    @staticmethod
    def _compared_type(name: str, column: str | None, source: Source) -> str:
        return source.type_of(column) if name == "ColumnValues" and column is not None else "double"

    def _column(self, name: str, source: Source) -> str:
        column = self._take_kind("text").text[1:-1]
        if column not in source.names:
            raise self._error(f"{name}: source {source.name} has no column {column!r}")
        return column

    def _condition(self) -> Condition:
        negated = self._next.text == "not"
        if negated:
            self._take("not")
        sign = self._tokens[self._at].text
        self._at += 1
        if sign == "between":
            low = self._value()
            self._take("and")
            return Condition(sign, (low, self._value()), negated)
        if sign == "in":
            return Condition(sign, tuple(self._listed(self._value)), negated)
        if sign in COMPARISONS and not negated:
            return Condition(sign, (self._value(),))
        raise self._error(f"expected between, in or one of {' '.join(COMPARISONS)}, was {sign!r}")

    def _value(self) -> Value:
        token = self._tokens[self._at]
        self._at += 1
        if token.kind == "number":
            return float(token.text) if "." in token.text else int(token.text)
        if token.kind == "text" and ";" not in token.text:
            return token.text[1:-1]
        raise self._error(f'expected a number or a "text" without ;, was {token.text!r}')

    def _check_values(self, rule: str, condition: Condition, kind: str) -> None:
        if not condition.values:
            raise self._error(f"{rule}: the list is empty")
        for value in condition.values:
            if kind == "string" and not isinstance(value, str):
                raise self._error(f"{rule}: the column is of type string, was compared with {value!r}")
            if kind in NUMBERS and isinstance(value, str):
                raise self._error(f"{rule}: the column is of type {kind}, was compared with {value!r}")
        if kind not in ("string", *NUMBERS):
            raise self._error(
                f"{rule}: a column of type {kind} cannot be compared (allowed: string, {', '.join(NUMBERS)})"
            )

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, text: str) -> None:
        if self._next.text != text:
            raise self._error(f"expected {text!r}, was {self._next.text!r}")
        self._at += 1

    def _take_kind(self, kind: str) -> _Token:
        token = self._next
        if token.kind != kind:
            raise self._error(f"expected a {kind}, was {token.text!r}")
        self._at += 1
        return token

    def _error(self, text: str) -> BadRules:
        line = self._tokens[max(self._at - 1, 0)].line
        return BadRules(f"rules.dqdl line {line}: {text}")


def _tokens(text: str) -> Iterator[_Token]:
    position, line = 0, 1
    while position < len(text):
        match = TOKENS.match(text, position)
        if match is None:
            raise BadRules(f"rules.dqdl line {line}: unexpected {text[position : position + 12]!r}")
        if match.lastgroup not in ("blank", None):
            yield _Token(str(match.lastgroup), match.group(), line, position, match.end())
        line += match.group().count("\n")
        position = match.end()
    yield _Token("end", "end of file", line, position, position)


def of_source(rules: Sequence[Rule], source: str) -> list[Rule]:
    """Returns the rules of one source."""
    return [rule for rule in rules if rule.source == source]
