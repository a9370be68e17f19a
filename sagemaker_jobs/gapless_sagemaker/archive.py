"""Archives that jobs write and read: the same files give the same bytes."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

_MOST_BYTES = 1 << 20


def pack(target: Path, files: Mapping[str, bytes]) -> None:
    """Write files as ``tar.gz``, sorted, without owners and times."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        target.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            tar.addfile(member, io.BytesIO(files[name]))


def read_source(folder: Path, name: str) -> bytes | None:
    """Read one file of the bundle in a folder, or give None when it has none; nothing else of it is unpacked."""
    with tarfile.open(folder / "sourcedir.tar.gz", "r:gz") as bundle:
        try:
            member = bundle.extractfile(name)
        except KeyError:
            return None
        return member.read(_MOST_BYTES) if member is not None else None
