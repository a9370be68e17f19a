"""Names of files on their way into a batch, and errors of S3's conditional requests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

SUFFIXES = {"csv": ".csv", "json_lines": ".jsonl", "parquet": ".parquet"}
ABSENT = ("404", "NoSuchKey", "NotFound")
OTHERWISE = ("412", "PreconditionFailed", "ConditionalRequestConflict")


def file_name(sha256: str, file_format: str, key: str) -> str:
    """Give the name of a file that batches name: its content's digest, and the suffixes that say how to read it."""
    return sha256 + SUFFIXES[file_format] + (".gz" if key.endswith(".gz") else "")


def is_code(error: ClientError, codes: tuple[str, ...]) -> bool:
    """Tell whether an error is one of these."""
    return error.response["Error"]["Code"] in codes


def exists(s3: Any, bucket: str, key: str) -> bool:
    """Tell whether there is an object."""
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if is_code(error, ABSENT):
            return False
        raise
    return True


def instant(text: str) -> datetime:
    """Read an ISO 8601 time with an offset, in UTC.

    Raises:
        ValueError: It is none.
    """
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"time must have an offset such as Z, was {text!r}")
    return found.astimezone(UTC)


def written(moment: datetime) -> str:
    """Write an instant as ``2013-05-01T00:00:00Z``, with microseconds only when there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
