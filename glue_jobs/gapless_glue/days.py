"""Rows of a dataset by day (UTC) of their event, in files that never change once they are written.

A dataset that accumulates is a list of such days. A batch rewrites the days that it brings rows of, from the earlier
rows and its own, and refers to the files of all others; so it costs what it brings, not what is stored.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from constructs_lib.names.batch import canonical_json
from gapless_glue import store
from gapless_glue.contract import Contract
from gapless_glue.dataset import EVENT_TIME, ROW_ID, dataset_columns, dataset_schema, files_for, positive
from gapless_glue.digest import MODULUS, digest_sums
from gapless_glue.errors import RowsLost
from gapless_glue.splits import DAY, PeriodCount

EVENT_DAY = "event_day"
FIRST = date(1970, 1, 1)


@dataclass(frozen=True)
class Day:
    """The rows of one day.

    Attributes:
        day: Such as ``2013-05-01``.
        location: The folder of its files.
        files: Their names in it.
        rows, positives: How many rows, and in how many the target holds; None where it is no yes or no.
        first, last: Event times in microseconds since 1970.
        sums: Both sums of the rows' canonical hashes, modulo 2**64 (see ``digest``).
    """

    day: str
    location: str
    files: tuple[str, ...]
    rows: int
    positives: int | None
    first: int
    last: int
    sums: tuple[int, int]

    @property
    def uris(self) -> list[str]:
        """Where its files are."""
        return [f"{self.location}{name}" for name in self.files]

    @property
    def count(self) -> PeriodCount:
        """What splits are planned by."""
        return PeriodCount(number_of(self.day), self.rows, self.positives, self.first, self.last)


Days = Mapping[str, Day]


@dataclass(frozen=True)
class Change:
    """What rows came to a list of days.

    Attributes:
        days: The days as they are now.
        rewritten: Those that were written anew, in order.
        added: How many rows came.
        replaced: How many earlier rows gave way to one of the same id.
        read: How many earlier rows were read for it.
    """

    days: Days
    rewritten: Sequence[str]
    added: int
    replaced: int
    read: int


def read_days(uri: str) -> dict[str, Day]:
    """Reads a list of days that ``write_days`` wrote."""
    found = [
        Day(**{**item, "files": tuple(item["files"]), "sums": tuple(item["sums"])})
        for item in json.loads(store.read(uri))["days"]
    ]
    return {day.day: day for day in found}


def write_days(uri: str, days: Days) -> None:
    """Writes a list of days, in order."""
    store.store_of(uri).write(uri, canonical_json({"days": [asdict(days[name]) for name in sorted(days)]}))


def number_of(day: str) -> int:
    """Returns the days since 1970 of a day such as ``2013-05-01``."""
    return (date.fromisoformat(day) - FIRST).days


def since(days: Days, start: datetime | None) -> dict[str, Day]:
    """Returns the days that begin at an instant or later; all without one."""
    if start is None:
        return dict(days)
    return {name: day for name, day in days.items() if number_of(name) * DAY >= start.timestamp()}


def read_rows(spark: SparkSession, contract: Contract, days: Iterable[Day]) -> DataFrame:
    """Reads the rows of some days; there must be one at least."""
    uris = [uri for day in days for uri in day.uris]
    return spark.read.schema(dataset_schema(contract)).parquet(*uris)


def days_with(spark: SparkSession, contract: Contract, days: Days, ids: DataFrame) -> list[Day]:
    """Returns the days that have rows of these ids, in order; only ids and times of the days are read.

    Args:
        ids: One column, ``_row_id``.
    """
    if not days:
        return []
    known = read_rows(spark, contract, days.values()).select(ROW_ID, EVENT_TIME)
    return [days[name] for name in sorted(_count_days(known.join(ids, ROW_ID, "left_semi")))]


def add_rows(spark: SparkSession, contract: Contract, days: Days, rows: DataFrame, folder_uri: str) -> Change:
    """Adds rows to days; a row takes the place of an earlier one with its id that lies near enough.

    Args:
        contract: The workload's.
        days: The days until now. Their files stay as they are.
        rows: What comes, with the columns of a dataset and without repeated ids; it is read several times.
        folder_uri: Where the days that change are written, each to its own folder; it must be empty.

    Raises:
        RowsLost: The days that were written do not have the rows that came and those that stayed.
    """
    new = _count_days(rows)
    near = [day for name, day in days.items() if _is_near(name, new, contract.repeats_within_days)]
    ids = rows.select(ROW_ID)
    repeated = _count_days(read_rows(spark, contract, near).join(ids, ROW_ID, "left_semi")) if near else {}
    rewritten = sorted({*new, *repeated})
    old = [days[name] for name in rewritten if name in days]
    merged = rows
    if old:
        merged = rows.unionByName(read_rows(spark, contract, old).join(ids, ROW_ID, "left_anti"))
    expected = {
        name: new.get(name, 0) + (days[name].rows if name in days else 0) - repeated.get(name, 0) for name in rewritten
    }
    _write_by_day(merged, max(expected.values(), default=0), folder_uri)
    written = _measure(spark, contract, folder_uri)
    found = {name: day.rows for name, day in written.items()}
    wanted = {name: count for name, count in expected.items() if count}
    if found != wanted:
        raise RowsLost(_difference(wanted, found))
    kept = {name: day for name, day in days.items() if name not in expected}
    return Change(
        days={**kept, **written},
        rewritten=sorted(written),
        added=sum(new.values()),
        replaced=sum(repeated.values()),
        read=sum(day.rows for day in near),
    )


def event_day() -> Column:
    """The day (UTC) of a row's event, as a text."""
    return F.col(EVENT_TIME).cast("date").cast("string")


