"""Small objects and streams by URI: ``s3://bucket/key`` or ``file:///path``. Spark reads and writes tables itself."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import ClientError


class Store(Protocol):
    """Reads and writes whole objects."""

    def open(self, uri: str) -> IO[bytes]:
        """Opens an object as a stream of bytes; raises ``FileNotFoundError`` when it is absent."""

    def write(self, uri: str, content: bytes) -> None:
        """Creates or replaces an object."""

    def create(self, uri: str, content: bytes) -> bool:
        """Creates an object unless there is one; says whether it did."""

    def upload(self, uri: str, source: IO[bytes]) -> None:
        """Creates or replaces an object from a stream, which may be large."""

    def list(self, prefix: str) -> list[str]:
        """Returns the URIs of all objects under a prefix that ends in ``/``, sorted."""

    def remove(self, prefix: str) -> None:
        """Deletes all objects under a prefix that ends in ``/``."""


class S3Store:
    """Objects in S3; credentials, region and endpoint come from the environment."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def open(self, uri: str) -> IO[bytes]:
        bucket, key = split_s3(uri)
        try:
            body: IO[bytes] = self._client.get_object(Bucket=bucket, Key=key)["Body"]
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                raise FileNotFoundError(uri) from error
            raise
        return body

    def write(self, uri: str, content: bytes) -> None:
        bucket, key = split_s3(uri)
        self._client.put_object(Bucket=bucket, Key=key, Body=content)

    def create(self, uri: str, content: bytes) -> bool:
        bucket, key = split_s3(uri)
        try:
            self._client.put_object(Bucket=bucket, Key=key, Body=content, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"):
                return False
            raise
        return True

    def upload(self, uri: str, source: IO[bytes]) -> None:
        bucket, key = split_s3(uri)
        self._client.upload_fileobj(source, bucket, key)

    def list(self, prefix: str) -> list[str]:
        bucket, key = split_s3(prefix)
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
        return sorted(f"s3://{bucket}/{item['Key']}" for page in pages for item in page.get("Contents", []))

    def remove(self, prefix: str) -> None:
        bucket, _ = split_s3(prefix)
        for uri in self.list(prefix):
            self._client.delete_object(Bucket=bucket, Key=split_s3(uri)[1])


class FileStore:
    """Objects as files of this machine."""

    def open(self, uri: str) -> IO[bytes]:
        return local_path(uri).open("rb")

    def write(self, uri: str, content: bytes) -> None:
        self._made(uri).write_bytes(content)

    def create(self, uri: str, content: bytes) -> bool:
        try:
            with self._made(uri).open("xb") as target:
                target.write(content)
        except FileExistsError:
            return False
        return True

    def upload(self, uri: str, source: IO[bytes]) -> None:
        with self._made(uri).open("wb") as target:
            shutil.copyfileobj(source, target)

    def list(self, prefix: str) -> list[str]:
        return sorted(f"file://{path}" for path in local_path(prefix).rglob("*") if path.is_file())

    def remove(self, prefix: str) -> None:
        if local_path(prefix).exists():
            shutil.rmtree(local_path(prefix))

    @staticmethod
    def _made(uri: str) -> Path:
        path = local_path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


@cache
def s3_store() -> S3Store:
    """Returns the store of this process's credentials."""
    return S3Store(boto3.client("s3"))


def store_of(uri: str) -> Store:
    """Returns the store that holds a URI.

    Raises:
        ValueError: The scheme is neither ``s3`` nor ``file``.
    """
    scheme = urlsplit(uri).scheme
    if scheme == "s3":
        return s3_store()
    if scheme == "file":
        return FileStore()
    raise ValueError(f"uri must start with s3:// or file://, was {uri!r}")


def read(uri: str) -> bytes:
    """Returns a small object whole; raises ``FileNotFoundError`` when it is absent."""
    with store_of(uri).open(uri) as stream:
        return stream.read()


def split_s3(uri: str) -> tuple[str, str]:
    """Returns bucket and key of ``s3://bucket/key``; the key is taken as it is, never unquoted."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def local_path(uri: str) -> Path:
    """Returns the path of ``file:///path``."""
    return Path(uri.removeprefix("file://"))
