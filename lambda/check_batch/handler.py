"""Checks a landed batch before anything that costs money starts, and names the dataset that is to be made of it.

The first state of the data machine. It reads ``_batch.json``, checks its shape, its keys and its sources against the
workload's contract, looks whether every file is there with its size, and computes the version of the dataset. The
files' contents are the data job's to check, which reads every byte anyhow.

The event is ``{"batch_uri", "as_of", "bundle": {"bundle"}}``, the result ``{"version", "inputs", "as_of"}``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from constructs_lib.names.batch import (
    BadBatch,
    BatchFile,
    canonical_instant,
    contract_digest,
    dataset_version,
    read_files,
)
from gapless_lambda.clients import client
from gapless_lambda.s3 import Address, parse_uri, read_json
from gapless_lambda.settings import read_settings

ABSENT = ("404", "NoSuchKey", "NotFound", "403", "AccessDenied", "Forbidden")


class Input(TypedDict):
    """One file of the batch; ``key`` is relative to the folder of ``_batch.json``."""

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


def decide_as_of(batch: Mapping[str, Any], given: str) -> str:
    """Gives the instant that stands for now, as ``2013-05-01T00:00:00Z``: the batch's own, else the given one.

    Raises:
        BadBatch: The instant is not ISO 8601 with an offset.
    """
    try:
        return canonical_instant(batch.get("as_of", given))
    except ValueError as error:
        raise BadBatch(str(error)) from error


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


def check_files(s3: Any, batch: Address, files: Iterable[BatchFile]) -> None:
    """Looks at every file that the batch names, without reading it.

    Raises:
        BadBatch: A file is absent, empty or has another size than ``_batch.json`` says.
    """
    folder = batch.key.rpartition("/")[0]
    for file in files:
        key = f"{folder}/{file.key}" if folder else file.key
        try:
            found = s3.head_object(Bucket=batch.bucket, Key=key)["ContentLength"]
        except ClientError as error:
            if error.response["Error"]["Code"] not in ABSENT:
                raise
            raise BadBatch(f"{file.key}: named by _batch.json and absent, or it may not be read") from error
        if found != file.bytes:
            raise BadBatch(f"{file.key}: has {found} bytes, _batch.json says {file.bytes}")
        if found == 0:
            raise BadBatch(f"{file.key}: is empty")


def handler(event: Mapping[str, Any], context: Any) -> Checked:  # noqa: ARG001
    """Checks the batch that the event names."""
    settings = read_settings(Settings)
    s3 = client("s3")
    contract = read_json(s3, parse_uri(settings.contract_uri))
    address = parse_uri(event["batch_uri"])
    batch = read_batch(s3, address)
    sources = list(contract["sources"])
    files = read_files(batch, workload=contract["name"], sources=sources, needed=sources)
    as_of = decide_as_of(batch, event["as_of"])
    check_files(s3, address, files)
    version = dataset_version(
        files,
        window_days=contract["window_days"],
        contract_digest=contract_digest(contract),
        as_of=as_of,
        bundle=event["bundle"]["bundle"],
        engine=settings.engine,
    )
    inputs = [Input(source=file.source, key=file.key, sha256=file.sha256, bytes=file.bytes) for file in files]
    return Checked(version=version, inputs=inputs, as_of=as_of)
