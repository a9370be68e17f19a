"""From text to types: each row is either valid and typed, or refused with its reasons.

All conditions are written so that Spark 3.5 and Sail agree: a value's form is checked by a plain regular expression
first, and only then cast.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from gapless_glue.contract import Settle, Source
from gapless_glue.dqdl.language import AnyRule, Rule, leaves
from gapless_glue.dqdl.rows import Table, chosen, refusal
from gapless_glue.errors import BadRules
from gapless_glue.landing import FILE, MISTYPED, PROBLEM, ROW, SOURCE_KEY
from gapless_glue.rules import KEY_TYPES, SourceRule
from gapless_glue.settling import late_reasons, newest_first, why_set_aside

REASONS = "_reasons"
BETWEEN_REASONS = "; "
OFFSET = "(Z|[+-][0-9]{2}:[0-9]{2})$"
TIME = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?$"
NO_SECONDS = "^.{16}(Z|[+-][0-9]{2}:[0-9]{2})$"
MIDNIGHT_24 = "^.{10}[T ]24:00(:00([.]0+)?)?(Z|[+-][0-9]{2}:[0-9]{2})?$"


def staged_schema(source: Source) -> str:
    """The columns of staged rows, as DDL."""
    texts = [f"`{name}` string" for name in source.names]
    marks = [f"{MISTYPED} string"] if source.has_kinds else []
    return ", ".join([*texts, f"{SOURCE_KEY} string", f"{ROW} bigint", f"{FILE} int", f"{PROBLEM} string", *marks])


def validated_schema(source: Source) -> str:
    """The columns of validated rows, as DDL."""
    typed = [f"`{column.name}` {column.type}" for column in source.columns]
    return ", ".join([*typed, f"{SOURCE_KEY} string", f"{ROW} bigint"])


@dataclass(frozen=True)
class Handling:
    """What is done about files whose columns are not the contract's; positions are those of the canonical order.

    Attributes:
        refused: Position of a file → why all of its rows are refused.
        emptied: Column → positions of the files in which a value that does not read as its type is missing.
    """

    refused: Mapping[int, str] = field(default_factory=dict)
    emptied: Mapping[str, Collection[int]] = field(default_factory=dict)


def with_types(staged: DataFrame, source: Source) -> DataFrame:
    """Adds to staged rows of text their values: ``v_<name>`` as text, null where missing, and ``t_<name>`` typed.

    A typed value is null where the text does not read as its type.
    """
    present = [_present(name, source).alias(f"v_{name}") for name in source.names]
    return staged.select("*", *present).select("*", *_casts(source))


def judge(
    staged: DataFrame,
    source: Source,
    rules: Sequence[SourceRule],
    now: datetime | None = None,
    handling: Handling | None = None,
) -> DataFrame:
    """Adds to staged rows of text their typed columns ``t_<name>`` and ``_reasons``, null for a valid row.

    Of rows with the same key the first valid one in the batch's canonical order stays, or, where the source settles
    them, the newest; of rows with the same values of unique columns the first one. A line that did not fit the table,
    and a row of a refused file, has that one reason.

    Args:
        staged: Rows as ``staged_schema`` has them.
        source: What they are.
        rules: Rules of this source; those about the table and those that look around are left to others.
        now: The instant that stands for now() in rules, and that late rows are late for. Default: the present.
        handling: What is done about drifted files. Default: nothing is refused or emptied.

    Raises:
        BadRules: A where clause cannot be read.
    """
    moment, handled = now or datetime.now(UTC), handling or Handling()
    typed = with_types(staged, source)
    table = Table({column.name: column.type for column in source.columns}, moment, skip_missing=True)
    row_rules = [rule for rule in rules if rule.is_about_rows and not rule.looks_around]
    keys = [_unique_key(rule.rule) for rule in row_rules if isinstance(rule.rule, Rule) and rule.rule.type in KEY_TYPES]
    own = [
        *_type_reasons(source, handled.emptied),
        *_key_reasons(source),
        *late_reasons(source, moment),
        *_rule_reasons(row_rules, table),
    ]
    reasons = F.coalesce(*_file_reasons(handled.refused), F.col(PROBLEM), joined_reasons(own)).alias(REASONS)
    flags = {key.flag: chosen(key.where).alias(key.flag) for key in keys if key.where is not None}
    judged = _with_reasons(typed, source, [reasons, *flags.values()], row_rules)
    if source.key:
        reason = f"duplicate key ({', '.join(source.key)})"
        judged = _refuse_repeats(judged, UniqueKey(reason, source.key, settle=source.settle))
    for key in keys:
        judged = _refuse_repeats(judged, key)
    return judged.drop(*flags)


@dataclass(frozen=True)
class UniqueKey:
    """Columns that no two valid rows share, of the rows that ``where`` chooses; ``settle`` says which row stays."""

    reason: str
    columns: tuple[str, ...]
    where: str | None = None
    settle: Settle | None = None

    @property
    def flag(self) -> str:
        """The column that says whether a row is chosen."""
        return f"_chosen_{zlib.crc32((self.where or '').encode()):08x}"


def _unique_key(rule: Rule) -> UniqueKey:
    return UniqueKey(f"rule {rule.text}", rule.parameters, rule.where)


def _with_reasons(typed: DataFrame, source: Source, found: Sequence[Column], rules: Sequence[SourceRule]) -> DataFrame:
    """Computes columns where the typed values go by the names of their columns, as rules call them."""
    others = [SOURCE_KEY, ROW, FILE, PROBLEM]
    working = [f"v_{name}" for name in source.names] + [f"t_{name}" for name in source.names]
    texts = [F.col(name).alias(f"r_{name}") for name in source.names]
    values = [F.col(f"t_{name}").alias(name) for name in source.names]
    named = typed.select(*texts, *others, *working, *values)
    back = [F.col(f"r_{name}").alias(name) for name in source.names]
    try:
        judged = named.select(*back, *others, *working, *found)
        _ = judged.columns
    except PySparkException as error:
        wheres = [leaf.where for rule in rules for leaf in leaves(rule.rule) if leaf.where]
        line = next(iter(str(error).splitlines()), "")
        raise BadRules(f"rules.dqdl: source {source.name}: one of where {', '.join(wheres)}: {line}") from error
    return judged


def valid_rows(judged: DataFrame, source: Source) -> DataFrame:
    """The valid rows with their types, and where they come from."""
    typed = [F.col(f"t_{name}").alias(name) for name in source.names]
    return judged.filter(F.col(REASONS).isNull()).select(*typed, SOURCE_KEY, ROW)


def refused_rows(judged: DataFrame, source: Source) -> DataFrame:
    """The refused rows as they were read, where they come from and why they were refused."""
    return judged.filter(F.col(REASONS).isNotNull()).select(*source.names, SOURCE_KEY, ROW, REASONS)


def _present(name: str, source: Source) -> Column:
    """A column's text, null where it is one of the texts for a missing value."""
    text = F.col(name) if source.type_of(name) == "string" else F.trim(F.col(name))
    return F.when(text.isin(list(source.missing)), F.lit(None).cast("string")).otherwise(text)


