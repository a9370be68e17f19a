"""Text becomes types, and a row that does not is refused with its reasons."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest
from pyspark.sql import SparkSession

from gapless_glue.contract import Column, Source
from gapless_glue.typed import judge, staged_schema

Judge = Callable[..., list[dict[str, Any]]]


def source(kinds: dict[str, str], **other: Any) -> Source:
    columns = tuple(Column(name, kind) for name, kind in kinds.items())
    defaults: dict[str, Any] = {"time_zone": "America/New_York", "key": (), "known_later": (), "missing": ("", "NA")}
    return Source(name="things", columns=columns, **{**defaults, **other})


@pytest.fixture
def judged(spark: SparkSession) -> Judge:
    """Judges rows of text of one source; each row comes back as a dict with ``t_…`` values and ``_reasons``."""

    def call(table: Source, rows: Sequence[Sequence[str | None]], problem: str | None = None) -> list[dict[str, Any]]:
        staged = spark.createDataFrame(
            [(*row, "things.csv", number + 2, 0, problem) for number, row in enumerate(rows)], staged_schema(table)
        )
        return [row.asDict() for row in judge(staged, table, []).orderBy("_row").collect()]

    return call


CASES: list[tuple[str, str, Any]] = [
    ("int", "12", 12), ("int", " 12 ", 12), ("int", "-7", -7), ("int", "+7", 7), ("int", "007", 7),
    ("int", "2147483647", 2147483647),
    ("bigint", "9223372036854775807", 9223372036854775807),
    ("double", "1.5", 1.5), ("double", "-.5", -0.5), ("double", "1e3", 1000.0), ("double", "3.", 3.0),
    ("boolean", "TRUE", True), ("boolean", "false", False), ("boolean", "1", True), ("boolean", "0", False),
    ("date", "2013-02-28", date(2013, 2, 28)),
    ("string", " NA ", " NA "), ("string", "O'Hare \"ORD\"", "O'Hare \"ORD\""), ("string", "two\nlines", "two\nlines"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "value"), CASES)
def test_reads_a_value(judged: Judge, kind: str, text: str, value: object) -> None:
    row = judged(source({"a": kind}), [[text]])[0]
    assert (row["t_a"], row["_reasons"]) == (value, None)


WRONG: list[tuple[str, str]] = [
    ("int", "1.5"), ("int", "1e3"), ("int", "twelve"), ("int", "2147483648"), ("int", "1 2"),
    ("int", "0x1A"), ("int", "१२"),
    ("bigint", "9223372036854775808"), ("bigint", "99999999999999999999"),
    ("double", "1,5"), ("double", "NaN"), ("double", "inf"), ("double", "1e400"), ("double", "1d"), ("double", "."),
    ("boolean", "yes"), ("boolean", "2"),
    ("date", "2013-02-30"), ("date", "2013-2-1"), ("date", "01/02/2013"), ("date", "2013-02-01T00:00:00"),
    ("timestamp", "2013-02-30T00:00:00Z"), ("timestamp", "10:00"), ("timestamp", "2013-02-01"),
    ("timestamp", "2013-02-01T25:00:00Z"), ("timestamp", "2013-02-01T24:00:01Z"), ("timestamp", "2013-02-01T24:30"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), WRONG)
def test_refuses_a_value_of_another_type_and_names_column_and_type(judged: Judge, kind: str, text: str) -> None:
    row = judged(source({"a": kind}), [[text]])[0]
    assert (row["t_a"], row["_reasons"]) == (None, f"column a is not {kind}")


@pytest.mark.parametrize("text", ["", "NA", " NA "])
def test_a_missing_value_is_null_and_no_reason_to_refuse(judged: Judge, text: str) -> None:
    row = judged(source({"a": "int"}), [[text]])[0]
    assert (row["t_a"], row["_reasons"]) == (None, None)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2013-01-01T10:00:00Z", datetime(2013, 1, 1, 10, tzinfo=UTC)),
        ("2013-01-01 10:00", datetime(2013, 1, 1, 15, tzinfo=UTC)),  # New York is five hours behind in winter
        ("2013-07-01T10:00:00", datetime(2013, 7, 1, 14, tzinfo=UTC)),  # and four in summer
        ("2013-07-01T10:00:00.25", datetime(2013, 7, 1, 14, 0, 0, 250_000, tzinfo=UTC)),
        ("2013-07-01T10:00:00+02:00", datetime(2013, 7, 1, 8, tzinfo=UTC)),
        ("2013-03-10T01:59:59", datetime(2013, 3, 10, 6, 59, 59, tzinfo=UTC)),
        ("2013-03-10T03:00:00", datetime(2013, 3, 10, 7, tzinfo=UTC)),
        ("2013-11-03T00:30:00", datetime(2013, 11, 3, 4, 30, tzinfo=UTC)),
        ("2013-11-03T02:00:00", datetime(2013, 11, 3, 7, tzinfo=UTC)),
        ("2013-12-31T24:00:00", datetime(2014, 1, 1, 5, tzinfo=UTC)),
        ("2013-12-31T24:00Z", datetime(2014, 1, 1, tzinfo=UTC)),
        ("2013-03-09T24:00", datetime(2013, 3, 10, 5, tzinfo=UTC)),
    ],
)
def test_reads_instants_and_local_times(spark: SparkSession, text: str, instant: datetime) -> None:
    table = source({"a": "timestamp"})
    staged = spark.createDataFrame([(text, "things.csv", 2, 0, None)], staged_schema(table))
    micros = judge(staged, table, []).selectExpr("unix_micros(t_a) as micros").collect()[0]["micros"]
    assert micros == round(instant.timestamp() * 1_000_000)


def test_a_source_may_have_no_text_for_missing_values(judged: Judge) -> None:
    row = judged(source({"a": "int", "b": "string"}, missing=()), [["", ""]])[0]
    assert (row["t_a"], row["t_b"], row["_reasons"]) == (None, "", "column a is not int")


def test_gives_every_reason_of_a_row(judged: Judge) -> None:
    table = source({"a": "int", "b": "date", "k": "string"}, key=("k",))
    row = judged(table, [["x", "y", "NA"]])[0]
    assert row["_reasons"] == "column a is not int; column b is not date; column k is missing, it is part of the key"


def test_a_line_that_does_not_fit_has_that_reason_only(judged: Judge) -> None:
    row = judged(source({"a": "int", "b": "int"}), [["x", None]], problem="line has 1 fields instead of 2")[0]
    assert row["_reasons"] == "line has 1 fields instead of 2"


def test_of_rows_with_one_key_the_first_valid_one_stays(judged: Judge) -> None:
    table = source({"k": "int", "day": "date", "a": "int"}, key=("k", "day"))
    day = "2013-01-01"
    rows = judged(
        table, [["1", day, "bad"], ["1", day, "2"], ["01", day, "3"], ["1", "2013-01-02", "4"], ["2", day, "5"]]
    )
    assert [row["_reasons"] for row in rows] == ["column a is not int", None, "duplicate key (k, day)", None, None]


def test_there_is_no_infinity_and_no_nan(judged: Judge) -> None:
    rows = judged(source({"a": "double"}), [["1e308"], ["1e309"], ["-1e999"]])
    assert math.isfinite(rows[0]["t_a"])
    assert [row["_reasons"] for row in rows[1:]] == ["column a is not double"] * 2
