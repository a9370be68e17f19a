"""Records that a stream could not deliver are put on it once more, all of them or the object stays."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from gapless_lambda import clients
from resubmit_records import handler as resubmitter
from resubmit_records.handler import MOST_BYTES, BadFailure, StreamBusy, in_batches, put_all, read_records

LANDING = "landing"
KEY = "orders/failed/clicks/format-conversion-failed/2024/03/01/10/clicks-1"


class Stream:
    """What is put on a stream that refuses the first records that it is offered, so many times."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.records: list[bytes] = []

    def put_record_batch(self, DeliveryStreamName: str, Records: list[dict[str, bytes]]) -> dict[str, Any]:
        responses: list[dict[str, str]] = []
        for record in Records:
            if self.refusals:
                self.refusals -= 1
                responses.append({"ErrorCode": "ServiceUnavailableException"})
            else:
                self.records.append(record["Data"])
                responses.append({"RecordId": "r"})
        return {"RequestResponses": responses}


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "STREAM": "clicks",
        "FAILED_PREFIX": "orders/failed/clicks/",
        "LANDING_BUCKET": LANDING,
    }.items():
        monkeypatch.setenv(name, value)
    clients.client.cache_clear()
    with mock_aws():
        s3 = clients.client("s3")
        s3.create_bucket(Bucket=LANDING)
        yield s3
    clients.client.cache_clear()


@pytest.fixture
def stream(s3: Any, monkeypatch: pytest.MonkeyPatch) -> Stream:
    stream, original = Stream(), clients.client
    monkeypatch.setattr(resubmitter, "client", lambda name: stream if name == "firehose" else original(name))
    return stream


def failure(*records: bytes) -> bytes:
    lines = [json.dumps({"ErrorCode": "x", "rawData": base64.b64encode(each).decode()}) for each in records]
    return "\n".join([*lines, ""]).encode()


def call(key: str = KEY) -> list[Any]:
    body = json.dumps({"detail": {"bucket": {"name": LANDING}, "object": {"key": key}}})
    answer = resubmitter.handler({"Records": [{"messageId": "m", "body": body}]}, None)
    return list(answer["batchItemFailures"])


def keys(s3: Any) -> list[str]:
    return [each["Key"] for each in s3.list_objects_v2(Bucket=LANDING).get("Contents", [])]


def test_puts_every_record_as_it_was_on_the_stream_and_deletes_the_object(s3: Any, stream: Stream) -> None:
    s3.put_object(Bucket=LANDING, Key=KEY, Body=failure(b'{"id": 1}', b"not json"))
    assert call() == []
    assert stream.records == [b'{"id": 1}', b"not json"]
    assert keys(s3) == []


def test_an_object_that_is_gone_has_been_dealt_with(s3: Any, stream: Stream) -> None:
    assert call() == []
    assert stream.records == []


def test_keeps_an_object_that_is_no_list_of_failures(s3: Any, stream: Stream) -> None:
    s3.put_object(Bucket=LANDING, Key=KEY, Body=b'{"ErrorCode": "x"}\n')
    assert call() == [{"itemIdentifier": "m"}]
    assert keys(s3) == [KEY]


def test_refuses_an_object_of_another_stream(s3: Any, stream: Stream) -> None:
    other = KEY.replace("clicks", "visits")
    s3.put_object(Bucket=LANDING, Key=other, Body=failure(b"1"))
    assert call(other) == [{"itemIdentifier": "m"}]
    assert keys(s3) == [other]


def test_keeps_the_object_while_the_stream_takes_not_everything(s3: Any, stream: Stream) -> None:
    stream.refusals = 100
    s3.put_object(Bucket=LANDING, Key=KEY, Body=failure(b"1", b"2"))
    assert call() == [{"itemIdentifier": "m"}]
    assert keys(s3) == [KEY]


def test_offers_again_what_the_stream_did_not_take() -> None:
    stream = Stream(refusals=3)
    put_all(stream, "clicks", [b"1", b"2"])
    assert sorted(stream.records) == [b"1", b"2"]
    with pytest.raises(StreamBusy, match="clicks did not take 1 of 2 records"):
        put_all(Stream(refusals=5), "clicks", [b"1", b"2"])


def test_asks_for_no_more_than_one_request_may_hold() -> None:
    assert [len(batch) for batch in in_batches([b"x"] * 1001)] == [500, 500, 1]
    assert [len(batch) for batch in in_batches([b"x" * (MOST_BYTES // 2)] * 5)] == [2, 2, 1]
    assert list(in_batches([])) == []


def test_names_the_line_that_is_no_record() -> None:
    with pytest.raises(BadFailure, match="line 2 is no record"):
        list(read_records([failure(b"1").strip(), b"oops"]))
