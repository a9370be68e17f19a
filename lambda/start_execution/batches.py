"""What a landed document says of itself: its idempotency key, and the instant that stands for "now"."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from start_execution.record import BadEvent


def parse_batch(body: bytes) -> dict[str, Any] | None:
    """Read ``_batch.json``; None when it is not a JSON object with a list of files."""
    try:
        batch = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(batch, dict) or not isinstance(batch.get("files"), list):
        return None
    return batch if all(isinstance(file, dict) for file in batch["files"]) else None


def batch_key(body: bytes) -> str:
    """Give the idempotency key of a batch: the SHA-256 of its canonical JSON, or of the bytes when they do not parse.

    The order of the files, of the members and white space do not count.
    """
    batch = parse_batch(body)
    if batch is None:
        return hashlib.sha256(body).hexdigest()
    files = sorted(batch["files"], key=lambda file: (str(file.get("source")), str(file.get("key"))))
    canonical = json.dumps({**batch, "files": files}, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def as_of(batch: Mapping[str, Any] | None, event_time: str) -> str:
    """Give the instant that stands for "now" in the whole run: the batch's own, when valid, else the time of the event.

    Args:
        batch: What ``_batch.json`` says, None when it does not parse.
        event_time: ISO 8601 with an offset.

    Returns:
        UTC, as ``2013-05-01T00:00:00Z``.

    Raises:
        BadEvent: The event's time is not one.
    """
    named = _utc(batch.get("as_of")) if batch else None
    given = named if named is not None else _utc(event_time)
    if given is None:
        raise BadEvent(f"the event's time is not an ISO 8601 instant with an offset: {event_time!r}")
    return given


def _utc(text: Any) -> str | None:
    if not isinstance(text, str):
        return None
    try:
        instant = datetime.fromisoformat(text)
        named = instant.astimezone(UTC) if instant.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
    return named.isoformat().replace("+00:00", "Z") if named is not None else None


def trigger(event: Mapping[str, Any]) -> dict[str, str]:
    """Give what an execution remembers of the event that started it."""
    return {"event": event["id"], "source": event["source"], "detail_type": event["detail-type"]}
