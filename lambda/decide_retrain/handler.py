"""Decides for the loop machine whether a run trains, and remembers how its training came out.

Invoked by the loop machine of a workload with a policy, while the run holds the workload's lease:

- ``{"action": "decide", "run_id", "decision_id", "as_of", "asked", "event", "dataset": {"version", "splits"}}``
  answers ``{"retrain", "search", "trigger", "text", "rules"}``. ``asked`` is empty for a landed batch, otherwise
  ``{"trigger", "as_of", "reason", "by"}`` of whoever asked, with ``"search": "true"`` when they want hyperparameters
  to be searched. The decision is written into the audit trail.
- ``{"action": "ended", "run_id", "as_of", "outcome": "promoted" | "refused" | "failed"}`` answers the same id. A run
  that the policy let not train, or does not know, changes nothing.

Invoked by the starter, whenever a model package was rejected, by whoever it was:

- ``{"action": "taken_back", "run_id"}``, the run that had made the model, answers the same id. A training whose model
  is taken back after the gate has let it through did not help. Telling it twice, or early, is harmless.

A training that another run has begun and never told the end of has failed, once that run's lease is this one's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from decide_retrain.policy import Ask, Decision, Policy, State, begun, decide, ended, taken_back
from decide_retrain.rows import count
from decide_retrain.store import Memory, Store
from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.settings import read_settings

log = get_logger(__name__)

NEW_DATA = "new_data"


class BadRequest(Exception):
    """Somebody asked for what this function does not do."""


@dataclass(frozen=True)
class Settings:
    """The environment of the function; the policy is JSON, as :class:`Policy` with ``expected_usd``."""

    workload: str
    runs_table: str
    leases_table: str
    audit_table: str
    policy: str


def policy_of(text: str) -> tuple[Policy, float]:
    """Give the policy, and what a training is taken to cost before there was one."""
    content = json.loads(text)
    expected = float(content.pop("expected_usd"))
    return Policy(**{**content, "triggers": tuple(content["triggers"])}), expected


def instant_of(event: Mapping[str, Any]) -> datetime:
    """Give what stands for "now" in a run: the instant of whoever asked, otherwise the batch's own."""
    return datetime.fromisoformat(event["asked"].get("as_of", event["as_of"])).astimezone(UTC)


def ask_of(event: Mapping[str, Any], memory: Memory, *, serves: bool, expected_usd: float) -> Ask:
    """Give what the machine asks, in the policy's words."""
    return Ask(
        trigger=event["asked"].get("trigger", NEW_DATA),
        as_of=instant_of(event),
        labelled_rows=memory.counted.rows,
        estimated_usd=memory.usd if memory.usd is not None else expected_usd,
        estimated_search_usd=memory.search_usd,
        search=event["asked"].get("search") == "true",
        run_id=event["run_id"],
        event_id=event["event"],
        serves=serves,
    )


def without_lost(state: State, run_id: str, *, holds_lease: bool) -> State:
    """Give what is remembered without a training of another run, when that run cannot go on any more.

    It has cost what was expected, in its own month.
    """
    if state.running in (None, run_id) or state.since is None or not holds_lease:
        return state
    return ended(state, str(state.running), "failed", state.since)


def cost_of(record: Mapping[str, Any]) -> float | None:
    """Give what the model machine's record says of costs; None when it has no estimate."""
    try:
        return float(record["cost_usd_estimate"]["S"])
    except (KeyError, ValueError):
        return None


def searched_by(record: Mapping[str, Any]) -> bool | None:
    """Give whether hyperparameters were searched; None where the workload does not choose, or nothing is recorded."""
    return record["search"]["S"] != "none" if "search" in record else None


