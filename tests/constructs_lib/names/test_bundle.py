"""A bundle is named by its content, and by nothing else."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from constructs_lib.names.bundle import build_bundle, pack, pointer_key


def scripts(folder: Path) -> Path:
    folder.mkdir()
    (folder / "features.py").write_text("LATE = 15\n")
    (folder / "rules.dqdl").write_text("Rules = []\n")
    (folder / "workload.yaml").write_text("name: flights\n")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "features.py").write_text("stale")
    return folder


def names(content: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        return archive.getnames()


def test_packs_scripts_and_rules_but_not_the_workload_file(tmp_path: Path) -> None:
    assert names(build_bundle(scripts(tmp_path / "one")).content) == ["features.py", "rules.dqdl"]


def test_what_is_for_people_is_no_part_of_a_bundle_but_a_script_of_this_name_below_is(tmp_path: Path) -> None:
    folder = scripts(tmp_path / "one")
    before = build_bundle(folder)
    (folder / "notebook.py").write_text("# %%\n")
    (folder / "batch.py").write_text("print()\n")
    assert build_bundle(folder) == before
    (folder / "helpers").mkdir()
    (folder / "helpers" / "notebook.py").write_text("PAGES = 2\n")
    assert names(build_bundle(folder).content) == ["features.py", "helpers/notebook.py", "rules.dqdl"]


def test_the_same_files_give_the_same_bytes_whatever_their_times_and_modes(tmp_path: Path) -> None:
    first, second = scripts(tmp_path / "one"), scripts(tmp_path / "two")
    os.utime(second / "features.py", (1, 1))
    (second / "features.py").chmod(0o600)
    assert build_bundle(first) == build_bundle(second)


def test_another_byte_gives_another_name(tmp_path: Path) -> None:
    first, second = scripts(tmp_path / "one"), scripts(tmp_path / "two")
    (second / "rules.dqdl").write_text("Rules = [ ]\n")
    assert build_bundle(first).sha256 != build_bundle(second).sha256


def test_the_bytes_are_pinned() -> None:
    digest = pack({"a.py": b"print('hello')\n"}).sha256
    assert digest == "3142de80b0fc898afa17a20a3c3939f641c68c259227debf3004c855e17d4b03"


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 200_000])
def test_any_size_can_be_unpacked(size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(pack({"a.json": content[:size]}).content))) as archive:
        member = archive.extractfile("a.json")
        assert member is not None
        assert member.read() == content[:size]


def test_refuses_a_link(tmp_path: Path) -> None:
    folder = scripts(tmp_path / "one")
    (folder / "train.py").symlink_to(tmp_path / "elsewhere.py")
    with pytest.raises(ValueError, match=r"plain files only.*train\.py is a link"):
        build_bundle(folder)


def test_refuses_a_folder_without_scripts(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no file to bundle"):
        build_bundle(tmp_path)


def test_names_the_places_in_the_artefacts_bucket() -> None:
    bundle = pack({"a.py": b""})
    assert bundle.key("flight_delays") == f"flight_delays/bundles/{bundle.sha256}/sourcedir.tar.gz"
    assert pointer_key("flight_delays") == "flight_delays/bundles/current.json"
