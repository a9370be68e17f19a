"""Publishing a workload's scripts: the archive that its content names, then the pointer at it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from constructs_lib.names.bundle import Bundle, pointer_key


@dataclass(frozen=True)
class Published:
    """A published bundle.

    Args:
        bundle: SHA-256 of the archive.
        uri: Where it is.
        commit: The commit that it was made from; ends in ``-dirty`` if the workload has uncommitted changes.
        uploaded: Whether the archive is new.
    """

    bundle: str
    uri: str
    commit: str
    uploaded: bool

    def pointer(self) -> dict[str, str]:
        """The content of ``current.json``."""
        return {"bundle": self.bundle, "uri": self.uri, "commit": self.commit}


def publish(s3: Any, bucket: str, workload: str, bundle: Bundle, commit: str) -> Published:
    """Upload the archive unless it is there, then let ``current.json`` name it; repeating it changes nothing."""
    key = bundle.key(workload)
    uploaded = not _exists(s3, bucket, key)
    if uploaded:
        s3.put_object(Bucket=bucket, Key=key, Body=bundle.content)
    published = Published(bundle.sha256, f"s3://{bucket}/{key}", commit, uploaded)
    pointer = json.dumps(published.pointer(), sort_keys=True).encode()
    s3.put_object(Bucket=bucket, Key=pointer_key(workload), Body=pointer)
    return published


def _exists(s3: Any, bucket: str, key: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise
    return True
