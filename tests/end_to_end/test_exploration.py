"""What people find after two batches: a profile that knows the one before, saved queries, a notebook that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local.chain import Chain
from tests.end_to_end.conftest import Demo
from tests.end_to_end.live import WORKLOAD, Live
from tests.end_to_end.test_people_read_the_lake import WORKGROUP, Person

NOTEBOOK = Path(__file__).parents[2] / "workloads" / WORKLOAD / "notebook.py"
PREFIX = "dev-flight-delays-"


def manifest_of(chain: Chain) -> dict[str, Any]:
    data = chain.of("data")
    assert data is not None and data.output is not None
    found: dict[str, Any] = data.output["dataset"]
    return found


def profile_of(live: Live, chain: Chain) -> dict[str, Any]:
    found: dict[str, Any] = live.read_json(manifest_of(chain)["profile_uri"])
    return found


def saved_queries(live: Live, person: Person) -> dict[str, dict[str, str]]:
    """What somebody finds in the people's workgroup: name without the prefix → the query."""
    athena = person.client("athena")
    ids = athena.list_named_queries(WorkGroup=WORKGROUP)["NamedQueryIds"]
    found = [athena.get_named_query(NamedQueryId=each)["NamedQuery"] for each in ids]
    return {each["Name"].removeprefix(PREFIX): each for each in found}


@pytest.fixture(scope="module")
def engineer(live: Live, demo: Demo) -> Person:
    return Person(live, "data_engineer", "data_engineer")


def test_the_second_dataset_is_compared_with_the_first(live: Live, demo: Demo) -> None:
    comparison = profile_of(live, demo.second)["comparison"]
    assert comparison["version"] == manifest_of(demo.first)["version"]
    assert comparison["unavailable"] is None
    assert "month" in {name for found in comparison["warnings"] for name in found["columns"]}
    assert profile_of(live, demo.first)["comparison"] is None


def test_the_profile_knows_that_two_features_say_the_same(live: Live, demo: Demo) -> None:
    found = [warning["columns"] for warning in profile_of(live, demo.first)["warnings"] if warning["kind"] == "twins"]
    assert {"airline", "carrier"} in map(set, found)


def test_the_execution_shows_what_has_changed(demo: Demo) -> None:
    data = demo.second.of("data")
    assert data is not None and data.output is not None
    exploration = data.output["phases"]["exploration"]
    assert exploration["compared_with"] == manifest_of(demo.first)["version"]
    assert exploration["changes"]


def test_a_data_engineer_runs_every_saved_query(live: Live, demo: Demo, engineer: Person) -> None:
    saved = saved_queries(live, engineer)
    assert set(saved) == {
        "rows-per-version",
        "quarantine-by-reason",
        "newest-features",
        "target-balance",
        "target-by-day",
        "missing-values",
    }
    versions = {manifest_of(chain)["version"] for chain in (demo.first, demo.second)}
    firsts = {name: engineer.ask(query["Database"], query["QueryString"]) for name, query in saved.items()}
    assert firsts["target-balance"] == manifest_of(demo.second)["version"]
    assert firsts["newest-features"] == manifest_of(demo.second)["version"]
    assert firsts["missing-values"] in versions
    assert firsts["rows-per-version"] == "curated"
    assert firsts["target-by-day"].startswith("2013-07-")
    assert firsts["quarantine-by-reason"] in ("flights", "weather", "planes", "airports", "airlines")


def test_a_saved_query_opens_nothing(live: Live, demo: Demo) -> None:
    ml_engineer = Person(live, "ml_engineer", "ml_engineer")
    saved = saved_queries(live, ml_engineer)
    denied = ml_engineer.ask(saved["quarantine-by-reason"]["Database"], saved["quarantine-by-reason"]["QueryString"])
    assert "PERMISSION_DENIED" in denied or "does not exist" in denied
    allowed = ml_engineer.ask(saved["target-balance"]["Database"], saved["target-balance"]["QueryString"])
    assert allowed == manifest_of(demo.second)["version"]


def test_the_notebook_runs_from_top_to_bottom(live: Live, demo: Demo) -> None:
    printed = live.command("exec", "--", "python", str(NOTEBOOK))
    assert manifest_of(demo.second)["version"] in printed
    assert "carrier and airline say nearly the same" in printed or "airline and carrier say nearly the same" in printed
    area = printed.partition("validation rows: ")[2][:5]
    assert 0.5 < float(area) < 1
