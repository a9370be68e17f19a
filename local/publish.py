"""Publish a workload's scripts as a content-addressed bundle, and point at it."""

from __future__ import annotations

import shutil
import subprocess

from constructs_lib.names.bundle import build_bundle
from delivery.bundles import Published, publish
from local.aws import Aws
from local.environment import base_env
from local.errors import UserError
from local.outputs import Outputs
from local.settings import CHECKOUT, Settings

_UNKNOWN = "unknown"


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
    return publish(aws.client("s3"), outputs.artefacts_bucket, settings.workload, bundle, commit)


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
