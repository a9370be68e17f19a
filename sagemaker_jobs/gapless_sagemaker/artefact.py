"""Opens a model archive (``model.tar.gz``) without trusting it.

Whoever can write the archive must gain nothing by it: it is unpacked below a fresh directory and nowhere else, within
limits of count, size and compression ratio, and every file in it is judged by content
(:mod:`gapless_sagemaker.content`) before anything is loaded. The digest covers names and contents, and neither times
nor owners nor the compression, so that the same model trained twice has the same digest.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from gapless_sagemaker.content import PICKLE, Pickle, UnsafeContent, kind_of, pickle_in_zip

REQUIRED = ("features.json", "code/inference.py")
OTHER = "other"
"""Kind of a file that may be anything: nothing but its own container loads it."""

_CHUNK = 1 << 20


class UnsafeArtefact(Exception):
    """A model archive that is refused; the message says which member, what is wrong and what is allowed."""


@dataclass(frozen=True)
class Limits:
    """What an archive may hold: members, bytes unpacked, bytes unpacked per byte packed, and whether pickles."""

    members: int = 1000
    unpacked_bytes: int = 1 << 30
    ratio: int = 200
    pickles: bool = False


LIMITS = Limits()


@dataclass(frozen=True)
class File:
    """One file of an archive: its path, size, SHA-256 and kind of content."""

    path: str
    bytes: int
    sha256: str
    kind: str


@dataclass(frozen=True)
class Artefact:
    """An archive that was unpacked and found safe.

    Attributes:
        directory: Where it was unpacked.
        sha256: Its canonical digest, see :func:`digest_of`.
        archive_sha256: The digest of the archive's own bytes.
        bytes: The sum of its files.
        files: All of them.
    """

    directory: Path
    sha256: str
    archive_sha256: str
    bytes: int
    files: tuple[File, ...]


def open_artefact(archive: Path, directory: Path, limits: Limits = LIMITS) -> Artefact:
    """Unpack a model archive into a directory that does not exist yet, and judge every file of it.

    Raises:
        UnsafeArtefact: It is no gzipped tar file, is empty or cut off, goes beyond a limit, has a member that is no
            plain file or lies outside, has a file whose content is not allowed, or lacks one of :data:`REQUIRED`.
    """
    artefact = _open(archive, directory, limits, kind_of)
    try:
        _require(artefact.files)
    except UnsafeArtefact as error:
        raise UnsafeArtefact(f"{archive.name}: {error}") from error
    return artefact


def open_foreign(archive: Path, directory: Path, limits: Limits = LIMITS) -> Artefact:
    """Unpack the archive of a model that only its own container loads; a file of no known kind is ``other``.

    Raises:
        UnsafeArtefact: As :func:`open_artefact`, but for required files, and of content for pickles alone.
    """
    return _open(archive, directory, limits, _kind_if_known)


def _open(archive: Path, directory: Path, limits: Limits, kind: Callable[[bytes], str]) -> Artefact:
    try:
        with tempfile.TemporaryFile() as plain:
            _decompress(archive, plain, limits)
            _unpack(plain, directory, limits)
        files = tuple(
            _inspect(directory, path, kind, limits) for path in sorted(directory.rglob("*")) if path.is_file()
        )
    except UnsafeArtefact as error:
        raise UnsafeArtefact(f"{archive.name}: {error}") from error
    return Artefact(directory, digest_of(files), _archive_digest(archive), sum(file.bytes for file in files), files)


def archive_in(folder: Path) -> Path:
    """Give the one archive in a folder that SageMaker put it into.

    Raises:
        UnsafeArtefact: There is not exactly one.
    """
    archives = sorted(folder.glob("*.tar.gz"))
    if len(archives) != 1:
        given = ", ".join(archive.name for archive in archives) or "none"
        raise UnsafeArtefact(f"archives in {folder.name}: {given}; allowed is exactly one *.tar.gz")
    return archives[0]


def digest_of(files: Sequence[File]) -> str:
    """Give the canonical digest: the SHA-256 over a line ``<sha256>  <path>`` per file, sorted by path."""
    lines = [f"{file.sha256}  {file.path}\n" for file in sorted(files, key=lambda file: file.path)]
    return hashlib.sha256("".join(lines).encode("utf-8")).hexdigest()


def _archive_digest(archive: Path) -> str:
    found = hashlib.sha256()
    with archive.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def _decompress(archive: Path, plain: IO[bytes], limits: Limits) -> None:
    packed = archive.stat().st_size
    allowed = min(limits.unpacked_bytes, packed * limits.ratio)
    try:
        with gzip.open(archive) as stream:
            while chunk := stream.read(_CHUNK):
                plain.write(chunk)
                if plain.tell() > allowed:
                    raise UnsafeArtefact(
                        f"unpacks to more than {allowed} bytes from {packed}; "
                        f"allowed are {limits.unpacked_bytes} bytes and {limits.ratio} times the packed size"
                    )
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UnsafeArtefact(f"not a whole gzip file ({error}); allowed is a gzipped tar file") from error
    plain.seek(0)


def _unpack(plain: IO[bytes], directory: Path, limits: Limits) -> None:
    directory.mkdir(mode=0o700)
    names: set[str] = set()
    try:
        with tarfile.open(fileobj=plain, mode="r:") as tar:
            for position, member in enumerate(tar):
                if position >= limits.members:
                    raise UnsafeArtefact(f"more than {limits.members} members")
                _write(tar, member, directory, names)
    except (tarfile.TarError, UnicodeError) as error:
        raise UnsafeArtefact(f"not a tar file ({error}); allowed is a gzipped tar file") from error
    if not names:
        raise UnsafeArtefact("no file in it")


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, directory: Path, names: set[str]) -> None:
    if member.isdir() and member.name == ".":
        return
    name = confined(member.name)
    if member.isdir():
        return
    if not member.isreg() or member.issparse():
        raise UnsafeArtefact(f"{name}: {_type(member)}; allowed are plain files and folders")
    if name in names:
        raise UnsafeArtefact(f"{name}: there twice")
    names.add(name)
    source = tar.extractfile(member)
    data = source.read() if source is not None else b""
    if len(data) != member.size:
        raise UnsafeArtefact(f"{name}: cut off after {len(data)} of {member.size} bytes")
    target = directory / name
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with target.open("xb") as file:
            file.write(data)
    except OSError as error:
        raise UnsafeArtefact(f"{name}: cannot be written ({error.strerror})") from error


def confined(name: str) -> str:
    """Give the path of a member below the archive's root, without a leading ``./``.

    Raises:
        UnsafeArtefact: It is absolute, leaves the root, or has a part that not every system takes for a name.
    """
    parts = name.removeprefix("./").split("/")
    harmless = all(part not in ("", ".", "..") and part.isprintable() and "\\" not in part for part in parts)
    if not harmless or PurePosixPath(name).is_absolute():
        raise UnsafeArtefact(f"{name!r}: not a path inside the archive")
    return "/".join(parts)


def _type(member: tarfile.TarInfo) -> str:
    if member.issym():
        return f"a symbolic link to {member.linkname!r}"
    if member.islnk():
        return f"a hard link to {member.linkname!r}"
    if member.issparse():
        return "a sparse file"
    return "a device or pipe" if member.isdev() else f"a member of type {member.type!r}"


def _inspect(directory: Path, path: Path, kind_of_content: Callable[[bytes], str], limits: Limits) -> File:
    data = path.read_bytes()
    name = path.relative_to(directory).as_posix()
    try:
        kind = kind_of_content(data)
    except Pickle as error:
        if not limits.pickles:
            raise UnsafeArtefact(f"{name}: {error}") from error
        kind = PICKLE
    except UnsafeContent as error:
        raise UnsafeArtefact(f"{name}: {error}") from error
    return File(name, len(data), hashlib.sha256(data).hexdigest(), kind)


def _kind_if_known(data: bytes) -> str:
    try:
        return kind_of(data)
    except Pickle:
        raise
    except UnsafeContent as error:
        inner = pickle_in_zip(data)
        if inner is not None:
            raise Pickle(
                f"{inner} in it is a pickle; allowed are pickles where workload.yaml gives a reason"
            ) from error
        return OTHER


def _require(files: Sequence[File]) -> None:
    missing = sorted(set(REQUIRED) - {file.path for file in files})
    if missing:
        raise UnsafeArtefact(f"{', '.join(missing)} missing; needed are {', '.join(REQUIRED)}")
