"""Who is meant by a grant."""

from __future__ import annotations

import re

ANYBODY = "IAM_ALLOWED_PRINCIPALS"
_SESSION = re.compile(r"arn:aws:sts::(\d+):assumed-role/([^/]+)/.+")
_ROLE = re.compile(r"arn:aws:iam::(\d+):role/(?:.+/)?([^/]+)")


def plain(arn: str) -> str:
    """The principal behind a caller's ARN: a session becomes its role, a role loses its path, all others stay."""
    found = _SESSION.fullmatch(arn) or _ROLE.fullmatch(arn)
    return f"arn:aws:iam::{found[1]}:role/{found[2]}" if found else arn


def is_root(arn: str) -> bool:
    """Whether an ARN is the account's own user, for whom nothing is refused."""
    return arn.endswith(":root")
