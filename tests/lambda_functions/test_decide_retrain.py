"""The function that answers the loop: what it remembers, what it writes down, and what it bears."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from constructs_lib.names.retraining_file import TRIGGERS as NAMED
from constructs_lib.names.retraining_file import Retraining
from decide_retrain import handler as decider
from decide_retrain.policy import TRIGGERS, Policy, State, Training, taken_back
from decide_retrain.rows import Counted, count
from decide_retrain.store import Busy, Memory, Store, as_text, from_text
from gapless_lambda import clients

WORKLOAD = "flight_delays"
LATER = "2014-04-30T00:00:00Z"
RULES = Retraining(min_new_labelled_rows=500, expected_usd=2)


def splits(rows: int = 1000, begin: str = "2013-01-01T00:00:00Z", end: str = "2013-04-30T00:00:00Z") -> Any:
    return {"train": {"rows": rows, "from": begin, "to": end}, "test": {"rows": 0, "from": None, "to": None}}


def asking(run_id: str = "run-1", **changed: Any) -> dict[str, Any]:
    return {
        "action": "decide",
        "run_id": run_id,
        "decision_id": f"{run_id}-0",
        "as_of": "2013-05-01T00:00:00Z",
        "asked": {},
        "event": f"event-of-{run_id}",
        "dataset": {"version": "v1", "splits": splits()},
        **changed,
    }


def ending(outcome: str, run_id: str = "run-1") -> dict[str, Any]:
    return {
        "action": "ended",
        "run_id": run_id,
        "as_of": "2013-05-01T00:00:00Z",
        "asked": {},
        "outcome": outcome,
    }


class World:
    """The three tables, with a model that serves."""

    def __init__(self, dynamodb: Any) -> None:
        self.dynamodb = dynamodb
        keys = {"runs": ["run"], "leases": ["lease"], "audit": ["workload", "event"]}
        for table, names in keys.items():
            self.dynamodb.create_table(
                TableName=table,
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
                KeySchema=[
                    {"AttributeName": name, "KeyType": kind}
                    for name, kind in zip(names, ("HASH", "RANGE"), strict=False)
                ],
                BillingMode="PAY_PER_REQUEST",
            )
        self.put("runs", run=f"live#{WORKLOAD}", model_package_arn="arn:package/1")

    def put(self, table: str, **item: str) -> None:
        self.dynamodb.put_item(TableName=table, Item={name: {"S": value} for name, value in item.items()})

    def hold_lease(self, run_id: str) -> None:
        self.put("leases", lease=WORKLOAD, owner=run_id)

    def trail(self) -> dict[str, dict[str, str]]:
        found = self.dynamodb.scan(TableName="audit")["Items"]
        return {each["event"]["S"]: {name: value["S"] for name, value in each.items()} for each in found}

    def memory(self) -> Memory:
        key = {"run": {"S": f"retraining#{WORKLOAD}"}}
        return from_text(self.dynamodb.get_item(TableName="runs", Key=key)["Item"]["memory"]["S"])


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    clients.client.cache_clear()
    with mock_aws(), pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        clients.client("dynamodb")
        own = boto3.client("dynamodb")
    yield own
    clients.client.cache_clear()


@pytest.fixture
def world(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    settings = {
        "WORKLOAD": WORKLOAD,
        "RUNS_TABLE": "runs",
        "LEASES_TABLE": "leases",
        "AUDIT_TABLE": "audit",
        "POLICY": json.dumps(RULES.policy()),
    }
    with mock_aws():
        made = World(dynamodb)
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield made


def refusing(answer: Mapping[str, Any]) -> list[str]:
    return [rule["rule"] for rule in answer["rules"] if not rule["holds"]]


def test_a_landed_batch_trains_and_the_decision_is_in_the_audit_trail_with_every_rule(world: World) -> None:
    answer = decider.handler(asking(), None)
    assert (answer["retrain"], answer["search"], answer["trigger"]) == (True, False, "new_data")
    entry = world.trail()["retrain-decided#run-1-0"]
    assert entry["decision"] == answer["text"]
    assert json.loads(entry["rules"]) == answer["rules"]
    assert (entry["by"], entry["reason"]) == ("the platform", "a batch has landed")
    assert (entry["at"], entry["dataset_version"]) == ("2013-05-01T00:00:00Z", "v1")


def test_an_alarm_that_may_not_train_is_on_record_with_the_reason(world: World) -> None:
    decider.handler(asking(), None)
    decider.handler(ending("promoted"), None)
    asked = {"trigger": "drift", "as_of": "2013-05-20T00:00:00Z", "by": "the-alarm", "reason": "psi 0.4", "event": "a"}
    answer = decider.handler(asking("run-2", asked=asked, event="a"), None)
    assert refusing(answer) == ["rows"]
    entry = world.trail()["retrain-declined#run-2-0"]
    assert entry["decision"] == "did not retrain because 0 new labelled rows of at least 500"
    assert (entry["trigger"], entry["by"], entry["reason"]) == ("drift", "the-alarm", "psi 0.4")
    assert entry["at"] == "2013-05-20T00:00:00Z"


def test_where_no_model_serves_the_policy_lets_everything_train(world: World) -> None:
    world.dynamodb.delete_item(TableName="runs", Key={"run": {"S": f"live#{WORKLOAD}"}})
    assert decider.handler(asking(dataset={"version": "v1", "splits": splits(3)}), None)["retrain"]


def test_answers_the_same_again_and_remembers_one_training(world: World) -> None:
    assert decider.handler(asking(), None) == decider.handler(asking(), None)
    for _ in range(2):
        decider.handler(ending("refused"), None)
    state = world.memory().state
    assert (len(state.begun), state.refused_in_a_row, state.running) == (1, 1, None)


def test_an_outcome_of_a_run_that_never_trained_changes_nothing(world: World) -> None:
    decider.handler(ending("failed", "run-9"), None)
    assert "Item" not in world.dynamodb.get_item(TableName="runs", Key={"run": {"S": f"retraining#{WORKLOAD}"}})


def test_a_model_that_is_taken_back_is_remembered_once_and_its_training_did_not_help(world: World) -> None:
    decider.handler(asking(), None)
    decider.handler(ending("promoted"), None)
    for _ in range(2):
        assert decider.handler({"action": "taken_back", "run_id": "run-1"}, None) == {"run_id": "run-1"}
    state = world.memory().state
    assert (state.refused_in_a_row, state.unhelpful_in_a_row, state.begun[0].taken_back) == (1, 1, True)
    later = asking("run-2", as_of="2013-05-14T00:00:00Z", dataset={"version": "v2", "splits": splits(end=LATER)})
    assert refusing(decider.handler(later, None)) == ["cooldown"]


def test_a_model_of_a_run_that_nobody_remembers_is_taken_back_without_a_trace(world: World) -> None:
    decider.handler({"action": "taken_back", "run_id": "run-9"}, None)
    assert "Item" not in world.dynamodb.get_item(TableName="runs", Key={"run": {"S": f"retraining#{WORKLOAD}"}})


def test_the_cost_of_a_training_is_what_the_next_one_is_taken_to_cost(world: World) -> None:
    decider.handler(asking(), None)
    assert world.memory().state.spent == {"2013-05": 2.0}
    world.put("runs", run="model#run-1", cost_usd_estimate="0.5")
    decider.handler(ending("promoted"), None)
    assert (world.memory().usd, world.memory().state.spent) == (0.5, {"2013-05": 0.5})


def test_what_searches_cost_is_remembered_beside_what_other_trainings_do(world: World) -> None:
    for run_id, search, usd in (("run-1", "nothing was found yet", "8"), ("run-2", "none", "0.5")):
        decider.handler(asking(run_id, asked={"trigger": "manual", "by": "ada", "reason": "why not"}), None)
        world.put("runs", run=f"model#{run_id}", cost_usd_estimate=usd, search=search)
        decider.handler(ending("promoted", run_id), None)
    memory = world.memory()
    assert (memory.search_usd, memory.usd) == (8.0, 0.5)
    assert [each.search for each in memory.state.begun] == [True, False]


def test_a_person_gets_the_search_that_they_ask_for(world: World) -> None:
    asked = {"trigger": "manual", "by": "ada", "reason": "why not", "search": "true"}
    assert decider.handler(asking(asked=asked), None)["search"]


@pytest.mark.parametrize("cost", [{}, {"cost_usd_estimate": "none"}])
def test_a_training_of_unknown_cost_has_cost_what_was_expected(world: World, cost: dict[str, str]) -> None:
    decider.handler(asking(), None)
    world.put("runs", run="model#run-1", **cost)
    decider.handler(ending("promoted"), None)
    assert (world.memory().usd, world.memory().state.spent) == (None, {"2013-05": 2.0})


def test_a_training_whose_run_has_lost_the_lease_has_failed(world: World) -> None:
    decider.handler(asking(), None)
    later = asking("run-2", as_of="2013-06-01T00:00:00Z")
    world.hold_lease("run-1")
    assert refusing(decider.handler(later, None)) == ["one_at_a_time"]
    world.hold_lease("run-2")
    assert decider.handler(later, None)["retrain"]
    assert [each.outcome for each in world.memory().state.begun] == ["failed", None]
    assert world.memory().state.spent == {"2013-05": 2.0, "2013-06": 2.0}


def test_two_runs_that_ask_at_once_do_not_both_train(world: World) -> None:
    answers: list[Any] = []
    settings = decider.Settings(WORKLOAD, "runs", "leases", "audit", json.dumps(RULES.policy()))
    clerk = decider.Clerk(settings, world.dynamodb)
    threads = [
        threading.Thread(target=lambda name=name: answers.append(clerk.decide(asking(name))))
        for name in ("a", "b", "c")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer["retrain"] for answer in answers) == [False, False, True]


def test_gives_up_when_others_are_always_faster(world: World) -> None:
    store = Store(world.dynamodb, "runs", WORKLOAD)

    def overtaken(memory: Memory) -> Memory:
        Store(world.dynamodb, "runs", WORKLOAD).change(lambda found: Memory(usd=(found.usd or 0) + 1))
        return Memory(usd=-1)

    with pytest.raises(Busy, match="8 times in a row"):
        store.change(overtaken)
    assert world.memory().usd == 8


def test_refuses_another_action(world: World) -> None:
    with pytest.raises(decider.BadRequest, match="action 'dance' is unknown, allowed are: decide, ended, taken_back"):
        decider.handler({"action": "dance"}, None)


def test_a_memory_is_written_and_read_without_loss() -> None:
    at = datetime(2013, 5, 1, tzinfo=UTC)
    training = Training("run-1", "e", "drift", at, 10, search=True, reserved_usd=1.5, outcome="refused")
    counted = replace(training, run_id="run-2", taken_back=True, judged=2, refused_before=1, unhelpful_before=1)
    state = State("run-1", at, (training, counted), MappingProxyType({"2013-05": 1.5}), 2, 1, 10)
    memory = Memory(state, Counted(10, "2013-04-30T00:00:00Z"), 0.25, 3.5)
    assert from_text(as_text(memory)) == memory
    assert from_text(as_text(Memory())) == Memory()


def test_a_memory_that_was_written_before_models_were_taken_back_is_read_and_counted_on() -> None:
    at = datetime(2013, 5, 1, tzinfo=UTC)
    trainings = tuple(Training(f"run-{number}", "e", "drift", at, 10, outcome="promoted") for number in (1, 2))
    whole = json.loads(as_text(Memory(State(begun=trainings))))
    for each in whole["state"]["begun"]:
        for name in ("taken_back", "judged", "refused_before", "unhelpful_before"):
            del each[name]
    del whole["search_usd"]
    state = from_text(json.dumps(whole)).state
    assert taken_back(state, "run-1").refused_in_a_row == 0
    assert taken_back(state, "run-2").refused_in_a_row == 1


def test_the_policy_of_the_file_is_that_of_the_function() -> None:
    assert NAMED == TRIGGERS
    assert decider.policy_of(json.dumps(Retraining().policy())) == (Policy(), 0.0)


@pytest.mark.parametrize(
    ("begin", "end", "rows"),
    [
        ("2013-05-01T00:00:00Z", "2013-05-31T00:00:00Z", 1300),  # only newer rows
        ("2013-01-01T00:00:00Z", "2013-04-30T00:00:00Z", 1000),  # the same
        ("2012-01-01T00:00:00Z", "2012-12-31T00:00:00Z", 1000),  # older ones
        ("2013-04-20T00:00:00Z", "2013-05-10T00:00:00Z", 1150),  # half of its time is new
        ("2013-04-30T00:00:00Z", "2013-04-30T00:00:01+00:00", 1300),
    ],
)
def test_rows_that_are_newer_than_all_before_are_new(begin: str, end: str, rows: int) -> None:
    before = count(Counted(), splits())
    assert before == Counted(1000, "2013-04-30T00:00:00Z")
    assert count(before, splits(300, begin, end)).rows == rows
    assert count(before, splits(0)) == before