def _casts(source: Source) -> list[Column]:
    return [
        F.expr(_fitting(cast_of(f"`v_{column.name}`", column.type, source.time_zone), column.name, source)).alias(
            f"t_{column.name}"
        )
        for column in source.columns
    ]


def _fitting(cast: str, name: str, source: Source) -> str:
    """Returns the SQL of a cast that gives null for a value of another kind, in a format with kinds."""
    return f"case when instr({MISTYPED}, ',{name},') > 0 then null else {cast} end" if source.has_kinds else cast


def cast_of(text: str, kind: str, time_zone: str) -> str:
    """Returns the SQL that makes a typed value of a text, or null when the text is not of the type."""
    if kind == "string":
        return text
    if kind == "boolean":
        return f"case when lower({text}) in ('true', '1') then true when lower({text}) in ('false', '0') then false end"
    if kind == "timestamp":
        return _instant(text, time_zone)
    forms = {
        "int": "^[+-]?[0-9]{1,19}$",
        "bigint": "^[+-]?[0-9]{1,19}$",
        "double": "^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]{1,3})?$",
        "date": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    }
    cast = f"try_cast(case when {text} rlike '{forms[kind]}' then {text} end as {kind})"
    return f"case when abs({cast}) < double('Infinity') then {cast} end" if kind == "double" else cast


