"""Which objects under a crawled folder belong to one table, and what its partitions are.

AWS makes one table of the files of a folder whose schemas are alike, and one per file where they differ. Here the
batches of a landing zone count as folders of the same kind: the files of a source, which share a stem, are one table
over all batches, and every batch is a partition.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from local.server.glue.crawl_schema import Schema

_SERIAL = re.compile(r"[-_.]?\d+$")
_PART = re.compile(r"((part|data|file)([-_.].*)?|[\d\W_]*|[0-9a-f-]{32,})")


@dataclass(frozen=True)
class Found:
    """One object below the crawled folder; ``key`` is relative to it."""

    key: str
    size: int
    schema: Schema

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders that it lies in."""
        return tuple(self.key.split("/")[:-1])

    @property
    def file(self) -> str:
        """Its own name."""
        return self.key.rpartition("/")[2]


@dataclass(frozen=True)
class Table:
    """A table to be.

    Attributes:
        name: Without the crawler's prefix.
        schema: Of all its files.
        location: Relative to the crawled folder; ends in ``/`` unless it is an object.
        keys: Names of its partition keys.
        partitions: Values of the keys to the location of the partition.
        files: Its objects.
    """

    name: str
    schema: Schema
    location: str
    keys: tuple[str, ...]
    partitions: Mapping[tuple[str, ...], str]
    files: tuple[Found, ...]


def group(files: Sequence[Found], root_name: str) -> list[Table]:
    """Group objects into tables.

    Args:
        files: What was found, hidden and unreadable objects left out.
        root_name: The crawled folder's name, for files that have no telling name of their own.
    """
    companies: dict[tuple[str, ...], set[str]] = defaultdict(set)
    candidates: dict[tuple[str, tuple[str, ...]], list[list[Found]]] = defaultdict(list)
    for file in sorted(files, key=lambda file: file.key):
        name = source_name(file.key, root_name)
        companies[file.folders].add(name)
        _join(candidates[name, _key_names(file, name)], file)
    taken: set[str] = set()
    tables = []
    for (name, keys), groups in sorted(candidates.items()):
        for members in groups:
            tables.append(_table(_free(name, taken, members), name, keys, members, companies))
    return tables


def source_name(key: str, root_name: str) -> str:
    """What an object is a file of: its stem without a serial number, or the folder that its parts lie in."""
    *folders, file = key.split("/")
    stem = file.partition(".")[0]
    if not _PART.fullmatch(stem):
        return _clean(_SERIAL.sub("", stem))
    named = [folder for folder in folders if "=" not in folder]
    return _clean(named[-1] if named else root_name)


def _clean(name: str) -> str:
    return re.sub(r"[^a-z0-9_]", "_", name.lower())


def _key_names(file: Found, name: str) -> tuple[str, ...]:
    folders = [folder for folder in file.folders if _clean(folder) != name]
    return tuple(
        _clean(folder.partition("=")[0]) if "=" in folder else f"partition_{position}"
        for position, folder in enumerate(folders)
    )


def _join(groups: list[list[Found]], file: Found) -> None:
    for members in groups:
        if members[0].schema.is_like(file.schema):
            members.append(file)
            return
    groups.append([file])


def _free(name: str, taken: set[str], members: Sequence[Found]) -> str:
    free = name
    if free in taken:
        free = f"{name}_{members[0].schema.classification}_{len(taken)}"
    taken.add(free)
    return free


def _table(
    name: str,
    source: str,
    keys: tuple[str, ...],
    members: Sequence[Found],
    companies: Mapping[tuple[str, ...], set[str]],
) -> Table:
    schema = members[0].schema
    for member in members[1:]:
        schema = schema.merged(member.schema)
    by_folder: dict[tuple[str, ...], list[Found]] = defaultdict(list)
    for member in members:
        by_folder[member.folders].append(member)
    shared = any(len(companies[folders]) > 1 for folders in by_folder)
    several = shared and any(len(files) > 1 for files in by_folder.values())
    partitions = {}
    for folders, files in by_folder.items():
        values = tuple(folder.partition("=")[2] or folder for folder in folders if _clean(folder) != source)
        if not shared:
            partitions[values] = "".join(f"{folder}/" for folder in folders)
            continue
        for file in files:
            partitions[(*values, file.file) if several else values] = file.key
    all_keys = (*keys, "file") if several else keys
    location = next(iter(partitions.values())) if not all_keys else _common(by_folder)
    return Table(name, schema, location, all_keys, partitions if all_keys else {}, tuple(members))


def _common(folders: Mapping[tuple[str, ...], object]) -> str:
    """The deepest folder above all partitions."""
    first, *others = folders
    depth = 0
    while (
        depth < len(first) and others and all(other[depth : depth + 1] == first[depth : depth + 1] for other in others)
    ):
        depth += 1
    return "".join(f"{folder}/" for folder in first[:depth])
