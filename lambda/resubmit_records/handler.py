"""Puts records that a stream could not deliver on the stream once more.

Invoked by a queue to which a person moves the messages of the failure queue when the cause has been mended. The body of
a message is the event ``Object Created`` of an object under the stream's error prefix: a JSON object per line, with the
record in ``rawData``. When all its records are on the stream the object is deleted, so that what lies under the prefix
is what is still to be done. A call that dies between the two puts them on the stream again: rows of a source are told
apart by its key.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from gapless_lambda.clients import client
from gapless_lambda.landing import ABSENT, is_code
from gapless_lambda.log import get_logger
from gapless_lambda.messages import BatchResponse, each_message
from gapless_lambda.settings import read_settings

MOST_RECORDS = 500
MOST_BYTES = 4_000_000
"""Of one PutRecordBatch."""

log = get_logger(__name__)


class BadFailure(Exception):
    """The object is not a list of records that could not be delivered."""


class StreamBusy(Exception):
    """The stream did not take every record: to be tried again."""


@dataclass(frozen=True)
class Settings:
    """The environment of the function; the prefix is that of the stream's errors, and ends in ``/``."""

    stream: str
    failed_prefix: str
    landing_bucket: str


def read_records(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Give the records of an error object, as they were put on the stream.

    Raises:
        BadFailure: A line is not one of Firehose's.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield base64.b64decode(json.loads(line)["rawData"], validate=True)
        except (ValueError, KeyError, TypeError) as error:
            raise BadFailure(f"line {number} is no record that could not be delivered: {error}") from error


def in_batches(records: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Give lists of records that one request may hold."""
    batch: list[bytes] = []
    size = 0
    for record in records:
        if batch and (len(batch) == MOST_RECORDS or size + len(record) > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += len(record)
    if batch:
        yield batch


def put_all(firehose: Any, stream: str, records: Sequence[bytes]) -> None:
    """Put records on the stream; those that it does not take at first are offered twice more.

    Raises:
        StreamBusy: Some are left.
    """
    rest = list(records)
    for _ in range(3):
        answer = firehose.put_record_batch(DeliveryStreamName=stream, Records=[{"Data": each} for each in rest])
        responses = zip(rest, answer["RequestResponses"], strict=True)
        rest = [record for record, response in responses if "ErrorCode" in response]
        if not rest:
            return
    raise StreamBusy(f"{stream} did not take {len(rest)} of {len(records)} records")


def resubmit(event: Mapping[str, Any], settings: Settings) -> None:
    """Put the records of one error object on the stream; one that is gone has been dealt with.

    Raises:
        BadFailure: The object is not one of this stream's errors.
    """
    key = event["detail"]["object"]["key"]
    if not key.startswith(settings.failed_prefix):
        raise BadFailure(f"{key!r} is not below {settings.failed_prefix}")
    s3 = client("s3")
    try:
        body = s3.get_object(Bucket=settings.landing_bucket, Key=key)["Body"]
    except ClientError as error:
        if is_code(error, ABSENT):
            log.info("dealt with before", extra={"key": key})
            return
        raise
    count = 0
    for batch in in_batches(read_records(body.iter_lines())):
        put_all(client("firehose"), settings.stream, batch)
        count += len(batch)
    s3.delete_object(Bucket=settings.landing_bucket, Key=key)
    log.info("resubmitted", extra={"key": key, "records": count})


def handler(event: Mapping[str, Any], context: Any) -> BatchResponse:  # noqa: ARG001
    """Resubmit the records that each message is about."""
    settings = read_settings(Settings)
    return each_message(event, lambda body: resubmit(body, settings), log)
