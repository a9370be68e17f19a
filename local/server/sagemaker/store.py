"""What the local SageMaker remembers: one sqlite file of JSON documents, so that it outlives the process."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.server import clock

Document = dict[str, Any]

_SCHEMA = """
create table if not exists resources (
    number integer primary key autoincrement, kind text not null, name text not null, document text not null,
    unique (kind, name)
);
create table if not exists tags (arn text not null, key text not null, value text not null, primary key (arn, key));
"""


class AlreadyThere(Exception):
    """A resource of this kind and name exists."""


class Store:
    """Documents by kind and name, in the order of their creation. Safe to use from several threads.

    Members that start with ``_`` are the server's own; answers never show them. Times are epoch seconds.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("pragma journal_mode = wal")
        self._database.execute("pragma synchronous = normal")
        self._database.executescript(_SCHEMA)

    def add(self, kind: str, name: str, document: Document) -> Document:
        """Keep a new resource with its creation time.

        Raises:
            AlreadyThere: There is one of this kind and name.
        """
        now = clock.now()
        full = {**document, "CreationTime": now, "LastModifiedTime": now}
        with self._lock:
            try:
                self._database.execute(
                    "insert into resources (kind, name, document) values (?, ?, ?)", (kind, name, json.dumps(full))
                )
            except sqlite3.IntegrityError as error:
                raise AlreadyThere(name) from error
        return full

    def find(self, kind: str, name: str) -> Document | None:
        """The document, or ``None``."""
        with self._lock:
            row = self._database.execute(
                "select document from resources where kind = ? and name = ?", (kind, name)
            ).fetchone()
        return None if row is None else json.loads(row[0])

    def edit(self, kind: str, name: str, change: Callable[[Document], None]) -> Document:
        """Change a document in one step: no other change comes between reading and writing.

        Raises:
            KeyError: There is no such resource.
        """
        with self._lock:
            document = self.find(kind, name)
            if document is None:
                raise KeyError(f"{kind} {name}")
            change(document)
            document["LastModifiedTime"] = clock.now()
            self._database.execute(
                "update resources set document = ? where kind = ? and name = ?", (json.dumps(document), kind, name)
            )
        return document

    def change(self, kind: str, name: str, **members: Any) -> Document:
        """Set members of a document; ``None`` removes one."""

        def apply(document: Document) -> None:
            document.update(members)
            for key in [key for key, value in members.items() if value is None]:
                del document[key]

        return self.edit(kind, name, apply)

    def remove(self, kind: str, name: str) -> None:
        """Forget a resource; one that is not there is no error."""
        with self._lock:
            self._database.execute("delete from resources where kind = ? and name = ?", (kind, name))

    def all(self, kind: str) -> list[Document]:
        """Every document of a kind, oldest first."""
        with self._lock:
            rows = self._database.execute(
                "select document from resources where kind = ? order by number", (kind,)
            ).fetchall()
        return [json.loads(row[0]) for row in rows]

    def tags(self, arn: str) -> dict[str, str]:
        """The tags of a resource."""
        with self._lock:
            return dict(self._database.execute("select key, value from tags where arn = ? order by key", (arn,)))

    def add_tags(self, arn: str, tags: dict[str, str]) -> None:
        """Set tags of a resource; the others stay."""
        with self._lock:
            self._database.executemany(
                "insert or replace into tags values (?, ?, ?)", [(arn, key, value) for key, value in tags.items()]
            )

    def remove_tags(self, arn: str, keys: list[str] | None = None) -> None:
        """Remove some tags of a resource, or all."""
        with self._lock:
            for key in self.tags(arn) if keys is None else keys:
                self._database.execute("delete from tags where arn = ? and key = ?", (arn, key))
