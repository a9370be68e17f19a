"""What the function that pulls an API is told, as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from constructs_lib.names.ingestion_file import Api
from constructs_lib.names.landing import LandingFolders, pull_item
from constructs_lib.names.naming import runtime_name


def secret_name(stage: str, workload: str, secret: str) -> str:
    """Returns the name of a secret of a workload in Secrets Manager."""
    return runtime_name(stage, workload, secret)


def pull_spec(
    *, stage: str, workload: str, source: str, file_format: str, columns: Iterable[str], api: Api
) -> dict[str, Any]:
    """Returns what is pulled, how, and where it goes; the function's ``Pull`` reads it.

    Args:
        file_format: Of the files to write.
        columns: The declared columns of the source, in order.
        api: What the workload file says.
    """
    folders = LandingFolders.of(workload)
    content = api.model_dump(mode="json", exclude={"every", "secret"})
    secret = None
    if api.secret is not None:
        fields = api.secret.model_dump(mode="json", exclude={"name"})
        secret = {**fields, "secret": secret_name(stage, workload, api.secret.name)}
    return {
        **content,
        "secret": secret,
        "source": source,
        "format": file_format,
        "columns": list(columns),
        "item": pull_item(workload, source),
        "incoming": f"{folders.incoming}{source}/",
        "pulled": f"{folders.pulled}{source}/",
        "files": f"{folders.files}{source}/",
    }
