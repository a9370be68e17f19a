"""Turns what CloudWatch Logs puts on a Firehose stream into documents, one per line of a log.

Firehose calls it with records and takes one document for each. CloudWatch Logs packs many lines into a record, so the
first becomes that record's document and the others are put on the stream again, as documents; those pass through.
When they cannot be put there, the record counts as failed, and Firehose keeps it as it was in its bucket of failures.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypedDict

from gapless_lambda.clients import client
from gapless_lambda.log import get_logger

_GZIP: Final = b"\x1f\x8b"
_DATA: Final = "DATA_MESSAGE"
_AT_ONCE: Final = 400
_MOST_BYTES: Final = 3_500_000
"""What one call may put on a stream: 500 records and 4 MiB, less some room."""

_TRIES: Final = 3

log = get_logger(__name__)

Document = dict[str, Any]


class NotPut(Exception):
    """Some documents could not be put on the stream."""


class Record(TypedDict):
    """A record as Firehose gives it."""

    recordId: str
    data: str


class Event(TypedDict):
    """What Firehose calls with."""

    deliveryStreamArn: str
    records: list[Record]


class Answer(TypedDict):
    """What became of a record."""

    recordId: str
    result: Literal["Ok", "Dropped", "ProcessingFailed"]
    data: str


def documents_of(message: Mapping[str, Any]) -> Iterator[Document]:
    """Give the documents of a message of CloudWatch Logs; none of one that only says that it is there."""
    if message["messageType"] != _DATA:
        return
    for each in message["logEvents"]:
        at = datetime.fromtimestamp(each["timestamp"] / 1000, tz=UTC)
        yield {
            "@timestamp": at.isoformat(timespec="milliseconds"),
            "log_group": message["logGroup"],
            "log_stream": message["logStream"],
            **line_of(each["message"]),
        }


def line_of(line: str) -> Document:
    """Give what a line says: a structured one its message, level, run and other fields, any other itself."""
    try:
        fields = json.loads(line)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        return {"message": line}
    named = {name: str(fields[name]) for name in ("level", "run_id") if fields.get(name) is not None}
    return {"message": str(fields.get("message", line)), **named, "fields": fields}


def encoded(document: Document) -> bytes:
    """Give a document as it is put on the stream."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def put(firehose: Any, stream: str, documents: Sequence[bytes]) -> None:
    """Put documents on the stream, those that were refused again.

    Raises:
        NotPut: Some of them were refused every time.
    """
    for some in packed(documents):
        left = [{"Data": document} for document in some]
        for _ in range(_TRIES):
            answers = firehose.put_record_batch(DeliveryStreamName=stream, Records=left)["RequestResponses"]
            left = [record for record, answer in zip(left, answers, strict=True) if "ErrorCode" in answer]
            if not left:
                break
        if left:
            raise NotPut(f"{len(left)} of {len(some)} documents were refused by {stream} {_TRIES} times")


def packed(documents: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Give the documents in parts that one call may have."""
    part: list[bytes] = []
    size = 0
    for document in documents:
        if part and (len(part) == _AT_ONCE or size + len(document) > _MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(document)
        size += len(document)
    if part:
        yield part


def unpack(firehose: Any, stream: str, record: Record) -> Answer:
    """Give what becomes of a record; its other documents are on the stream then."""
    data = base64.b64decode(record["data"])
    answer: Answer = {"recordId": record["recordId"], "result": "Ok", "data": record["data"]}
    if not data.startswith(_GZIP):
        return answer
    try:
        documents = [encoded(each) for each in documents_of(json.loads(gzip.decompress(data)))]
        put(firehose, stream, documents[1:])
    except (NotPut, ValueError, KeyError, TypeError, OSError, EOFError, zlib.error):
        log.exception("record was not unpacked", extra={"record_id": record["recordId"], "stream": stream})
        return {**answer, "result": "ProcessingFailed"}
    if not documents:
        return {**answer, "result": "Dropped"}
    return {**answer, "data": base64.b64encode(documents[0]).decode("ascii")}


def handler(event: Event, _context: object) -> dict[str, list[Answer]]:
    """Unpack the records of a call."""
    stream = event["deliveryStreamArn"].rpartition("/")[2]
    return {"records": [unpack(client("firehose"), stream, record) for record in event["records"]]}
