"""Feature groups: records made once, for the dataset, the history and the online store alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from gapless_glue.bundle import Bundle
from gapless_glue.contract import Contract, FeatureGroup
from gapless_glue.dataset import DROPPED, EVENT_TIME, called, check_columns, instant_column
from gapless_glue.errors import BadBundle, BadRecords
from gapless_glue.point_in_time import newest_known

NO_KEY = "no key"
NO_TIME = "no event time"
NOT_YET = "after as_of"
_REASON = "_no_record"


@dataclass(frozen=True)
class Records:
    """The records of one group, as a run wrote them.

    Attributes:
        location: Where they lie, with a ``/`` at its end.
        rows: One per key and event time.
        written: How many there are.
        dropped: Reason → how many cannot be records.
    """

    location: str
    rows: DataFrame
    written: int
    dropped: Mapping[str, int]

    def told(self) -> dict[str, Any]:
        """What report and manifest say of them."""
        return {"location": self.location, "records": self.written, "dropped": dict(self.dropped)}


def instant_text(column: str) -> Column:
    """An instant as the Feature Store takes it, ``2013-01-31T10:00:00.000Z``; the session's time zone must be UTC."""
    return F.date_format(F.col(column), "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'").alias(column)


def records_schema(group: FeatureGroup) -> str:
    """The columns of a group's records, as DDL."""
    return ", ".join(f"`{column.name}` {column.type}" for column in group.columns)


def write_records(
    contract: Contract, bundle: Bundle, tables: Mapping[str, DataFrame], place: Callable[[str], str], as_of: datetime
) -> dict[str, Records]:
    """Makes and writes the records of every group.

    Args:
        tables: Source → its valid rows, with every column.
        place: Group → where its records go.
        as_of: The instant that stands for now. A record from after it would hide, online, the one that holds until
            then.

    Raises:
        BadBundle: ``features.py`` lacks a function, the function fails, or its result lacks a column.
        BadRecords: A thing has two records at one time.
    """
    groups = contract.feature_groups
    return {
        group.name: _write(group, make_records(group, bundle, tables), place(group.name), as_of) for group in groups
    }


def _write(group: FeatureGroup, records: DataFrame, location: str, as_of: datetime) -> Records:
    made = records.withColumn(_REASON, _why_none(group, as_of))
    counts = {row[_REASON]: int(row["rows"]) for row in made.groupBy(_REASON).agg(F.count("*").alias("rows")).collect()}
    kept = made.filter(F.col(_REASON).isNull()).drop(_REASON)
    _check_one_per_time(group, kept)
    kept.write.mode("overwrite").parquet(location)
    written = counts.pop(None, 0)
    rows = kept.sparkSession.read.schema(records_schema(group)).parquet(location) if written else kept
    return Records(location, rows, written, dict(sorted(counts.items())))


def make_records(group: FeatureGroup, bundle: Bundle, tables: Mapping[str, DataFrame]) -> DataFrame:
    """Returns the records of a group in the contract's columns, in the form in which every store gives them back.

    The Feature Store's times have milliseconds, and it knows neither NaN nor infinity: those are missing values.

    Raises:
        BadBundle: As ``write_records``.
    """
    if group.source is not None:
        made = tables[group.source]
    else:
        function = bundle.records.get(group.name)
        if function is None:
            raise BadBundle(f"features.py has no function {group.name}_records, and the feature group has no source")
        made = called(f"{group.name}_records", lambda make: make(tables), function)
    check_columns(f"{group.name}_records", made, [column.name for column in group.columns])
    key = F.col(group.key.name).cast(group.key.type)
    named = F.when(key.cast("string") != "", key).alias(group.key.name)
    time = F.date_trunc("millisecond", F.col(group.event_time).cast("timestamp")).alias(group.event_time)
    return made.select(named, time, *[_value(column.name, column.type) for column in group.features])


def _value(name: str, kind: str) -> Column:
    value = F.col(name).cast(kind)
    if kind == "double":
        value = F.when(F.abs(value) < F.lit(float("inf")), value)
    return value.alias(name)


def _why_none(group: FeatureGroup, as_of: datetime) -> Column:
    key, time = F.col(group.key.name), F.col(group.event_time)
    reason = F.when(key.isNull(), F.lit(NO_KEY)).when(time.isNull(), F.lit(NO_TIME))
    return reason.when(time > instant_column(as_of), F.lit(NOT_YET))


def _check_one_per_time(group: FeatureGroup, records: DataFrame) -> None:
    together = records.groupBy(group.key.name, group.event_time).agg(F.count("*").alias("rows"))
    first = together.filter(F.col("rows") > 1).orderBy(group.key.name, group.event_time).limit(1)
    twice = first.select(group.key.name, instant_text(group.event_time), "rows").collect()
    if twice:
        found = twice[0]
        raise BadRecords(
            f"feature group {group.name}: {found['rows']} records of {group.key.name} {found[group.key.name]!r} at "
            f"{found[group.event_time]}; allowed is one, times counted in milliseconds"
        )


def join_groups(contract: Contract, primary: DataFrame, records: Mapping[str, Records]) -> DataFrame:
    """Adds the features of every group to the primary source's rows, as they were known at each row's event time.

    A row without a record gets what the group's fallback says; one that may not have a place in the dataset gets a
    reason for being dropped.
    """
    for group in contract.feature_groups:
        primary = _join(group, primary, records[group.name].rows)
    return primary


def _join(group: FeatureGroup, primary: DataFrame, records: DataFrame) -> DataFrame:
    names, found = [column.name for column in group.features], f"_found_{group.name}"
    joined = newest_known(
        primary,
        records,
        row_key=group.joined_on,
        row_time=EVENT_TIME,
        record_key=group.key.name,
        record_time=group.event_time,
        values=names,
        max_age=None if group.max_age_minutes is None else timedelta(minutes=group.max_age_minutes),
        found=found,
    )
    if group.fallback == "default":
        joined = joined.withColumns(
            {
                column.name: F.when(F.col(found), F.col(column.name)).otherwise(
                    F.lit(group.defaults[column.name]).cast(column.type)
                )
                for column in group.features
            }
        )
    if group.fallback == "refuse":
        missing = F.when(~F.col(found), F.lit(f"no record of {group.name}"))
        joined = joined.withColumn(DROPPED, F.coalesce(F.col(DROPPED), missing))
    return joined.drop(found)
