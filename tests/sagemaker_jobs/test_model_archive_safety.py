"""What a model archive may hold, and how everything else is refused before it is loaded."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import marshal
import pickle
import py_compile
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gapless_sagemaker.artefact import REQUIRED, Artefact, Limits, UnsafeArtefact, confined, open_artefact, open_foreign
from gapless_sagemaker.content import ALLOWED, UnsafeContent, is_pickle, kind_of

_HARMLESS = {
    "model.ubj": b"{L\x00\x00\x00\x00\x00\x00\x00\x01aU\x01}",
    "features.json": b'{"target": "late", "threshold": 0.5, "features": [{"name": "a", "type": "number"}]}',
    "code/inference.py": b"import json\n",
}

Members = list[tuple[tarfile.TarInfo, bytes]]


class Evil:
    """Unpickling this would call a function; no test lets it."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return pytest.fail, ("a pickle was loaded",)


def member(name: str, data: bytes = b"", **attributes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info, data


def harmless() -> Members:
    return [member(name, data) for name, data in _HARMLESS.items()]


def pack(path: Path, members: Members) -> Path:
    """Write the members as they are, however hostile."""
    with tarfile.open(path, "w:gz") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return path


def zipped(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


def tarred(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(member(name, data)[0], io.BytesIO(data))
    return buffer.getvalue()


def compiled(folder: Path) -> bytes:
    source = folder / "some.py"
    source.write_text("x = 1\n")
    return Path(py_compile.compile(str(source), str(folder / "some.pyc"), doraise=True) or "").read_bytes()


def numpy_file() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Evil()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


# --- content ---------------------------------------------------------------------------------------------------

POISON = {
    **{f"pickle of protocol {protocol}": (pickle.dumps(Evil(), protocol), "a pickle") for protocol in range(6)},
    **{f"data pickle {protocol}": (pickle.dumps({"a": [1, 2.5]}, protocol), "a pickle") for protocol in range(6)},
    "pickle without its end": (pickle.dumps(Evil(), 4)[:-1], "a pickle"),
    "pickle with rubbish after it": (pickle.dumps(Evil(), 0) + b"\n{}", "a pickle"),
    "textual pickle by hand": (b"cos\nsystem\n(S'true'\ntR.", "a pickle"),
    "textual pickle that instantiates": (b"(S'true'\nios\nsystem\n.", "a pickle"),
    "zip with a pickle": (zipped("data.pkl", pickle.dumps(Evil())), "zip"),
    "zip behind a JSON text": (b'{"a": 1}' + zipped("data.pkl", pickle.dumps(Evil())), "zip"),
    "gzip": (gzip.compress(pickle.dumps(Evil())), "gzip"),
    "bzip2": (bz2.compress(b"x"), "bzip2"),
    "xz": (lzma.compress(b"x"), "xz"),
    "tar": (tarred("a.pkl", pickle.dumps(Evil())), "tar"),
    "object array": (numpy_file(), "NumPy"),
    "raw code object": (marshal.dumps(compile("x = 1", "x", "exec")), "no known kind"),
    "program": (b"\x7fELF\x02\x01\x01" + b"\0" * 60, "ELF"),
    "text with a NUL": (b"abc\0def", "no known kind"),
    "UBJSON that is cut off": (_HARMLESS["model.ubj"][:-1], "no known kind"),
    "UBJSON with something behind it": (_HARMLESS["model.ubj"] + b"\x80\x04", "no known kind"),
    "UBJSON nested without end": (b"{" + b"U\x01a{" * 5000, "no known kind"),
    "UBJSON with a negative length": (b"{L" + b"\xff" * 8 + b"aU\x01}", "no known kind"),
}


@pytest.mark.parametrize("name", POISON)
def test_refuses_content_that_is_not_known_to_be_harmless(name: str) -> None:
    data, taken_for = POISON[name]
    with pytest.raises(UnsafeContent, match=taken_for) as refusal:
        kind_of(data)
    assert "allowed are JSON, UBJSON, UTF-8 text" in str(refusal.value)


def test_refuses_python_bytecode(tmp_path: Path) -> None:
    with pytest.raises(UnsafeContent, match="Python bytecode"):
        kind_of(compiled(tmp_path))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (_HARMLESS["model.ubj"], "UBJSON"),
        (b"{U\x01a[$d#U\x02\0\0\0\0\0\0\0\0U\x01b[TFZ]U\x01cSU\x02hiU\x01d{#U\x01U\x01el\0\0\0\1}", "UBJSON"),
        (b'{"a": [1, 2.5, null]}', "JSON"),
        (b"[]", "JSON"),
        (b"", "UTF-8 text"),
        (b"import os\nimport sys\n", "UTF-8 text"),
        (b"class Model:\n    pass\n", "UTF-8 text"),
        (b"certifi\nnumpy\nRich\n", "UTF-8 text"),
        (b"Notes.\n", "UTF-8 text"),
        ("Grüße, 東京\r\n\tein Tab\n".encode(), "UTF-8 text"),
    ],
)
def test_tells_the_allowed_kinds_apart(data: bytes, kind: str) -> None:
    assert kind_of(data) == kind


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3) | st.tuples(inner),
    max_leaves=8,
)


