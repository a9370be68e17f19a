"""The record of starts: the items ``start#<key>`` of the runs table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from botocore.exceptions import ClientError

Machine = Literal["loop", "deployment", "scoring"]

_TRIES = 8
"""How often a record that others change at the same moment is read again; alarms of one incident go off together."""


class BadEvent(Exception):
    """An event that this function is not made for, or that names something unknown."""


class Busy(Exception):
    """Somebody else changed the record at the same moment: to be tried again."""


@dataclass(frozen=True)
class Start:
    """An execution that should exist: the attempt of an idempotency key, with the machine and its input."""

    key: str
    machine: Machine
    attempt: int
    input: Mapping[str, Any]

    @property
    def run_id(self) -> str:
        """The name of the execution and the id of the run: 16 hex digits, a dash and the attempt."""
        return f"{self.key[:16]}-{self.attempt}"

    def body(self) -> str:
        """The input of the execution as JSON; equal starts give equal text."""
        named = {"run_id": self.run_id, "run_key": self.key, **self.input}
        return json.dumps(named, sort_keys=True, ensure_ascii=False)


class StartRecord:
    """The items ``start#<key>`` of the runs table: what should be started, and whether it was."""

    def __init__(self, dynamodb: Any, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def wish(self, start: Start) -> Start | None:
        """Record a first start; give the start to carry out, or None when that has been done already.

        When the key is on record but not started, the recorded input counts, not the one given.
        """
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item={
                    "run": {"S": f"start#{start.key}"},
                    "machine": {"S": start.machine},
                    "attempt": {"N": str(start.attempt)},
                    "input": {"S": json.dumps(start.input, sort_keys=True, ensure_ascii=False)},
                    "status": {"S": "pending"},
                    "reruns": {"M": {}},
                },
                ConditionExpression="attribute_not_exists(run)",
            )
        except ClientError as error:
            if not _is(error, "ConditionalCheckFailedException"):
                raise
            return _todo(start.key, self._read(start.key))
        return start

    def remember_newest(self, workload: str, key: str, as_of: str) -> None:
        """Remember which landed batch is the newest by its instant; an older one changes nothing."""
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item={"run": {"S": f"newest#{workload}"}, "key": {"S": key}, "as_of": {"S": as_of}},
                ConditionExpression="attribute_not_exists(run) OR as_of <= :as_of",
                ExpressionAttributeValues={":as_of": {"S": as_of}},
            )
        except ClientError as error:
            if not _is(error, "ConditionalCheckFailedException"):
                raise

    def newest(self, workload: str) -> str | None:
        """Give the key of the newest batch, None while nothing has landed."""
        key = {"run": {"S": f"newest#{workload}"}}
        found = self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return str(found["Item"]["key"]["S"]) if "Item" in found else None

    def wish_again(
        self, key: str, event_id: str, bundle: Mapping[str, str], asked: Mapping[str, str] | None = None
    ) -> Start | None:
        """Raise the attempt of a recorded start, once per event; give the start to carry out, or None when done.

        The input stays as recorded (``as_of`` too), but for the bundle of a loop: the current one takes its place, and
        whoever asks now stands in ``asked``.

        Raises:
            BadEvent: Nothing was ever started under this key.
            Busy: Again and again other re-runs were recorded between reading and writing.
        """
        told = {"asked": dict(asked)} if asked is not None else {}
        for _ in range(_TRIES):
            item = self._read(key)
            if event_id in item.reruns:
                return _todo(key, item)
            renewed = {**item.input, "bundle": dict(bundle), **told} if item.machine == "loop" else item.input
            if self._raise_attempt(key, item.attempt, event_id, renewed):
                return Start(key, item.machine, item.attempt + 1, renewed)
        raise Busy(f"the start {key!r} was changed by others {_TRIES} times in a row")

    def _raise_attempt(self, key: str, recorded: int, event_id: str, renewed: Mapping[str, Any]) -> bool:
        """Record another attempt for an event; give whether it is still the next one after the recorded one."""
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key={"run": {"S": f"start#{key}"}},
                UpdateExpression="SET attempt = :next, reruns.#event = :next, #input = :input, #status = :pending",
                ConditionExpression="attempt = :recorded AND attribute_not_exists(reruns.#event)",
                ExpressionAttributeNames={"#event": event_id, "#input": "input", "#status": "status"},
                ExpressionAttributeValues={
                    ":recorded": {"N": str(recorded)},
                    ":next": {"N": str(recorded + 1)},
                    ":input": {"S": json.dumps(renewed, sort_keys=True, ensure_ascii=False)},
                    ":pending": {"S": "pending"},
                },
            )
        except ClientError as error:
            if not _is(error, "ConditionalCheckFailedException"):
                raise
            return False
        return True

    def done(self, start: Start) -> None:
        """Mark the attempt as started; a later attempt that was wished for meanwhile stays as it is."""
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key={"run": {"S": f"start#{start.key}"}},
                UpdateExpression="SET #status = :started",
                ConditionExpression="attempt = :attempt",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={
                    ":started": {"S": "started"},
                    ":attempt": {"N": str(start.attempt)},
                },
            )
        except ClientError as error:
            if not _is(error, "ConditionalCheckFailedException"):
                raise

    def _read(self, key: str) -> _Item:
        found = self._dynamodb.get_item(TableName=self._table, Key={"run": {"S": f"start#{key}"}}, ConsistentRead=True)
        if "Item" not in found:
            raise BadEvent(f"nothing was started under the key {key!r}; allowed are the keys of earlier runs")
        item = found["Item"]
        return _Item(
            machine=cast(Machine, item["machine"]["S"]),
            attempt=int(item["attempt"]["N"]),
            input=json.loads(item["input"]["S"]),
            status=item["status"]["S"],
            reruns=frozenset(item["reruns"]["M"]),
        )


@dataclass(frozen=True)
class _Item:
    machine: Machine
    attempt: int
    input: dict[str, Any]
    status: str
    reruns: frozenset[str]


def _todo(key: str, item: _Item) -> Start | None:
    return Start(key, item.machine, item.attempt, item.input) if item.status == "pending" else None


def _is(error: ClientError, code: str) -> bool:
    return bool(error.response["Error"]["Code"] == code)
