"""Templates of the working tree and of an earlier revision, side by side."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TAIL_LINES = 15


class RevisionError(Exception):
    """Raised when there is nothing to compare with; the message says why and what to do."""


@dataclass(frozen=True)
class Revision:
    """A commit that the working tree is compared with.

    Attributes:
        name: As it was given.
        commit: Where the working tree's branch left it: what came after is not this change's.
    """

    name: str
    commit: str


def base_of(checkout: Path, name: str) -> Revision:
    """Finds the commit at which the working tree's branch left a revision.

    Raises:
        RevisionError: There is no such revision, or nothing that both have in common.
    """
    known = _git(checkout, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if known.returncode != 0:
        raise RevisionError(f"there is no revision {name!r} here; name a branch, tag or commit with BASE=")
    common = _git(checkout, "merge-base", known.stdout.decode().strip(), "HEAD")
    if common.returncode != 0:
        raise RevisionError(
            f"revision {name!r} and the working tree have no commit in common; in a shallow clone, fetch its history"
        )
    return Revision(name, common.stdout.decode().strip())


def unpack(checkout: Path, revision: Revision, folder: Path) -> None:
    """Writes the files of a revision into a folder; the repository itself is not touched.

    Raises:
        RevisionError: The repository does not give them.
    """
    archive = _git(checkout, "archive", "--format=tar", revision.commit)
    if archive.returncode != 0:
        raise RevisionError(f"revision {revision.name!r} cannot be read: {archive.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")


def interpreter(checkout: Path, base: Path, folder: Path) -> Path:
    """Returns the interpreter that synthesises the base: this one, or one with the packages that the base pins.

    Args:
        checkout: The working tree.
        base: Files of the base.
        folder: Where a new environment would be made.

    Raises:
        RevisionError: The packages could not be installed.
    """
    pinned = base / "requirements.txt"
    if not pinned.is_file() or pinned.read_bytes() == (checkout / "requirements.txt").read_bytes():
        return Path(sys.executable)
    uv = str(Path(sys.executable).parent / "uv")
    python = folder / "bin" / "python"
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--quiet", "--require-hashes", "--python", str(python), "-r", str(pinned)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RevisionError(f"packages of the base cannot be installed:\n{_tail(done.stderr)}")
    return python


def synthesise(python: Path, checkout: Path, folder: Path, allow_removal: bool) -> Path:
    """Runs ``app.py`` of a checkout and returns the assembly.

    Raises:
        RevisionError: It does not synthesise; the message has the end of its output.
    """
    context = {"allow_removal": True} if allow_removal else {}
    environment = {**os.environ, "CDK_OUTDIR": str(folder), "CDK_CONTEXT_JSON": json.dumps(context)}
    command = [str(python), "app.py"]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RevisionError(f"app.py of {checkout} ended with exit code {done.returncode}:\n{_tail(done.stderr)}")
    return folder


def removable_stages(before: Mapping[str, Any], after: Mapping[str, Any]) -> frozenset[str]:
    """Returns the stages whose data may go: removable where they are deployed from, and in what takes its place.

    Args:
        before: The content of ``cdk.json`` of the base.
        after: That of the working tree; a stage that is no longer in it has nothing to say.
    """
    old, new = (each.get("context", {}).get("stages", {}) for each in (before, after))
    return frozenset(
        name
        for name, settings in old.items()
        if settings.get("removable") is True and new.get(name, settings).get("removable") is True
    )


def cdk_json(checkout: Path) -> dict[str, Any]:
    """Returns the content of a checkout's ``cdk.json``."""
    content: dict[str, Any] = json.loads((checkout / "cdk.json").read_text(encoding="utf-8"))
    return content


def _git(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *arguments], cwd=checkout, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise RevisionError("git is not installed") from error


def _tail(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines()[-_TAIL_LINES:])
