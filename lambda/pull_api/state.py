"""How far a source has been pulled, on record: one item of the runs table, changed only by conditional writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from gapless_lambda.landing import is_code
from pull_api.spec import Position, Pull


class Overtaken(Exception):
    """Another call has gone on from the same position."""


@dataclass(frozen=True)
class File:
    """A file that a pull wrote: its name, with the digest, among the pulled and the incoming ones."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Pulled:
    """What is on record.

    Attributes:
        sequence: Number of steps so far.
        position: Where the next one starts.
        unpublished: The file of the last step, when it may not have been handed over yet.
        last: SHA-256 of the last file.
    """

    sequence: int
    position: Position
    unpublished: File | None = None
    last: str = ""


class PullState:
    """The item of one source."""

    def __init__(self, dynamodb: Any, table: str, pull: Pull) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._pull = pull
        self._key = {"run": {"S": pull.item}}

    def read(self) -> Pulled:
        """Give what is on record; before the first step, the position to start from."""
        found = self._dynamodb.get_item(TableName=self._table, Key=self._key, ConsistentRead=True).get("Item")
        if found is None:
            return Pulled(0, Position.first(self._pull))
        file = json.loads(found["unpublished"]["S"]) if "unpublished" in found else None
        return Pulled(
            sequence=int(found["sequence"]["N"]),
            position=Position.load(found["position"]["S"]),
            unpublished=File(**file) if file else None,
            last=found["last"]["S"],
        )

    def commit(self, before: Pulled, position: Position, file: File | None) -> Pulled:
        """Record one step: the position after it, and the file that holds its rows. This is what makes it count.

        Raises:
            Overtaken: Another call has recorded a step since ``before`` was read.
        """
        last = file.sha256 if file is not None else before.last
        after = Pulled(before.sequence + 1, position, file, last)
        values = {
            ":before": {"N": str(before.sequence)},
            ":after": {"N": str(after.sequence)},
            ":position": {"S": position.dump()},
            ":last": {"S": last},
        }
        changes = "SET #sequence = :after, #position = :position, #last = :last"
        if file is not None:
            values[":file"] = {"S": json.dumps({"name": file.name, "sha256": file.sha256})}
            changes += ", unpublished = :file"
        fresh = "attribute_not_exists(run)" if before.sequence == 0 else "#sequence = :before"
        if before.sequence == 0:
            del values[":before"]
        self._update(
            changes, f"{fresh} AND attribute_not_exists(unpublished)", values, ("sequence", "position", "last")
        )
        return after

    def published(self, step: Pulled) -> None:
        """Record that the file of a step has been handed over; harmless when somebody else has."""
        values = {":sequence": {"N": str(step.sequence)}}
        try:
            self._update("REMOVE unpublished", "#sequence = :sequence", values, ("sequence",))
        except Overtaken:
            return

    def _update(self, changes: str, condition: str, values: dict[str, Any], names: tuple[str, ...]) -> None:
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key=self._key,
                UpdateExpression=changes,
                ConditionExpression=condition,
                ExpressionAttributeNames={f"#{name}": name for name in names},
                ExpressionAttributeValues=values,
            )
        except ClientError as error:
            if is_code(error, ("ConditionalCheckFailedException",)):
                raise Overtaken(f"another call pulls {self._pull.source}") from error
            raise
