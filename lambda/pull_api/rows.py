"""Rows on their way into one file, which may hold more of them than memory does."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pull_api.spec import at


class Rows:
    """Collects rows in a file of a folder, and renders them in the source's format.

    Equal rows make equal bytes.
    """

    def __init__(self, folder: Path, fields: Mapping[str, str]) -> None:
        self._spool = folder / "rows"
        self._target = folder / "file"
        self._fields = fields
        self._out = self._spool.open("w", encoding="utf-8")
        self._members: dict[str, None] = {}
        self.count = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Take one row: every member, or what ``fields`` names."""
        chosen = {column: at(row, path) for column, path in self._fields.items()} if self._fields else row
        self._members.update(dict.fromkeys(chosen))
        self._out.write(json.dumps(chosen, ensure_ascii=False, separators=(",", ":")) + "\n")
        self.count += 1

    def render(self, file_format: str, columns: Sequence[str]) -> tuple[Path, str]:
        """Write the file, compressed; give its path and its SHA-256.

        A CSV file has the declared columns, then whatever else the rows have: what to do about that is decided where
        the batch is judged, not here.
        """
        self._out.close()
        with self._target.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
            if file_format == "csv":
                self._write_csv(packed, [*columns, *(name for name in self._members if name not in columns)])
            else:
                with self._spool.open("rb") as spool:
                    for chunk in iter(lambda: spool.read(1 << 20), b""):
                        packed.write(chunk)
        with self._target.open("rb") as written:
            return self._target, hashlib.file_digest(written, "sha256").hexdigest()

    def _write_csv(self, packed: gzip.GzipFile, header: Sequence[str]) -> None:
        text = io.TextIOWrapper(packed, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        for row in self._read():
            writer.writerow([as_text(row.get(column)) for column in header])
        text.flush()
        text.detach()

    def _read(self) -> Iterator[dict[str, Any]]:
        with self._spool.open(encoding="utf-8") as spool:
            for line in spool:
                yield json.loads(line)


def as_text(value: Any) -> str:
    """Give the text of a CSV cell; nothing for null, JSON for whatever has no text of its own."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
