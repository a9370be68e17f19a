"""Which rows a rule refuses, as an expression on the columns of a table.

A missing value breaks a rule, except one with ``!=`` or ``not in``, and except where the rule says NULL itself;
ColumnLength takes it as a text of length 0. That is how AWS Glue decides. With ``skip_missing`` a missing value breaks
IsComplete, IsPrimaryKey and rules that say NULL only.

Where engines differ in how they cast, a text is first held against a plain form. ``matches`` holds for a value that
matches as a whole.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import reduce
from typing import Final
from zoneinfo import ZoneInfo

from pyspark.sql import Column
from pyspark.sql import functions as F

from gapless_glue.dqdl.history import BadConditionError, number_of
from gapless_glue.dqdl.language import (
    AnyRule,
    Clock,
    Composite,
    Condition,
    Day,
    Duration,
    Keyword,
    Now,
    Number,
    Operand,
    Rule,
    Text,
)

ROW_TYPES: Final = ("IsComplete", "ColumnValues", "ColumnLength", "ColumnDataType", "DataFreshness")
NULL: Final = Keyword("NULL")
NUMBERS: Final = ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal")
WHOLE: Final = "^[+-]?[0-9]{1,19}$"
DECIMAL: Final = "^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]{1,3})?$"
DATE: Final = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
TIME: Final = (
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?$"
)
TRUTHS: Final = ("t", "true", "y", "yes", "1", "f", "false", "n", "no", "0")
TYPES: Final = {"INTEGER": "int", "LONG": "bigint", "FLOAT": "float", "DOUBLE": "double"}
COMPARE: Final[dict[str, Callable[[Column, Column], Column]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
FLIPPED: Final = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


class BadRuleError(ValueError):
    """A rule that does not fit the table: an absent column, a type that cannot be compared."""


@dataclass(frozen=True)
class Table:
    """What must be known of a table to judge its rows.

    Args:
        types: Column → Spark SQL type.
        now: The instant that stands for now(), with a time zone.
        skip_missing: Whether missing values break IsComplete only.
        history: Metric → earlier values, the oldest first.
    """

    types: Mapping[str, str]
    now: datetime
    skip_missing: bool = False
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def column(self, name: str) -> str:
        """Returns a column's name as the table has it.

        Raises:
            BadRuleError: There is no such column.
        """
        if name in self.types:
            return name
        found = [column for column in self.types if column.lower() == name.lower()]
        if not found:
            raise BadRuleError(f"column {name} does not exist (the table has: {', '.join(self.types)})")
        return found[0]

    def type_of(self, name: str) -> str:
        """Returns a column's type without precision."""
        return self.types[self.column(name)].split("(")[0]


def quoted(name: str) -> str:
    """Returns a column's name for SQL text."""
    return "`" + name.replace("`", "``") + "`"


def judges_rows(rule: AnyRule) -> bool:
    """Tells whether ``refusal`` has an expression for a rule."""
    if isinstance(rule, Composite):
        return all(judges_rows(part) for part in rule.parts)
    return rule.type in ROW_TYPES


def refusal(rule: AnyRule, table: Table) -> Column:
    """Returns a Boolean column that is true for the rows that break a rule, and never null.

    Of a composite, the parts are judged row by row: a row breaks ``or`` when it breaks every part.

    Raises:
        BadRuleError: The rule does not fit the table, or has no rows to refuse.
        BadConditionError: The condition means nothing.
        NoHistoryError: The condition depends on earlier results and there are none.
    """
    if isinstance(rule, Composite):
        join = operator.or_ if rule.operator == "and" else operator.and_
        return reduce(join, [refusal(part, table) for part in rule.parts])
    broken = ~_true(_keeps(rule, table))
    return broken if rule.where is None else chosen(rule.where) & broken


def chosen(where: str) -> Column:
    """Returns a Boolean column that is true for the rows that a where clause chooses, and never null."""
    return _true(F.expr(where))


def _true(test: Column) -> Column:
    """Whether a test holds, never null. An engine may work out both operands of ``coalesce`` twice; not here."""
    return test.eqNullSafe(F.lit(True))


def numeric(name: str, table: Table) -> Column:
    """Returns a column as numbers; a text that is none is null.

    Raises:
        BadRuleError: The column is neither numbers nor text.
    """
    kind = table.type_of(name)
    column = quoted(table.column(name))
    if kind in NUMBERS:
        return F.col(column)
    if kind == "string":
        return F.expr(f"try_cast(case when trim({column}) rlike '{DECIMAL}' then trim({column}) end as double)")
    raise BadRuleError(f"column {name} is of type {kind} and cannot be taken as numbers")


def length(name: str, table: Table) -> Column:
    """Returns the lengths of a column's values; a missing value has length 0."""
    return F.coalesce(F.length(F.col(quoted(table.column(name))).cast("string")), F.lit(0))


