"""Checks an input of rows before anything that costs money starts, and names the predictions of it.

A state of the scoring machine. It reads ``_score.json``, which has the form of ``_batch.json`` with the one source
``rows``, and looks whether every file is there with its size and with a name that says how it is read. The files'
contents are the job's to check, which reads every byte anyhow.

The event is ``{"batch_uri", "as_of", "model_package_arn"}``, the result ``{"version", "as_of", "stamp", "folder_uri",
"marker_sha256", "files"}``. Equal contents, equal ``as_of`` and the same model have the same version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from constructs_lib.names.batch import (
    BadBatch,
    BatchFile,
    canonical_instant,
    canonical_json,
    index_stamp,
    is_safe_key,
    read_files,
)
from gapless_lambda.batches import check_files, read_batch
from gapless_lambda.clients import client
from gapless_lambda.s3 import parse_uri
from gapless_lambda.settings import read_settings

MARKER = "_score.json"
SOURCE = "rows"
SUFFIXES = (".csv", ".csv.gz", ".json", ".json.gz", ".jsonl", ".jsonl.gz", ".parquet")


class Checked(TypedDict):
    """What the machine goes on with."""

    version: str
    as_of: str
    stamp: str
    folder_uri: str
    marker_sha256: str
    files: int


@dataclass(frozen=True)
class Settings:
    """The environment: whose inputs they are, and what names the model's surroundings and the form of predictions."""

    workload: str
    scoring_digest: str


def version_of(files: Iterable[BatchFile], as_of: str, model_package_arn: str, scoring_digest: str) -> str:
    """Gives the 32 hex digits that name predictions; neither keys nor the order of files count."""
    identity = {
        "inputs": sorted(file.sha256 for file in files),
        "as_of": as_of,
        "model_package_arn": model_package_arn,
        "scoring": scoring_digest,
    }
    return hashlib.sha256(canonical_json(identity)).hexdigest()[:32]


def check_names(files: Iterable[BatchFile]) -> None:
    """Looks whether names of files say how they are read.

    Raises:
        BadBatch: One does not.
    """
    for file in files:
        if not file.key.endswith(SUFFIXES) or not is_safe_key(file.key):
            raise BadBatch(f"{file.key}: how it is read is told by its suffix (allowed: {', '.join(SUFFIXES)})")


def decide_as_of(document: Mapping[str, Any], given: str, *, again: bool) -> str:
    """Gives the instant that predictions are for: the input's own, else the given one, which also stands for repeats.

    Raises:
        BadBatch: The instant is not ISO 8601 with an offset.
    """
    try:
        return canonical_instant(given if again else document.get("as_of", given))
    except ValueError as error:
        raise BadBatch(str(error)) from error


def handler(event: Mapping[str, Any], context: Any) -> Checked:  # noqa: ARG001
    """Checks the input that the event names."""
    settings = read_settings(Settings)
    s3 = client("s3")
    address = parse_uri(event["batch_uri"])
    document = read_batch(s3, address)
    try:
        files = read_files(document, workload=settings.workload, sources=[SOURCE])
    except BadBatch as error:
        raise BadBatch(f"{MARKER}, which has the form of _batch.json with the source {SOURCE!r}: {error}") from error
    check_names(files)
    folder = address.key.rpartition("/")[0] + "/"
    as_of = decide_as_of(document, event["as_of"], again=bool(event.get("again", False)))
    check_files(s3, address.bucket, folder, files, MARKER)
    body = s3.get_object(Bucket=address.bucket, Key=address.key)["Body"].read()
    return Checked(
        version=version_of(files, as_of, event["model_package_arn"], settings.scoring_digest),
        as_of=as_of,
        stamp=index_stamp(as_of),
        folder_uri=f"s3://{address.bucket}/{folder}",
        marker_sha256=hashlib.sha256(body).hexdigest(),
        files=len(files),
    )
