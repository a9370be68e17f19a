"""Two months on a deployed platform, by the clock of its account."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from local.flights import Months, build_batch
from local.settings import CHECKOUT, Settings
from local.story.command import StoryRequest, run_story
from local.story.schedule import Schedule

START = dt.datetime(2013, 5, 1, 4, tzinfo=dt.UTC)
DELAY = dt.timedelta(days=1)

Document = dict[str, Any]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Document, str]]:
    """The story of May and June, told on few flights and lived through: its document and its page."""
    root = tmp_path_factory.mktemp("live")
    batch = build_batch("flight_delays", Months(1, 6), sample=12_000)
    data = root / "data"
    data.mkdir()
    for file in batch.files:
        (data / file.key).write_bytes(file.content)
    (data / "_batch.json").write_text(json.dumps(batch.document()))
    folder = CHECKOUT / "workloads" / "flight_delays"
    request = StoryRequest(
        folder, "dev", Schedule("month", None, START, DELAY), data, root / "out", live=Settings(root / "state")
    )
    document = run_story(request, Console(quiet=True))
    yield document, (root / "out" / "story.html").read_text()


@pytest.fixture(scope="module")
def months(told: tuple[Document, str]) -> list[Document]:
    """What each month came to."""
    found: list[Document] = told[0]["live"]["months"]
    return found


@pytest.fixture(scope="module")
def events(told: tuple[Document, str]) -> list[Document]:
    """What happened, in order."""
    found: list[Document] = told[0]["live"]["events"]
    return found


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def test_each_month_is_asked_looked_at_and_decided_on_in_its_own_night(
    months: list[Document], events: list[Document]
) -> None:
    assert [month["step"] for month in months] == ["2013-05", "2013-06"]
    for month in months:
        end = at(month["end"])
        night = [each for each in events if end.date() == at(each["at"]).date()]
        kinds = [each["kind"] for each in night]
        assert "alarm" in kinds, "the monitor's schedule has looked at a window of that day"
        assert kinds.index("decision") > kinds.index("alarm")
        assert all(end - dt.timedelta(hours=4) < at(each["at"]) < end for each in night if each["kind"] != "rollback")


def test_an_alarm_asks_and_the_policy_goes_by_the_clock(events: list[Document]) -> None:
    decisions = [each for each in events if each["kind"] == "decision"]
    assert decisions[0]["at"].startswith("2013-06-01T01:")
    assert "drift alarm: retrains" in decisions[0]["text"]
    assert "the cooldown of 28 days ended 2013-05-29 04:00" in decisions[0]["text"]
    assert any(each["at"].startswith("2013-07-01T01:") for each in decisions)


def test_datasets_hold_nothing_whose_label_was_not_known(months: list[Document]) -> None:
    for month in months:
        end = at(month["end"]).replace(hour=0)
        assert at(month["last_event"]) < end - DELAY
        assert end - DELAY - at(month["last_event"]) < dt.timedelta(hours=6), "and goes up to there"


def test_answers_are_measured_on_the_rows_that_the_told_policies_answered(months: list[Document]) -> None:
    first = months[0]
    assert first["rows"] > first["labels"] > 0
    assert set(first["told"]) == {"never", "always", "gapless"}
    assert first["told"]["never"] == first["told"]["gapless"]
    assert 0.5 < first["quality"] < 1
    assert first["families"]["quality"]["worst"] is not None, "labels were joined to what was captured"


def test_the_sabotaged_model_is_taken_back(events: list[Document]) -> None:
    assert [each["kind"] for each in events][-1] == "rollback"
    last = events[-1]["text"]
    assert "it is rejected, the model before it serves on" in last
    assert not last.endswith(" 0 not"), "its requests have failed"


def test_the_page_shows_both_timelines(told: tuple[Document, str], events: list[Document]) -> None:
    page = told[1]
    assert page.count("<svg") == 3
    assert "What happened on the deployed platform" in page
    assert page.count("rolled back") >= 1
