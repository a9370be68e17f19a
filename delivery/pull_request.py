"""``python -m delivery.pull_request``: shows what a pull request changes in the templates, without asking any account,
and fails with 2 where the change would lose data.

What ``make diff`` does, over the commit that the request goes to: both sides are synthesised here, so code that nobody
has reviewed yet runs without a role of any stage. The difference is printed, and written as a comment where the
repository is CodeCommit's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import boto3
from botocore.exceptions import ClientError

from delivery.changes import git
from delivery.settings import RETRIES, Refused, setting

LONGEST_COMMENT = 10_000
"""CodeCommit takes 10,240 bytes."""

LONGEST_KEPT = 500_000
"""Bytes of what is kept; hosts take much less."""

_FRAME, _END = 300, 4_000
"""Bytes for the words around the difference, and of its end, where the judgement is."""


def compared(base: str) -> tuple[str, int]:
    """Compare the checkout with a revision; give what is said of it, and 2 where data would be lost.

    Raises:
        Refused: They could not be compared.
    """
    command = [sys.executable, "-m", "gate.change", "--base", base]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 2) or (done.returncode == 2 and not done.stdout):
        raise Refused(f"{base} and this commit cannot be compared:\n{done.stderr.strip()}")
    return done.stdout.strip() or "No template changes.", done.returncode


def comment(text: str) -> str:
    """Lay the difference out as a comment; where it is too long its beginning and its end are shown."""
    shown = shortened(text, LONGEST_COMMENT - _FRAME)
    framed = f"What this changes in the templates:\n\n```\n{shown}\n```"
    return framed if shown == text else f"{framed}\n\nThe whole is in the log of the build."


def shortened(text: str, longest: int) -> str:
    """Leave out the middle of a text that has more bytes than that."""
    content = text.encode()
    if len(content) <= longest:
        return text
    begin, end = (part.decode(errors="ignore") for part in (content[: longest - _END], content[-_END:]))
    return f"{begin}\n[…]\n{end}"


def post(commits: Any, repository: str, pull_request: str, base: str, commit: str, text: str) -> None:
    """Write a comment; the same commits are commented once."""
    commits.post_comment_for_pull_request(
        pullRequestId=pull_request,
        repositoryName=repository,
        beforeCommitId=base,
        afterCommitId=commit,
        content=comment(text),
        clientRequestToken=f"{base}-{commit}",
    )


def keep(s3: Any, session: str, uri: str, text: str) -> None:
    """Write the difference to the one object that the session of this build may write.

    Args:
        s3: The client.
        session: Id of role and session, as STS tells it.
        uri: What the address begins with.
        text: The difference.
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    s3.put_object(Bucket=bucket, Key=prefix + session, Body=shortened(text, LONGEST_KEPT).encode())


def main() -> int:
    """Compare, show and return the exit code."""
    try:
        commit = git("rev-parse", "HEAD").strip()
        base = os.environ.get("BASE") or f"origin/{setting('BRANCH')}"
        text, code = compared(base)
        print(text)  # noqa: T201
        if "PULL_REQUEST" in os.environ:
            commits = boto3.client("codecommit", config=RETRIES)
            post(commits, setting("REPOSITORY"), setting("PULL_REQUEST"), setting("BASE"), commit, text)
        if "DIFFERENCES_URI" in os.environ:
            session = boto3.client("sts", config=RETRIES).get_caller_identity()["UserId"]
            keep(boto3.client("s3", config=RETRIES), session, setting("DIFFERENCES_URI"), text)
    except (Refused, ClientError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
