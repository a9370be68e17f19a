"""Faults of AWS that somebody wants to see: machines that are not to be had or do not come, requests that are too many.

They are asked for in ``faults.json`` of the state directory, which nothing writes by itself::

    {"no_capacity": ["ml.p4d.24xlarge"], "pending": ["ml.c5.xlarge"], "throttle": {"UpdateEndpoint": 2}}

``no_capacity`` names machines that no new instance gets; ``pending`` machines that a new instance waits for, for as
long as they are named; ``throttle`` says how many of the next requests of an operation are refused. The file is read
whenever it could matter, so it can be written while the server runs.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from local.server.host import ServiceError

FILE = "faults.json"
NO_CAPACITY = (
    "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. Please retry using "
    "a different ML instance type or after some time."
)


class Faults:
    """What the file asks for."""

    def __init__(self, state_dir: Path) -> None:
        self._file = state_dir / FILE
        self._lock = threading.Lock()
        self._seen: str = ""
        self._refused: Counter[str] = Counter()

    def has_no(self, instance_type: str) -> bool:
        """Whether there are no machines of a type."""
        return instance_type in self._read().get("no_capacity", [])

    def withholds(self, instance_type: str) -> bool:
        """Whether machines of a type are neither given nor refused."""
        return instance_type in self._read().get("pending", [])

    def check_rate(self, operation: str) -> None:
        """Refuse a request that is too many.

        Raises:
            ServiceError: It is (``ThrottlingException``).
        """
        asked = self._read().get("throttle", {}).get(operation, 0)
        with self._lock:
            if self._refused[operation] >= asked:
                return
            self._refused[operation] += 1
        raise ServiceError("ThrottlingException", "Rate exceeded")

    def _read(self) -> dict[str, Any]:
        try:
            text = self._file.read_text()
        except OSError:
            text = ""
        with self._lock:
            if text != self._seen:
                self._seen = text
                self._refused.clear()
        found: dict[str, Any] = json.loads(text) if text else {}
        return found
