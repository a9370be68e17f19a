"""Which models are kept and which objects are leftovers: decisions that read no clock and no store."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

LEFTOVER_DAYS = 30
"""How old an object must be that no package names: longer than a failed run can be redriven."""

APPROVED, PENDING = "Approved", "PendingManualApproval"
PINNED = "pinned"
"""Property of a package that holds it; its value is the reason."""


@dataclass(frozen=True)
class Package:
    """A registered model.

    Attributes:
        arn: Its ARN.
        version: Its number in the group.
        status: Its approval status.
        changed: When it was changed last: registered, approved, rejected, given a property.
        pinned: Whether somebody holds it.
        artefacts: URIs of its archives.
    """

    arn: str
    version: int
    status: str
    changed: datetime
    pinned: bool
    artefacts: frozenset[str]


@dataclass(frozen=True)
class Policy:
    """How many approved models are kept whatever their age, and for how many days every one is."""

    keep_newest: int
    keep_days: int


def retirable(packages: Sequence[Package], serving: Collection[str], policy: Policy, now: datetime) -> list[Package]:
    """Give the packages that may go.

    Args:
        serving: ARNs of packages that serve, or that served before and would be put back.
    """
    approved = sorted((each for each in packages if each.status == APPROVED), key=lambda each: each.version)
    newest = {each.arn for each in approved[-policy.keep_newest :]}
    return [
        each
        for each in packages
        if each.status != PENDING
        and not each.pinned
        and each.arn not in newest
        and each.arn not in serving
        and now - each.changed >= timedelta(days=policy.keep_days)
    ]


@dataclass(frozen=True)
class Stored:
    """An object: its URI, and when it was written."""

    uri: str
    written: datetime


def leftovers(objects: Iterable[Stored], named: Collection[str], folder: str, now: datetime) -> list[str]:
    """Give the URIs of what no package names and nobody has written for 30 days; signed statements stay.

    A run that is about to register a model has sealed its archive just before, and so made the object young again.

    Args:
        named: URIs of the archives of all packages that stay, and of models that serve; what ends in ``/`` is a set of
            models, all of which stays.
        folder: Where sealed models and statements are, ``s3://…/``.
    """
    sets = tuple(each for each in named if each.endswith("/"))
    statements = re.compile(f"{re.escape(folder)}statements/")
    return [
        each.uri
        for each in objects
        if each.uri not in named
        and not each.uri.startswith(sets)
        and statements.match(each.uri) is None
        and now - each.written >= timedelta(days=LEFTOVER_DAYS)
    ]
