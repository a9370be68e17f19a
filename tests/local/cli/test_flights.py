"""Batches of real flights."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import json

import pytest

from local.errors import UserError
from local.flights import Batch, Months, build_batch
from local.landing import batch_key, check_folder
from start_execution.batches import batch_key as key_of_the_starter


@pytest.fixture(scope="module")
def batch() -> Batch:
    return build_batch("flight_delays", Months(1, 2), sample=500)


def _lines(batch: Batch, source: str) -> list[str]:
    file = next(file for file in batch.files if file.source == source)
    content = gzip.decompress(file.content) if file.key.endswith(".gz") else file.content
    return content.decode().splitlines()


def test_all_five_sources_are_in_the_batch(batch: Batch) -> None:
    assert [file.source for file in batch.files] == ["flights", "weather", "planes", "airports", "airlines"]
    assert batch.rows["planes"] == 3322


def test_the_months_are_all_there_and_no_others(batch: Batch) -> None:
    for source, column in (("flights", 1), ("weather", 2)):
        header, *rows = _lines(batch, source)
        assert header.split(",")[column] == "month"
        assert {row.split(",")[column] for row in rows} == {"1", "2"}


def test_all_flights_of_four_months_are_109_119() -> None:
    assert build_batch("flight_delays", Months(1, 4)).rows["flights"] == 109_119


def test_months_come_in_order_though_the_packaged_file_has_october_second() -> None:
    rows = _lines(build_batch("flight_delays", Months(9, 10), sample=1000), "flights")[1:]
    months = [int(row.split(",")[1]) for row in rows]
    assert months == sorted(months)
    assert set(months) == {9, 10}


def test_a_sample_is_spread_over_the_months(batch: Batch) -> None:
    rows = _lines(batch, "flights")[1:]
    assert len(rows) == 500
    january = sum(row.split(",")[1] == "1" for row in rows)
    assert 200 < january < 300


def test_equal_arguments_give_equal_bytes(batch: Batch) -> None:
    again = build_batch("flight_delays", Months(1, 2), sample=500)
    assert [file.content for file in again.files] == [file.content for file in batch.files]


def test_the_document_names_size_and_digest_of_each_file(batch: Batch) -> None:
    document = json.loads(json.dumps(batch.document()))
    for named, file in zip(document["files"], batch.files, strict=True):
        assert named["bytes"] == len(file.content)
        assert named["sha256"] == hashlib.sha256(file.content).hexdigest()


def test_as_of_is_the_first_instant_after_the_months_in_new_york() -> None:
    assert Months(1, 4).end == dt.datetime(2013, 5, 1, 4, tzinfo=dt.UTC)
    assert Months(12, 12).end == dt.datetime(2014, 1, 1, 5, tzinfo=dt.UTC)


@pytest.mark.parametrize("text", ["0", "13", "4-1", "1-13", "january", "1-2-3", ""])
def test_refuses_months_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match="allowed"):
        Months.parse(text)


@pytest.mark.parametrize("sample", [0, -1, 27_005])
def test_refuses_a_sample_that_is_not_there(sample: int) -> None:
    with pytest.raises(UserError, match="allowed: 1 to 27004"):
        build_batch("flight_delays", Months(1, 1), sample=sample)


def test_the_starter_knows_a_batch_by_the_same_key(batch: Batch) -> None:
    document = batch.document()
    assert batch_key(document) == key_of_the_starter(json.dumps(document, indent=2).encode())


@pytest.mark.parametrize("folder", ["", "/", "a//b", "a/../b", "..", "./a"])
def test_refuses_a_folder_that_leads_elsewhere(folder: str) -> None:
    with pytest.raises(UserError, match="folder"):
        check_folder(folder)


def test_a_folder_may_have_spaces_plus_and_unicode() -> None:
    assert check_folder("/März 2013/a+b/") == "März 2013/a+b"
