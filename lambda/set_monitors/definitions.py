"""The names of the job definitions that there may be, in a file: written before one is made, taken out once it is gone.

Definitions cannot be listed by those who may see only the workload's own. So a run that breaks off at any call leaves
behind nothing that the next one does not find here. The file is written only as it was read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from gapless_lambda.landing import ABSENT, OTHERWISE, is_code
from gapless_lambda.s3 import Address

Names = Mapping[str, frozenset[str]]
"""Kind of monitor to the names of its job definitions; a kind without one is not in it."""


class FileChanged(Exception):
    """Somebody else has written the file since it was read."""


class Definitions:
    """What the file says; reads it.

    Args:
        s3: The client.
        address: Where the file is.

    Attributes:
        names: The names in it.
    """

    def __init__(self, s3: Any, address: Address) -> None:
        self._s3, self._address = s3, address
        self.names: Names = {}
        self._condition = {"IfNoneMatch": "*"}
        try:
            found = s3.get_object(Bucket=address.bucket, Key=address.key)
        except ClientError as error:
            if not is_code(error, ABSENT):
                raise
            return
        self._condition = {"IfMatch": found["ETag"]}
        self.names = {kind: frozenset(names) for kind, names in json.loads(found["Body"].read()).items()}

    def keep(self, names: Names) -> None:
        """Write names in the place of those that there are; nothing is written where they are the same.

        Raises:
            FileChanged: Somebody else has written the file meanwhile.
        """
        kept = {kind: each for kind, each in names.items() if each}
        if kept == self.names:
            return
        body = json.dumps({kind: sorted(each) for kind, each in kept.items()}, sort_keys=True).encode()
        bucket, key = self._address
        try:
            written = self._s3.put_object(Bucket=bucket, Key=key, Body=body, **self._condition)
        except ClientError as error:
            if is_code(error, OTHERWISE):
                raise FileChanged(f"{self._address} was written by another run") from error
            raise
        self.names, self._condition = kept, {"IfMatch": written["ETag"]}
