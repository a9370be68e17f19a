"""Inputs of rows are scored as they land, or at set times; each once, or the newest again and again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from tests.lambda_functions.test_start_execution import LANDING, TIME, World, aws, deliver

__all__ = ["aws"]

ROWS = [{"source": "rows", "key": "rows.csv", "bytes": 3, "sha256": "aa"}]


@pytest.fixture
def world(aws: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with mock_aws():
        made = World(aws)
        made.machines["scoring"] = made.create_machine("scoring")
        for name, value in {
            "STAGE": "dev",
            "WORKLOAD": "flight_delays",
            "RUNS_TABLE": "runs",
            "AUDIT_TABLE": "audit",
            "LOOP_MACHINE_ARN": made.machines["loop"],
            "DEPLOYMENT_MACHINE_ARN": made.machines["deployment"],
            "BUNDLE_POINTER": "s3://artefacts/flight_delays/bundles/current.json",
            "SCORING_MACHINE_ARN": made.machines["scoring"],
            "SCORING_URI": f"s3://{LANDING}/flight_delays/scoring/",
        }.items():
            monkeypatch.setenv(name, value)
        yield made


def land(world: World, day: int) -> Any:
    """Deliver rows of a day; gives the event that S3 sends."""
    document = {"workload": "flight_delays", "as_of": f"2024-05-{day:02}T00:00:00Z", "files": ROWS}
    return world.land(document, f"flight_delays/scoring/{day:02}/_score.json")


def due(at: str, *, repeat: bool) -> Any:
    detail = {"workload": "flight_delays", "repeat": repeat}
    return {"id": f"due {at}", "source": "gapless", "detail-type": "Scoring Due", "time": at, "detail": detail}


def inputs(world: World) -> list[tuple[str, str, bool]]:
    """The folder, the instant and whether it is a repeat of everything that was started."""
    started = world.started("scoring").values()
    return sorted((each["batch_uri"].split("/")[-2], each["as_of"], each["again"]) for each in started)


def test_rows_that_land_are_scored_once_however_often_that_is_told(world: World) -> None:
    event = land(world, 1)
    assert deliver(event, {**event, "id": "e9"}, event) == []
    assert inputs(world) == [("01", "2024-05-01T00:00:00Z", False)]
    assert world.started("loop") == {}


def test_at_a_set_time_every_input_is_scored_that_was_not(world: World) -> None:
    deliver(land(world, 1))
    land(world, 2), land(world, 3)
    assert deliver(due(TIME, repeat=False), due("2026-11-23T13:00:00Z", repeat=False)) == []
    assert [each[0] for each in inputs(world)] == ["01", "02", "03"]


def test_rows_that_stay_are_scored_at_each_set_time_and_only_the_newest(world: World) -> None:
    for day in (1, 2):
        land(world, day)
    second = "2026-11-23T13:00:00Z"
    assert deliver(due(TIME, repeat=True), due(TIME, repeat=True), due(second, repeat=True)) == []
    assert inputs(world) == [("02", TIME, True), ("02", second, True)]


def test_a_set_time_without_any_input_starts_nothing(world: World) -> None:
    assert deliver(due(TIME, repeat=True)) == []
    assert inputs(world) == []


def test_a_document_outside_of_the_workload_is_refused(world: World) -> None:
    event = world.land({"files": ROWS}, "other/scoring/1/_score.json")
    assert deliver(event) == ["0"]
    assert json.loads(json.dumps(inputs(world))) == []
