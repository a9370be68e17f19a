"""The digest of rows depends on what they say, and on nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gapless_glue.contract import Column
from gapless_glue.digest import digest_sums, digest_text

COLUMNS = (
    Column("a", "int"), Column("b", "string"), Column("c", "double"), Column("d", "boolean"), Column("e", "timestamp"),
)  # fmt: skip
ROWS: list[tuple[Any, ...]] = [
    (1, "x", 0.5, True, 1_000_001),
    (2, None, -1e300, None, 0),
    (None, "ü", None, False, None),
    (1, "x", 0.5, True, 1_000_001),
]


def frame(spark: SparkSession, rows: list[tuple[Any, ...]]) -> DataFrame:
    texts = spark.createDataFrame(rows, "a int, b string, c double, d boolean, micros bigint")
    return texts.withColumn("e", F.expr("timestamp_micros(micros)"))


def digest(rows: DataFrame) -> str:
    found = rows.agg(F.count(F.lit(1)).alias("rows"), *digest_sums(COLUMNS)).collect()[0]
    return digest_text(COLUMNS, found["rows"], [found["sum_a"], found["sum_b"]])


def test_the_digest_of_known_rows_never_changes(spark: SparkSession) -> None:
    assert digest(frame(spark, ROWS)) == "28b8c3d0f3ec989a26bbda0f16658327e5385708b0ff53fa059a5d89e6a0f4d1"


def test_hashes_are_those_that_spark_documents(spark: SparkSession) -> None:
    assert spark.sql("select xxhash64('Spark', array(123), 2) as hash").collect()[0]["hash"] == 5602566077635097486


def test_order_and_partitions_do_not_count(spark: SparkSession) -> None:
    assert digest(frame(spark, ROWS[::-1]).repartition(3)) == digest(frame(spark, ROWS))


@pytest.mark.parametrize(
    "other",
    [
        ROWS[:3],
        [*ROWS, ROWS[0]],
        [(2, "x", 0.5, True, 1_000_001), *ROWS[1:]],
        [(1, "X", 0.5, True, 1_000_001), *ROWS[1:]],
        [(1, "x", 0.5000000000000001, True, 1_000_001), *ROWS[1:]],
        [(1, "x", 0.5, None, 1_000_001), *ROWS[1:]],
        [(1, "x", 0.5, True, 1_000_002), *ROWS[1:]],
        [ROWS[0], (2, None, -1e300, None, None), *ROWS[2:]],
    ],
)
def test_any_change_counts(spark: SparkSession, other: list[tuple[Any, ...]]) -> None:
    assert digest(frame(spark, other)) != digest(frame(spark, ROWS))


def test_a_missing_value_is_not_mixed_up_with_its_neighbour(spark: SparkSession) -> None:
    columns = (Column("a", "string"), Column("b", "string"))

    def of(first: str | None, second: str | None) -> list[Any]:
        rows = spark.createDataFrame([(first, second)], "a string, b string")
        return list(rows.agg(*digest_sums(columns)).collect()[0])

    assert len({str(of(*pair)) for pair in [("x", None), (None, "x"), ("x", ""), ("", "x"), (None, None)]}) == 5


def test_names_and_types_count() -> None:
    assert digest_text([Column("a", "int")], 1, [1, 2]) != digest_text([Column("a", "bigint")], 1, [1, 2])
    assert digest_text([Column("a", "int")], 1, [1, 2]) != digest_text([Column("b", "int")], 1, [1, 2])
