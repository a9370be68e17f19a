"""Archives of models, outputs and code: packed plainly, unpacked with distrust."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path, PurePosixPath

_MOST_MEMBERS = 100_000
_MOST_BYTES = 8 * 1024**3


class BadArchive(Exception):
    """An archive that is broken, too large or leads out of its folder."""


def pack(folder: Path, target: Path) -> None:
    """Write a folder's content, without the folder itself, as ``tar.gz``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w:gz", compresslevel=6) as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, arcname=path.name)


def unpack(source: Path, folder: Path) -> None:
    """Unpack a ``tar.gz`` below ``folder``.

    Raises:
        BadArchive: It is no archive, has members outside the folder, links or devices, or is too large.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(source, "r:*") as archive:
            _check_size(source, archive)
            for member in archive.getmembers():
                _extract(archive, member, folder)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadArchive(f"cannot unpack {source.name}: {error}") from error


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write one member; by hand, because ``tarfile`` has its filters only since Python 3.11.4."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise tarfile.TarError(f"{member.name!r} would be outside the folder")
    target = folder / name
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    content = archive.extractfile(member) if member.isreg() else None
    if content is None:
        raise tarfile.TarError(f"{member.name!r} is neither a plain file nor a folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with content, target.open("wb") as file:
        shutil.copyfileobj(content, file)


def _check_size(source: Path, archive: tarfile.TarFile) -> None:
    size = 0
    for members, member in enumerate(archive, start=1):
        size += member.size
        if members > _MOST_MEMBERS or size > _MOST_BYTES:
            raise BadArchive(
                f"cannot unpack {source.name}: more than {_MOST_MEMBERS} members or {_MOST_BYTES} bytes when unpacked"
            )
