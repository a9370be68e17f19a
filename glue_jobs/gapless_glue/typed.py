"""From text to types: each row is either valid and typed, or refused with its reasons.

All conditions are written so that Spark 3.5 and Sail agree: a value's form is checked by a plain regular expression
first, and only then cast.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from gapless_glue.contract import Source
from gapless_glue.landing import FILE, PROBLEM, ROW, SOURCE_KEY
from gapless_glue.rules import Rule

REASONS = "_reasons"
BETWEEN_REASONS = "; "
OFFSET = "(Z|[+-][0-9]{2}:[0-9]{2})$"
TIME = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?$"
NO_SECONDS = "^.{16}(Z|[+-][0-9]{2}:[0-9]{2})$"
MIDNIGHT_24 = "^.{10}[T ]24:00(:00([.]0+)?)?(Z|[+-][0-9]{2}:[0-9]{2})?$"


def staged_schema(source: Source) -> str:
    """The columns of staged rows, as DDL."""
    texts = [f"`{name}` string" for name in source.names]
    return ", ".join([*texts, f"{SOURCE_KEY} string", f"{ROW} bigint", f"{FILE} int", f"{PROBLEM} string"])


def validated_schema(source: Source) -> str:
    """The columns of validated rows, as DDL."""
    typed = [f"`{column.name}` {column.type}" for column in source.columns]
    return ", ".join([*typed, f"{SOURCE_KEY} string", f"{ROW} bigint"])


def judge(staged: DataFrame, source: Source, rules: Sequence[Rule]) -> DataFrame:
    """Adds to staged rows of text their typed columns ``t_<name>`` and ``_reasons``, null for a valid row.

    Of rows with the same key (or the same value of a unique column) the first valid one in the batch's canonical
    order stays. A line that did not fit the table has that one reason.
    """
    present = [_present(name, source).alias(f"v_{name}") for name in source.names]
    texts = staged.select("*", *present)
    typed = texts.select(
        *source.names, SOURCE_KEY, ROW, FILE, PROBLEM, *[f"v_{name}" for name in source.names], *_casts(source)
    )
    row_rules = [rule for rule in rules if rule.is_about_rows]
    own = _joined([*_type_reasons(source), *_key_reasons(source), *_rule_reasons(row_rules)])
    judged = typed.withColumn(REASONS, F.coalesce(F.col(PROBLEM), own))
    unique = [(f"rule {rule.text}", [rule.column]) for rule in row_rules if rule.name == "IsUnique" and rule.column]
    keys = [(f"duplicate key ({', '.join(source.key)})", list(source.key))] if source.key else []
    for reason, columns in keys + unique:
        judged = _refuse_repeats(judged, columns, reason)
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
        F.expr(_cast(f"`v_{column.name}`", column.type, source.time_zone)).alias(f"t_{column.name}")
        for column in source.columns
    ]


def _cast(text: str, kind: str, time_zone: str) -> str:
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


def _type_reasons(source: Source) -> list[Column]:
    return [
        F.when(
            F.col(f"v_{column.name}").isNotNull() & F.col(f"t_{column.name}").isNull(),
            F.lit(f"column {column.name} is not {column.type}"),
        )
        for column in source.columns
        if column.type != "string"
    ]


def _key_reasons(source: Source) -> list[Column]:
    return [
        F.when(F.col(f"v_{name}").isNull(), F.lit(f"column {name} is missing, it is part of the key"))
        for name in source.key
    ]


def _rule_reasons(rules: Sequence[Rule]) -> list[Column]:
    return [
        F.when(rule.broken_by(F.col(f"t_{rule.column}")), F.lit(f"rule {rule.text}"))
        for rule in rules
        if rule.name != "IsUnique"
    ]


def _joined(reasons: Sequence[Column]) -> Column:
    """Joins the reasons that are there; null when there is none."""
    if not reasons:
        return F.lit(None).cast("string")
    none = reduce(lambda left, right: left & right, [reason.isNull() for reason in reasons])
    return F.when(none, F.lit(None).cast("string")).otherwise(F.concat_ws(BETWEEN_REASONS, *reasons))


def _refuse_repeats(judged: DataFrame, columns: Sequence[str], reason: str) -> DataFrame:
    """Refuses all valid rows but the first among those with equal values; rows without a value are not compared."""
    compared = [F.col(f"t_{name}") for name in columns]
    valid = reduce(lambda left, right: left & right, [F.col(REASONS).isNull(), *[c.isNotNull() for c in compared]])
    valid_first = Window.partitionBy(*compared).orderBy(F.when(valid, F.lit(0)).otherwise(F.lit(1)), FILE, ROW)
    numbered = judged.withColumn("_place", F.row_number().over(valid_first))
    refused = F.when(valid & (F.col("_place") > 1), F.lit(reason)).otherwise(F.col(REASONS))
    return numbered.withColumn(REASONS, refused).drop("_place")
