"""Who asks for a training gets the newest batch's loop once more, once per event, with who asks and why."""

from __future__ import annotations

from typing import Any

import pytest

from decide_retrain.policy import TRIGGERS
from start_execution.asked import ALARMS, asked_again, asked_by_alarm, asked_by_clock, asked_by_person
from start_execution.record import BadEvent
from tests.lambda_functions.test_start_execution import (
    BATCH,
    BUNDLE,
    FILES,
    TIME,
    World,
    aws,
    deliver,
    key_of,
    rerun,
    world,
)

__all__ = ["aws", "world"]

NEWER = {**BATCH, "as_of": "2013-06-01T00:00:00Z", "files": FILES[:1]}


def asking(kind: str, event_id: str = "a1", **detail: Any) -> Any:
    """An event of somebody who asks."""
    kinds: dict[str, tuple[str, str, dict[str, Any]]] = {
        "person": ("gapless", "Retrain Requested", {"workload": "flight_delays", "by": "ada", "reason": "new fares"}),
        "clock": ("aws.events", "Scheduled Event", {}),
        "alarm": (
            "aws.cloudwatch",
            "CloudWatch Alarm State Change",
            {"alarmName": "dev-flight-delays-monitor-drift", "state": {"value": "ALARM", "reason": "2 > 1"}},
        ),
    }
    source, named, given = kinds[kind]
    return {"id": event_id, "source": source, "detail-type": named, "time": TIME, "detail": {**given, **detail}}


def land_both(world: World) -> None:
    assert deliver(world.land(NEWER, "flight_delays/june/_batch.json"), world.land(BATCH)) == []


@pytest.mark.parametrize(
    ("kind", "trigger", "by", "reason"),
    [
        ("person", "manual", "ada", "new fares"),
        ("clock", "schedule", "the schedule", "it is time"),
        ("alarm", "drift", "dev-flight-delays-monitor-drift", "2 > 1"),
    ],
)
def test_the_newest_batch_runs_once_more_for_whoever_asks(
    world: World, kind: str, trigger: str, by: str, reason: str
) -> None:
    land_both(world)
    assert deliver(asking(kind), asking(kind)) == []
    again = world.started()[f"{key_of(NEWER)[:16]}-2"]
    assert again["asked"] == {"trigger": trigger, "as_of": TIME, "by": by, "reason": reason, "event": "a1"}
    assert (again["as_of"], again["bundle"]) == ("2013-06-01T00:00:00Z", BUNDLE)
    assert len(world.started()) == 3


def test_another_event_is_another_ask(world: World) -> None:
    land_both(world)
    assert deliver(asking("alarm"), asking("alarm", "a2")) == []
    assert len(world.started()) == 4


@pytest.mark.parametrize("kind", ["person", "clock", "alarm"])
def test_nothing_starts_while_nothing_has_landed(world: World, kind: str) -> None:
    assert deliver(asking(kind)) == []
    assert world.started() == {}


def test_a_person_may_say_which_instant_stands_for_now(world: World) -> None:
    land_both(world)
    assert deliver(asking("person", as_of="2013-07-01T02:00:00+02:00"), asking("person", "a2", workload="other")) == []
    asked = [run["asked"]["as_of"] for run in world.started().values() if "asked" in run]
    assert asked == ["2013-07-01T00:00:00Z"]


@pytest.mark.parametrize("missing", ["by", "reason"])
def test_a_person_says_who_asks_and_why(missing: str) -> None:
    with pytest.raises(BadEvent, match=f"{missing} is ' '; allowed is a text that says"):
        asked_by_person(asking("person", **{missing: " "}))


def test_a_person_may_ask_for_a_search_and_for_nothing_else_by_that_name() -> None:
    assert asked_by_person(asking("person", search=True))["search"] == "true"
    assert "search" not in asked_by_person(asking("person", search=False))
    with pytest.raises(BadEvent, match="search is 'yes'; allowed are true and false"):
        asked_by_person(asking("person", search="yes"))


def test_another_alarm_asks_for_nothing() -> None:
    with pytest.raises(BadEvent, match="alarm 'dev-x-live-latency' asks for no training"):
        asked_by_alarm(asking("alarm", alarmName="dev-x-live-latency"))


def test_a_run_that_is_started_once_more_asks_as_new_code_or_as_a_person(world: World) -> None:
    land_both(world)
    published = rerun(key_of(BATCH), "r1")
    published["detail"]["bundle"] = BUNDLE["bundle"]
    assert deliver(published, rerun(key_of(BATCH), "r2")) == []
    asked = {name[-1]: run["asked"] for name, run in world.started().items() if "asked" in run}
    assert {attempt: each["trigger"] for attempt, each in asked.items()} == {"2": "new_code", "3": "manual"}


def test_every_trigger_is_one_that_the_policy_knows() -> None:
    told = [asked_by_person(asking("person")), asked_by_clock(asking("clock")), asked_again(rerun("k", "r"))]
    assert {each["trigger"] for each in told} | set(ALARMS) <= set(TRIGGERS)
