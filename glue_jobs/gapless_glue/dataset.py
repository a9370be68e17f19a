"""From validated tables to a dataset: derived columns, features, cleaning, splits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from constructs_lib.names.problems import BINARY
from gapless_glue.bundle import Bundle
from gapless_glue.contract import Column as ContractColumn
from gapless_glue.contract import Contract
from gapless_glue.errors import BadBundle
from gapless_glue.splits import PeriodCount, SplitPlan

EVENT_TIME = "_event_time"
ROW_ID = "_row_id"
TARGET = "_target"
DROPPED = "_dropped"
MICROSECONDS_PER_HOUR = 3_600_000_000
ROWS_PER_FILE = 1_000_000
MOST_FILES = 64

NOTHING = ""
"""What ``_target`` holds in every row of a problem without a target."""

NO_TARGET = "no outcome (target missing)"
NO_EVENT_TIME = "no event time"
NOT_YET = "not before as_of"
TOO_OLD = "before the window"


def primary_rows(contract: Contract, bundle: Bundle, primary: DataFrame, as_of: datetime) -> DataFrame:
    """Adds to the primary source's rows their time, id, target and why they are dropped; takes away the future.

    After this step no column is left that is known only after the event, except ``_target``.

    Raises:
        BadBundle: ``features.py`` does not derive what the contract says.
    """
    derived = _derived(contract, bundle, primary)
    source = contract.primary_source
    row_id = F.concat_ws("|", *[F.col(name).cast("string") for name in source.key])
    told = derived.withColumns({ROW_ID: row_id, EVENT_TIME: F.col(contract.event_time), TARGET: _target(contract)})
    later = [column.name for column in contract.target_columns] + list(source.known_later)
    return told.withColumn(DROPPED, _why_dropped(contract, as_of)).drop(*later)


def _target(contract: Contract) -> Column:
    """The target in its type; a number that is not finite is missing. Without a target there is nothing to miss."""
    for column in contract.target_columns:
        value = F.col(column.name).cast(column.type)
        return F.when(F.abs(value) < F.lit(math.inf), value) if column.type == "double" else value
    return F.lit(NOTHING)


def _derived(contract: Contract, bundle: Bundle, primary: DataFrame) -> DataFrame:
    if not contract.derived:
        return primary
    if bundle.derive is None:
        raise BadBundle("features.py has no function derive, and workload.yaml has derived columns")
    derived = called("derive", lambda derive: derive(primary), bundle.derive)
    check_columns("derive", derived, [column.name for column in contract.derived])
    return derived


def _why_dropped(contract: Contract, as_of: datetime) -> Column:
    """The first reason why a row cannot be used; null for a row that can."""
    time = F.col(EVENT_TIME)
    reason = F.when(time.isNull(), F.lit(NO_EVENT_TIME)).when(time >= instant_column(as_of), F.lit(NOT_YET))
    start = window_start(contract, as_of)
    if start is not None:
        reason = reason.when(time < instant_column(start), F.lit(TOO_OLD))
    return reason.when(F.col(TARGET).isNull(), F.lit(NO_TARGET))


def window_start(contract: Contract, as_of: datetime) -> datetime | None:
    """Returns from when on events are used; None for all. Where rows are kept by day, a day is in or out as a whole."""
    if contract.window_days is None:
        return None
    start = as_of - timedelta(days=contract.window_days)
    return start.replace(hour=0, minute=0, second=0, microsecond=0) if contract.accumulates else start


def known_in_time(contract: Contract, tables: Mapping[str, DataFrame]) -> dict[str, DataFrame]:
    """Returns tables without the columns that are known only later."""
    return {name: rows.drop(*contract.sources[name].known_later) for name, rows in tables.items()}


def feature_rows(contract: Contract, bundle: Bundle, tables: Mapping[str, DataFrame]) -> DataFrame:
    """Returns the rows of the dataset: features, target, ``_event_time``, ``_row_id``; dropped rows are gone.

    Args:
        tables: Source → rows known in time; the primary source's rows come from ``primary_rows``.

    Raises:
        BadBundle: ``features.py`` fails, or its result lacks a feature.
    """
    rows = tables[contract.primary]
    if bundle.features is not None:
        rows = called("features", lambda features: features(tables), bundle.features)
    check_columns(
        "features", rows, [*[column.name for column in contract.features], EVENT_TIME, ROW_ID, TARGET, DROPPED]
    )
    features = [F.col(column.name).cast(column.type).alias(column.name) for column in contract.features]
    return rows.filter(F.col(DROPPED).isNull()).select(*features, *named_target(contract), EVENT_TIME, ROW_ID)


def named_target(contract: Contract) -> list[Column]:
    """The target under its own name, or nothing."""
    return [F.col(TARGET).alias(column.name) for column in contract.target_columns]


def write_features(
    contract: Contract,
    bundle: Bundle,
    tables: Mapping[str, DataFrame],
    as_of: datetime,
    folder_uri: str,
    more: Callable[[DataFrame], DataFrame] = lambda primary: primary,
    answered: Callable[[DataFrame], DataFrame] = lambda rows: rows,
) -> dict[str | None, int]:
    """Writes the features of all usable rows to a new folder.

    Args:
        tables: Source → validated rows.
        more: Adds columns to the primary source's rows before ``features.py`` sees them. Default: none.
        answered: Puts people's answers into the rows before they are written. Default: there are none.

    Returns:
        Rows of the primary source per reason for dropping them; None stands for the rows that were kept.

    Raises:
        BadBundle: ``features.py`` does not do what the contract says.
    """
    primary = more(primary_rows(contract, bundle, tables[contract.primary], as_of))
    dropped = count_dropped(primary)
    rows = feature_rows(contract, bundle, known_in_time(contract, tables) | {contract.primary: primary})
    answered(rows).coalesce(files_for(dropped.get(None, 0))).write.mode("overwrite").parquet(folder_uri)
    return dropped


def files_for(rows: int) -> int:
    """How many files a table of so many rows is written to, at most (an engine may make a few more)."""
    return max(1, min(MOST_FILES, -(-rows // ROWS_PER_FILE)))


def dataset_columns(contract: Contract) -> tuple[ContractColumn, ...]:
    """The columns of a dataset, in order."""
    own = (ContractColumn(EVENT_TIME, "timestamp"), ContractColumn(ROW_ID, "string"))
    return contract.features + contract.target_columns + own


def dataset_schema(contract: Contract) -> str:
    """The columns of a dataset, as DDL."""
    return ", ".join(f"`{column.name}` {column.type}" for column in dataset_columns(contract))


def count_dropped(rows: DataFrame) -> dict[str | None, int]:
    """Counts rows per reason for dropping them; None stands for the rows that stay."""
    counted = rows.groupBy(DROPPED).agg(F.count(F.lit(1)).alias("rows"))
    return {row[DROPPED]: int(row["rows"]) for row in counted.collect()}


def positive(contract: Contract) -> Column:
    """1 for a row in which the target holds and 0 for another; null where the target is no yes or no."""
    if contract.problem == BINARY and contract.target is not None:
        return F.col(contract.target).cast("int")
    return F.lit(None).cast("int")


def count_hours(rows: DataFrame, contract: Contract) -> list[PeriodCount]:
    """Counts rows and positives per hour (UTC)."""
    time = F.expr(f"unix_micros({EVENT_TIME})")
    hour = F.floor(F.col("time") / F.lit(MICROSECONDS_PER_HOUR)).cast("bigint")
    counted = (
        rows.select(time.alias("time"), positive(contract).alias("label"))
        .groupBy(hour.alias("hour"))
        .agg(
            F.count(F.lit(1)).alias("rows"),
            F.sum("label").alias("positives"),
            F.min("time").alias("first"),
            F.max("time").alias("last"),
        )
    )
    return [
        PeriodCount(row["hour"], row["rows"], row["positives"], row["first"], row["last"]) for row in counted.collect()
    ]


def split_rows(rows: DataFrame, plan: SplitPlan) -> DataFrame:
    """Returns the rows of one split, ordered by time and id."""
    time = F.col(EVENT_TIME)
    chosen = rows.filter(
        (time >= F.timestamp_seconds(F.lit(plan.start))) & (time < F.timestamp_seconds(F.lit(plan.end)))
    )
    return chosen.orderBy(EVENT_TIME, ROW_ID)


def instant_column(moment: datetime) -> Column:
    """Returns an instant as a literal that no session time zone can move."""
    return F.expr(f"timestamp_micros({round(moment.timestamp() * 1_000_000)})")


def called(
    name: str, call: Callable[[Callable[..., DataFrame]], DataFrame], function: Callable[..., DataFrame]
) -> DataFrame:
    """Calls a function of ``features.py`` and looks at its columns, so that a mistake is reported as the bundle's."""
    try:
        result = call(function)
        _ = result.columns
    except Exception as error:
        raise BadBundle(f"features.py: {name} failed: {type(error).__name__}: {error}") from error
    return result


def check_columns(name: str, rows: DataFrame, wanted: Sequence[str]) -> None:
    absent = [column for column in wanted if column not in rows.columns]
    if absent:
        raise BadBundle(f"features.py: the result of {name} has no column {', '.join(absent)}")
