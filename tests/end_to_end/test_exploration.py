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
    """What somebody finds in the people's workgroup: name without the workload's prefix → the query."""
    athena = person.client("athena")
    ids = athena.list_named_queries(WorkGroup=WORKGROUP)["NamedQueryIds"]
    found = [athena.get_named_query(NamedQueryId=each)["NamedQuery"] for each in ids]
    return {each["Name"].removeprefix(PREFIX): each for each in found if each["Name"].startswith(PREFIX)}


def counted(name: str, text: str) -> str:
    """A query itself, or how many rows it has for the one that may have none: good batches have no refused row."""
    return f"SELECT count(*) FROM ({text})" if name == "quarantine-by-reason" else text  # noqa: S608 - a saved query


@pytest.fixture(scope="module")
def engineer(live: Live, demo: Demo) -> Person:
    return Person(live, "data_engineer", "data_engineer")


def index(live: Live) -> list[dict[str, Any]]:
    """What the index lists, oldest first; other tests publish datasets as well."""
    found: list[dict[str, Any]] = [live.read_json(uri) for uri in sorted(live.uris(f"{live.zone('datasets')}index/"))]
    return found


def test_a_dataset_is_compared_with_the_one_before_it(live: Live, demo: Demo) -> None:
    second = manifest_of(demo.second)
    comparison = profile_of(live, demo.second)["comparison"]
    earlier = {entry["version"] for entry in index(live) if entry["as_of"] < second["as_of"]}
    assert manifest_of(demo.first)["version"] in earlier
    assert comparison["version"] in earlier
    assert comparison["unavailable"] is None
    assert "month" in {name for found in comparison["warnings"] for name in found["columns"]}


def test_the_profile_knows_that_two_features_say_the_same(live: Live, demo: Demo) -> None:
    found = [warning["columns"] for warning in profile_of(live, demo.first)["warnings"] if warning["kind"] == "twins"]
    assert {"airline", "carrier"} in map(set, found)


def test_the_execution_shows_what_has_changed(live: Live, demo: Demo) -> None:
    data = demo.second.of("data")
    assert data is not None and data.output is not None
    exploration = data.output["phases"]["exploration"]
    comparison = profile_of(live, demo.second)["comparison"]
    assert exploration["compared_with"] == comparison["version"]
    assert exploration["changes"] == [found["text"] for found in comparison["warnings"]][:20] != []


def test_a_data_engineer_runs_every_saved_query(live: Live, demo: Demo, engineer: Person) -> None:
    saved = saved_queries(live, engineer)
    assert set(saved) == {
        "rows-per-version",
        "quarantine-by-reason",
        "newest-features",
        "target-balance",
        "target-by-day",
        "missing-values",
        "datasets",
    }
    versions = {entry["version"] for entry in index(live)}
    firsts = {
        name: engineer.ask(query["Database"], counted(name, query["QueryString"])) for name, query in saved.items()
    }
    assert int(firsts["quarantine-by-reason"]) >= 0
    for name in ("target-balance", "newest-features", "missing-values", "datasets"):
        assert firsts[name] in versions, name
    assert firsts["rows-per-version"] == "curated"
    assert firsts["target-by-day"].startswith("2013-")


def test_a_saved_query_opens_nothing(live: Live, demo: Demo) -> None:
    ml_engineer = Person(live, "ml_engineer", "ml_engineer")
    saved = saved_queries(live, ml_engineer)
    answers = {name: ml_engineer.ask(query["Database"], query["QueryString"]) for name, query in saved.items()}
    for name in ("rows-per-version", "quarantine-by-reason"):
        assert "TABLE_NOT_FOUND" in answers[name] or "PERMISSION_DENIED" in answers[name]
    assert answers["target-balance"] in {entry["version"] for entry in index(live)}


def test_the_notebook_runs_from_top_to_bottom(live: Live, demo: Demo) -> None:
    printed = live.command("exec", "--", "python", str(NOTEBOOK))
    assert index(live)[-1]["version"] in printed
    assert "carrier and airline say nearly the same" in printed or "airline and carrier say nearly the same" in printed
    area = printed.partition("validation rows: ")[2][:5]
    assert 0.5 < float(area) < 1
