"""The join that keeps the future out of a training set."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.metrics import roc_auc_score

from gapless_glue.point_in_time import newest_known, settled

START = datetime(2024, 1, 1, tzinfo=UTC)
ROWS = "id string, who string, at timestamp"
RECORDS = "name string, since timestamp, mood string, level int"


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def joined(rows: DataFrame, records: DataFrame, **options: Any) -> dict[str, dict[str, Any]]:
    result = newest_known(
        rows,
        records,
        row_key="who",
        row_time="at",
        record_key="name",
        record_time="since",
        values=["mood", "level"],
        **options,
    )
    return {row["id"]: row.asDict() for row in result.collect()}


@pytest.fixture
def records(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(
        [("ann", at(0), "calm", 1), ("ann", at(60), None, 2), ("ann", at(120), "cross", 3), ("bob", at(30), "glad", 9)],
        RECORDS,
    )


def test_a_row_gets_the_newest_record_that_is_not_after_it(spark: SparkSession, records: DataFrame) -> None:
    rows = spark.createDataFrame(
        [("before", "ann", at(-1)), ("same", "ann", at(0)), ("between", "ann", at(119.9)), ("after", "ann", at(500))],
        ROWS,
    )
    found = joined(rows, records)
    assert {name: (row["mood"], row["level"]) for name, row in found.items()} == {
        "before": (None, None),
        "same": ("calm", 1),
        "between": (None, 2),
        "after": ("cross", 3),
    }
    assert found["between"]["at"].replace(tzinfo=UTC) == at(119.9)


def test_every_row_stays_once_whatever_its_key_and_time(spark: SparkSession, records: DataFrame) -> None:
    rows = spark.createDataFrame(
        [("twin", "bob", at(40)), ("twin", "bob", at(40)), ("nobody", None, at(40)), ("never", "bob", None)], ROWS
    )
    result = newest_known(
        rows,
        records.union(spark.createDataFrame([(None, at(1), "lost", 0), ("bob", None, "timeless", 0)], RECORDS)),
        row_key="who",
        row_time="at",
        record_key="name",
        record_time="since",
        values=["level"],
        found="known",
    )
    assert result.columns == ["id", "who", "at", "level", "known"]
    told = sorted((row["id"], row["level"], row["known"]) for row in result.fillna(-1, ["level"]).collect())
    assert told == [("never", -1, False), ("nobody", -1, False), ("twin", 9, True), ("twin", 9, True)]


def test_a_record_that_is_too_old_counts_as_none(spark: SparkSession, records: DataFrame) -> None:
    rows = spark.createDataFrame([("young", "bob", at(90)), ("old", "bob", at(90.001))], ROWS)
    found = joined(rows, records, max_age=timedelta(hours=1), found="known")
    assert {name: (row["level"], row["known"]) for name, row in found.items()} == {
        "young": (9, True),
        "old": (None, False),
    }


def test_whole_numbers_find_each_other_whatever_their_width(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(7, at(1))], "who bigint, at timestamp")
    records = spark.createDataFrame([(7, at(0), 5)], "name int, since timestamp, level int")
    result = newest_known(
        rows,
        records,
        row_key="who",
        row_time="at",
        record_key="name",
        record_time="since",
        values=["level"],
    )
    assert [row["level"] for row in result.collect()] == [5]


def test_the_history_settles_to_the_last_record_put_for_a_time(spark: SparkSession) -> None:
    history = spark.createDataFrame(
        [
            ("ann", "2024-01-01T00:00:00.000Z", 1, at(0), at(5), False),
            ("ann", "2024-01-01T00:00:00.000Z", 2, at(1), at(5), False),
            ("ann", "2024-01-01T00:00:00.000Z", 3, at(1), at(4), False),
            ("bob", "2024-01-01T00:00:00.000Z", None, at(1), at(4), True),
        ],
        "name string, since string, level int, api_invocation_time timestamp, write_time timestamp, is_deleted boolean",
    )
    rows = settled(history, key="name", time="since").collect()
    assert [row.asDict() for row in rows] == [{"name": "ann", "since": "2024-01-01T00:00:00.000Z", "level": 2}]


def test_a_join_that_looks_into_the_future_has_a_better_score_than_it_will_keep(spark: SparkSession) -> None:
    """A parcel is late on days on which its depot is overworked, and what a depot did is known on the next morning.

    The share of late parcels per depot and day says a lot about the parcels of the same day and nothing about those of
    the next, since days are independent here. So every model that can use it before its time has learnt from the
    answers.
    """
    days, per_day, depots = 100, 8, ("east", "west", "south")
    chance = random.Random(7)  # noqa: S311 - data for a test
    parcels, shares = [], []
    for day in range(days):
        for depot in depots:
            risk = chance.choice((0.15, 0.85))
            outcomes = [chance.random() < risk for _ in range(per_day)]
            noon = at(day * 24 * 60 + 12 * 60)
            parcels += [(f"{depot}-{day}-{each}", depot, noon, late) for each, late in enumerate(outcomes)]
            shares.append((depot, at(day * 24 * 60), at((day + 1) * 24 * 60), sum(outcomes) / per_day))
    rows = spark.createDataFrame(parcels, "id string, depot string, sent timestamp, late boolean")
    records = spark.createDataFrame(shares, "depot string, day timestamp, known_at timestamp, late_share double")

    of_day = records.select(F.col("depot").alias("_depot"), F.col("day").alias("_day"), "late_share")
    naive = rows.join(
        of_day, (F.col("depot") == F.col("_depot")) & (F.date_trunc("day", F.col("sent")) == F.col("_day")), "left"
    )
    honest = newest_known(
        rows,
        records,
        row_key="depot",
        row_time="sent",
        record_key="depot",
        record_time="known_at",
        values=["late_share"],
    )

    def score(table: DataFrame) -> float:
        found = table.filter(F.col("late_share").isNotNull()).select("late", "late_share").collect()
        return float(roc_auc_score([row["late"] for row in found], [row["late_share"] for row in found]))

    assert score(naive) > 0.85
    assert 0.45 < score(honest) < 0.55
