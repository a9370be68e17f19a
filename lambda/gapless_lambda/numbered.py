"""A folder of numbered objects, ``00000001.jsonl`` and on: each is written once, and nobody takes another's number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from gapless_lambda.captures import listed
from gapless_lambda.landing import OTHERWISE, is_code
from gapless_lambda.s3 import Address

_TRIES = 8


class Busy(Exception):
    """Others have written again and again: to be tried again."""


class Numbered:
    """The objects of one folder.

    Args:
        s3: A client.
        folder: The folder; its key ends in ``/``.
    """

    def __init__(self, s3: Any, folder: Address) -> None:
        self._s3 = s3
        self._folder = folder

    def newest_first(self, most: int) -> list[Address]:
        """Give the addresses of the last so many objects."""
        keys = sorted(found.key for found in listed(self._s3, *self._folder))
        return [Address(self._folder.bucket, key) for key in reversed(keys[-most:])]

    def read(self, address: Address) -> bytes:
        """Read an object whole."""
        content: bytes = self._s3.get_object(Bucket=address.bucket, Key=address.key)["Body"].read()
        return content

    def add(self, make: Callable[[], bytes | None]) -> Address | None:
        """Write the next object; what goes into it is asked for again whenever somebody else was faster.

        Args:
            make: Looks at what is there and gives what is to be written; None when there is nothing to write.

        Raises:
            Busy: Others were faster every time.
        """
        for _ in range(_TRIES):
            newest = self.newest_first(1)
            content = make()
            if content is None:
                return None
            number = int(newest[0].key.removeprefix(self._folder.key).partition(".")[0]) if newest else 0
            address = Address(self._folder.bucket, f"{self._folder.key}{number + 1:08}.jsonl")
            try:
                self._s3.put_object(
                    Bucket=address.bucket,
                    Key=address.key,
                    Body=content,
                    ContentType="application/jsonl",
                    IfNoneMatch="*",
                )
            except ClientError as error:
                if not is_code(error, OTHERWISE):
                    raise
                continue
            return address
        raise Busy(f"others have written to {self._folder} {_TRIES} times in a row")
