"""What is remembered of a workload's trainings: one item of the runs table, written only as it was read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from botocore.exceptions import ClientError

from decide_retrain.policy import State, Training
from decide_retrain.rows import Counted

_TRIES = 8


class Busy(Exception):
    """Others have changed the item again and again: to be tried again."""


@dataclass(frozen=True)
class Memory:
    """What is remembered.

    Attributes:
        state: What the policy goes by.
        counted: Labelled rows until now.
        usd: What the last training has cost that did not search hyperparameters, as far as that is known.
        search_usd: What the last one has cost that did.
    """

    state: State = field(default_factory=State)
    counted: Counted = field(default_factory=Counted)
    usd: float | None = None
    search_usd: float | None = None


def as_text(memory: Memory) -> str:
    """Give the text of a memory; equal memories have equal texts."""
    state = asdict(replace(memory.state, spent={}))
    whole = {
        "state": {**state, "spent": dict(memory.state.spent)},
        "counted": asdict(memory.counted),
        "usd": memory.usd,
        "search_usd": memory.search_usd,
    }
    return json.dumps(whole, sort_keys=True, default=lambda instant: instant.isoformat())


def from_text(text: str) -> Memory:
    """Give the memory of a text."""
    whole = json.loads(text)
    state = whole["state"]
    trainings = tuple(Training(**{**each, "at": datetime.fromisoformat(each["at"])}) for each in state["begun"])
    since = datetime.fromisoformat(state["since"]) if state["since"] is not None else None
    spent = MappingProxyType(state["spent"])
    return Memory(
        State(**{**state, "begun": trainings, "since": since, "spent": spent}),
        Counted(**whole["counted"]),
        whole["usd"],
        whole.get("search_usd"),
    )


class Store:
    """The item ``retraining#<workload>``: the memory as a text, and a version that counts the writes."""

    def __init__(self, dynamodb: Any, table: str, workload: str) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._key = {"run": {"S": f"retraining#{workload}"}}

    def change(self, change: Callable[[Memory], Memory]) -> Memory:
        """Replace the memory by what a function makes of it; the function is asked again when others were faster.

        Raises:
            Busy: Others were faster every time.
        """
        for _ in range(_TRIES):
            memory, version = self._read()
            changed = change(memory)
            if changed == memory or self._written(changed, version):
                return changed
        raise Busy(f"{self._key['run']['S']} was changed by others {_TRIES} times in a row")

    def _read(self) -> tuple[Memory, int]:
        found = self._dynamodb.get_item(TableName=self._table, Key=self._key, ConsistentRead=True).get("Item")
        return (from_text(found["memory"]["S"]), int(found["version"]["N"])) if found is not None else (Memory(), 0)

    def _written(self, memory: Memory, version: int) -> bool:
        condition = "attribute_not_exists(run)" if version == 0 else "version = :version"
        values = {} if version == 0 else {"ExpressionAttributeValues": {":version": {"N": str(version)}}}
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item={**self._key, "memory": {"S": as_text(memory)}, "version": {"N": str(version + 1)}},
                ConditionExpression=condition,
                **values,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return False
        return True
