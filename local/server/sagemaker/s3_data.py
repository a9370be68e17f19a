"""Data in S3: addresses in both spellings, what goes into a container, and what comes out of it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

_VIRTUAL_HOST = re.compile(r"https://(?P<bucket>[^/]+)\.s3[.-][^/]*amazonaws\.com(?:\.cn)?/(?P<key>.*)")
_PATH_STYLE = re.compile(r"https://s3[.-][^/]*amazonaws\.com(?:\.cn)?/(?P<bucket>[^/]+)/?(?P<key>.*)")
_S3 = re.compile(r"s3://(?P<bucket>[^/]+)/?(?P<key>.*)")


class DataError(Exception):
    """Data that a job needs is missing or cannot be used; the text tells the user why."""


@dataclass(frozen=True)
class Address:
    """A bucket and a key, or the prefix of keys."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> Address:
        """Read ``s3://bucket/key``, ``https://s3.<region>.amazonaws.com/bucket/key`` or ``https://bucket.s3.…/key``.

        Raises:
            DataError: It is none of these.
        """
        for form in (_S3, _PATH_STYLE, _VIRTUAL_HOST):
            match = form.fullmatch(uri)
            if match:
                return cls(match["bucket"], match["key"])
        raise DataError(f"{uri} is not an S3 address: s3://bucket/key or https://s3.<region>.amazonaws.com/bucket/key")

    def join(self, *parts: str) -> Address:
        """The address below this one."""
        return Address(self.bucket, "/".join(part.strip("/") for part in (self.key, *parts) if part.strip("/")))

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def require_object(s3: Any, uri: str) -> None:
    """Read the first byte of an object; unlike a HEAD request a refusal says why."""
    address = Address.parse(uri)
    s3.get_object(Bucket=address.bucket, Key=address.key, Range="bytes=0-0")["Body"].close()


def download_object(s3: Any, address: Address, target: Path) -> None:
    """Copy one object into a file, making the folders above it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    body = s3.get_object(Bucket=address.bucket, Key=address.key)["Body"]
    with target.open("wb") as file:
        shutil.copyfileobj(body, file)


def holds_objects(s3: Any, uri: str) -> bool:
    """Whether there is any object under a prefix."""
    return next(_keys(s3, Address.parse(uri)), None) is not None


def download_prefix(s3: Any, uri: str, target: Path) -> int:
    """Copy every object under a prefix; returns how many.

    Names below ``target`` are what follows the prefix, or, when the prefix ends within a name, its last folder.

    Raises:
        DataError: There is no object under the prefix.
    """
    address = Address.parse(uri)
    count = 0
    for key in _keys(s3, address):
        download_object(s3, Address(address.bucket, key), _inside(target, _relative(address.key, key)))
        count += 1
    if count == 0:
        raise DataError(f'No S3 objects found under S3 URL "{uri}" given in input data source')
    return count


def download_manifest(s3: Any, uri: str, target: Path) -> int:
    """Copy the objects that a manifest names; returns how many.

    A manifest is a JSON list: ``{"prefix": "s3://…/"}``, then keys relative to that prefix.

    Raises:
        DataError: The manifest is not such a list.
    """
    address = Address.parse(uri)
    body = s3.get_object(Bucket=address.bucket, Key=address.key)["Body"].read()
    prefix, names = _read_manifest(uri, body)
    base = Address.parse(prefix)
    for name in names:
        download_object(s3, Address(base.bucket, base.key + name), _inside(target, name))
    return len(names)


def _read_manifest(uri: str, body: bytes) -> tuple[str, list[str]]:
    try:
        entries = json.loads(body)
    except ValueError as error:
        raise DataError(f"the manifest {uri} is not JSON: {error}") from error
    if not isinstance(entries, list) or not entries or not isinstance(entries[0], dict) or "prefix" not in entries[0]:
        raise DataError(f'the manifest {uri} must be a list that starts with {{"prefix": "s3://…"}}')
    names = entries[1:]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise DataError(f"the manifest {uri} must name at least one object after its prefix, each as a string")
    return str(entries[0]["prefix"]), names


def _keys(s3: Any, address: Address) -> Iterator[str]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=address.bucket, Prefix=address.key):
        for item in page.get("Contents", []):
            if not item["Key"].endswith("/"):
                yield item["Key"]


def _relative(prefix: str, key: str) -> str:
    if key == prefix:
        return PurePosixPath(key).name
    if key.startswith(prefix.rstrip("/") + "/"):
        return key[len(prefix.rstrip("/")) + 1 :]
    return key[prefix.rfind("/") + 1 :]


def _inside(folder: Path, name: str) -> Path:
    target = Path(os.path.normpath(folder / name))
    if not target.is_relative_to(folder) or target == folder:
        raise DataError(f"the key {name!r} leads out of the folder of its channel")
    return target


def upload_file(s3: Any, source: Path, address: Address, kms_key: str | None) -> None:
    """Copy a file into S3, encrypted with ``kms_key`` or as the bucket does by default."""
    with source.open("rb") as body:
        s3.put_object(Bucket=address.bucket, Key=address.key, Body=body, **encryption(kms_key))


def upload_folder(s3: Any, source: Path, address: Address, kms_key: str | None) -> int:
    """Copy every file below a folder into S3; returns how many."""
    files = sorted(path for path in source.rglob("*") if path.is_file())
    for path in files:
        upload_file(s3, path, address.join(path.relative_to(source).as_posix()), kms_key)
    return len(files)


def encryption(kms_key: str | None) -> dict[str, str]:
    """The arguments of a put that encrypts with a key."""
    return {} if not kms_key else {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key}
