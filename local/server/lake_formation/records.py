"""What the local Lake Formation remembers: one JSON file, written whenever something changes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

Document = dict[str, Any]

_OPEN = [{"Principal": {"DataLakePrincipalIdentifier": "IAM_ALLOWED_PRINCIPALS"}, "Permissions": ["ALL"]}]
_EMPTY: Document = {
    "settings": {
        "DataLakeAdmins": [],
        "CreateDatabaseDefaultPermissions": _OPEN,
        "CreateTableDefaultPermissions": _OPEN,
    },
    "locations": {},
    "tags": {},
    "assigned": {},
    "grants": [],
}


class Records:
    """Settings, locations by ARN, tag keys with their values, tags by resource, and grants.

    Attributes:
        document: All of it; read it freely, change it only within ``changing``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self.document: Document = json.loads(path.read_text() if path.exists() else json.dumps(_EMPTY))

    @contextmanager
    def changing(self) -> Iterator[Document]:
        """A copy to change: nobody else changes anything meanwhile, and nothing is kept when an error is raised."""
        with self._lock:
            draft: Document = json.loads(json.dumps(self.document))
            yield draft
            file = self._path.with_suffix(".draft")
            file.write_text(json.dumps(draft))
            file.replace(self._path)
            self.document = draft


@cache
def records_in(state_dir: Path) -> Records:
    """The records of the server with this state directory."""
    return Records(state_dir / "lake_formation.json")
