"""What the commands about datasets find and tell, without a platform."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from rich.console import Console

from local.datasets.difference import Change, difference
from local.datasets.read import Dataset, DatasetReader, Described, Use
from local.datasets.show import changes, listing, page
from local.errors import UserError
from tests.local.cli.report_fixture import any_report

OLD, NEW = "a1b2" + "c3" * 14, "a1b2" * 8


def described(version: str, as_of: str, *, published: bool = True, **manifest: Any) -> Described:
    """A dataset of one file and one column."""
    root = f"s3://datasets/flight_delays/{version}/"
    attempt = f"{root}attempt=run-1-0-0/"
    dataset = Dataset(version, as_of, f"{root}manifest.json", f"{attempt}report.json", f"{attempt}profile.json")
    content = {
        "attempt": "run-1-0-0",
        "as_of": as_of,
        "bundle": "b" * 64,
        "contract_digest": "c" * 64,
        "engine": "glue-5.1-x",
        "inputs": [{"source": "flights", "key": "flights.csv", "bytes": 1834, "sha256": "d" * 64}],
        "splits": any_report()["phases"]["splitting"],
        **manifest,
    }
    columns = {"carrier": {"type": "string", "missing_share": 0.0}, "distance": {"type": "int", "mean": 1034.25}}
    return Described(dataset, published, content, {"target": {"share": 0.25}, "columns": columns})


def text(shown: Any) -> str:
    console = Console(width=250, highlight=False)
    with console.capture() as captured:
        console.print(shown)
    return captured.get()


def test_a_dataset_does_not_differ_from_itself() -> None:
    one = described(OLD, "2013-05-01T00:00:00Z")
    assert difference(one, one) == {}
    assert text(changes({}, OLD, OLD)).strip() == "the two datasets do not differ"


def test_tells_what_it_was_made_with() -> None:
    before = described(OLD, "2013-05-01T00:00:00Z")
    after = described(NEW, "2013-06-01T00:00:00Z", bundle="e" * 64, engine="glue-5.1-y")
    assert difference(before, after) == {
        "made with": [
            Change("bundle", "b" * 64, "e" * 64),
            Change("engine", "glue-5.1-x", "glue-5.1-y"),
            Change("as of", "2013-05-01T00:00:00Z", "2013-06-01T00:00:00Z"),
        ]
    }


def test_tells_files_apart_by_content_and_not_by_name() -> None:
    before = described(OLD, "2013-05-01T00:00:00Z")
    renamed = [{**before.manifest["inputs"][0], "key": "renamed.csv"}]
    changed = [{**before.manifest["inputs"][0], "bytes": 9, "sha256": "e" * 64}]
    assert difference(before, described(NEW, "2013-05-01T00:00:00Z", inputs=renamed)) == {}
    assert difference(before, described(NEW, "2013-05-01T00:00:00Z", inputs=changed)) == {
        "inputs": [
            Change("flights", "flights.csv (1,834 bytes, dddddddddddd)", "-"),
            Change("flights", "-", "flights.csv (9 bytes, eeeeeeeeeeee)"),
        ]
    }


def test_tells_rows_schema_and_profile() -> None:
    before, after = (described(version, "2013-05-01T00:00:00Z") for version in (OLD, NEW))
    splits = copy.deepcopy(dict(after.manifest["splits"]))
    splits["test"] |= {"rows": 1}
    columns = {"distance": {"type": "double", "mean": 1035.0}, "origin": {"type": "string"}}
    after = Described(after.dataset, True, {**after.manifest, "splits": splits}, {**after.profile, "columns": columns})
    assert difference(before, after) == {
        "splits": [Change("test rows", "18900", "1")],
        "schema": [
            Change("carrier", "string", "-"),
            Change("distance", "int", "double"),
            Change("origin", "-", "string"),
        ],
        "profile": [Change("distance mean", "1034.25", "1035")],
    }


def test_lists_rows_state_and_users() -> None:
    datasets = [described(OLD, "2013-05-01T00:00:00Z", published=False), described(NEW, "2013-06-01T00:00:00Z")]
    lines = text(listing(datasets, {NEW: Use(("3 Approved",), ("run-1", "run-2"))})).splitlines()
    assert lines[1].split() == [OLD[:12], "2013-05-01T00:00:00Z", "106,900", "retired", "-", "0"]
    assert lines[2].split() == [NEW[:12], "2013-06-01T00:00:00Z", "106,900", "published", "3", "Approved", "2"]


def test_a_page_has_everything_of_a_dataset() -> None:
    one = described(OLD, "2013-05-01T00:00:00Z")
    shown = text(page(one, Use(("3 Approved",), ("run-1",))))
    for told in (OLD, "b" * 64, "c" * 64, "glue-5.1-x", "flights.csv", "d" * 64, "3 Approved", "run-1", "70,000"):
        assert told in shown


class Known(DatasetReader):
    """A reader of two datasets."""

    def __init__(self) -> None:
        """Reads nothing."""

    def all(self) -> list[Dataset]:
        return [described(version, "2013-05-01T00:00:00Z").dataset for version in (OLD, NEW)]


def test_finds_a_dataset_by_its_first_digits() -> None:
    assert Known().find(OLD[:6]).version == OLD
    assert Known().find(NEW).version == NEW


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a1b", "version 'a1b' is too short, at least 4 digits are needed"),
        ("a1b2", "version 'a1b2' fits several datasets"),
        ("ffff", "version 'ffff' is no dataset"),
        ("", "version '' is too short"),
    ],
)
def test_refuses_a_name_with_what_there_is(name: str, problem: str) -> None:
    with pytest.raises(UserError) as refused:
        Known().find(name)
    assert str(refused.value).startswith(problem)
    assert f"(allowed: {OLD[:12]}, {NEW[:12]})" in str(refused.value)
