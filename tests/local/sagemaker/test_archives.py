"""Archives are unpacked below their folder and nowhere else."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from local.server.sagemaker.archive import BadArchive, pack, unpack


def archive_of(path: Path, member: tarfile.TarInfo, content: bytes = b"") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return path


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = target
    return member


def test_gives_back_what_was_packed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "code").mkdir(parents=True)
    (source / "code/inference.py").write_text("x = 1")
    pack(source, tmp_path / "model.tar.gz")
    unpack(tmp_path / "model.tar.gz", tmp_path / "out")
    assert (tmp_path / "out/code/inference.py").read_text() == "x = 1"


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "a/../../out.txt"])
def test_refuses_members_outside_the_folder(tmp_path: Path, name: str) -> None:
    archive = archive_of(tmp_path / "bad.tar.gz", tarfile.TarInfo(name), b"text")
    with pytest.raises(BadArchive, match="would be outside the folder"):
        unpack(archive, tmp_path / "deep/out")
    assert not list(tmp_path.rglob("out.txt"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_refuses_links_and_devices(tmp_path: Path, kind: bytes) -> None:
    archive = archive_of(tmp_path / "bad.tar.gz", link("link", "/etc/passwd", kind))
    with pytest.raises(BadArchive, match="neither a plain file nor a folder"):
        unpack(archive, tmp_path / "out")


def test_refuses_what_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "bad.tar.gz").write_bytes(b"no archive")
    with pytest.raises(BadArchive, match=r"cannot unpack bad\.tar\.gz"):
        unpack(tmp_path / "bad.tar.gz", tmp_path / "out")
