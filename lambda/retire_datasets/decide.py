"""What is kept, what is retired and what is a leftover: decisions that read no clock and no store."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

PIN_DAYS = 30
"""How long a training run's pin holds: longer than a failed run can be redriven."""

LEFTOVER_DAYS = 30
"""How old the newest object of an attempt must be that published nothing, before its rows go."""

RECORDS = ("manifest.json", "profile.json", "report.json")
"""What stays of every published dataset."""

_VERSION = r"(?P<version>[0-9a-f]{32})"
_ATTEMPT = r"attempt=(?P<attempt>[^/]+)/(?P<rest>.+)"


@dataclass(frozen=True)
class Entry:
    """A dataset in the index.

    Attributes:
        version: 32 hex digits.
        attempt: The attempt that was published.
        entered: When it was entered into the index last: a batch that comes again makes it young again.
    """

    version: str
    attempt: str
    entered: datetime


@dataclass(frozen=True)
class Stored:
    """An object: its key, and when it was written."""

    key: str
    written: datetime


@dataclass(frozen=True)
class Inventory:
    """What lies in a workload's folder of datasets.

    Attributes:
        published: Versions that have a published manifest.
        rows: Version and attempt to the keys of everything but the records.
    """

    published: frozenset[str]
    rows: Mapping[tuple[str, str], Sequence[str]]

    @classmethod
    def of(cls, objects: Iterable[Stored], folder: str) -> Inventory:
        """Sort the objects of a folder such as ``flight_delays/``."""
        published: set[str] = set()
        rows: dict[tuple[str, str], list[str]] = defaultdict(list)
        for each in objects:
            of_attempt = re.fullmatch(f"{folder}{_VERSION}/{_ATTEMPT}", each.key)
            of_version = re.fullmatch(f"{folder}{_VERSION}/manifest[.]json", each.key)
            if of_version is not None:
                published.add(of_version["version"])
            elif of_attempt is not None and of_attempt["rest"] not in RECORDS:
                rows[of_attempt["version"], of_attempt["attempt"]].append(each.key)
        return cls(frozenset(published), rows)


@dataclass(frozen=True)
class Policy:
    """How many datasets are kept whatever their age, and for how many days every one is."""

    keep_newest: int
    keep_days: int


def retirable(entries: Sequence[Entry], policy: Policy, now: datetime) -> list[Entry]:
    """Give the datasets that are neither among the newest nor young; whether somebody uses them is another question.

    Args:
        entries: In order of ``as_of``.
    """
    older = entries[: -policy.keep_newest]
    return [entry for entry in older if now - entry.entered >= timedelta(days=policy.keep_days)]


def pinned_versions(pins: Iterable[Stored], now: datetime) -> set[str]:
    """Give the versions that a training run has pinned, ``…/<version>/<run_id>.json``, in the last 30 days."""
    return {pin.key.split("/")[-2] for pin in pins if now - pin.written < timedelta(days=PIN_DAYS)}


def derived(objects: Iterable[Stored], retired: Collection[str], *, folder: str) -> list[str]:
    """Give the keys of what was made of the rows of retired datasets: encoded splits, requests and predictions.

    Adapters stay, and what was learned for them: a model may serve with them, and they hold no rows.

    Args:
        objects: Of the workload's artefacts.
        folder: The workload's folder of them, such as ``flight_delays/``.
    """
    encoded = rf"encoded/{_VERSION}/[^/]+/(?!adapters/)[^/]+/.+"
    scored = r"scoring/(?:requests|predictions)/(?P<scored>[0-9a-f]{32})/.+"
    shape = re.compile(f"{folder}(?:{encoded}|{scored})")
    found = ((each.key, shape.fullmatch(each.key)) for each in objects)
    return [key for key, match in found if match is not None and (match["version"] or match["scored"]) in retired]


def leftovers(
    objects: Iterable[Stored], published: Collection[tuple[str, str]], now: datetime, *, folder: str
) -> list[str]:
    """Give the keys of what attempts have left that published nothing and wrote nothing for 30 days.

    Reports stay: a failure notice leads to them.

    Args:
        objects: Of one zone.
        published: Version and attempt of everything that was ever published.
        folder: What a version's folders start with, as a regular expression.
    """
    shape = re.compile(f"{folder}{_VERSION}/{_ATTEMPT}")
    attempts: dict[tuple[str, str], list[Stored]] = defaultdict(list)
    for each in objects:
        found = shape.fullmatch(each.key)
        if found is not None and (found["version"], found["attempt"]) not in published:
            attempts[found["version"], found["attempt"]].append(each)
    settled = [
        stored
        for stored in attempts.values()
        if now - max(each.written for each in stored) >= timedelta(days=LEFTOVER_DAYS)
    ]
    return [each.key for stored in settled for each in stored if not each.key.endswith("/report.json")]
