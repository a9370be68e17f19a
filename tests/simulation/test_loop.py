"""The loop in thousands of random histories: no storm, no two at once, never a worse model, and it comes to rest.

A history that breaks a promise is made as short as it can be and printed: the steps, as they can be played again by
``play``. ``GAPLESS_HISTORIES=5000 python -m pytest tests/simulation`` plays more of them.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from constructs_lib.names.workload_file import WorkloadFile
from decide_retrain import handler as decider
from decide_retrain import policy
from decide_retrain.policy import Reason
from stacks.config import ROOT
from start_execution import handler as starter
from tests.simulation.world import FAMILIES, Broken, Deployed, World, matches
from tests.stacks.test_workload import allowed, synthesised

HISTORIES = int(os.environ.get("GAPLESS_HISTORIES", "150"))
LIMITS: dict[str, Any] = {
    "max_examples": HISTORIES,
    "deadline": None,
    "database": None,
    "derandomize": "GAPLESS_HISTORIES" not in os.environ,
    "suppress_health_check": list(HealthCheck),
}
POLICY = {
    "cooldown_days": 2,
    "max_per_week": 2,
    "min_new_labelled_rows": 100,
    "monthly_budget_usd": 6,
    "expected_usd": 2,
    "schedule": "rate(7 days)",
}
Step = tuple[Any, ...]

DONE: tuple[Step, ...] = (("deliver", 0, False, None), *[("advance", 0, "good")] * 3)
"""What waits longest is started, and goes all the way if nothing speaks against it."""

SERVE: tuple[Step, ...] = (("drift", 1.0), ("wait", 100.0), ("land", 0, 1000), *DONE)
"""The world has moved on, and a model that has learnt that takes over."""

LUCK = st.sampled_from(["good", "good", "poor", "fails", "lost"])
BROKEN = st.sampled_from([None, 0, 0, 1, 3])
STEPS = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([1.0, 20.0, 80.0, 400.0])),
    st.tuples(st.just("drift"), st.sampled_from([-3.0, 0.1, 0.5, 4.0])),
    st.tuples(st.just("land"), st.sampled_from([0, 0, 0, 3, 40]), st.sampled_from([10, 1000, 5000])),
    st.tuples(st.just("look"), BROKEN, BROKEN, BROKEN),
    st.tuples(st.just("flap"), st.sampled_from(FAMILIES), st.integers(1, 4)),
    st.tuples(st.sampled_from(["tick", "ask", "publish", "roll_back"])),
    st.tuples(st.just("serve")),
    st.tuples(st.just("deliver"), st.integers(0, 5), st.booleans(), st.sampled_from([None, None, 0, 1, 2, 3])),
    st.tuples(st.just("advance"), st.integers(0, 5), LUCK),
    st.tuples(st.just("advance"), st.integers(0, 5), LUCK),
)
HISTORY = st.one_of(st.lists(STEPS, max_size=12), st.lists(STEPS, min_size=30, max_size=80))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Thousands of runs say nothing, which saves most of the time."""
    logging.disable(logging.INFO)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The stack of a workload that is monitored and has a policy, as it would be deployed."""
    workload = WorkloadFile.load(ROOT / "workloads" / "flight_delays" / "workload.yaml")
    content = workload.model_dump(mode="json", exclude_unset=True)
    tuning = {"ranges": {"min_child_weight": {"integer": [1, 64]}}, "when": "on_search"}
    content |= {
        "monitoring": {"every": "hour"},
        "retraining": POLICY,
        "training": {**content["training"], "tuning": tuning, "window": {"kind": "sliding", "days": 120}},
    }
    return synthesised(tmp_path_factory.mktemp("simulated"), WorkloadFile.parse(content))


@pytest.fixture(scope="module")
def deployed(template: dict[str, Any]) -> Deployed:
    """What the simulator takes from it."""
    return Deployed.of(template)


def play(deployed: Deployed, history: Sequence[Step], monkeypatch: pytest.MonkeyPatch) -> World:
    """Play a history to its end, and hold every promise on the way."""
    world = World(deployed)
    monkeypatch.setattr(starter, "client", world.client)
    if deployed.policy_arn is not None:
        monkeypatch.setenv("DECIDE_RETRAIN_ARN", deployed.policy_arn)
    for step in history:
        take(world, step)
    world.come_to_rest()
    world.train_once_more()
    return world


def take(world: World, step: Step) -> None:
    """One thing happens."""
    kind, given = step[0], step[1:]
    if kind == "drift":
        world.concept += given[0]
    elif kind == "look":
        world.look(dict(zip(("quality", "drift", "bias"), given, strict=True)))
    elif kind == "flap":
        for state in ["ALARM", "OK"] * given[1]:
            world.turn(f"dev-flight-delays-monitor-{given[0]}", state)
    elif kind == "serve":
        for each in SERVE:
            take(world, each)
    elif kind == "deliver":
        world.deliver(given[0], twice=given[1], dies_after=given[2])
    else:
        doing: dict[str, Callable[..., None]] = {
            "wait": world.wait,
            "land": world.land,
            "advance": world.advance,
            "tick": world.tick,
            "ask": world.ask,
            "publish": world.publish,
            "roll_back": world.roll_back,
        }
        doing[kind](*given)


@settings(**LIMITS)
@given(history=HISTORY)
def test_whatever_happens_the_promises_hold(deployed: Deployed, history: list[Step]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        play(deployed, history, patch)


def test_a_usual_history_trains_deploys_retrains_and_declines(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    history: list[Step] = [("land", 0, 1000), *DONE, ("drift", 1.0), ("look", 2, 1, None), *DONE, *DONE]
    history += [("wait", 100.0), ("land", 0, 1000), *DONE]
    world = play(deployed, history, monkeypatch)
    trail = [key[2].partition("#")[0] for key in world.tables.items if key[0] == "audit"]
    assert trail == ["retrain-decided", "retrain-declined", "retrain-declined", "retrain-decided", "retrain-decided"]
    assert set(world.told) == {"dev-flight-delays-monitor-drift", "dev-flight-delays-monitor-quality"}
    assert world.live is not None


def test_a_model_that_is_taken_back_later_makes_the_next_training_wait(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second model serves and is taken back; three days later the cooldown is four days long."""
    taken_back: list[Step] = [("serve",), ("serve",), ("roll_back",), ("deliver", 0, True, None), *DONE[:1]]
    history: list[Step] = [*taken_back, ("drift", 1.0), ("wait", 72.0), ("land", 0, 1000), *DONE]
    world = play(deployed, history, monkeypatch)
    declined = [item for key, item in world.tables.items.items() if key[-1].startswith("retrain-declined#")]
    assert ["the cooldown of 4 days (1 in a row did not help)" in each["decision"]["S"] for each in declined] == [True]
    assert [run.helped for run in world.judged] == [True, False, True]


