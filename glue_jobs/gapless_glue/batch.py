"""A batch: the files that ``_batch.json`` names, and the version of the dataset that is made from them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gapless_glue.contract import Contract, canonical_json
from gapless_glue.errors import BadBatch


@dataclass(frozen=True, order=True)
class BatchFile:
    """One file of a batch; ``key`` is relative to the batch's folder."""

    source: str
    sha256: str
    key: str
    bytes: int


@dataclass(frozen=True)
class Batch:
    """The files of a batch in canonical order: by source, then by content.

    The keys are relative to the folder, which is that of ``_batch.json`` or, by its ``above``, one further up.
    """

    folder_uri: str
    files: tuple[BatchFile, ...]

    def of(self, source: str) -> list[BatchFile]:
        """Returns the files of one source, in canonical order."""
        return [file for file in self.files if file.source == source]


def parse_batch(text: bytes, uri: str, contract: Contract) -> Batch:
    """Reads the content of ``_batch.json``.

    Raises:
        BadBatch: It is no JSON object, a file entry is malformed, a key leaves the folder or is given twice, a source
            is unknown or absent, or it is another workload's batch.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise BadBatch(f"_batch.json is not JSON: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("files"), list) or not content["files"]:
        raise BadBatch('_batch.json must be an object with a list "files" that is not empty')
    if content.get("workload") != contract.name:
        raise BadBatch(f"_batch.json is for workload {content.get('workload')!r}, this is {contract.name!r}")
    files = tuple(sorted(_file(entry, contract) for entry in content["files"]))
    _check_complete(files, contract)
    return Batch(_folder(content.get("above", 0), uri), files)


def _folder(above: Any, uri: str) -> str:
    """Returns what the keys are relative to: the folder of ``_batch.json``, or the one so many folders above it."""
    steps = uri.partition("://")[2].split("/")[1:-1]
    if not isinstance(above, int) or isinstance(above, bool) or not 0 <= above <= max(len(steps) - 1, 0):
        raise BadBatch(f"above must be a number of folders from 0 to {max(len(steps) - 1, 0)}, was {above!r}")
    return uri.rsplit("/", above + 1)[0] + "/"


def _file(entry: Any, contract: Contract) -> BatchFile:
    if not isinstance(entry, dict):
        raise BadBatch(f"an entry of files must be an object, was {json.dumps(entry)}")
    source, key, size, digest = (entry.get(name) for name in ("source", "key", "bytes", "sha256"))
    if not isinstance(source, str) or source not in contract.sources:
        raise BadBatch(f"unknown source {source!r} (allowed: {', '.join(contract.sources)})")
    if not isinstance(key, str) or not is_safe_key(key):
        raise BadBatch(f"key {key!r} of source {source} must be relative to the folder, without empty, . or .. parts")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise BadBatch(f"bytes of {key!r} must be a number of bytes, was {size!r}")
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise BadBatch(f"sha256 of {key!r} must be 64 lower-case hex digits, was {digest!r}")
    return BatchFile(source=source, sha256=digest, key=key, bytes=size)


def is_safe_key(key: str) -> bool:
    """Tells whether a key stays below its folder: no absolute key, no empty, ``.`` or ``..`` part, no control byte."""
    parts = key.split("/")
    return not any(part in ("", ".", "..") for part in parts) and not re.search(r"[\x00-\x1f\x7f\\\ud800-\udfff]", key)


def _check_complete(files: Iterable[BatchFile], contract: Contract) -> None:
    absent = sorted(set(contract.sources) - {file.source for file in files})
    if absent:
        raise BadBatch(f"no file of source {', '.join(absent)}; a batch holds every source of its workload")
    seen: set[str] = set()
    for file in files:
        if file.key in seen:
            raise BadBatch(f"key {file.key!r} is given twice")
        seen.add(file.key)


def dataset_version(files: Iterable[BatchFile], contract: Contract, *, as_of: str, bundle: str, engine: str) -> str:
    """Returns the 32 hex digits that name a dataset: equal contents, window, time, scripts and engine, equal name.

    Neither keys nor the order of files count.
    """
    identity = {
        "inputs": sorted([file.source, file.sha256] for file in files),
        "window": contract.window_days,
        "as_of": canonical_instant(as_of),
        "bundle": bundle,
        "engine": engine,
        "contract_digest": contract.digest,
    }
    return hashlib.sha256(canonical_json(identity)).hexdigest()[:32]


def parse_instant(text: str) -> datetime:
    """Returns an instant in UTC from an ISO 8601 text with an offset.

    Raises:
        ValueError: The text is not ISO 8601 or has no offset.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"as_of must be an ISO 8601 time such as 2013-05-01T00:00:00Z, was {text!r}") from error
    if instant.tzinfo is None:
        raise ValueError(f"as_of must have an offset such as Z, was {text!r}")
    return instant.astimezone(UTC)


def canonical_instant(text: str) -> str:
    """Returns an instant as ``2013-05-01T00:00:00Z``, with microseconds only when there are any."""
    return parse_instant(text).isoformat().replace("+00:00", "Z")
