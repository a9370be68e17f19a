"""Provisioned throughput: so many records a second, and a refusal of more."""

from __future__ import annotations

import threading
import time
from typing import Literal

from local.server.sagemaker.store import Document

Way = Literal["Read", "Write"]


class Throughput:
    """Counts what each store took in the current second. A group on demand takes everything."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: dict[tuple[str, Way], tuple[int, int]] = {}

    def takes(self, group: Document, way: Way) -> bool:
        """Whether a group takes one more record now; each counts as one unit, whatever its size."""
        config = group.get("ThroughputConfig", {})
        if config.get("ThroughputMode") != "Provisioned":
            return True
        most, now, key = config.get(f"Provisioned{way}CapacityUnits", 0), int(time.time()), (group["_Store"], way)
        with self._lock:
            second, count = self._taken.get(key, (now, 0))
            count = count if second == now else 0
            if count >= most:
                return False
            self._taken[key] = (now, count + 1)
        return True
