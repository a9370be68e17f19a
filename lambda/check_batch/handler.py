"""Checks a landed batch before anything that costs money starts, and names the dataset that is to be made of it.

The first state of the data machine. It reads ``_batch.json``, checks its shape, its keys and its sources against the
workload's contract, looks whether every file is there with its size, and computes the version of the dataset. The
files' contents are the data job's to check, which reads every byte anyhow.

The event is ``{"batch_uri", "as_of", "bundle": {"bundle"}}``, the result ``{"version", "inputs", "as_of"}``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from gapless_lambda.clients import client
from gapless_lambda.s3 import Address, parse_uri, read_json
from gapless_lambda.settings import read_settings

ABSENT = ("404", "NoSuchKey", "NotFound", "403", "AccessDenied", "Forbidden")


class BadBatch(Exception):
    """The batch is not what its ``_batch.json`` says, or that file is not what the contract wants."""


class Input(TypedDict):
    """One file of the batch; ``key`` is relative to the batch's folder."""

    source: str
    key: str
    sha256: str
    bytes: int


class Checked(TypedDict):
    """What the machine goes on with."""

    version: str
    inputs: list[Input]
    as_of: str


@dataclass(frozen=True)
class Settings:
    """The environment: where the contract is, and what names the job and engine that make the dataset."""

    contract_uri: str
    engine: str


# --- decisions -----------------------------------------------------------------------------------------------------


def read_inputs(batch: Any, contract: Mapping[str, Any]) -> list[Input]:
    """Gives the files of a batch in canonical order: by source, then by content.

    Args:
        batch: What ``_batch.json`` says.
        contract: The workload's contract; ``name`` and ``sources`` count here.

    Raises:
        BadBatch: It is no object with files, a file is malformed, a key leaves the folder or is given twice, a source
            is unknown or absent, or it is another workload's batch.
    """
    if not isinstance(batch, dict) or not isinstance(batch.get("files"), list) or not batch["files"]:
        raise BadBatch('_batch.json must be an object with a list "files" that is not empty')
    if batch.get("workload") != contract["name"]:
        raise BadBatch(f"_batch.json is for workload {batch.get('workload')!r}, this is {contract['name']!r}")
    sources = list(contract["sources"])
    inputs = [_input(file, sources) for file in batch["files"]]
    absent = sorted(set(sources) - {file["source"] for file in inputs})
    if absent:
        raise BadBatch(f"no file of source {', '.join(absent)}; a batch holds every source of its workload")
    keys = [file["key"] for file in inputs]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise BadBatch(f"key {twice[0]!r} is given twice")
    return sorted(inputs, key=lambda file: (file["source"], file["sha256"], file["key"]))


def _input(file: Any, sources: Collection[str]) -> Input:
    if not isinstance(file, dict):
        raise BadBatch(f"an entry of files must be an object, was {json.dumps(file)}")
    source, key, size, digest = (file.get(name) for name in ("source", "key", "bytes", "sha256"))
    if not isinstance(source, str) or source not in sources:
        raise BadBatch(f"unknown source {source!r} (allowed: {', '.join(sources)})")
    if not isinstance(key, str) or not is_safe_key(key):
        raise BadBatch(f"key {key!r} of source {source} must be relative to the folder, without empty, . or .. parts")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise BadBatch(f"bytes of {key!r} must be a number of bytes, was {size!r}")
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise BadBatch(f"sha256 of {key!r} must be 64 lower-case hex digits, was {digest!r}")
    return Input(source=source, key=key, sha256=digest, bytes=size)


def is_safe_key(key: str) -> bool:
    """Tells whether a key stays below its folder: no absolute key, no empty, ``.`` or ``..`` part, no control byte."""
    parts = key.split("/")
    return not any(part in ("", ".", "..") for part in parts) and not re.search(r"[\x00-\x1f\x7f\\\ud800-\udfff]", key)


def decide_as_of(batch: Mapping[str, Any], given: str) -> str:
    """Gives the instant that stands for now, as ``2013-05-01T00:00:00Z``: the batch's own, else the given one.

    Raises:
        BadBatch: The instant is not ISO 8601 with an offset.
    """
    text = batch.get("as_of", given)
    try:
        instant = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise BadBatch(f"as_of must be an ISO 8601 time such as 2013-05-01T00:00:00Z, was {text!r}") from error
    if instant.tzinfo is None:
        raise BadBatch(f"as_of must have an offset such as Z, was {text!r}")
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def dataset_version(
    inputs: Iterable[Input], contract: Mapping[str, Any], *, as_of: str, bundle: str, engine: str
) -> str:
    """Gives the 32 hex digits that name a dataset; neither the files' keys nor their order count.

    The data job computes it again and refuses to go on when it differs.
    """
    identity = {
        "inputs": sorted([file["source"], file["sha256"]] for file in inputs),
        "window": contract["window_days"],
        "as_of": as_of,
        "bundle": bundle,
        "engine": engine,
        "contract_digest": hashlib.sha256(_canonical(contract)).hexdigest(),
    }
    return hashlib.sha256(_canonical(identity)).hexdigest()[:32]


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


# --- the handler ---------------------------------------------------------------------------------------------------


def read_batch(s3: Any, address: Address) -> Any:
    """Reads ``_batch.json``.

    Raises:
        BadBatch: It is absent or not JSON.
    """
    try:
        return read_json(s3, address)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ABSENT:
            raise
        raise BadBatch(f"there is no batch at {address}, or it may not be read") from error
    except ValueError as error:
        raise BadBatch(str(error)) from error


def folder_of(batch: Mapping[str, Any], address: Address) -> str:
    """Gives the prefix that the keys of a batch are relative to: the folder of ``_batch.json``, or one above it.

    Raises:
        BadBatch: ``above`` is no number of folders, or leads out of the workload's own.
    """
    steps = address.key.split("/")[:-1]
    above = batch.get("above", 0)
    if not isinstance(above, int) or isinstance(above, bool) or not 0 <= above <= max(len(steps) - 1, 0):
        raise BadBatch(f"above must be a number of folders from 0 to {max(len(steps) - 1, 0)}, was {above!r}")
    return "".join(f"{step}/" for step in steps[: len(steps) - above])


def check_files(s3: Any, bucket: str, folder: str, inputs: Iterable[Input]) -> None:
    """Looks at every file that the batch names, without reading it.

    Raises:
        BadBatch: A file is absent, empty or has another size than ``_batch.json`` says.
    """
    for file in inputs:
        key = folder + file["key"]
        try:
            found = s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
        except ClientError as error:
            if error.response["Error"]["Code"] not in ABSENT:
                raise
            raise BadBatch(f"{file['key']}: named by _batch.json and absent, or it may not be read") from error
        if found != file["bytes"]:
            raise BadBatch(f"{file['key']}: has {found} bytes, _batch.json says {file['bytes']}")
        if found == 0:
            raise BadBatch(f"{file['key']}: is empty")


def handler(event: Mapping[str, Any], context: Any) -> Checked:  # noqa: ARG001
    """Checks the batch that the event names."""
    settings = read_settings(Settings)
    s3 = client("s3")
    contract = read_json(s3, parse_uri(settings.contract_uri))
    address = parse_uri(event["batch_uri"])
    batch = read_batch(s3, address)
    inputs = read_inputs(batch, contract)
    as_of = decide_as_of(batch, event["as_of"])
    check_files(s3, address.bucket, folder_of(batch, address), inputs)
    version = dataset_version(inputs, contract, as_of=as_of, bundle=event["bundle"]["bundle"], engine=settings.engine)
    return Checked(version=version, inputs=inputs, as_of=as_of)