def metric_of(rule: Rule, name: str) -> str:
    """Returns the name of a metric of a rule: metrics of chosen rows have a history of their own."""
    return name if rule.where is None else f"{name} where {rule.where}"


def extremes(rule: Rule) -> tuple[str, str]:
    """Returns the names of the smallest and largest value that a ColumnValues or ColumnLength rule looks at."""
    suffix = "Length" if rule.type == "ColumnLength" else ""
    first = rule.parameters[0]
    low, high = (metric_of(rule, f"Column.{first}.{end}{suffix}") for end in ("Minimum", "Maximum"))
    return low, high


def _keeps(rule: Rule, table: Table) -> Column:
    """Whether a row keeps a rule; null and false are both no."""
    if rule.type not in ROW_TYPES:
        raise BadRuleError(f"rule type {rule.type} refuses no single rows")
    name = table.column(rule.parameters[0])
    column = F.col(quoted(name))
    if rule.type == "IsComplete":
        return column.isNotNull()
    condition = rule.condition
    if condition is None:
        raise BadRuleError(f"rule {rule.text} has no condition")
    if rule.type == "ColumnLength":
        kept = _compared(condition, length(name, table), _numbers(rule, table))
        return column.isNull() | kept if table.skip_missing else kept
    if rule.type == "ColumnDataType":
        kept = column.isNotNull() & _of_type(condition, name, table)
        kept = ~kept if condition.operator == "!=" or condition.negated else kept
    elif rule.type == "DataFreshness":
        kept = _fresh(condition, name, table)
    else:
        return _with_missing(condition, column, _value_kept(rule, condition, name, table), table.skip_missing)
    return column.isNull() | kept if table.skip_missing else kept


def _with_missing(condition: Condition, column: Column, kept: Column | None, skip_missing: bool) -> Column:
    """Decides for missing values; ``kept`` is the test of the others, nothing where NULL is the only operand."""
    negative = condition.operator == "!=" or (condition.operator == "in" and condition.negated)
    says_null = NULL in condition.operands
    missing = says_null != negative or (skip_missing and not says_null)
    if kept is None:
        kept = F.lit(negative)
    return column.isNull() | kept if missing else column.isNotNull() & kept


def _value_kept(rule: Rule, condition: Condition, name: str, table: Table) -> Column | None:
    """Whether a value that is there keeps a ColumnValues rule."""
    if all(operand == NULL for operand in condition.operands):
        return None
    if condition.kind == "number":
        return _compared(condition, numeric(name, table), _numbers(rule, table))
    if condition.kind == "date":
        return _compared_dates(rule, condition, name, table)
    return _compared_texts(rule, condition, name, table)


def _numbers(rule: Rule, table: Table) -> list[Column]:
    """The numbers of a condition; a lower bound depends on earlier minima, an upper on earlier maxima."""
    condition = rule.condition
    if condition is None:
        return []
    low, high = extremes(rule)
    numbers = []
    for place, operand in enumerate(condition.operands):
        if operand == NULL:
            continue
        upper = condition.operator in ("<", "<=") or (condition.operator == "between" and place == 1)
        if isinstance(operand, Number) and "." not in operand.text:
            numbers.append(F.lit(int(operand.text)))
        else:
            numbers.append(F.lit(number_of(operand, table.history.get(high if upper else low, ()))))
    return numbers


def _compared(condition: Condition, value: Column, operands: Sequence[Column]) -> Column:
    """A comparison; a value that cannot be compared keeps ``!=`` and ``not in`` only."""
    if condition.operator == "between":
        inside = (value > operands[0]) & (value < operands[1])
        return ~inside if condition.negated else inside
    if condition.operator == "in":
        among = reduce(operator.or_, [value == operand for operand in operands])
        return ~_true(among) if condition.negated else among
    if condition.operator == "!=":
        return ~_true(value == operands[0])
    return COMPARE[condition.operator](value, operands[0])


def _compared_texts(rule: Rule, condition: Condition, name: str, table: Table) -> Column:
    column = F.col(quoted(name))
    fold = rule.tags.get("ignoreCase", "").lower() == "true"
    if condition.operator == "matches":
        return _matched(condition, column.cast("string"), fold)
    negative = condition.operator == "!=" or condition.negated
    text = F.lower(column.cast("string")) if fold else column.cast("string")
    others = [operand for operand in condition.operands if operand != NULL]
    tests = []
    if table.type_of(name) == "string":
        values = [operand.value for operand in others if isinstance(operand, Text)]
        if values:
            tests.append(text.isin([value.lower() for value in values] if fold else values))
        others = [operand for operand in others if not isinstance(operand, Text)]
    tests += [_is(operand, text, name, table) for operand in others]
    found = reduce(operator.or_, tests)
    return ~_true(found) if negative else found


def _matched(condition: Condition, text: Column, fold: bool) -> Column:
    (operand,) = condition.operands
    pattern = operand.value if isinstance(operand, Text) else ""
    found = text.rlike(f"{'(?i)' if fold else ''}^(?:{pattern})$")
    return ~found if condition.negated else found


