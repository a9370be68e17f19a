"""What is made of the archive of a version: an archive for each value of its segment, and their script. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from constructs_lib.names.bundle import ARCHIVE, pack
from constructs_lib.names.segments import FALLBACK, SUFFIX, Routing

CODE, INDEX = "code/", "segments.json"
MODELS, SCRIPT = "models/", f"code/{ARCHIVE}"
"""Folder of the archives in a set, and their script."""


class BadSet(Exception):
    """The archive holds no set of models, or one that no endpoint of several models can serve."""


def archives_of(files: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield the objects of a set: key below its folder, and content; equal files give equal bytes.

    ``models/<value>.tar.gz`` and ``models/_fallback.tar.gz`` hold one model each: its files, the code,
    ``segments.json``, and ``segment.json``, which says which one it is. ``code/sourcedir.tar.gz`` is the code alone.

    Raises:
        BadSet: There is no ``segments.json``, it is none, or a model that it names is not there.
    """
    index = _index(files)
    code = {name: content for name, content in files.items() if name.startswith(CODE)}
    common = {**code, INDEX: files[INDEX]}
    yield SCRIPT, pack({name.removeprefix(CODE): content for name, content in code.items()}).content
    for value, folder in (*index["models"].items(), (None, index["fallback"])):
        own = _files_of(files, folder)
        mark = json.dumps({"value": value}).encode()
        name = FALLBACK if value is None else value
        yield f"{MODELS}{name}{SUFFIX}", pack({**own, **common, "segment.json": mark}).content


def routing_of(files: Mapping[str, bytes]) -> Routing:
    """Say which model of a set is asked.

    Raises:
        BadSet: There is no ``segments.json``, or it is none.
    """
    index = _index(files)
    return Routing(index["segment"], tuple(index["models"]))


def _index(files: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        found = json.loads(files[INDEX])
        names = {**found["models"], FALLBACK: found["fallback"]}
        fits = isinstance(found["segment"], str) and all(_is_name(each) for pair in names.items() for each in pair)
    except (KeyError, ValueError, TypeError) as error:
        raise BadSet(f"{INDEX} of the archive is missing, or is no index of models ({error!r:.100})") from error
    if not fits or FALLBACK in found["models"]:
        raise BadSet(f"{INDEX} of the archive names models that cannot be names of files: {sorted(names)!r:.200}")
    return dict(found)


def _is_name(text: Any) -> bool:
    return isinstance(text, str) and text not in ("", ".", "..") and "/" not in text and text.isprintable()


def _files_of(files: Mapping[str, bytes], folder: str) -> dict[str, bytes]:
    start = f"segments/{folder}/"
    found = {name.removeprefix(start): content for name, content in files.items() if name.startswith(start)}
    if not found:
        raise BadSet(f"{INDEX} of the archive names the model {folder!r}, of which there is no file below {start}")
    return found
