"""Joins what was known to what happened: each row gets the newest record that is not after the row. Pure functions of
DataFrames; ``features.py`` may use them too.

A join that takes a record whatever its time lets the future into the training set: the model then looks better than it
will ever be when it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

_KEY, _TIME, _KIND, _ROW, _RECORD = "_join_key", "_join_time", "_join_kind", "_join_row", "_join_record"


def newest_known(
    rows: DataFrame,
    records: DataFrame,
    *,
    row_key: str,
    row_time: str,
    record_key: str,
    record_time: str,
    values: Sequence[str],
    max_age: timedelta | None = None,
    found: str | None = None,
) -> DataFrame:
    """Adds to each row the values of the newest record of its key whose time is not after the row's.

    A row without such a record gets nulls; so does a row whose key or time is null. Every row stays, once. One sort by
    key and time, whatever the numbers of rows and records, so a few keys with very many rows take one worker each.

    Args:
        rows: What happened.
        records: What was known from when on; at most one record per key and time.
        row_key, row_time: Columns of the rows: text or whole number, and timestamp.
        record_key, record_time: The same of the records.
        values: The records' columns to add; the rows have none of these names.
        max_age: A record counts if it is at most that much older than the row. Default: however old.
        found: Name of one more column that says whether there was a record. Default: none.
    """
    wanted = records.select(F.col(record_time).alias(_TIME), *values)
    kept = records.filter(F.col(record_key).isNotNull() & F.col(record_time).isNotNull()).select(
        F.col(record_key).cast("string").alias(_KEY),
        F.col(record_time).alias(_TIME),
        F.lit(0).alias(_KIND),
        F.struct(F.col(record_time).alias(_TIME), *values).alias(_RECORD),
        F.lit(None).cast(rows.schema).alias(_ROW),
    )
    asked = rows.select(
        F.col(row_key).cast("string").alias(_KEY),
        F.col(row_time).alias(_TIME),
        F.lit(1).alias(_KIND),
        F.lit(None).cast(wanted.schema).alias(_RECORD),
        F.struct(*rows.columns).alias(_ROW),
    )
    until_now = Window.partitionBy(_KEY).orderBy(_TIME, _KIND).rowsBetween(Window.unboundedPreceding, 0)
    joined = kept.union(asked).withColumn(_RECORD, F.last(_RECORD, ignorenulls=True).over(until_now))
    counts = _counts(max_age)
    added = [F.when(counts, F.col(f"{_RECORD}.{name}")).alias(name) for name in values]
    flag = [] if found is None else [counts.alias(found)]
    return joined.filter(F.col(_KIND) == 1).select(f"{_ROW}.*", *added, *flag)


def settled(
    history: DataFrame, *, key: str, time: str, latest_by: Sequence[str] = ("api_invocation_time", "write_time")
) -> DataFrame:
    """Returns the records of an offline store as they stand: one per key and time, the last one put.

    The offline store keeps every call, so that a record which was put twice is there twice. Marks of deletions are
    left out.

    Args:
        history: Rows as the offline store holds them.
        key, time: The columns that name the thing and say from when on the record holds.
        latest_by: Of rows with the same key and time, the greatest by these columns counts.
    """
    newest_first = Window.partitionBy(key, time).orderBy(*[F.col(name).desc() for name in latest_by])
    numbered = history.withColumn(_KIND, F.row_number().over(newest_first)).filter(F.col(_KIND) == 1)
    return numbered.filter(~F.col("is_deleted")).drop(_KIND, "is_deleted", *latest_by)


def _counts(max_age: timedelta | None) -> Column:
    """Whether a row has a record that is not too old; a row without a time is sorted before every record."""
    has = F.col(_RECORD).isNotNull()
    if max_age is None:
        return has
    age = F.expr(f"unix_micros({_TIME}) - unix_micros({_RECORD}.{_TIME})")
    return has & (age <= F.lit(max_age // timedelta(microseconds=1)))
