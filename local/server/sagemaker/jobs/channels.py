"""Input data of jobs: what is accepted, and how it comes into the container."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from local.server.host import Credentials, Host
from local.server.sagemaker import s3_data
from local.server.sagemaker.errors import unsupported
from local.server.sagemaker.jobs.runner import DATA_ERRORS, JobFailed
from local.server.sagemaker.store import Document

_DOWNLOADS = {"S3Prefix": s3_data.download_prefix, "ManifestFile": s3_data.download_manifest}


def check_source(where: str, source: Document, mode: str) -> None:
    """Refuse input that the local server cannot provide.

    Args:
        where: What to call the input in an error.
        source: Has ``S3DataType`` and maybe ``S3DataDistributionType``.
        mode: ``File`` and ``FastFile`` put files where the container expects them; ``Pipe`` does not.
    """
    if source["S3DataType"] not in _DOWNLOADS:
        raise unsupported(f"S3DataType {source['S3DataType']} of {where} (S3Prefix and ManifestFile are)")
    if mode == "Pipe":
        raise unsupported(f"input mode Pipe of {where} (File is)")


def fetch(s3: Any, data_type: str, uri: str, target: Path) -> None:
    """Copy input into a folder of the container, with the job's own role.

    Raises:
        JobFailed: The role may not read it, or it is not there.
    """
    target.mkdir(parents=True, exist_ok=True)
    try:
        _DOWNLOADS[data_type](s3, uri, target)
    except DATA_ERRORS as error:
        raise JobFailed(f"ClientError: Data download failed:{error}") from error


def s3_of(host: Host, credentials: Credentials) -> Any:
    """An S3 client that acts under the job's role."""
    return host.client("s3", credentials)