@given(value=_VALUES, protocol=st.integers(0, 5))
def test_recognises_every_pickle(value: object, protocol: int) -> None:
    assert is_pickle(pickle.dumps(value, protocol))


@settings(max_examples=300)
@given(data=st.binary(max_size=200))
@example(b"\x80\x04\x95" + b"\xff" * 8)
@example(b"{[$")
@example(b"{#")
def test_judges_any_bytes_without_an_error_of_its_own(data: bytes) -> None:
    with contextlib.suppress(UnsafeContent):
        assert kind_of(data) in ALLOWED


@settings(max_examples=300)
@given(value=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.lists(st.floats(0, 1))))
def test_takes_any_json_document(value: dict[str, object]) -> None:
    assert kind_of(json.dumps(value).encode()) == "JSON"


# --- archives --------------------------------------------------------------------------------------------------


def test_opens_a_harmless_archive(tmp_path: Path) -> None:
    artefact = open_artefact(pack(tmp_path / "model.tar.gz", harmless()), tmp_path / "out")
    assert [(file.path, file.kind) for file in artefact.files] == [
        ("code/inference.py", "UTF-8 text"),
        ("features.json", "JSON"),
        ("model.ubj", "UBJSON"),
    ]
    assert (tmp_path / "out/code/inference.py").read_bytes() == _HARMLESS["code/inference.py"]
    assert artefact.bytes == sum(map(len, _HARMLESS.values()))


def test_digest_ignores_order_times_owners_and_a_leading_dot(tmp_path: Path) -> None:
    other = [member("./code", type=tarfile.DIRTYPE), member(".", type=tarfile.DIRTYPE)]
    other += [member(f"./{name}", data, mtime=7, uid=3, mode=0o777) for name, data in reversed(_HARMLESS.items())]
    first = open_artefact(pack(tmp_path / "a.tar.gz", harmless()), tmp_path / "a")
    second = open_artefact(pack(tmp_path / "b.tar.gz", other), tmp_path / "b")
    assert first.sha256 == second.sha256


@pytest.mark.parametrize("name", _HARMLESS)
def test_digest_changes_with_every_file(tmp_path: Path, name: str) -> None:
    changed = [member(n, b'{"other": 1}' if n == name else data) for n, data in _HARMLESS.items()]
    first = open_artefact(pack(tmp_path / "a.tar.gz", harmless()), tmp_path / "a")
    assert first.sha256 != open_artefact(pack(tmp_path / "b.tar.gz", changed), tmp_path / "b").sha256


