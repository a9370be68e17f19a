"""``python -m delivery.changes``: starts those pipelines whose files a push has changed.

For sources whose pushes cannot be filtered by path. Each pipeline is compared with the commit that it was last started
for, so a push that was missed is made up for by the next one; a start carries the commit as its token, so that a push
that is told twice starts nothing twice.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from constructs_lib.names.code_paths import matching
from delivery.settings import RETRIES, Refused, setting

SOURCE_ACTION = "Source"


def git(*arguments: str, folder: Path | None = None) -> str:
    """Run git and return what it prints.

    Raises:
        Refused: It failed.
    """
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Refused(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def changed_paths(base: str | None, commit: str, folder: Path | None = None) -> list[str]:
    """Return the files that differ between two commits; all files where the first is unknown or no longer there."""
    if base is not None and is_known(base, folder):
        return git("diff", "--name-only", "--no-renames", "-z", base, commit, folder=folder).split("\0")[:-1]
    return git("ls-tree", "-r", "--name-only", "-z", commit, folder=folder).split("\0")[:-1]


def is_known(commit: str, folder: Path | None = None) -> bool:
    """Tell whether a commit is in the checkout's history."""
    done = subprocess.run(
        ["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=folder, capture_output=True, check=False
    )
    return done.returncode == 0


def contains(later: str, earlier: str, folder: Path | None = None) -> bool:
    """Tell whether a commit is another one or comes after it."""
    if not (is_known(later, folder) and is_known(earlier, folder)):
        return False
    command = ["git", "merge-base", "--is-ancestor", earlier, later]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def last_commit(pipelines: Any, pipeline: str, status: str | None = None) -> str | None:
    """Return the commit that a pipeline was last started for, or last ended for with a status."""
    pages = pipelines.get_paginator("list_pipeline_executions").paginate(pipelineName=pipeline)
    for page in pages:
        for execution in page["pipelineExecutionSummaries"]:
            if status is None or execution["status"] == status:
                for revision in execution.get("sourceRevisions", []):
                    return str(revision["revisionId"])
    return None


def start_changed(
    pipelines: Any, filters: Mapping[str, Sequence[str]], commit: str, folder: Path | None = None
) -> list[str]:
    """Start the pipelines whose files have changed and return their names.

    Args:
        filters: Pipeline to the patterns of its files.
    """
    started = []
    for pipeline, patterns in filters.items():
        base = last_commit(pipelines, pipeline)
        if base is not None and contains(base, commit, folder):
            continue
        if matching(changed_paths(base, commit, folder), patterns):
            revision = {"actionName": SOURCE_ACTION, "revisionType": "COMMIT_ID", "revisionValue": commit}
            pipelines.start_pipeline_execution(name=pipeline, clientRequestToken=commit, sourceRevisions=[revision])
            started.append(pipeline)
    return started


def main() -> int:
    """Start what is to be started and return the exit code."""
    try:
        pipelines = boto3.client("codepipeline", config=RETRIES)
        commit = setting("CODEBUILD_RESOLVED_SOURCE_VERSION")
        started = start_changed(pipelines, json.loads(setting("FILTERS")), commit)
    except (Refused, ClientError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    print(f"{commit}: started {', '.join(started) or 'nothing'}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
