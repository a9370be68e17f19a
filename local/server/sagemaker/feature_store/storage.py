"""What the local Feature Store remembers of records: the newest of each identifier, and what waits for the history.

One sqlite file, so that a record that was taken outlives the process, whatever happens to it.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

from local.server import clock
from local.server.sagemaker.feature_store.records import Entry

_SCHEMA = """
create table if not exists newest (
    store text not null, identifier text not null, event_time real not null, expires real, record text,
    primary key (store, identifier)
);
create table if not exists history (
    number integer primary key autoincrement, store text not null, event_time real not null, record text not null,
    deleted integer not null, invoked real not null
);
"""


@dataclass(frozen=True)
class Found:
    """The newest record of an identifier and when it expires, if it does."""

    entry: Entry
    expires: float | None


@dataclass(frozen=True)
class Waiting:
    """A record that is to be written to the offline store."""

    number: int
    event_time: float
    values: dict[str, str]
    deleted: bool
    invoked: float


class RecordStorage:
    """Records by store, which is one life of a feature group. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("pragma journal_mode = wal")
        self._database.execute("pragma synchronous = normal")
        self._database.executescript(_SCHEMA)

    def put(self, store: str, entry: Entry, expires: float | None) -> None:
        """Keep a record if its event time is greater than that of the one before; otherwise it is a historic one."""
        with self._lock:
            if self._is_newer(store, entry):
                self._set(store, entry, expires, json.dumps(dict(entry.values)))

    def hide(self, store: str, entry: Entry) -> None:
        """Delete softly: nothing is found any more until a newer record comes; an older deletion does nothing."""
        with self._lock:
            if self._is_newer(store, entry):
                self._set(store, entry, None, None)

    def drop(self, store: str, entry: Entry) -> bool:
        """Delete for good; says whether the deletion was newer than the record."""
        with self._lock:
            newer = self._is_newer(store, entry)
            if newer:
                self._database.execute(
                    "delete from newest where store = ? and identifier = ?", (store, entry.identifier)
                )
        return newer

    def find(self, store: str, identifier: str) -> Found | None:
        """The newest record of an identifier, unless it was deleted or has expired."""
        with self._lock:
            self._expire(store, identifier)
            row = self._database.execute(
                "select event_time, expires, record from newest where store = ? and identifier = ?",
                (store, identifier),
            ).fetchone()
        if row is None or row[2] is None:
            return None
        return Found(Entry(identifier, row[0], json.loads(row[2])), row[1])

    def append(self, store: str, entry: Entry, *, deleted: bool) -> None:
        """Let a record or the mark of a deletion wait for the offline store."""
        with self._lock:
            self._database.execute(
                "insert into history (store, event_time, record, deleted, invoked) values (?, ?, ?, ?, ?)",
                (store, entry.event_time, json.dumps(dict(entry.values)), deleted, clock.now()),
            )

    def stores_with_history(self) -> list[str]:
        """The stores for which something waits."""
        with self._lock:
            return [row[0] for row in self._database.execute("select distinct store from history order by store")]

    def waiting(self, store: str, most: int) -> list[Waiting]:
        """What waits for the offline store, oldest call first."""
        with self._lock:
            rows = self._database.execute(
                "select number, event_time, record, deleted, invoked from history where store = ? "
                "order by number limit ?",
                (store, most),
            ).fetchall()
        return [Waiting(row[0], row[1], json.loads(row[2]), bool(row[3]), row[4]) for row in rows]

    def written(self, waiting: list[Waiting]) -> None:
        """Forget what the offline store has."""
        with self._lock:
            self._database.executemany("delete from history where number = ?", [(each.number,) for each in waiting])

    def clear(self, store: str) -> None:
        """Forget the newest records of a group that is gone; its history still goes where it was to go."""
        with self._lock:
            self._database.execute("delete from newest where store = ?", (store,))

    def _set(self, store: str, entry: Entry, expires: float | None, record: str | None) -> None:
        self._database.execute(
            "insert or replace into newest values (?, ?, ?, ?, ?)",
            (store, entry.identifier, entry.event_time, expires, record),
        )

    def _is_newer(self, store: str, entry: Entry) -> bool:
        self._expire(store, entry.identifier)
        row = self._database.execute(
            "select event_time from newest where store = ? and identifier = ?", (store, entry.identifier)
        ).fetchone()
        return row is None or entry.event_time > row[0]

    def _expire(self, store: str, identifier: str) -> None:
        self._database.execute(
            "delete from newest where store = ? and identifier = ? and expires <= ?", (store, identifier, clock.now())
        )
