"""Data capture: what an endpoint was asked and what it answered, in S3, in Model Monitor's format."""

from __future__ import annotations

import base64
import datetime as dt
import json
import logging
import random
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.server import clock
from local.server.sagemaker.s3_data import Address, encryption
from local.server.sagemaker.store import Document

log = logging.getLogger("gapless.sagemaker")

_FLUSH_SECONDS = 1.0
_FLUSH_BYTES = 1_000_000

_Lines = tuple[dt.datetime, list[str]]
"""When the first of them was kept, and the lines."""


@dataclass(frozen=True)
class Exchange:
    """One request and its answer."""

    request: bytes
    request_type: str
    response: bytes
    response_type: str
    inference_id: str | None
    custom_attributes: str | None


class Capture:
    """Writes a share of the exchanges of one variant as JSON lines, into one folder per hour.

    Lines are kept for a second, or until there are many or another hour has begun, and then put as one object.
    """

    def __init__(self, s3: Any, config: Document, endpoint: str, variant: str) -> None:
        self._s3 = s3
        self._config = config
        self._base = Address.parse(config["DestinationS3Uri"]).join(endpoint, variant)
        self._modes = _modes(config)
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._size = 0
        self._first: dt.datetime | None = None
        self._due = threading.Event()
        self._closed = False
        self._writer = threading.Thread(target=self._write_when_due, name=f"capture of {endpoint}", daemon=True)
        self._writer.start()

    def add(self, exchange: Exchange) -> None:
        """Keep an exchange, if it is in the share."""
        if random.random() * 100 >= self._config["InitialSamplingPercentage"]:  # noqa: S311 - a sample, no secret
            return
        now = clock.moment()
        line = json.dumps(self._record(exchange, now))
        earlier: _Lines | None = None
        with self._lock:
            if self._first is not None and _hour(self._first) != _hour(now):
                earlier = self._taken()
            self._first = self._first or now
            self._lines.append(line)
            self._size += len(line)
            if self._size >= _FLUSH_BYTES:
                self._due.set()
        self._put(earlier)

    def close(self) -> None:
        """Write what is left."""
        self._closed = True
        self._due.set()
        self._writer.join(5)

    def _write_when_due(self) -> None:
        while not self._closed:
            self._due.wait(_FLUSH_SECONDS)
            self._due.clear()
            self._write()
        self._write()

    def _write(self) -> None:
        with self._lock:
            kept = self._taken()
        self._put(kept)

    def _taken(self) -> _Lines | None:
        """Give what is kept, and keep nothing of it; the lock must be held."""
        first, lines = self._first, self._lines
        self._first, self._lines, self._size = None, [], 0
        return None if first is None else (first, lines)

    def _put(self, kept: _Lines | None) -> None:
        if kept is None:
            return
        first, lines = kept
        name = f"{first:%M-%S}-{first.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
        address = self._base.join(_hour(first), name)
        body = "".join(f"{line}\n" for line in lines).encode()
        more = encryption(self._config.get("KmsKeyId"))
        try:
            self._s3.put_object(
                Bucket=address.bucket, Key=address.key, Body=body, ContentType="application/json", **more
            )
        except (ClientError, BotoCoreError):
            log.exception("%d captured exchanges were not written to %s", len(lines), address)

    def _record(self, exchange: Exchange, now: dt.datetime) -> Document:
        data: Document = {}
        if "Input" in self._modes:
            data["endpointInput"] = self._side("INPUT", exchange.request, exchange.request_type)
        if "Output" in self._modes:
            data["endpointOutput"] = self._side("OUTPUT", exchange.response, exchange.response_type)
        metadata: Document = {"eventId": str(uuid.uuid4()), "inferenceTime": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
        if exchange.inference_id is not None:
            metadata["inferenceId"] = exchange.inference_id
        if exchange.custom_attributes is not None:
            metadata["customAttributes"] = [exchange.custom_attributes]
        return {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}

    def _side(self, mode: str, body: bytes, content_type: str) -> Document:
        encoding = self._encoding(content_type)
        text = base64.b64encode(body).decode() if encoding == "BASE64" else body.decode("utf-8", errors="replace")
        return {"observedContentType": content_type, "mode": mode, "data": text, "encoding": encoding}

    def _encoding(self, content_type: str) -> str:
        headers = self._config.get("CaptureContentTypeHeader", {})
        if _is_one_of(content_type, headers.get("JsonContentTypes", ())):
            return "JSON"
        return "CSV" if _is_one_of(content_type, headers.get("CsvContentTypes", ())) else "BASE64"


def _hour(moment: dt.datetime) -> str:
    """The folder of an hour."""
    return f"{moment:%Y/%m/%d/%H}"


def _modes(config: Document) -> set[str]:
    asked = {option["CaptureMode"] for option in config["CaptureOptions"]}
    return {"Input", "Output"} if "InputAndOutput" in asked else asked


def _is_one_of(content_type: str, allowed: Sequence[str]) -> bool:
    return content_type.partition(";")[0].strip().lower() in {each.lower() for each in allowed}
