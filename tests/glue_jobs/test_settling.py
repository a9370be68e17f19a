"""Of rows with the same key the newest stays, whatever files they come in; late rows are refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import SparkSession

from gapless_glue.contract import Column, Settle, Source
from gapless_glue.settling import REPEATED, SUPERSEDED
from gapless_glue.typed import judge, staged_schema
from gapless_glue.validation import SourceCounts, Validation

Shop = Any  # the class of the fixture; conftest.py has it
Judged = Callable[..., list[str | None]]

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)
THINGS = Source(
    name="things",
    time_zone="Europe/Berlin",
    key=("id",),
    columns=(Column("id", "int"), Column("changed", "timestamp"), Column("n", "int")),
    known_later=(),
    missing=("",),
    settle=Settle("changed", late_after_days=30),
)


@pytest.fixture
def reasons(spark: SparkSession) -> Judged:
    """Judges rows of (id, changed, n) in several files; gives the reasons in the rows' order."""

    def call(*files: Sequence[tuple[str, str, str]]) -> list[str | None]:
        rows = [
            (*row, f"{position}.csv", line, position, None)
            for position, file in enumerate(files)
            for line, row in enumerate(file, 2)
        ]
        judged = judge(spark.createDataFrame(rows, staged_schema(THINGS)), THINGS, [], AS_OF)
        return [row["_reasons"] for row in judged.orderBy("_file", "_row").collect()]

    return call


def test_the_newest_row_of_a_key_stays(reasons: Judged) -> None:
    assert reasons(
        [("1", "2024-02-10T10:00:00", "1"), ("2", "2024-02-10T10:00:00", "1")],
        [("1", "2024-02-10T10:00:01", "2"), ("2", "2024-02-10T09:00:00", "2")],
    ) == [SUPERSEDED, None, None, SUPERSEDED]


def test_instants_are_compared_and_not_texts(reasons: Judged) -> None:
    assert reasons([("1", "2024-02-10T10:30:00Z", "1"), ("1", "2024-02-10T11:00:00", "2")]) == [None, SUPERSEDED]


def test_of_equally_new_rows_the_first_by_file_and_line_stays(reasons: Judged) -> None:
    when = "2024-02-10T10:00:00"
    assert reasons([("2", when, "1"), ("1", when, "1"), ("1", when, "2")], [("2", when, "3"), ("1", when, "1")]) == [
        None, None, REPEATED, REPEATED, REPEATED,
    ]  # fmt: skip


def test_a_row_without_the_time_is_the_oldest(reasons: Judged) -> None:
    assert reasons([("1", "", "1"), ("1", "2024-02-10T10:00:00", "2"), ("2", "", "1"), ("2", "", "2")]) == [
        SUPERSEDED, None, None, REPEATED,
    ]  # fmt: skip


def test_a_row_that_is_refused_for_itself_supersedes_nothing(reasons: Judged) -> None:
    assert reasons([("1", "2024-02-10T10:00:00", "1"), ("1", "2024-02-11T10:00:00", "many")]) == [
        None,
        "column n is not int",
    ]


def test_rows_that_come_too_late_are_refused(reasons: Judged) -> None:
    late = "late: changed is more than 30 days before as_of"
    # The thirty days end at midnight UTC, which is one o'clock in Berlin.
    assert reasons([("1", "2024-01-31T00:59:59", "1"), ("2", "2024-01-31T01:00:00", "1"), ("3", "", "1")]) == [
        late,
        None,
        None,
    ]


def test_a_late_row_supersedes_nothing(reasons: Judged) -> None:
    assert reasons([("1", "2023-01-01T00:00:00", "1"), ("1", "", "2")])[1] is None


def test_rows_without_a_key_are_not_settled(reasons: Judged) -> None:
    reason = "column id is missing, it is part of the key"
    assert reasons([("", "2024-02-10T10:00:00", "1"), ("", "2024-02-11T10:00:00", "1")]) == [reason, reason]


def test_what_settling_sets_aside_does_not_count_against_the_batch() -> None:
    counts = SourceCounts(100, 40, 60, {SUPERSEDED: 50, REPEATED: 8, "column n is not int": 2})
    validation = Validation({"things": counts})
    assert validation.quarantined == 60
    assert validation.quarantined_share == 0.02
    assert validation.accepted(0.02)


def test_a_batch_of_changes_becomes_a_dataset_of_the_newest_rows(shop: Shop) -> None:
    shop.contract["sources"]["orders"]["settle"] = {"by": "placed"}
    changed = [shop.order(number, placed=f"2024-02-04T{number % 24:02}:30:00", amount="7.5") for number in range(24)]
    shop.land_orders(changed, "changes.csv")
    report = shop.run()
    found = report["phases"]["validation"]
    assert found["sources"]["orders"]["reasons"] == {SUPERSEDED: 24}
    assert (found["rows_quarantined"], found["quarantined_share"]) == (24, 0.0)
    amounts = {row["order"]: row["amount"] for row in shop.rows("validated", "orders", report)}
    assert amounts == {number: 7.5 if number < 24 else 10.5 + number for number in range(48)}
