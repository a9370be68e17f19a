"""Lines of text out of a stream of bytes, plain or gzip."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO

from constructs_lib.names.batch import BatchFile
from gapless_glue.errors import BadBatch
from gapless_glue.formats.rows import READ_SIZE


def open_text(raw: io.RawIOBase, file: BatchFile) -> io.TextIOWrapper:
    """Opens a stream as UTF-8 text with its line ends, through gzip when the key ends in ``.gz``."""
    plain: IO[bytes] = io.BufferedReader(raw, READ_SIZE)
    if file.key.endswith(".gz"):
        plain = io.BufferedReader(gzip.GzipFile(fileobj=plain), READ_SIZE)
    return io.TextIOWrapper(plain, encoding="utf-8-sig", newline="")


class Lines:
    """Lines of text that remembers how many it gave and which since ``taken`` was last cleared."""

    def __init__(self, text: Iterable[str]) -> None:
        self._lines = iter(text)
        self.number = 0
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        self.taken.append(line)
        return line


@contextmanager
def explained(file: BatchFile, lines: Lines) -> Iterator[None]:
    """Names file and line when the bytes are no text or no gzip.

    Raises:
        BadBatch: They are not.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise BadBatch(f"{file.key}: is not UTF-8, byte 0x{byte:02x} after line {lines.number}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadBatch(f"{file.key}: is damaged gzip after line {lines.number}: {error}") from error
