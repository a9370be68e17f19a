"""A batch that somebody has written to a folder: its files, and the ``_batch.json`` that names them."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any

from local.errors import UserError
from local.flights import Batch, BatchFile
from local.landing import BATCH_FILE


def read_batch(folder: Path, workload: str) -> Batch:
    """Read a batch; rows are counted where a file is lines of text.

    Raises:
        UserError: There is no ``_batch.json``, it is not one, it is another workload's, or a file of it is not there.
    """
    place = folder / BATCH_FILE
    document = _document(place)
    try:
        whose, as_of, named = document["workload"], document["as_of"], document["files"]
        files = tuple(BatchFile(file["source"], file["key"], _content(folder / file["key"])) for file in named)
        instant = dt.datetime.fromisoformat(as_of)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{place}: {error} (needed: workload, as_of, files with source and key)") from error
    if whose != workload:
        raise UserError(f"{place} is a batch of {whose!r}; the workload here is {workload!r} (option --workload)")
    counts = {file.source: _rows(file) for file in files}
    return Batch(workload, instant, files, {source: count for source, count in counts.items() if count is not None})


def _document(place: Path) -> dict[str, Any]:
    try:
        document = json.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"there is no {place}; it names the files of a batch") from error
    except ValueError as error:
        raise UserError(f"{place} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise UserError(f"{place} is not an object of workload, as_of and files")
    return document


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def _rows(file: BatchFile) -> int | None:
    name = file.key.removesuffix(".gz")
    if not name.endswith((".csv", ".json", ".jsonl")):
        return None
    text = gzip.decompress(file.content) if file.key.endswith(".gz") else file.content
    return len(text.splitlines()) - int(name.endswith(".csv"))
