"""Finds and reads outcomes in S3, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from gapless_lambda.captures import lines_of, listed
from gapless_lambda.s3 import Address


def told(s3: Any, base: Address, since: datetime, until: datetime) -> Iterator[str]:
    """Gives the lines of outcomes that were written between two instants, in the order in which they were."""
    written = [found for found in listed(s3, base.bucket, base.key) if since <= found.written <= until]
    for found in sorted(written, key=lambda each: (each.written, each.key)):
        yield from lines_of(s3, base.bucket, found.key)
