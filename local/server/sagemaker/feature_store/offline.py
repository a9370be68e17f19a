"""The offline store: Parquet files in S3, one folder per hour of event time, as AWS lays them out."""

from __future__ import annotations

import datetime as dt
import logging
import secrets
import string
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import duckdb
from botocore.exceptions import BotoCoreError, ClientError

from local.server import clock
from local.server.host import Denied
from local.server.sagemaker.feature_store.records import Value, feature_types, typed
from local.server.sagemaker.feature_store.storage import RecordStorage, Waiting
from local.server.sagemaker.platform import Platform
from local.server.sagemaker.resources import FEATURE_GROUP
from local.server.sagemaker.s3_data import Address, encryption
from local.server.sagemaker.store import Document

log = logging.getLogger("gapless.sagemaker")

FLUSH_SECONDS = 1.0
"""How long records wait; AWS takes up to 15 minutes."""

_MOST_AT_ONCE = 20_000
_SQL_TYPES = {"String": "varchar", "Integral": "bigint", "Fractional": "double"}
_LETTERS = string.ascii_letters + string.digits


class OfflineStore:
    """Writes what waits in a thread of its own. What cannot be written goes on waiting, and the group says why."""

    def __init__(self, platform: Platform, storage: RecordStorage) -> None:
        self._platform = platform
        self._storage = storage
        self._closed = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._write_from_time_to_time, name="offline store", daemon=True)

    def start(self) -> None:
        """Begin; what the last process left is written first."""
        self._thread.start()

    def close(self) -> None:
        """Stop; what waits then is written by the next process."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _write_from_time_to_time(self) -> None:
        while not self._closed.wait(FLUSH_SECONDS):
            for store in self._storage.stores_with_history():
                self._write(store)

    def _write(self, store: str) -> None:
        group = self._platform.store.find("FeatureHistory", store)
        if group is None:
            log.error("records of %s have no offline store to go to", store)
            return
        try:
            while not self._closed.is_set() and (waiting := self._storage.waiting(store, _MOST_AT_ONCE)):
                self._write_hours(group, waiting)
                self._storage.written(waiting)
            self._say(group, {"Status": "Active"})
        except (Denied, ClientError, BotoCoreError) as error:
            log.exception("records of %s were not written to the offline store", store)
            self._say(group, {"Status": "Blocked", "BlockedReason": str(error)[:1024]})

    def _say(self, group: Document, status: Document) -> None:
        live = self._platform.store.find(FEATURE_GROUP.name, group["FeatureGroupName"])
        if live is not None and live["_Store"] == group["_Store"] and live.get("OfflineStoreStatus") != status:
            self._platform.store.change(FEATURE_GROUP.name, group["FeatureGroupName"], OfflineStoreStatus=status)

    def _write_hours(self, group: Document, waiting: Sequence[Waiting]) -> None:
        live = self._platform.store.find(FEATURE_GROUP.name, group["FeatureGroupName"])
        if live is not None and live["_Store"] == group["_Store"]:
            group = live  # with the features that were added since
        by_hour: dict[dt.datetime, list[Waiting]] = {}
        for each in waiting:
            hour = _instant(each.event_time).replace(minute=0, second=0, microsecond=0)
            by_hour.setdefault(hour, []).append(each)
        credentials = self._platform.assume(group["RoleArn"], "FeatureStore", group["FeatureGroupArn"])
        s3 = self._platform.host.client("s3", credentials)
        storage = group["OfflineStoreConfig"]["S3StorageConfig"]
        base, more = Address.parse(storage["ResolvedOutputS3Uri"]), encryption(storage.get("KmsKeyId"))
        with tempfile.TemporaryDirectory(dir=self._platform.settings.scratch) as folder:
            for hour, rows in sorted(by_hour.items()):
                body = _parquet(group, rows, Path(folder) / "part.parquet")
                address = base.join(f"{hour:year=%Y/month=%m/day=%d/hour=%H}", _file_name(rows))
                s3.put_object(Bucket=address.bucket, Key=address.key, Body=body, **more)
        self._platform.host.forget(credentials)


def _parquet(group: Document, rows: Sequence[Waiting], path: Path) -> bytes:
    types, now = feature_types(group), _instant(clock.now())
    columns = {
        **{name: _SQL_TYPES[kind] for name, kind in types.items()},
        "write_time": "timestamp",
        "api_invocation_time": "timestamp",
        "is_deleted": "boolean",
    }
    lines = [
        [
            *(_value(types[name], name, row.values) for name in types),
            now.replace(tzinfo=None),
            _instant(row.invoked).replace(tzinfo=None),
            row.deleted,
        ]
        for row in rows
    ]
    with duckdb.connect() as connection:
        listed = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        connection.execute(f"create table records ({listed})")
        connection.executemany(f"insert into records values ({', '.join('?' * len(columns))})", lines)  # noqa: S608
        connection.execute(f"copy records to '{path}' (format parquet, compression snappy)")
    return path.read_bytes()


def _value(kind: str, name: str, values: dict[str, str]) -> Value:
    return typed(kind, name, values[name]) if name in values else None


def _file_name(rows: Sequence[Waiting]) -> str:
    latest = _instant(max(row.event_time for row in rows))
    return f"{latest:%Y%m%dT%H%M%SZ}_{''.join(secrets.choice(_LETTERS) for _ in range(16))}.parquet"


def _instant(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
