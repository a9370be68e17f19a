"""What was delivered as files with a document that names them: reading the document, looking at the files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from botocore.exceptions import ClientError

from constructs_lib.names.batch import BadBatch, BatchFile
from gapless_lambda.s3 import Address, read_json

ABSENT = ("404", "NoSuchKey", "NotFound", "403", "AccessDenied", "Forbidden")


def read_batch(s3: Any, address: Address) -> Any:
    """Reads the document that says which files there are.

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


def check_files(s3: Any, bucket: str, folder: str, files: Iterable[BatchFile], document: str) -> None:
    """Looks at every file that is named, without reading it.

    Args:
        document: What names them, such as ``_batch.json``.

    Raises:
        BadBatch: A file is absent, empty or has another size than the document says.
    """
    for file in files:
        key = folder + file.key
        try:
            found = s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
        except ClientError as error:
            if error.response["Error"]["Code"] not in ABSENT:
                raise
            raise BadBatch(f"{file.key}: named by {document} and absent, or it may not be read") from error
        if found != file.bytes:
            raise BadBatch(f"{file.key}: has {found} bytes, {document} says {file.bytes}")
        if found == 0:
            raise BadBatch(f"{file.key}: is empty")
