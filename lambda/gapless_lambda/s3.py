"""Addresses of S3 objects, and reading them as JSON. Keys are used exactly as given: nothing is decoded."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Address(NamedTuple):
    """A bucket and a key."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def parse_uri(uri: str) -> Address:
    """Split ``s3://bucket/key``.

    Raises:
        ValueError: It is not such a URI, or bucket or key is empty.
    """
    scheme, separator, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not separator or not bucket or not key:
        raise ValueError(f"not the address of an S3 object: {uri!r}; allowed is s3://bucket/key")
    return Address(bucket, key)


def read_json(s3: Any, address: Address) -> Any:
    """Read an object as JSON.

    Raises:
        ValueError: The object is not UTF-8 or not JSON.
    """
    body = s3.get_object(Bucket=address.bucket, Key=address.key)["Body"].read()
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{address} is not JSON: {error}") from error