HOSTILE = {
    "parent folder": (member("../evil", b"x"), "not a path inside the archive"),
    "parent folder further in": (member("code/../../evil", b"x"), "not a path inside the archive"),
    "parent folder as a folder": (member("../evil", type=tarfile.DIRTYPE), "not a path inside the archive"),
    "absolute": (member("/tmp/evil", b"x"), "not a path inside the archive"),
    "backslashes": (member("..\\evil", b"x"), "not a path inside the archive"),
    "line break": (member("a\nb", b"x"), "not a path inside the archive"),
    "undecodable": (member("a\udcff", b"x"), "not a path inside the archive"),
    "endless name": (member("a" * 3000, b"x"), "cannot be written"),
    "symbolic link": (
        member("code/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        "a symbolic link to",
    ),
    "symbolic link as a folder": (member("code", type=tarfile.SYMTYPE, linkname=".."), "a symbolic link"),
    "hard link": (member("hard", type=tarfile.LNKTYPE, linkname="model.ubj"), "a hard link to 'model.ubj'"),
    "device": (member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3), "a device or pipe"),
    "pipe": (member("pipe", type=tarfile.FIFOTYPE), "a device or pipe"),
    "the same file again": (member("./model.ubj", b"{}"), "there twice"),
    "a file as a folder": (member("model.ubj/x", b"{}"), "cannot be written"),
    "pickle with an innocent name": (member("code/notes.txt", pickle.dumps(Evil(), 0)), "code/notes.txt: a pickle"),
    "pickle without a suffix": (member("xgboost-model", pickle.dumps(Evil())), "xgboost-model: a pickle"),
    "nested archive": (member("more.json", gzip.compress(b"{}")), "more.json: an archive"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_refuses_a_hostile_member_and_writes_nothing_outside(tmp_path: Path, name: str) -> None:
    hostile, reason = HOSTILE[name]
    archive = pack(tmp_path / "model.tar.gz", [*harmless(), hostile])
    with pytest.raises(UnsafeArtefact, match=r"^model\.tar\.gz: ") as refusal:
        open_artefact(archive, tmp_path / "out")
    assert reason in str(refusal.value)
    assert {path.name for path in tmp_path.iterdir()} == {"model.tar.gz", "out"}


@pytest.mark.parametrize("missing", REQUIRED)
def test_refuses_an_archive_without_a_file_that_is_needed(tmp_path: Path, missing: str) -> None:
    archive = pack(tmp_path / "model.tar.gz", [m for m in harmless() if m[0].name != missing])
    with pytest.raises(UnsafeArtefact, match=f"{missing} missing; needed are features"):
        open_artefact(archive, tmp_path / "out")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a tar file"),
        (b"no archive", "not a whole gzip file"),
        (gzip.compress(b"no tar file" * 100), "not a tar file"),
        (tarred("model.ubj", b"{}"), "not a whole gzip file"),
        (gzip.compress(tarred("model.ubj", b"{}"))[:-5], "not a whole gzip file"),
        (gzip.compress(tarred("model.ubj", b"x" * 4096)[:1024]), "not a tar file"),
        (gzip.compress(tarred("model.ubj", b"{}")) + b"more", "not a whole gzip file"),
    ],
    ids=["empty", "no gzip", "no tar", "tar without gzip", "gzip cut off", "tar cut off", "something behind it"],
)
def test_refuses_what_is_no_archive(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "model.tar.gz").write_bytes(data)
    with pytest.raises(UnsafeArtefact, match=reason):
        open_artefact(tmp_path / "model.tar.gz", tmp_path / "out")


def test_refuses_an_archive_without_files(tmp_path: Path) -> None:
    archive = pack(tmp_path / "model.tar.gz", [member("code", type=tarfile.DIRTYPE)])
    with pytest.raises(UnsafeArtefact, match="no file in it"):
        open_artefact(archive, tmp_path / "out")


