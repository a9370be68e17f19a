"""How often values come: by words of bits and by counting, held against Python's own counting."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from gapless_glue.dqdl.evaluate import Evaluation, evaluate_table
from gapless_glue.dqdl.groups import Detail, Groups
from gapless_glue.dqdl.parser import parse
from gapless_glue.dqdl.passes import Passes

LOWEST, HIGHEST = -(2**63), 2**63 - 1
COLUMNS: dict[str, list[int | None]] = {
    "close together": [*range(1000)],
    "below and above nought": [*range(-130, 130)],
    "at the ends of the range": [LOWEST, LOWEST + 1, -1, 0, 63, 64, HIGHEST - 1, HIGHEST],
    "far apart": [number * 7_919_919_971 for number in range(500)],
    "one pair": [*range(1000), 64],
    "three of one": [*range(-70, 70), -1, -1],
    "missing ones": [None, 1, None, 2, 130, None],
    "missing and repeated": [None, 1, 1, None, 2],
    "nothing but missing": [None, None],
    "none": [],
}
KINDS = [("tinyint", -128, 127), ("smallint", -32768, 32767), ("int", -(2**31), 2**31 - 1), ("bigint", LOWEST, HIGHEST)]

Measured = Callable[[Sequence[Any], str, Detail], Groups]


@pytest.fixture
def measured(spark: SparkSession) -> Measured:
    """What is found out about the values of a column of some type, as far as a detail says."""

    def measure(values: Sequence[Any], kind: str, detail: Detail) -> Groups:
        passes = Passes({"table": spark.createDataFrame([(value,) for value in values], f"value {kind}")})
        found = passes.groups("table", ["value"], None, detail)
        passes.run()
        return found()

    return measure


def counted(values: Sequence[int | None]) -> Counter[int]:
    return Counter(value for value in values if value is not None)


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS)
def test_words_count_values_and_prove_them_unique(measured: Measured, values: list[int | None]) -> None:
    counts = counted(values)
    found = measured(values, "bigint", Detail.UNIQUE)
    assert (found.rows, found.values) == (counts.total(), len(counts))
    assert found.once == sum(count == 1 for count in counts.values())


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS)
def test_words_count_different_values_without_a_second_look(measured: Measured, values: list[int | None]) -> None:
    counts = counted(values)
    found = measured(values, "bigint", Detail.VALUES)
    assert (found.rows, found.values) == (counts.total(), len(counts))
    assert found.once == (len(counts) if counts.total() == len(counts) else None)


@pytest.mark.parametrize(("kind", "low", "high"), KINDS)
def test_words_hold_the_ends_of_every_type(measured: Measured, kind: str, low: int, high: int) -> None:
    assert measured([low, low + 1, 0, high - 1, high], kind, Detail.UNIQUE) == Groups(5, 5, 5)
    assert measured([low, low, 0, high, high], kind, Detail.UNIQUE).once == 1


def test_texts_are_counted(measured: Measured) -> None:
    found = measured(["a", "b", "b", None], "string", Detail.ENTROPY)
    assert (found.rows, found.values, found.once) == (3, 2, 1)
    assert found.entropy == pytest.approx(math.log(3) - 2 * math.log(2) / 3)


def test_the_greatest_detail_that_is_asked_for_is_measured(spark: SparkSession) -> None:
    passes = Passes({"table": spark.createDataFrame([(1,), (1,), (2,)], "value bigint")})
    found = [passes.groups("table", ["value"], None, detail) for detail in (Detail.ENTROPY, Detail.VALUES)]
    passes.run()
    assert [one().once for one in found] == [1, 1]


def queries_of(monkeypatch: pytest.MonkeyPatch, table: DataFrame, rules: str) -> tuple[Evaluation, int]:
    """Judges rules; returns what was found and how many queries it took."""
    queries = []
    collect = type(table).collect

    def counting(frame: DataFrame) -> Any:
        queries.append(frame)
        return collect(frame)

    monkeypatch.setattr(type(table), "collect", counting)
    return evaluate_table(table, parse(f"Rules = [ {rules} ]").rules[None]), len(queries)


def test_a_unique_key_takes_one_query(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    table = spark.createDataFrame([(number,) for number in range(100)], "id bigint")
    found, queries = queries_of(monkeypatch, table, 'IsPrimaryKey "id", DistinctValuesCount "id" = 100')
    assert [verdict.outcome for verdict in found.verdicts] == ["Passed", "Passed"]
    assert queries == 1


def test_a_key_that_repeats_is_counted_by_a_second_query(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    table = spark.createDataFrame([(number % 97,) for number in range(100)], "id bigint")
    found, queries = queries_of(monkeypatch, table, 'IsUnique "id", RowCount = 100')
    assert [verdict.outcome for verdict in found.verdicts] == ["Failed", "Passed"]
    assert found.metrics["Column.id.Uniqueness"] == pytest.approx(94 / 100)
    assert queries == 2


def test_only_chosen_rows_are_compared(spark: SparkSession) -> None:
    table = spark.createDataFrame([(1, "a"), (1, "b"), (2, "a")], "id bigint, kind string")
    passes = Passes({"table": table})
    found = passes.groups("table", ["id"], "kind = 'a'", Detail.UNIQUE)
    passes.run()
    assert found() == Groups(2, 2, 2)
