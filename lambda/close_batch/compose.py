"""What a batch consists of: decided from names and digests alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gapless_lambda.landing import written

ABOVE = 2
"""The batch's keys are relative to the workload's folder, so many folders above that of ``_batch.json``."""


@dataclass(frozen=True)
class SourcePlan:
    """One source of the workload.

    Attributes:
        format: ``csv``, ``json_lines`` or ``parquet``.
        collect: ``new``: what came since the last batch, or what that one had. ``all``: whatever came.
    """

    format: str
    collect: str


@dataclass(frozen=True)
class Plan:
    """What the function knows of its workload; folders are prefixes of keys."""

    workload: str
    incoming: str
    files: str
    batches: str
    needs: tuple[str, ...]
    sources: Mapping[str, SourcePlan]
    item: str

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Plan:
        """Read what the construct wrote."""
        sources = {name: SourcePlan(**source) for name, source in content["sources"].items()}
        return cls(**{**content, "needs": tuple(content["needs"]), "sources": sources})


@dataclass(frozen=True)
class Found:
    """A file in the folder of incoming files."""

    source: str
    key: str
    etag: str
    bytes: int
    modified: datetime


@dataclass(frozen=True)
class Taken:
    """A file that was found, and its content's place among the files that batches name."""

    found: Found
    key: str
    sha256: str


@dataclass(frozen=True)
class Sorted:
    """What lies in the folder of incoming files.

    Attributes:
        files: Those that a batch can take: the oldest of each source first.
        strays: Keys of those that none can take, with the reason.
    """

    files: tuple[Found, ...]
    strays: Mapping[str, str]


def sort_incoming(objects: Iterable[Mapping[str, Any]], plan: Plan) -> Sorted:
    """Tell files from strays. What starts with ``_`` or ``.`` is somebody's unfinished work and neither."""
    files, strays = [], {}
    for each in objects:
        key: str = each["Key"]
        source, slash, rest = key.removeprefix(plan.incoming).partition("/")
        if key.endswith("/") or any(part.startswith(("_", ".")) for part in rest.split("/")):
            continue
        if not slash:
            strays[key] = "it lies in no source's folder"
        elif source not in plan.sources:
            strays[key] = f"{source!r} is no source of {plan.workload}"
        elif each["Size"] == 0:
            strays[key] = "it is empty"
        else:
            files.append(Found(source, key, each["ETag"], each["Size"], each["LastModified"]))
    return Sorted(_taking_turns(files), strays)


def _taking_turns(files: Iterable[Found]) -> tuple[Found, ...]:
    """The oldest file of every source, then the second oldest: many files of one source never keep out another's."""
    turns: dict[str, int] = {}
    places: dict[Found, int] = {}
    for file in sorted(files, key=lambda file: (file.modified, file.key)):
        places[file] = turns[file.source] = turns.get(file.source, -1) + 1
    return tuple(sorted(places, key=lambda file: (places[file], file.modified, file.key)))


def lacks(plan: Plan, arrived: Iterable[str], previous: Mapping[str, Any] | None) -> list[str]:
    """Say what a batch still waits for: new files of the sources that it needs, any files of the others.

    Args:
        arrived: Sources of which there are new files.
        previous: The last batch, or None before the first.
    """
    new = set(arrived)
    had = {file["source"] for file in previous["files"]} if previous else set()
    needed = [source for source in plan.needs if source not in new]
    return needed + [source for source in plan.sources if source not in new | had and source not in needed]


def compose(plan: Plan, as_of: datetime, taken: Sequence[Taken], previous: Mapping[str, Any] | None) -> dict[str, Any]:
    """Give the content of ``_batch.json``; equal arguments give an equal batch.

    A file that is there twice, by its content, is named once. ``as_of`` is never before the newest file came.
    """
    files: dict[tuple[str, str], dict[str, Any]] = {}
    for source, how in plan.sources.items():
        new = [each for each in taken if each.found.source == source]
        if previous and (how.collect == "all" or not new):
            for file in previous["files"]:
                if file["source"] == source:
                    files[source, file["key"]] = file
        for each in new:
            key = each.key
            files[source, key] = {"source": source, "key": key, "bytes": each.found.bytes, "sha256": each.sha256}
    moment = max([as_of, *(each.found.modified for each in taken)])
    return {
        "workload": plan.workload,
        "as_of": written(moment),
        "above": ABOVE,
        "files": [files[place] for place in sorted(files)],
        "taken": [{"key": each.found.key, "etag": each.found.etag} for each in taken],
    }