def _is_near(name: str, days: Collection[str], reach: int) -> bool:
    around = date.fromisoformat(name)
    return any((around + timedelta(days=offset)).isoformat() in days for offset in range(-reach, reach + 1))


def _count_days(rows: DataFrame) -> dict[str, int]:
    counted = rows.groupBy(event_day().alias(EVENT_DAY)).agg(F.count(F.lit(1)).alias("rows"))
    return {row[EVENT_DAY]: int(row["rows"]) for row in counted.collect()}


def _write_by_day(rows: DataFrame, most: int, folder_uri: str) -> None:
    """Writes each day to its own folder, in as few files as the largest of them needs."""
    part = F.pmod(F.xxhash64(F.col(ROW_ID)), F.lit(files_for(most)))
    placed = rows.withColumn(EVENT_DAY, event_day()).repartition(EVENT_DAY, part)
    ordered = placed.sortWithinPartitions(EVENT_DAY, EVENT_TIME, ROW_ID)
    ordered.write.mode("overwrite").partitionBy(EVENT_DAY).parquet(folder_uri)


def _measure(spark: SparkSession, contract: Contract, folder_uri: str) -> dict[str, Day]:
    """Reads back the days of a folder, in one pass."""
    files: dict[str, list[str]] = {}
    for uri in store.store_of(folder_uri).list(folder_uri):
        folder, _, name = uri.removeprefix(folder_uri).rpartition("/")
        if name.endswith(".parquet"):
            files.setdefault(folder.removeprefix(f"{EVENT_DAY}="), []).append(name)
    places = {name: f"{folder_uri}{EVENT_DAY}={name}/" for name in files}
    uris = [f"{places[name]}{file}" for name, found in files.items() for file in found]
    time = F.expr(f"unix_micros({EVENT_TIME})")
    counted = (
        spark.read.schema(dataset_schema(contract))
        .parquet(*uris)
        .groupBy(event_day().alias(EVENT_DAY))
        .agg(
            F.count(F.lit(1)).alias("rows"),
            F.sum(positive(contract)).alias("positives"),
            F.min(time).alias("first"),
            F.max(time).alias("last"),
            *digest_sums(dataset_columns(contract)),
        )
    )
    return {
        row[EVENT_DAY]: Day(
            day=row[EVENT_DAY],
            location=places[row[EVENT_DAY]],
            files=tuple(sorted(files[row[EVENT_DAY]])),
            rows=int(row["rows"]),
            positives=row["positives"],
            first=row["first"],
            last=row["last"],
            sums=(int(row["sum_a"]) % MODULUS, int(row["sum_b"]) % MODULUS),
        )
        for row in counted.collect()
    }


def _difference(wanted: Mapping[str, int], found: Mapping[str, int]) -> str:
    pairs = {name: (wanted.get(name, 0), found.get(name, 0)) for name in sorted({*wanted, *found})}
    return ", ".join(f"{name}: {due} rows were due, {there} are written" for name, (due, there) in pairs.items())