class Clerk:
    """Answers for one workload."""

    def __init__(self, settings: Settings, dynamodb: Any) -> None:
        self._settings = settings
        self._dynamodb = dynamodb
        self._store = Store(dynamodb, settings.runs_table, settings.workload)
        self._policy, self._expected_usd = policy_of(settings.policy)

    def decide(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Decide, remember a training that begins, and write the decision into the audit trail."""
        serves = self._item(self._settings.runs_table, "run", f"live#{self._settings.workload}") is not None
        lease = self._item(self._settings.leases_table, "lease", self._settings.workload)
        holds_lease = lease is not None and lease["owner"]["S"] == event["run_id"]
        made: list[tuple[Ask, Decision]] = []

        def change(memory: Memory) -> Memory:
            counted = replace(memory, counted=count(memory.counted, event["dataset"]["splits"]))
            state = without_lost(memory.state, event["run_id"], holds_lease=holds_lease)
            ask = ask_of(event, counted, serves=serves, expected_usd=self._expected_usd)
            decision = decide(self._policy, state, ask)
            made.append((ask, decision))
            return replace(counted, state=begun(state, ask, decision))

        self._store.change(change)
        ask, decision = made[-1]
        answer = {
            "retrain": decision.retrain,
            "search": decision.search,
            "trigger": ask.trigger,
            "text": decision.text,
            "rules": [{"rule": each.rule, "holds": each.holds, "text": each.text} for each in decision.reasons],
        }
        self._audit(event, ask, answer)
        log.info(decision.text, extra={"run_id": ask.run_id, "event_id": ask.event_id})
        return answer

    def end(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Remember how a training came out, and what it has cost."""
        run_id, at = event["run_id"], instant_of(event)
        record = self._item(self._settings.runs_table, "run", f"model#{run_id}") or {}
        usd, searched = cost_of(record), searched_by(record)

        def change(memory: Memory) -> Memory:
            state = ended(memory.state, run_id, event["outcome"], at, usd, searched=searched)
            training = state.training(run_id)
            if state == memory.state or training is None:
                return memory
            if usd is None:
                return replace(memory, state=state)
            if training.search:
                return replace(memory, state=state, search_usd=usd)
            return replace(memory, state=state, usd=usd)

        self._store.change(change)
        return {"run_id": run_id}

    def take_back(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Remember that the model of a run, which was let through, was taken back."""
        run_id = event["run_id"]
        self._store.change(lambda memory: replace(memory, state=taken_back(memory.state, run_id)))
        log.info("the model was taken back", extra={"run_id": run_id})
        return {"run_id": run_id}

    def _audit(self, event: Mapping[str, Any], ask: Ask, answer: Mapping[str, Any]) -> None:
        kind = "retrain-decided" if answer["retrain"] else "retrain-declined"
        self._dynamodb.put_item(
            TableName=self._settings.audit_table,
            Item={
                "workload": {"S": self._settings.workload},
                "event": {"S": f"{kind}#{event['decision_id']}"},
                "run": {"S": ask.run_id},
                "trigger": {"S": ask.trigger},
                "by": {"S": event["asked"].get("by", "the platform")},
                "reason": {"S": event["asked"].get("reason", "a batch has landed")},
                "decision": {"S": answer["text"]},
                "rules": {"S": json.dumps(answer["rules"], sort_keys=True)},
                "dataset_version": {"S": event["dataset"]["version"]},
                "at": {"S": ask.as_of.isoformat().replace("+00:00", "Z")},
            },
        )

    def _item(self, table: str, key: str, value: str) -> Mapping[str, Any] | None:
        found = self._dynamodb.get_item(TableName=table, Key={key: {"S": value}}, ConsistentRead=True)
        item: Mapping[str, Any] | None = found.get("Item")
        return item


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001
    """Answer the loop machine, and the starter.

    Raises:
        BadRequest: The action is none that is known here.
    """
    clerk = Clerk(read_settings(Settings), client("dynamodb"))
    match event.get("action"):
        case "decide":
            return clerk.decide(event)
        case "ended":
            return clerk.end(event)
        case "taken_back":
            return clerk.take_back(event)
        case action:
            raise BadRequest(f"action {action!r} is unknown, allowed are: decide, ended, taken_back")
