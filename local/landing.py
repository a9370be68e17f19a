"""Land a batch: its files first, ``_batch.json`` last, because only that file starts anything."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from local.aws import Aws
from local.errors import Failure, UserError
from local.flights import Batch
from local.outputs import Outputs
from local.settings import Settings

BATCH_FILE = "_batch.json"


@dataclass(frozen=True)
class Landed:
    """The batch that was landed last.

    Args:
        batch_uri: Where its ``_batch.json`` is.
        key: Its idempotency key, by which the starter knows it.
        as_of: UTC instant of the batch.
        rows: Rows per source.
        bytes: Size of all files.
    """

    batch_uri: str
    key: str
    as_of: str
    rows: dict[str, int]
    bytes: int


def check_folder(folder: str) -> str:
    """A folder below the workload's landing prefix, without slashes at its ends.

    Raises:
        UserError: It is empty, or has a part that is empty, ``.`` or ``..``.
    """
    parts = folder.strip("/").split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise UserError(f"folder {folder!r} (allowed: one or more names joined by '/', none of them '.' or '..')")
    return "/".join(parts)


def batch_key(document: dict[str, object]) -> str:
    """SHA-256 of the canonical JSON of a batch, files sorted by source and key: how the starter tells batches apart."""
    files = document["files"]
    assert isinstance(files, list)  # noqa: S101 - the batches of this program
    ordered = sorted(files, key=lambda file: (file["source"], file["key"]))
    canonical = json.dumps({**document, "files": ordered}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def land_batch(settings: Settings, aws: Aws, outputs: Outputs, batch: Batch, folder: str) -> Landed:
    """Upload a batch into a folder and remember it as the one to watch.

    Raises:
        UserError: The folder is not a folder below the landing prefix.
    """
    s3, prefix = aws.client("s3"), f"{outputs.landing_prefix}{check_folder(folder)}/"
    for file in batch.files:
        s3.put_object(Bucket=outputs.landing_bucket, Key=prefix + file.key, Body=file.content)
    document = batch.document()
    landed = Landed(
        batch_uri=f"s3://{outputs.landing_bucket}/{prefix}{BATCH_FILE}",
        key=batch_key(document),
        as_of=str(document["as_of"]),
        rows=batch.rows,
        bytes=sum(len(file.content) for file in batch.files),
    )
    _memory(settings).write_text(json.dumps(asdict(landed)))
    body = json.dumps(document, indent=2).encode()
    s3.put_object(Bucket=outputs.landing_bucket, Key=prefix + BATCH_FILE, Body=body, ContentType="application/json")
    return landed


def last_landed(settings: Settings) -> Landed:
    """The batch that was landed last by the command line.

    Raises:
        UserError: None was.
        Failure: The note about it is damaged.
    """
    path = _memory(settings)
    if not path.is_file():
        raise UserError("no batch has been landed; run `python -m local land`")
    try:
        return Landed(**json.loads(path.read_text()))
    except (TypeError, ValueError) as error:
        raise Failure(f"{path} is damaged ({error}); land a batch again") from error


def _memory(settings: Settings) -> Path:
    return settings.state_dir / f"landed-{settings.stage}-{settings.workload}.json"
