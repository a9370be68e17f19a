import dataclasses
from typing import Any

import pytest

from constructs_lib.names.batch import (
    BadBatch,
    BatchFile,
    canonical_instant,
    check_sources,
    contract_digest,
    dataset_version,
    index_key,
    read_files,
)

FILES = (BatchFile("b", "1" * 64, "k", 1), BatchFile("a", "2" * 64, "k2", 1))


def version(files: tuple[BatchFile, ...] = FILES, **changed: Any) -> str:
    given = {
        "window_days": None,
        "contract_digest": "c" * 64,
        "as_of": "2013-05-01T00:00:00Z",
        "bundle": "b" * 64,
        "engine": "e",
    }
    return dataset_version(files, **{**given, **changed})


def read(content: Any) -> tuple[BatchFile, ...]:
    return read_files(content, workload="shop", sources=("a", "b"))


def listed(*files: BatchFile) -> dict[str, Any]:
    return {"workload": "shop", "files": [dataclasses.asdict(file) for file in files]}


def test_lists_files_by_source_and_content() -> None:
    assert read(listed(*FILES)) == (FILES[1], FILES[0])


@pytest.mark.parametrize("batch", [[], "text", {}, {"workload": "shop"}, {"workload": "shop", "files": []}])
def test_refuses_a_batch_that_is_no_object_with_files(batch: object) -> None:
    with pytest.raises(BadBatch, match='must be an object with a list "files"'):
        read(batch)


def test_refuses_a_batch_without_a_source_that_it_needs() -> None:
    check_sources(FILES[:1], ["b"])
    with pytest.raises(BadBatch, match="no file of source a; this batch has to hold a, b"):
        check_sources(FILES[:1], ["a", "b"])


def test_versions_of_datasets_do_not_change_from_one_release_to_the_next() -> None:
    digest = contract_digest({"window_days": None, "name": "x"})
    assert version(contract_digest=digest) == "b7adbdf6ef34c1b79d3c074e5808c294"


def test_neither_keys_nor_order_of_files_are_part_of_a_version() -> None:
    moved = tuple(dataclasses.replace(file, key=f"moved/{file.key}") for file in reversed(FILES))
    assert version(moved) == version()


@pytest.mark.parametrize(
    "changed",
    [
        {"window_days": 3},
        {"contract_digest": "d"},
        {"as_of": "2013-05-01T00:00:01Z"},
        {"bundle": "x"},
        {"engine": "f"},
        {"parent": "p"},
    ],
)
def test_everything_that_makes_the_rows_is_part_of_a_version(changed: dict[str, Any]) -> None:
    assert version(**changed) != version()


def test_an_instant_is_the_same_in_every_time_zone() -> None:
    assert canonical_instant("2013-06-01T02:00:00+02:00") == "2013-06-01T00:00:00Z"
    assert version(as_of="2013-05-01T02:00:00+02:00") == version()


def test_later_datasets_sort_later_in_the_index() -> None:
    early = index_key("f" * 32, "2013-05-01T00:00:00Z")
    assert early < index_key("0" * 32, "2013-05-01T00:00:00.000001Z") < index_key("0" * 32, "2013-05-01T00:00:01Z")
