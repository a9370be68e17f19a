"""What ``python -m local retrain`` puts on the bus, which run it says will come of it, and what it refuses to ask.

The bus hands the event to the function that starts executions as it is deployed; tables and machine are played.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from constructs_lib.names.retraining_file import Retraining
from constructs_lib.retrain_policy import asking_events
from local import cli, retrain
from local.errors import Failure, UserError
from local.retrain import ask_for_training
from local.settings import Settings
from start_execution import handler as starter
from tests.simulation.world import WORKLOAD, Deployed, World

LANDED = {"source": ["aws.s3"], "detail-type": ["Object Created"]}
AS_OF = dt.datetime(2026, 1, 5, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))


class Bus:
    """Puts events on the bus of a world; the starter takes them up at once, unless nobody does."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.awake = True
        self.refuses = False

    def put_events(self, *, Entries: list[dict[str, str]]) -> dict[str, Any]:
        (entry,) = Entries
        if self.refuses:
            return {"Entries": [{"ErrorCode": "Throttled", "ErrorMessage": "too many"}]}
        self.world.put(entry["Source"], entry["DetailType"], json.loads(entry["Detail"]))
        while self.awake and self.world.queue:
            self.world.deliver(0)
        return {"Entries": [{"EventId": f"e{self.world.events}"}]}


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Bus:
    """A platform whose policy lets a person ask."""
    asking = asking_events(WORKLOAD, Retraining(), {})
    world = World(Deployed((LANDED, *asking.values()), 0, {}, "{}", None))
    monkeypatch.setattr(starter, "client", world.client)
    monkeypatch.setattr(retrain, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(retrain, "_STARTED_SECONDS", 0.05)
    return Bus(world)


@pytest.fixture
def landed(bus: Bus) -> Bus:
    """The same after two batches have landed, the newer one first."""
    for age in (0, 3):
        bus.world.land(age, 1000)
        bus.world.deliver(0)
    return bus


def ask(bus: Bus, reason: str = "new fares", function: str | None = "decide", **more: Any) -> str:
    services = {"events": bus, "dynamodb": bus.world.tables}
    aws: Any = SimpleNamespace(client=services.__getitem__)
    outputs: Any = SimpleNamespace(retraining_function_name=function, runs_table="runs")
    given = {"as_of": None, **more}
    return ask_for_training(Settings(Path("state")), aws, outputs, actor="ada", reason=reason, **given)


def test_the_newest_batch_runs_once_more_and_its_run_is_named(landed: Bus) -> None:
    newest, older = list(landed.world.loops)
    run_id = ask(landed)
    assert (run_id, older) == (f"{newest.removesuffix('-1')}-2", list(landed.world.loops)[1])
    given = landed.world.loops[run_id].input
    assert given["batch_uri"] == landed.world.loops[newest].input["batch_uri"]
    told = {name: given["asked"][name] for name in ("trigger", "by", "reason", "as_of")}
    assert told == {"trigger": "manual", "by": "ada", "reason": "new fares", "as_of": "2026-01-01T00:00:00Z"}
    assert "search" not in given["asked"]


def test_says_which_instant_stands_for_now_and_whether_to_search(landed: Bus) -> None:
    asked = landed.world.loops[ask(landed, as_of=AS_OF, search=True)].input["asked"]
    assert (asked["as_of"], asked["search"]) == ("2026-01-05T00:00:00Z", "true")


def test_asking_twice_names_two_runs(landed: Bus) -> None:
    assert [ask(landed)[-2:], ask(landed)[-2:]] == ["-2", "-3"]


@pytest.mark.parametrize("reason", ["", "  "])
def test_wants_a_reason(landed: Bus, reason: str) -> None:
    with pytest.raises(UserError, match="--reason is"):
        ask(landed, reason)
    assert len(landed.world.loops) == 2


def test_a_workload_without_a_policy_is_told_which_key_it_lacks(landed: Bus) -> None:
    with pytest.raises(UserError, match=r"flight_delays has no policy of trainings .*retraining: {cooldown_days: 7}"):
        ask(landed, function=None)


def test_there_is_nothing_to_train_while_nothing_has_landed(bus: Bus) -> None:
    with pytest.raises(UserError, match="no batch of flight_delays has landed"):
        ask(bus)
    assert bus.world.events == 0


def test_fails_when_the_bus_does_not_take_the_event(landed: Bus) -> None:
    landed.refuses = True
    with pytest.raises(Failure, match="the event bus did not take the request: too many"):
        ask(landed)


def test_fails_when_nobody_takes_the_event_up(landed: Bus) -> None:
    landed.awake = False
    with pytest.raises(Failure, match=r"not taken up within .* does the policy's triggers name manual"):
        ask(landed)


@pytest.mark.parametrize(("typed", "search"), [([], False), (["--search"], True)])
def test_the_command_asks_and_watches_the_run(monkeypatch: pytest.MonkeyPatch, typed: list[str], search: bool) -> None:
    asked: list[Any] = []
    watched: list[str] = []

    def asking(*_where: Any, **what: Any) -> str:
        asked.append(what)
        return "run-2"

    watching: Callable[..., None] = lambda _target, run_id, *_args, **_named: watched.append(run_id)  # noqa: E731
    target = SimpleNamespace(settings=None, aws=None, outputs=None)
    monkeypatch.setattr(cli, "platform", lambda _settings: target)
    monkeypatch.setattr(cli, "ask_for_training", asking)
    monkeypatch.setattr(cli, "watch_run", watching)
    given = ["retrain", "--reason", "new fares", "--actor", "ada", "--as-of", "2026-01-05T00:00:00Z", *typed]
    done = CliRunner().invoke(cli.app, given)
    assert done.exit_code == 0, done.output
    instant = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
    assert asked == [{"actor": "ada", "reason": "new fares", "as_of": instant, "search": search}]
    assert watched == ["run-2"]
