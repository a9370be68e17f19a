"""A whole story: what it writes, what it decides, and that it never looks ahead."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from tests.local.story.conftest import DELAY, Tell, Told
from tests.local.story.drifting import TURN, history

POLICIES = ("never", "always", "gapless")


def kinds(told: Told) -> list[str]:
    return [event["kind"] for event in told.document["events"]]


def test_gapless_follows_a_change_with_fewer_trainings_than_every_step(told: Told) -> None:
    never, always, gapless = (told.document[name] for name in POLICIES)
    assert told.document["metric"] == "mae"
    assert told.document["higher_is_better"] is False
    assert gapless["quality"] < min(never["quality"], always["quality"])
    assert never["retrains"] == 0
    assert always["retrains"] == len(always["steps"]) - 1
    assert 0 < gapless["retrains"] < always["retrains"]


def test_an_alarm_leads_to_a_challenger_that_takes_over(told: Told) -> None:
    assert kinds(told)[0] == "start"
    alarms = [each for each in told.document["events"] if each["text"].startswith("quality: mae is ")]
    assert dt.datetime.fromisoformat(alarms[0]["at"]) > TURN
    assert kinds(told).index("promoted") > told.document["events"].index(alarms[0])


def test_says_why_it_did_not_retrain_and_by_what_a_challenger_won(told: Told) -> None:
    decisions = told.document["gapless"]["decisions"]
    assert "did not retrain because" in decisions[0]["text"]
    won = next(each for each in decisions if each.get("outcome") == "promoted")
    assert won["comparison"]["test"] == "paired_bootstrap"
    assert won["comparison"]["high"] < 0
    assert won["candidates"][0]["window_days"] is None
    assert all(rule["passed"] for rule in won["gate"])


def test_policies_answer_the_same_rows_in_the_same_steps(told: Told) -> None:
    spans = [[(step["begin"], step["end"], step["rows"]) for step in told.document[name]["steps"]] for name in POLICIES]
    assert spans[0] == spans[1] == spans[2]
    assert sum(rows for _, _, rows in spans[0]) == sum(
        at >= dt.datetime(2024, 3, 1, tzinfo=dt.UTC) for at, _, _ in history()
    )
    assert told.document["never"]["steps"][0]["quality"] == told.document["gapless"]["steps"][0]["quality"]


def test_writes_the_document_and_a_page_with_every_reason(told: Told) -> None:
    assert json.loads((told.folder / "story.json").read_text()) == told.document
    page = (told.folder / "story.html").read_text()
    assert page.count("<svg") == 2
    for decision in told.document["gapless"]["decisions"]:
        assert decision["text"].partition("'")[0] in page
    assert not (told.folder / "work").exists()


def decided(told: Told, until: int) -> list[Any]:
    """What was answered in the first steps and decided at their ends, but not how good the last answers were."""
    end = told.document["gapless"]["steps"][until - 1]["end"]
    return [
        *([step["quality"] for step in told.document[name]["steps"][: until - 1]] for name in POLICIES),
        *([step["model"] for step in told.document[name]["steps"][: until + 1]] for name in POLICIES),
        *([each for each in told.document[name]["decisions"] if each["as_of"] <= end] for name in POLICIES),
        [each for each in told.document["events"] if each["at"] <= end],
    ]


def test_nothing_that_comes_later_changes_what_was_decided_before(told: Told, tell: Tell) -> None:
    """Of what lies behind the end of the third step everything is changed, and of what lies before it each label that
    had not come by then; the features look at all rows that they are given."""
    end = dt.datetime.fromisoformat(told.document["gapless"]["steps"][2]["end"])
    changed = [(at, x if at < end else 50 - 3 * x, y if at < end - DELAY else 1000 - 7 * y) for at, x, y in history()]
    other = tell(changed)
    assert decided(other, 3) == decided(told, 3)
    assert other.document["gapless"]["steps"][2]["quality"] != told.document["gapless"]["steps"][2]["quality"]
    assert other.document["gapless"]["steps"][3]["quality"] != told.document["gapless"]["steps"][3]["quality"]