def _instant(text: str, time_zone: str) -> str:
    """Returns the SQL for an instant: a text with an offset is one, a local time is one in its time zone.

    ``24:00`` is the end of the day. A local time that the clocks skip is read as if they had not yet been moved; of
    one that they show twice the engine takes the first.
    """
    at_24 = f"{text} rlike '{MIDNIGHT_24}'"
    shown = f"case when {at_24} then concat(substring({text}, 1, 11), '00', substring({text}, 14)) else {text} end"
    filled = f"concat(substring({shown}, 1, 16), ':00', substring({shown}, 17))"
    full = f"case when {text} rlike '{NO_SECONDS}' then {filled} else {shown} end"
    formed = f"case when {text} rlike '{TIME}' then {full} end"
    wall = f"try_cast({formed} as timestamp) + case when {at_24} then interval '1' day else interval '0' day end"
    return f"case when {text} rlike '{OFFSET}' then {wall} else to_utc_timestamp({wall}, '{time_zone}') end"


def _file_reasons(refused: Mapping[int, str]) -> list[Column]:
    """The reason of each refused file, null for a row of another file."""
    return [
        F.when(F.col(FILE).isin([at for at, other in refused.items() if other == reason]), F.lit(reason))
        for reason in dict.fromkeys(refused.values())
    ]


def _type_reasons(source: Source, emptied: Mapping[str, Collection[int]]) -> list[Column]:
    reasons = []
    for name, kind in ((column.name, column.type) for column in source.columns):
        if kind == "string" and not source.has_kinds:
            continue
        unread = F.col(f"v_{name}").isNotNull() & F.col(f"t_{name}").isNull()
        if name in emptied:
            unread &= ~F.col(FILE).isin(list(emptied[name]))
        reasons.append(F.when(unread, F.lit(f"column {name} is not {kind}")))
    return reasons


def _key_reasons(source: Source) -> list[Column]:
    return [
        F.when(F.col(f"v_{name}").isNull(), F.lit(f"column {name} is missing, it is part of the key"))
        for name in source.key
    ]


def _rule_reasons(rules: Sequence[SourceRule], table: Table) -> list[Column]:
    """The reason of every rule about rows, null where it is kept; whether values repeat is looked at later."""
    reasons = []
    for rule in rules:
        broken = _broken(rule.rule, table)
        if broken is not None:
            reasons.append(F.when(broken, F.lit(f"rule {rule.text}")))
    return reasons


def _broken(rule: AnyRule, table: Table) -> Column | None:
    if isinstance(rule, Rule) and rule.type in KEY_TYPES:
        if rule.type == "IsUnique":
            return None
        parts = [refusal(Rule("IsComplete", (name,), where=rule.where), table) for name in rule.parameters]
        return reduce(lambda left, right: left | right, parts)
    return refusal(rule, table)


def joined_reasons(reasons: Sequence[Column]) -> Column:
    """Joins the reasons that are there; null when there is none."""
    if not reasons:
        return F.lit(None).cast("string")
    none = reduce(lambda left, right: left & right, [reason.isNull() for reason in reasons])
    return F.when(none, F.lit(None).cast("string")).otherwise(F.concat_ws(BETWEEN_REASONS, *reasons))


def _refuse_repeats(judged: DataFrame, key: UniqueKey) -> DataFrame:
    """Refuses all valid rows but one among those with equal values; rows without a value are not compared."""
    compared = [F.col(f"t_{name}") for name in key.columns]
    looked_at = [F.col(REASONS).isNull(), *[column.isNotNull() for column in compared]]
    if key.where is not None:
        looked_at.append(F.col(key.flag))
    valid = reduce(lambda left, right: left & right, looked_at)
    valid_first = F.when(valid, F.lit(0)).otherwise(F.lit(1))
    order = Window.partitionBy(*compared).orderBy(valid_first, *newest_first(key.settle), FILE, ROW)
    reason = F.lit(key.reason) if key.settle is None else why_set_aside(key.settle, order)
    numbered = judged.withColumns({"_place": F.row_number().over(order), "_why": reason})
    refused = F.when(valid & (F.col("_place") > 1), F.col("_why")).otherwise(F.col(REASONS))
    return numbered.withColumn(REASONS, refused).drop("_place", "_why")
