"""The script that serves is put into a model's archive, and whatever is not to be in there is refused."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

import pack_code
from gapless_sagemaker.archive import pack
from gapless_sagemaker.artefact import UnsafeArtefact

MODEL = {"model.txt": b"tree\n", "info/model_info.json": b"{}"}
CODE = {"inference.py": b"def model_fn(folder): ...\n", "requirements.txt": b"lightgbm\n", "lib/some.whl": b""}


def wheel() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("some/__init__.py", "")
    return packed.getvalue()


class Bench:
    """The job, with archives of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, model: Mapping[str, bytes], code: Mapping[str, bytes], *words: str) -> dict[str, bytes]:
        pack(self.folder / "model" / "model.tar.gz", model)
        pack(self.folder / "code" / "sourcedir.tar.gz", code)
        folders = [f"--{name}={self.folder / name}" for name in ("model", "code", "output")]
        pack_code.main([*folders, f"--message={self.folder / 'message'}", *words])
        with tarfile.open(self.folder / "output" / "model.tar.gz") as tar:
            return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_script_lies_where_framework_images_look_for_it_and_the_model_is_what_it_was(bench: Bench) -> None:
    code = {**CODE, "lib/some.whl": wheel()}
    assert bench.run(MODEL, code) == {**MODEL, **{f"code/{name}": data for name, data in code.items()}}


def test_equal_archives_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        Bench(tmp_path / name).run(MODEL, CODE)
    first, second = ((tmp_path / name / "output" / "model.tar.gz").read_bytes() for name in ("one", "two"))
    assert first == second


def test_a_pickle_passes_only_where_the_workload_allows_it(bench: Bench) -> None:
    model = {"model.pkl": pickle.dumps({"a": 1})}
    with pytest.raises(UnsafeArtefact, match=r"model.pkl: a pickle; allowed are"):
        bench.run(model, CODE)
    assert "model.pkl" in bench.run(model, CODE, "--allow_pickle")


def test_a_pickle_among_the_scripts_never_passes(bench: Bench) -> None:
    with pytest.raises(UnsafeArtefact, match=r"sourcedir.tar.gz: weights.pkl: a pickle"):
        bench.run(MODEL, {**CODE, "weights.pkl": pickle.dumps({"a": 1})}, "--allow_pickle")


def test_a_model_that_brings_code_of_its_own_is_refused(bench: Bench) -> None:
    with pytest.raises(UnsafeArtefact, match=r"the model brings code/inference.py; allowed is code/ from"):
        bench.run({**MODEL, "code/inference.py": b""}, CODE)


def test_an_archive_without_the_program_is_refused(bench: Bench) -> None:
    with pytest.raises(UnsafeArtefact, match=r"has no inference.py; in it are requirements.txt"):
        bench.run(MODEL, {"requirements.txt": b""})
