"""Finds and reads what was captured of an endpoint: requests and answers in S3, line by line."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gapless_lambda.s3 import Address

_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Found:
    """An object and when it was written."""

    key: str
    written: datetime


def captured(s3: Any, base: Address, endpoint: str, variant: str, since: datetime, until: datetime) -> Iterator[str]:
    """Gives the lines that were captured of a variant, hour by hour; the hours of both ends are read whole."""
    hour = since.replace(minute=0, second=0, microsecond=0)
    while hour <= until:
        prefix = f"{base.key.rstrip('/')}/{endpoint}/{variant}/{hour:%Y/%m/%d/%H}/"
        for found in listed(s3, base.bucket, prefix):
            yield from lines_of(s3, base.bucket, found.key)
        hour += _HOUR


def lines_of(s3: Any, bucket: str, key: str) -> Iterator[str]:
    """Gives the lines of an object, holding few of them."""
    for line in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_lines():
        if line:
            yield line.decode("utf-8")


def listed(s3: Any, bucket: str, prefix: str) -> Iterator[Found]:
    """Gives the objects below a prefix."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for each in page.get("Contents", []):
            yield Found(each["Key"], each["LastModified"])


def predictions_of(exchange: Any) -> list[Any]:
    """Gives what a captured exchange, read as JSON, answered.

    Raises:
        ValueError, KeyError, TypeError: It is none, or no answer of a model.
    """
    output = exchange["captureData"]["endpointOutput"]
    text = output["data"]
    if output["encoding"] == "BASE64":
        text = base64.b64decode(text).decode("utf-8")
    return list(json.loads(text)["predictions"])
