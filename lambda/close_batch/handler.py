"""Makes batches of the files that the ingestion paths put into a workload's incoming folder.

Invoked by its queue, which a schedule feeds; the body of a message is an event with a ``time``. The protocol, for the
batch after the last closed one, ``batches/<number>/_batch.json``:

1. every incoming file is copied to ``files/<source>/<sha256>``, where it stays; copying it twice changes nothing;
2. ``_batch.json`` is put if there is none: that names the files, starts the pipelines, and is the one step that counts;
3. the incoming files that it took are deleted, if they are still the same;
4. the batch is counted as closed.

Whoever finds a ``_batch.json`` of the next number goes on with step 3: somebody else is at work, or died. So a file is
in one batch, however often the function runs, at once or again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from close_batch.compose import Found, Plan, Taken, compose, lacks, sort_incoming
from gapless_lambda.clients import client
from gapless_lambda.landing import ABSENT, OTHERWISE, file_name, instant, is_code
from gapless_lambda.log import get_logger
from gapless_lambda.messages import BatchResponse, each_message
from gapless_lambda.s3 import Address, parse_uri, read_json
from gapless_lambda.settings import read_settings

MOST_FILES = 500
"""New files of one batch; the rest is the next one's. The state machines pass the list on, and it must fit."""

ENOUGH_SECONDS = 120.0
"""With less time than this no further file is read."""

_CHUNK = 1 << 20

log = get_logger(__name__)


class StrayFiles(Exception):
    """Files that no batch can take lie in the incoming folder: somebody has to move or delete them."""


@dataclass(frozen=True)
class Settings:
    """The environment of the function; the plan is a JSON object in S3."""

    plan_uri: str
    landing_bucket: str
    state_table: str


class Batches:
    """The batches of one workload."""

    def __init__(self, settings: Settings, plan: Plan, seconds_left: Callable[[], float]) -> None:
        self._s3 = client("s3")
        self._dynamodb = client("dynamodb")
        self._bucket = settings.landing_bucket
        self._table = settings.state_table
        self._plan = plan
        self._seconds_left = seconds_left

    def close(self, as_of: datetime) -> str | None:
        """Make the next batch of what has come; give the key of ``_batch.json``, or None when there is none to make.

        Raises:
            StrayFiles: There are files that no batch can take; those that can be taken have been.
        """
        number = self._last() + 1
        unfinished = self._read(number)
        if unfinished is not None:
            self._finish(number, unfinished)
            number += 1
        found = sort_incoming(self._incoming(), self._plan)
        batch = self._make(number, as_of, found.files)
        if batch is not None:
            self._finish(number, batch)
        if found.strays:
            raise StrayFiles("; ".join(f"{key}: {reason}" for key, reason in sorted(found.strays.items())[:20]))
        return self._key(number) if batch is not None else None

    # -- step 1 and 2

    def _make(self, number: int, as_of: datetime, files: tuple[Found, ...]) -> Any:
        previous = self._read(number - 1)
        waits_for = lacks(self._plan, (file.source for file in files), previous)
        taken = list(self._take(files[:MOST_FILES])) if files and not waits_for else []
        waits_for = waits_for or lacks(self._plan, (each.found.source for each in taken), previous)
        if waits_for:
            log.info("no batch yet", extra={"files": len(files), "waits_for": waits_for})
            return None
        return self._put_first(number, compose(self._plan, as_of, taken, previous))

    def _take(self, files: Iterable[Found]) -> Iterator[Taken]:
        for file in files:
            if self._seconds_left() < ENOUGH_SECONDS:
                log.warning("no time for more files", extra={"next": file.key})
                return
            try:
                digest = self._digest(file)
                key = f"{self._plan.files}{file.source}/"
                key += file_name(digest, self._plan.sources[file.source].format, file.key)
                self._s3.copy(
                    {"Bucket": self._bucket, "Key": file.key},
                    self._bucket,
                    key,
                    ExtraArgs={"CopySourceIfMatch": file.etag, "TaggingDirective": "REPLACE"},
                )
            except ClientError as error:
                if not is_code(error, ABSENT + OTHERWISE):
                    raise
                log.warning("changed while it was read: left for the next batch", extra={"file": file.key})
                continue
            yield Taken(file, key.removeprefix(f"{self._plan.workload}/"), digest)

    def _digest(self, file: Found) -> str:
        body = self._s3.get_object(Bucket=self._bucket, Key=file.key, IfMatch=file.etag)["Body"]
        digest = hashlib.sha256()
        for chunk in body.iter_chunks(_CHUNK):
            digest.update(chunk)
        return digest.hexdigest()

    def _put_first(self, number: int, batch: dict[str, Any]) -> Any:
        body = json.dumps(batch, sort_keys=True, ensure_ascii=False).encode()
        try:
            self._s3.put_object(
                Bucket=self._bucket,
                Key=self._key(number),
                Body=body,
                ContentType="application/json",
                IfNoneMatch="*",
            )
        except ClientError as error:
            if not is_code(error, OTHERWISE):
                raise
            return read_json(self._s3, Address(self._bucket, self._key(number)))
        log.info("batch made", extra={"batch": self._key(number), "files": len(batch["files"])})
        return batch

    # -- step 3 and 4

    def _finish(self, number: int, batch: Mapping[str, Any]) -> None:
        for file in batch["taken"]:
            try:
                self._s3.delete_object(Bucket=self._bucket, Key=file["key"], IfMatch=file["etag"])
            except ClientError as error:
                if not is_code(error, ABSENT + OTHERWISE):
                    raise
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key={"run": {"S": self._plan.item}},
                UpdateExpression="SET closed = :number",
                ConditionExpression="attribute_not_exists(closed) OR closed < :number",
                ExpressionAttributeValues={":number": {"N": str(number)}},
            )
        except ClientError as error:
            if not is_code(error, ("ConditionalCheckFailedException",)):
                raise

    # -- what is there

    def _key(self, number: int) -> str:
        return f"{self._plan.batches}{number:08}/_batch.json"

    def _last(self) -> int:
        key = {"run": {"S": self._plan.item}}
        item = self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return int(item["closed"]["N"]) if item else 0

    def _read(self, number: int) -> Any:
        try:
            return read_json(self._s3, Address(self._bucket, self._key(number)))
        except ClientError as error:
            if is_code(error, ABSENT):
                return None
            raise

    def _incoming(self) -> Iterator[Mapping[str, Any]]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._plan.incoming)
        for page in pages:
            yield from page.get("Contents", [])


def handler(event: Mapping[str, Any], context: Any) -> BatchResponse:
    """Look once for each message whether there is a batch to be made, and make it."""
    settings = read_settings(Settings)
    plan = Plan.parse(read_json(client("s3"), parse_uri(settings.plan_uri)))
    batches = Batches(settings, plan, lambda: context.get_remaining_time_in_millis() / 1000)
    return each_message(event, lambda body: _close(batches, body), log)


def _close(batches: Batches, body: Mapping[str, Any]) -> None:
    key = batches.close(instant(body["time"]))
    log.info("looked for a batch", extra={"batch": key})
