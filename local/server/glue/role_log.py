"""A log stream that is written with a role's own rights, as Glue writes its logs."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from local.server.host import Host

log = logging.getLogger("gapless.glue")

_MOST_EVENTS = 1000
_MOST_CHARACTERS = 100_000


class RoleLog:
    """One stream; a file, when one is given, is shipped to it as it grows.

    A role that may not write logs loses them, on AWS without a word. Here the stream then holds the denial instead.
    """

    def __init__(self, host: Host, client: Any, group: str, stream: str, file: Path | None = None) -> None:
        self._host = host
        self._client = client
        self._group = group
        self._stream = stream
        self._file = file
        self._position = 0
        self._ready = False
        self._denied = False

    def ship(self) -> None:
        """Send the whole lines that the file has grown by."""
        text = self._grown()
        end = text.rfind(b"\n") + 1
        self._send(text[:end])

    def ship_rest(self) -> None:
        """Send everything that is left, the last line included."""
        self._send(self._grown())

    def write(self, lines: Sequence[str]) -> None:
        """Append lines."""
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": line[:_MOST_CHARACTERS]} for line in lines if line.strip()]
        if not events or self._denied:
            return
        try:
            self._make()
            for start in range(0, len(events), _MOST_EVENTS):
                part = events[start : start + _MOST_EVENTS]
                self._client.put_log_events(logGroupName=self._group, logStreamName=self._stream, logEvents=part)
        except ClientError as error:
            self._denied = True
            log.warning("no log of %s: %s", self._stream, error)
            self._host.put_logs(self._group, self._stream, [f"the role may not write this log: {error}"])

    def _grown(self) -> bytes:
        if self._file is None:
            return b""
        with self._file.open("rb") as file:
            file.seek(self._position)
            return file.read()

    def _send(self, text: bytes) -> None:
        self._position += len(text)
        self.write(text.decode("utf-8", errors="replace").splitlines())

    def _make(self) -> None:
        if self._ready:
            return
        exists = self._client.exceptions.ResourceAlreadyExistsException
        for make, names in (
            (self._client.create_log_group, {"logGroupName": self._group}),
            (self._client.create_log_stream, {"logGroupName": self._group, "logStreamName": self._stream}),
        ):
            try:
                make(**names)
            except exists:
                log.debug("%s exists", names)
        self._ready = True
