"""What a batch is and how the dataset made of it is called: one reading for the check before a job and for the job.

Ships with the functions and the jobs; needs nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

NO_PARENT = "none"
"""Stands for the version of the parent of a batch that is added to no earlier dataset."""


class BadBatch(Exception):
    """The batch is not what its ``_batch.json`` says, cannot be read, or is not what the workload takes."""


@dataclass(frozen=True, order=True)
class BatchFile:
    """One file of a batch; ``key`` is relative to the folder of ``_batch.json``."""

    source: str
    sha256: str
    key: str
    bytes: int


def read_files(content: Any, *, workload: str, sources: Collection[str]) -> tuple[BatchFile, ...]:
    """Returns the files of a batch in canonical order: by source, then by content.

    Args:
        content: What ``_batch.json`` says.
        workload: Whose batch it has to be.
        sources: The sources of the workload.

    Raises:
        BadBatch: It is no object with files, a file is malformed, a key leaves the folder or is given twice, a source
            is unknown, or it is another workload's batch.
    """
    if not isinstance(content, dict) or not isinstance(content.get("files"), list) or not content["files"]:
        raise BadBatch('_batch.json must be an object with a list "files" that is not empty')
    if content.get("workload") != workload:
        raise BadBatch(f"_batch.json is for workload {content.get('workload')!r}, this is {workload!r}")
    files = tuple(sorted(_file(entry, sources) for entry in content["files"]))
    keys = [file.key for file in files]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise BadBatch(f"key {twice[0]!r} is given twice")
    return files


def check_sources(files: Iterable[BatchFile], needed: Collection[str]) -> None:
    """Looks whether a batch holds a file of every source that it needs.

    Raises:
        BadBatch: It does not.
    """
    absent = sorted(set(needed) - {file.source for file in files})
    if absent:
        raise BadBatch(f"no file of source {', '.join(absent)}; this batch has to hold {', '.join(needed)}")


def _file(entry: Any, sources: Collection[str]) -> BatchFile:
    if not isinstance(entry, dict):
        raise BadBatch(f"an entry of files must be an object, was {json.dumps(entry)}")
    source, key, size, digest = (entry.get(name) for name in ("source", "key", "bytes", "sha256"))
    if not isinstance(source, str) or source not in sources:
        raise BadBatch(f"unknown source {source!r} (allowed: {', '.join(sources)})")
    if not isinstance(key, str) or not is_safe_key(key):
        raise BadBatch(f"key {key!r} of source {source} must be relative to the folder, without empty, . or .. parts")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise BadBatch(f"bytes of {key!r} must be a number of bytes, was {size!r}")
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise BadBatch(f"sha256 of {key!r} must be 64 lower-case hex digits, was {digest!r}")
    return BatchFile(source=source, sha256=digest, key=key, bytes=size)


def batch_folder(content: Mapping[str, Any], key: str) -> str:
    """Returns the prefix that the keys of a batch are relative to: the folder of ``_batch.json``, or one above it.

    Args:
        content: What ``_batch.json`` says; ``above`` is the number of folders, 0 where it is absent.
        key: The key of ``_batch.json`` in its bucket.

    Raises:
        BadBatch: ``above`` is no number of folders, or leads out of the workload's own.
    """
    steps = key.split("/")[:-1]
    above, most = content.get("above", 0), max(len(steps) - 1, 0)
    if not isinstance(above, int) or isinstance(above, bool) or not 0 <= above <= most:
        raise BadBatch(f"above must be a number of folders from 0 to {most}, was {above!r}")
    return "".join(f"{step}/" for step in steps[: len(steps) - above])


def is_safe_key(key: str) -> bool:
    """Tells whether a key stays below its folder: no absolute key, no empty, ``.`` or ``..`` part, no control byte."""
    parts = key.split("/")
    return not any(part in ("", ".", "..") for part in parts) and not re.search(r"[\x00-\x1f\x7f\\\ud800-\udfff]", key)


def dataset_version(
    files: Iterable[BatchFile],
    *,
    window_days: int | None,
    contract_digest: str,
    as_of: str,
    bundle: str,
    engine: str,
    parent: str = NO_PARENT,
    answers: str = "",
) -> str:
    """Returns the 32 hex digits that name a dataset: equal contents, window, time, scripts and engine, equal name.

    Neither keys nor the order of files count.

    Args:
        parent: The version of the dataset that the batch is added to. Default: there is none.
        answers: Digest of the labels that people have given to served rows. Default: there are none.
    """
    identity: dict[str, Any] = {
        "inputs": sorted([file.source, file.sha256] for file in files),
        "window": window_days,
        "as_of": canonical_instant(as_of),
        "bundle": bundle,
        "engine": engine,
        "contract_digest": contract_digest,
        **({} if parent == NO_PARENT else {"parent": parent}),
        **({"answers": answers} if answers else {}),
    }
    return hashlib.sha256(canonical_json(identity)).hexdigest()[:32]


def canonical_json(content: Any) -> bytes:
    """Returns the one JSON text of a value: sorted keys, no spaces, UTF-8."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def contract_digest(content: Any) -> str:
    """Returns the SHA-256 of a contract's canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(content)).hexdigest()


def parse_instant(text: Any) -> datetime:
    """Returns an instant in UTC from an ISO 8601 text with an offset.

    Raises:
        ValueError: It is no text, not ISO 8601, or has no offset.
    """
    try:
        instant = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise ValueError(f"as_of must be an ISO 8601 time such as 2013-05-01T00:00:00Z, was {text!r}") from error
    if instant.tzinfo is None:
        raise ValueError(f"as_of must have an offset such as Z, was {text!r}")
    return instant.astimezone(UTC)


def canonical_instant(text: Any) -> str:
    """Returns an instant as ``2013-05-01T00:00:00Z``, with microseconds only when there are any."""
    return parse_instant(text).isoformat().replace("+00:00", "Z")


def index_key(version: str, as_of: str) -> str:
    """Returns the name of a dataset's entry in the index, ``index/20130501T000000.000000Z_<version>.json``.

    Raises:
        ValueError: ``as_of`` is not ISO 8601 with an offset.
    """
    return f"index/{index_stamp(as_of)}_{version}.json"


def index_stamp(as_of: str) -> str:
    """Returns an instant as the names of the index begin with it: later instants sort later."""
    return parse_instant(as_of).strftime("%Y%m%dT%H%M%S.%fZ")
