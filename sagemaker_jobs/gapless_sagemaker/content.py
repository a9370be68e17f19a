"""Judges a file by its content, never by its name: only what is known to be harmless to read passes.

Allowed are JSON, UBJSON (XGBoost's own format) and plain UTF-8 text. Pickles of every protocol, archives, Python
bytecode and other binaries are refused; what is recognised is called by its name, so that the message says what to
change.
"""

from __future__ import annotations

import io
import json
import pickletools
import re
import struct
import tarfile
import zipfile
import zlib

ALLOWED = ("JSON", "UBJSON", "UTF-8 text")
PICKLE = "pickle"
"""Kind of a file that runs what its author likes when it is loaded: nothing but the workload itself can allow it."""

_SIGNATURES = (
    (b"\x1f\x8b", "an archive (gzip)"),
    (b"BZh", "an archive (bzip2)"),
    (b"\xfd7zXZ\x00", "an archive (xz)"),
    (b"\x28\xb5\x2f\xfd", "an archive (zstandard)"),
    (b"7z\xbc\xaf\x27\x1c", "an archive (7z)"),
    (b"Rar!\x1a\x07", "an archive (rar)"),
    (b"\x7fELF", "a program (ELF)"),
    (b"\x93NUMPY", "a NumPy file, which may hold a pickle"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, which may hold code"),
)
_CALLS = frozenset({"REDUCE", "BUILD", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX"})
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_FIXED_SIZES = {"i": 1, "U": 1, "C": 1, "I": 2, "l": 4, "d": 4, "L": 8, "D": 8, "T": 0, "F": 0, "Z": 0, "N": 0}
_INTEGERS = {"i": ">b", "U": ">B", "I": ">h", "l": ">i", "L": ">q"}
_DEPTH = 64
_HEAD = 1 << 20


class UnsafeContent(Exception):
    """A file that is not one of the allowed kinds."""


class Pickle(UnsafeContent):
    """A file that is a pickle."""


def kind_of(data: bytes) -> str:
    """Give the kind of a file: one of :data:`ALLOWED`.

    Raises:
        Pickle: It is a pickle.
        UnsafeContent: It is anything else; the message says what it was taken for.
    """
    if is_pickle(data):
        raise Pickle(f"a pickle; allowed are {', '.join(ALLOWED)}, and pickles where workload.yaml gives a reason")
    refusal = _refusal(data)
    if refusal is not None:
        raise UnsafeContent(f"{refusal}; allowed are {', '.join(ALLOWED)}")
    if _is_json(data):
        return "JSON"
    if _is_ubjson(data):
        return "UBJSON"
    if _is_text(data):
        return "UTF-8 text"
    raise UnsafeContent(f"content of no known kind, starting with {data[:8]!r}; allowed are {', '.join(ALLOWED)}")


def _refusal(data: bytes) -> str | None:
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
    if zipfile.is_zipfile(io.BytesIO(data)):
        return "an archive (zip)"
    if _is_tar(data):
        return "an archive (tar)"
    if data[2:4] == b"\r\n" and data[5:8] == b"\x00\x00\x00":
        return "Python bytecode"
    return None


def pickle_in_zip(data: bytes) -> str | None:
    """Give the name of a pickle in a zip file, such as PyTorch's; None where there is none, or no zip file.

    Each member is judged by its first megabyte, of which no more is ever decompressed.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                with archive.open(member) as stream:
                    if is_pickle(stream.read(_HEAD)):
                        return member.filename
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error):
        return None
    return None


def is_pickle(data: bytes) -> bool:
    """Tell whether unpickling these bytes would build a value or call something, even if it failed thereafter.

    Walks the opcodes from the start with a model of the stack, as Python's ``pickletools.dis`` does, and runs
    nothing. A text that merely starts with letters that are opcodes soon finds its stack empty.
    """
    stack: list[object] = []
    try:
        for opcode, _, _ in pickletools.genops(data):
            if not _step(opcode, stack):
                return False
            if opcode.name in _CALLS or opcode.name == "STOP":
                return True
    except (ValueError, EOFError, OverflowError, struct.error):
        return False
    return False


def _step(opcode: pickletools.OpcodeInfo, stack: list[object]) -> bool:
    """Apply an opcode to the stack; False when the stack does not hold what it needs."""
    mark = pickletools.markobject
    needed = list(opcode.stack_before)
    if mark in needed or (opcode.name == "POP" and stack and stack[-1] is mark):
        if mark not in stack:
            return False
        while stack.pop() is not mark:
            pass
        needed = needed[: needed.index(mark)] if mark in needed else []
    if len(stack) < len(needed):
        return False
    del stack[len(stack) - len(needed) :]
    stack.extend(opcode.stack_after)
    return True


def _is_tar(data: bytes) -> bool:
    if len(data) < tarfile.BLOCKSIZE or not data[: tarfile.BLOCKSIZE].strip(b"\x00"):
        return False
    try:
        tarfile.TarInfo.frombuf(data[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True


def _is_text(data: bytes) -> bool:
    try:
        return _CONTROL.search(data.decode("utf-8")) is None
    except UnicodeDecodeError:
        return False


def _is_ubjson(data: bytes) -> bool:
    """Tell whether the bytes are one UBJSON object, first to last (ubjson.org, type reference, draft 12)."""
    if not data.startswith(b"{"):
        return False
    try:
        return _value(data, 1, "{", 0) == len(data)
    except (IndexError, struct.error, ValueError):
        return False


def _value(data: bytes, at: int, marker: str, depth: int) -> int:
    """Give where the value ends whose marker has just been read; ``at`` is the byte after the marker."""
    if depth > _DEPTH:
        raise ValueError("nested too deeply")
    if marker in _FIXED_SIZES:
        return _skip(data, at, _FIXED_SIZES[marker])
    if marker in ("S", "H"):
        return _string(data, at)
    if marker in ("[", "{"):
        return _container(data, at, marker, depth)
    raise ValueError(f"unknown marker {marker!r}")


def _container(data: bytes, at: int, opening: str, depth: int) -> int:
    element = None
    if data[at : at + 1] == b"$":
        element, at = chr(data[at + 1]), at + 2
    if data[at : at + 1] == b"#":
        count, at = _integer(data, at + 1)
        if element in _FIXED_SIZES and opening == "[":
            return _skip(data, at, count * _FIXED_SIZES[element])
        for _ in range(count):
            at = _element(data, at, opening, element, depth)
        return at
    if element is not None:
        raise ValueError("a type without a count")
    closing = {"[": b"]", "{": b"}"}[opening]
    while data[at : at + 1] != closing:
        at = _element(data, at, opening, None, depth)
    return at + 1


def _element(data: bytes, at: int, opening: str, element: str | None, depth: int) -> int:
    if opening == "{":
        at = _string(data, at)
    if element is None:
        element, at = chr(data[at]), at + 1
    return _value(data, at, element, depth + 1)


def _string(data: bytes, at: int) -> int:
    length, at = _integer(data, at)
    return _skip(data, at, length)


def _integer(data: bytes, at: int) -> tuple[int, int]:
    layout = _INTEGERS.get(chr(data[at]))
    if layout is None:
        raise ValueError("a length that is no integer")
    (value,) = struct.unpack_from(layout, data, at + 1)
    if value < 0:
        raise ValueError("a negative length")
    return value, at + 1 + struct.calcsize(layout)


def _skip(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise ValueError("cut off")
    return at + size