def test_refuses_an_archive_that_unpacks_to_too_many_bytes(tmp_path: Path) -> None:
    archive = pack(tmp_path / "model.tar.gz", [*harmless(), member("big.txt", b"x" * 100_000)])
    with pytest.raises(UnsafeArtefact, match="unpacks to more than 50000 bytes"):
        open_artefact(archive, tmp_path / "out", Limits(unpacked_bytes=50_000, ratio=10_000))
    assert not (tmp_path / "out").exists()


def test_refuses_an_archive_that_is_compressed_suspiciously_well(tmp_path: Path) -> None:
    archive = pack(tmp_path / "model.tar.gz", [*harmless(), member("big.txt", b"x" * 20_000_000)])
    with pytest.raises(UnsafeArtefact, match="200 times the packed size"):
        open_artefact(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_refuses_an_archive_with_too_many_members(tmp_path: Path) -> None:
    archive = pack(tmp_path / "model.tar.gz", [member(f"{i}.txt", b"x") for i in range(11)])
    with pytest.raises(UnsafeArtefact, match="more than 10 members"):
        open_artefact(archive, tmp_path / "out", Limits(members=10))


@given(name=st.text(min_size=1, max_size=30) | st.from_regex(r"[./a]{1,12}", fullmatch=True))
def test_a_confined_name_never_leaves_the_root(name: str) -> None:
    try:
        path = confined(name)
    except UnsafeArtefact:
        return
    root = Path("/root-of-the-archive")
    resolved = (root / path).resolve()
    assert resolved.is_relative_to(root)
    assert resolved != root


# --- pickles -------------------------------------------------------------------------------------------------------


PICKLED = member("model.bin", pickle.dumps(Evil()))
TORCH = member("model.pt", zipped("archive/data.pkl", pickle.dumps(Evil())))
"""What PyTorch writes: a zip file with a pickle in it."""


@pytest.mark.parametrize("opened", [open_artefact, open_foreign])
def test_a_pickle_is_refused_whoever_loads_it(tmp_path: Path, opened: Callable[[Path, Path], Artefact]) -> None:
    archive = pack(tmp_path / "model.tar.gz", [*harmless(), PICKLED])
    with pytest.raises(UnsafeArtefact, match=r"model.bin: a pickle; allowed are .* where workload.yaml gives a reason"):
        opened(archive, tmp_path / "out")


def test_a_pickle_inside_a_zip_file_is_refused(tmp_path: Path) -> None:
    archive = pack(tmp_path / "model.tar.gz", [*harmless(), TORCH])
    with pytest.raises(UnsafeArtefact, match=r"model.pt: archive/data.pkl in it is a pickle"):
        open_foreign(archive, tmp_path / "out")


@pytest.mark.parametrize("opened", [open_artefact, open_foreign])
def test_a_pickle_is_let_through_and_called_one_where_the_workload_says_so(
    tmp_path: Path, opened: Callable[[Path, Path, Limits], Artefact]
) -> None:
    archive = pack(tmp_path / "model.tar.gz", [*harmless(), PICKLED])
    files = {file.path: file.kind for file in opened(archive, tmp_path / "out", Limits(pickles=True)).files}
    assert files["model.bin"] == "pickle"


def test_what_is_no_pickle_is_judged_as_before_where_pickles_are_let_through(tmp_path: Path) -> None:
    archive = pack(tmp_path / "model.tar.gz", [*harmless(), member("tool", b"\x7fELF\x02\x01\x01" + b"\0" * 60)])
    with pytest.raises(UnsafeArtefact, match=r"tool: a program"):
        open_artefact(archive, tmp_path / "out", Limits(pickles=True))


@pytest.mark.parametrize("content", [b"PK\x03\x04 cut off", zipped("weights.txt", b"1 2 3")])
def test_a_zip_file_without_a_pickle_is_left_to_its_own_container(tmp_path: Path, content: bytes) -> None:
    archive = pack(tmp_path / "model.tar.gz", [*harmless(), member("model.zip", content)])
    files = {file.path: file.kind for file in open_foreign(archive, tmp_path / "out").files}
    assert files["model.zip"] == "other"