def _is(operand: Operand, text: Column, name: str, table: Table) -> Column:
    """Whether a value is a text of the rule, compared as the column's type."""
    if operand == Keyword("EMPTY"):
        return text == F.lit("")
    if operand == Keyword("WHITESPACES_ONLY"):
        return text.rlike("^\\s+$")
    if not isinstance(operand, Text):
        raise BadConditionError(f"not a text: {operand}")
    kind = table.type_of(name)
    column = F.col(quoted(name))
    try:
        if kind in NUMBERS:
            return column == F.lit(float(operand.value))
        if kind == "date":
            return column == F.lit(date.fromisoformat(operand.value))
        if kind == "timestamp":
            return column == instant(_moment(operand.value, table.now))
    except ValueError:
        return F.lit(False)
    return F.lower(column.cast("string")) == F.lit(operand.value.lower())


def _moment(text: str, now: datetime) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)


def instant(moment: datetime) -> Column:
    """Returns an instant as a literal that no session time zone can move."""
    return F.expr(f"timestamp_micros({round(moment.timestamp() * 1_000_000)})")


def _times(name: str, table: Table) -> Column:
    """A column as instants; a text that is none is null."""
    kind = table.type_of(name)
    column = quoted(name)
    if kind == "timestamp":
        return F.col(column)
    if kind in ("date", "timestamp_ntz"):
        return F.col(column).cast("timestamp")
    if kind == "string":
        return F.expr(f"try_cast(case when {column} rlike '{TIME}' then {column} end as timestamp)")
    raise BadRuleError(f"column {name} is of type {kind} and cannot be taken as times")


def _compared_dates(rule: Rule, condition: Condition, name: str, table: Table) -> Column:
    """Dates are compared as dates, instants as instants; a column of dates is always compared as dates."""
    operands = [operand for operand in condition.operands if operand != NULL]
    by_day = table.type_of(name) == "date" or all(isinstance(operand, Day) for operand in operands)
    zone = ZoneInfo(rule.tags["timeZone"]) if "timeZone" in rule.tags else table.now.tzinfo
    moments = [_instant_of(operand, table.now.astimezone(zone)) for operand in operands]
    times = _times(name, table)
    if by_day:
        return _compared(condition, times.cast("date"), [F.lit(moment.date()) for moment in moments])
    return _compared(condition, times, [instant(moment) for moment in moments])


def _instant_of(operand: Operand, now: datetime) -> datetime:
    if isinstance(operand, Now):
        return now + operand.sign * (operand.moved.length if operand.moved else timedelta())
    if isinstance(operand, Clock):
        return now.replace(hour=operand.hour, minute=operand.minute, second=0, microsecond=0)
    if isinstance(operand, Day):
        return datetime.combine(date.fromisoformat(operand.text), datetime.min.time(), now.tzinfo)
    raise BadConditionError(f"not a date: {operand}")


def _fresh(condition: Condition, name: str, table: Table) -> Column:
    """An age below three days is a time after now less three days."""
    starts = [
        table.now - operand.length for operand in condition.operands if isinstance(operand, Duration)
    ]  # fmt: skip
    times = _times(name, table)
    if condition.operator == "between":
        return _compared(condition, times, [instant(moment) for moment in reversed(starts)])
    flipped = FLIPPED.get(condition.operator, condition.operator)
    turned = Condition("duration", flipped, condition.operands, condition.negated)
    return _compared(turned, times, [instant(moment) for moment in starts])


def _of_type(condition: Condition, name: str, table: Table) -> Column:
    wanted = [operand.value.upper() for operand in condition.operands if isinstance(operand, Text)]
    return reduce(operator.or_, [_castable(name, kind, table) for kind in wanted])


def _castable(name: str, wanted: str, table: Table) -> Column:
    """Whether a value can be taken as a type of ColumnDataType."""
    kind, column = table.type_of(name), quoted(name)
    if wanted == "STRING":
        return F.lit(True)
    if kind == "string":
        return _text_castable(column, wanted)
    if kind in NUMBERS and wanted in TYPES:
        return F.expr(f"try_cast({column} as {TYPES[wanted]}) is not null")
    same = {"boolean": ("BOOLEAN",), "date": ("DATE", "TIMESTAMP"), "timestamp": ("DATE", "TIMESTAMP")}
    return F.lit(wanted in same.get(kind, ()))


def _text_castable(column: str, wanted: str) -> Column:
    if wanted == "BOOLEAN":
        return F.lower(F.trim(F.col(column))).isin(list(TRUTHS))
    form = {"DATE": DATE, "TIMESTAMP": TIME, "INTEGER": WHOLE, "LONG": WHOLE}.get(wanted, DECIMAL)
    kind = {**TYPES, "DATE": "date", "TIMESTAMP": "timestamp"}[wanted]
    return F.expr(f"try_cast(case when trim({column}) rlike '{form}' then trim({column}) end as {kind}) is not null")
