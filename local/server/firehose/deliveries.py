"""Records on their way from a stream into S3: buffered, then delivered together."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from local.server import clock, hooks
from local.server.firehose.conversion import Conversion, Row
from local.server.host import Credentials, Denied, Host

log = logging.getLogger("gapless.firehose")

_PRINCIPAL = "firehose.amazonaws.com"
_SHORTEST_SECONDS = 0.1

Document = Mapping[str, Any]
Keys = tuple[tuple[str, str], ...]
"""The values by which records are parted."""

Parsed = tuple[bytes, list[Row]]
"""A record and its rows."""


@dataclass
class Buffer:
    """What waits for delivery to one destination."""

    stream: Document
    settings: Document
    records: list[bytes] = field(default_factory=list)
    since: float = 0.0
    due: float = 0.0

    @property
    def is_full(self) -> bool:
        """Whether it holds as much as an object may."""
        megabytes = int(self.settings.get("BufferingHints", {}).get("SizeInMBs", 5))
        return sum(map(len, self.records)) >= megabytes << 20


class Deliveries:
    """Takes records, and delivers them when a buffer is full or old enough; seconds last as long as in machines."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._buffers: dict[str, Buffer] = {}
        self._changed = threading.Condition()
        self._ending = False

    def take(self, stream: Document, dest: dict[str, Any], records: Iterable[tuple[str, bytes]]) -> None:
        """Keep records until they are delivered; ministack calls this when they have been put on a stream.

        Raises:
            ValueError: The stream calls a function for its records, which is not done here.
        """
        settings = dest["config"]
        for processor in settings.get("ProcessingConfiguration", {}).get("Processors", []):
            if processor["Type"] != "MetadataExtraction":
                raise ValueError(f"the local server does not apply the processor {processor['Type']}")
        dest["records"].clear()  # ministack would keep them for ever
        with self._changed:
            buffer = self._buffers.setdefault(stream["name"], Buffer(stream, settings))
            buffer.settings = settings
            if not buffer.records:
                buffer.since = time.monotonic()
                buffer.due = buffer.since + self._interval(settings)
            buffer.records += [record for _, record in records]
            self._changed.notify_all()

    def start(self) -> None:
        """Deliver from now on."""
        threading.Thread(target=self._run, name="firehose", daemon=True).start()

    def finish(self) -> None:
        """Deliver what is left."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
            left = list(self._buffers.values())
        for buffer in left:
            self._deliver(buffer)

    def _interval(self, settings: Document) -> float:
        seconds = float(settings.get("BufferingHints", {}).get("IntervalInSeconds", 300))
        return max(seconds * self._host.settings.wait_scale, _SHORTEST_SECONDS)

    def _run(self) -> None:
        while True:
            with self._changed:
                due = self._due()
                while not due and not self._ending:
                    self._changed.wait(self._pause())
                    due = self._due()
                if self._ending:
                    return
            for buffer in due:
                self._deliver(buffer)

    def _due(self) -> list[Buffer]:
        now = time.monotonic()
        return [each for each in self._buffers.values() if each.records and (each.due <= now or each.is_full)]

    def _pause(self) -> float | None:
        waiting = [each.due for each in self._buffers.values() if each.records]
        return max(min(waiting) - time.monotonic(), 0) if waiting else None

    def _deliver(self, buffer: Buffer) -> None:
        with self._changed:
            records, buffer.records = buffer.records, []
        if not records:
            return
        name = buffer.stream["name"]
        age = (time.monotonic() - buffer.since) / self._host.settings.wait_scale
        delivered = 1.0
        try:
            Delivery(self._host, buffer.stream, buffer.settings).perform(records)
        except (ClientError, Denied) as error:
            log.warning("stream %s could not deliver %s records: %s", name, len(records), error)
            delivered = 0.0
            with self._changed:
                buffer.records = records + buffer.records
                buffer.due = time.monotonic() + self._interval(buffer.settings)
        for metric, value in (("DeliveryToS3.Success", delivered), ("DeliveryToS3.DataFreshness", age)):
            self._host.put_metric("AWS/Firehose", metric, value, {"DeliveryStreamName": name})


class Delivery:
    """One delivery: one object per partition, and one per kind of failure."""

    def __init__(self, host: Host, stream: Document, settings: Document) -> None:
        self._host = host
        self._stream = stream
        self._settings = settings
        self._role = self._mint(settings["RoleARN"])
        self._now = time.gmtime(clock.now())

    def perform(self, records: Sequence[bytes]) -> None:
        """Write everything, or raise what AWS would try again for.

        Raises:
            ClientError, Denied: The role may not read the schema or write the objects.
        """
        parts: dict[Keys, list[Parsed]] = defaultdict(list)
        failed: dict[str, list[dict[str, Any]]] = defaultdict(list)
        conversion = self._conversion()
        for record in records:
            try:
                keys = self._keys(record)
                if isinstance(conversion, Exception):
                    raise conversion
                parts[tuple(sorted(keys.items()))].append((record, conversion.rows(record)))
            except hooks.get("services.firehose:_DeliveryError") as error:
                failed[error.output_type].append(_failure(record, error))
        if isinstance(conversion, Conversion):
            for key, parsed in parts.items():
                self._put_rows(conversion, dict(key), parsed, failed)
        for kind, failures in failed.items():
            prefix = self._prefix(self._settings["ErrorOutputPrefix"], {}, error_type=kind)
            self._put(prefix, "", "".join(json.dumps(each) + "\n" for each in failures).encode())
        unconverted = float(len(failed.get("format-conversion-failed", [])))
        self._host.put_metric(
            "AWS/Firehose", "FailedConversion.Records", unconverted, {"DeliveryStreamName": self._stream["name"]}
        )

    def _put_rows(
        self, conversion: Conversion, keys: dict[str, str], parsed: list[Parsed], failed: dict[str, list[Any]]
    ) -> None:
        rows = [row for _, found in parsed for row in found]
        if not conversion.fits(rows):
            rows = []
            for record, found in parsed:
                if conversion.fits(found):
                    rows += found
                else:
                    error: Any = Conversion.error("mismatch")
                    failed[error.output_type].append(_failure(record, error))
        if rows:
            self._put(self._prefix(self._settings.get("Prefix", ""), keys), ".parquet", conversion.parquet(rows))

    def _conversion(self) -> Conversion | Exception:
        settings = self._settings["DataFormatConversionConfiguration"]
        schema = settings["SchemaConfiguration"]
        glue = self._host.client("glue", self._mint(schema["RoleARN"]))
        try:
            table = glue.get_table(DatabaseName=schema["DatabaseName"], Name=schema["TableName"])["Table"]
            return Conversion(table["StorageDescriptor"]["Columns"], settings)
        except glue.exceptions.EntityNotFoundException:
            return Conversion.error("table")

    def _keys(self, record: bytes) -> dict[str, str]:
        if not self._settings.get("DynamicPartitioningConfiguration", {}).get("Enabled"):
            return {}
        return hooks.get("services.firehose:_metadata_extraction_keys")(self._settings, record) or {}

    def _prefix(self, template: str, keys: dict[str, str], error_type: str | None = None) -> str:
        evaluated: str = hooks.get("services.firehose:_evaluate_prefix")(
            template, self._now, query_keys=keys, error_type=error_type
        )
        return evaluated

    def _put(self, prefix: str, suffix: str, body: bytes) -> None:
        bucket = self._settings["BucketARN"].rpartition(":")[2]
        moment = hooks.get("services.firehose:_java_time")("yyyy-MM-dd-HH-mm-ss", self._now)
        name = f"{self._stream['name']}-{self._stream.get('version', 1)}-{moment}-{uuid.uuid4()}{suffix}"
        key = self._settings.get("EncryptionConfiguration", {}).get("KMSEncryptionConfig", {}).get("AWSKMSKeyARN")
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}
        s3 = self._host.client("s3", self._role)
        s3.put_object(Bucket=bucket, Key=prefix + name, Body=body, **encryption)

    def _mint(self, role_arn: str) -> Credentials:
        return self._host.mint(role_arn, _PRINCIPAL, self._stream["name"], self._stream["arn"])


def _failure(record: bytes, error: Any) -> dict[str, Any]:
    """What Firehose writes of a record that it cannot deliver."""
    now = int(clock.now() * 1000)
    return {
        "attemptsMade": 1,
        "arrivalTimestamp": now,
        "ErrorCode": error.code or error.output_type,
        "ErrorMessage": error.message,
        "attemptEndingTimestamp": now,
        "rawData": base64.b64encode(record).decode(),
    }
