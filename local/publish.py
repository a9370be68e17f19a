"""Publish a workload's scripts as a content-addressed bundle, and point at it."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from constructs_lib.names.bundle import build_bundle, pointer_key
from local.aws import Aws
from local.environment import base_env
from local.errors import UserError
from local.outputs import Outputs
from local.settings import CHECKOUT, Settings

_UNKNOWN = "unknown"


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


def publish_bundle(settings: Settings, aws: Aws, outputs: Outputs) -> Published:
    """Upload the archive unless it is there, then let ``current.json`` name it.

    Raises:
        UserError: There is no such workload, or it cannot be packed.
    """
    commit = current_commit(settings)
    try:
        bundle = build_bundle(settings.workload_dir)
    except ValueError as error:
        raise UserError(str(error)) from error
    s3, bucket, key = aws.client("s3"), outputs.artefacts_bucket, bundle.key(settings.workload)
    uploaded = not _exists(s3, bucket, key)
    if uploaded:
        s3.put_object(Bucket=bucket, Key=key, Body=bundle.content)
    published = Published(bundle.sha256, f"s3://{bucket}/{key}", commit, uploaded)
    pointer = json.dumps(published.pointer(), sort_keys=True).encode()
    s3.put_object(Bucket=bucket, Key=pointer_key(settings.workload), Body=pointer)
    return published


def current_commit(settings: Settings) -> str:
    """The commit of the checkout, or ``unknown`` where there is no git."""
    git = shutil.which("git")
    if git is None:
        return _UNKNOWN

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [git, "-c", "safe.directory=*", *arguments]
        return subprocess.run(
            command, cwd=CHECKOUT, env=base_env(settings), capture_output=True, text=True, check=False
        )

    head = run("rev-parse", "HEAD")
    if head.returncode != 0:
        return _UNKNOWN
    changes = run("status", "--porcelain", "--", str(settings.workload_dir))
    return head.stdout.strip() + ("-dirty" if changes.stdout.strip() else "")


def _exists(s3: Any, bucket: str, key: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise
    return True
