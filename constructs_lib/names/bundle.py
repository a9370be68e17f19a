"""A workload's bundle: its scripts, rules and golden requests in one archive that is named by its content.

The same files give the same bytes on every machine: entries are sorted, owners, modes and times are fixed, and the
gzip layer stores without compressing, because compressors differ from one zlib to the next.
"""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SUFFIXES: Final = (".py", ".dqdl", ".json")
ASIDE: Final = ("notebook.py", "batch.py")
"""For people, to look at data with and to write a batch; no part of a bundle: an edit of them makes no new dataset."""

CONTAINER: Final = "container"
"""What an image of the workload's own is built of; it is deployed with the pipeline, and no part of a bundle."""

TESTS: Final = "tests"
"""Where a workload's own tests are; no part of a bundle either."""

ARCHIVE: Final = "sourcedir.tar.gz"
LARGEST_BLOCK: Final = 65535
GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


@dataclass(frozen=True)
class Bundle:
    """An archive and its name, the SHA-256 of its bytes in hex."""

    content: bytes
    sha256: str

    def key(self, workload: str) -> str:
        """Returns the archive's key in the artefacts bucket."""
        return f"{workload}/bundles/{self.sha256}/{ARCHIVE}"


def pointer_key(workload: str) -> str:
    """Returns the key of the object that names a workload's current bundle."""
    return f"{workload}/bundles/current.json"


def build_bundle(folder: Path) -> Bundle:
    """Packs a workload's files: Python, rules and JSON.

    The commit is not in it: the same scripts are the same bundle, and so give the same dataset, whichever commit they
    are taken from. The pointer names the commit.

    Raises:
        ValueError: There is nothing to pack, or a file is a link.
    """
    files = {path.relative_to(folder).as_posix(): _content(path) for path in _scripts(folder)}
    if not files:
        raise ValueError(f"no file to bundle in {folder} (allowed: {', '.join(SUFFIXES)})")
    return pack(files)


def pack(files: Mapping[str, bytes]) -> Bundle:
    """Returns the archive of files, name → content."""
    content = _gzip(_tar(files))
    return Bundle(content, hashlib.sha256(content).hexdigest())


def _scripts(folder: Path) -> list[Path]:
    found = [path for path in folder.rglob("*") if path.suffix in SUFFIXES and not _is_aside(path.relative_to(folder))]
    return [path for path in found if path.is_symlink() or path.is_file()]


def _is_aside(path: Path) -> bool:
    hidden = any(part.startswith(".") or part == "__pycache__" for part in path.parts)
    return hidden or path.as_posix() in ASIDE or path.parts[0] in (CONTAINER, TESTS)


def _content(path: Path) -> bytes:
    if path.is_symlink():
        raise ValueError(f"a bundle holds plain files only, {path} is a link")
    return path.read_bytes()


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size = len(files[name])
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(files[name]))
    return buffer.getvalue()


def _gzip(content: bytes) -> bytes:
    """Returns a gzip member (RFC 1952) that holds the content in stored blocks (RFC 1951, 3.2.4)."""
    starts = range(0, max(len(content), 1), LARGEST_BLOCK)
    blocks = [_stored(content[at : at + LARGEST_BLOCK], last=at + LARGEST_BLOCK >= len(content)) for at in starts]
    return GZIP_HEADER + b"".join(blocks) + struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF)


def _stored(block: bytes, *, last: bool) -> bytes:
    return struct.pack("<BHH", int(last), len(block), len(block) ^ 0xFFFF) + block