def test_every_alarm_of_the_monitor_tells_somebody_and_those_of_the_policy_ask(deployed: Deployed) -> None:
    assert len(deployed.alarms) == len(FAMILIES)
    assert all(alarm["AlarmActions"] and alarm["ActionsEnabled"] for alarm in deployed.alarms.values())
    asking = set()
    for name in deployed.alarms:
        for state in ("ALARM", "OK", "INSUFFICIENT_DATA"):
            detail = {"alarmName": name, "state": {"value": state}}
            event = {"source": "aws.cloudwatch", "detail-type": "CloudWatch Alarm State Change", "detail": detail}
            if any(matches(pattern, event) for pattern in deployed.patterns):
                asking.add((name.rpartition("-")[2], state))
    assert asking == {(family, "ALARM") for family in ("quality", "drift", "bias")}
    assert deployed.scheduled == 1


def test_the_deciding_function_may_touch_three_tables_and_only_loop_and_starter_call_it(
    template: dict[str, Any],
) -> None:
    def tables(action: str) -> list[str]:
        found = allowed(template, "RetrainingFunction", f"dynamodb:{action}")
        return sorted(name for each in found for name in ("Runs", "Leases", "Audit") if name in each)

    assert (tables("GetItem"), tables("PutItem")) == (["Leases", "Runs"], ["Audit", "Runs"])
    assert not any(tables(action) for action in ("DeleteItem", "UpdateItem", "Scan", "Query"))
    policies = [name for name, each in template["Resources"].items() if each["Type"] == "AWS::IAM::Policy"]
    roles = [name.partition("RoleDefaultPolicy")[0] for name in policies]
    calling = [
        role for role in roles if any("Retraining" in each for each in allowed(template, role, "lambda:InvokeFunction"))
    ]
    assert sorted(calling) == ["LoopMachine", "Starter"]


def test_the_deployed_machines_search_when_the_policy_says_so_and_tell_the_script_its_window(
    template: dict[str, Any],
) -> None:
    def deployed_as(name: str) -> str:
        (found,) = [
            json.dumps(each["Properties"]["DefinitionString"])
            for logical_id, each in template["Resources"].items()
            if each["Type"] == "AWS::StepFunctions::StateMachine" and logical_id.startswith(name)
        ]
        return found

    assert "'search': $decided.search" in deployed_as("LoopMachine")
    model = set(re.findall(r"\w+", deployed_as("ModelMachine")))
    assert {"FindTuned", "TrainTuned", "StartTuning", "GAPLESS_WINDOW"} <= model


def _holds(rule: str) -> Callable[..., Reason]:
    return lambda *_args: Reason(rule, True, "sabotaged")


SABOTAGE: dict[str, tuple[Any, str, Any]] = {
    "no limit per week": (policy, "_week", _holds("week")),
    "no budget": (policy, "_budget", _holds("budget")),
    "a lost training blocks for ever": (
        decider,
        "without_lost",
        lambda state, *_args, **_named: state,
    ),
    "a policy that is not told of rollbacks": (starter, "tell_of_rejection", lambda *_args: None),
    "a rollback that counts for nothing": (decider, "taken_back", lambda state, _run_id: state),
    "a lease that holds nobody": (World, "_lease_is_taken", lambda *_args: False),
}


@pytest.mark.parametrize("what", SABOTAGE)
def test_the_simulator_finds_what_is_broken(deployed: Deployed, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*SABOTAGE[what])

    def breaks(history: list[Step]) -> bool:
        with pytest.MonkeyPatch.context() as patch:
            try:
                play(deployed, history, patch)
            except Broken:
                return True
        return False

    limits = {**LIMITS, "max_examples": 1500, "derandomize": True, "phases": [Phase.generate]}
    try:
        assert find(HISTORY, breaks, settings=settings(**limits))
    except NoSuchExample:
        pytest.fail(f"the simulator does not notice: {what}")
