"""The landing check: every byte of every file is read once, checked, and staged as rows of text.

Spark's CSV readers disagree on what to do with a damaged file; so the job reads the files itself, in a stream, and
hands Spark Parquet files of texts, in which each row knows its file and line.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import hashlib
import io
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from constructs_lib.names.batch import BatchFile
from gapless_glue import store
from gapless_glue.batch import Batch
from gapless_glue.contract import Source
from gapless_glue.errors import BadBatch, BadSchema

SOURCE_KEY = "_source_key"
ROW = "_row"
FILE = "_file"
PROBLEM = "_problem"
ROWS_AT_ONCE = 20_000
BYTES_PER_PART = 64 * 1024 * 1024
LONGEST_FIELD = 1024 * 1024
READ_SIZE = 1024 * 1024


@dataclass(frozen=True)
class Record:
    """One row as it was read; ``problem`` says why its fields cannot be trusted."""

    row: int
    fields: list[str]
    problem: str | None = None


def stage(batch: Batch, source: Source, folder_uri: str) -> int:
    """Checks all files of a source and writes their rows as text under ``folder_uri``; returns the number of rows.

    The staged columns are the source's own, as text, and ``_source_key``, ``_row`` (line number, from 1), ``_file``
    (position in the batch's canonical order) and ``_problem`` (why the line is not a row of the table, else null).

    Raises:
        BadBatch: A file is absent, empty, damaged, not UTF-8, or differs from ``_batch.json``; or there is no row.
        BadSchema: A header line does not name the columns of the contract.
    """
    parts = _Parts(source, folder_uri)
    for position, file in enumerate(batch.of(source.name)):
        for record in read_checked(batch.folder_uri, file, source):
            parts.add(record, file.key, position)
    parts.close()
    if parts.rows == 0:
        raise BadBatch(f"source {source.name} has header lines only, no rows")
    return parts.rows


def read_checked(folder_uri: str, file: BatchFile, source: Source) -> Iterator[Record]:
    """Yields the rows of one file, with fields in the contract's order, while checking everything about the file.

    A wrong size or checksum explains any other finding, so it is reported first.
    """
    uri = folder_uri + file.key
    try:
        stream = store.store_of(uri).open(uri)
    except FileNotFoundError as error:
        raise BadBatch(f"{file.key}: named by _batch.json and absent") from error
    with stream:
        raw = _Hashing(stream)
        try:
            yield from read_records(raw, file, source)
        except (BadBatch, BadSchema):
            raw.drain()
            _check_digest(raw, file)
            raise
        raw.drain()
        _check_digest(raw, file)


def read_records(raw: io.RawIOBase, file: BatchFile, source: Source) -> Iterator[Record]:
    """Yields the rows of a stream of bytes; see ``read_checked``."""
    lines = _Lines(_text(raw, file))
    try:
        header = next(csv.reader(lines), None)
        if header is None:
            raise BadBatch(f"{file.key}: is empty")
        positions = _positions(header, source, file.key)
        yield from _records(lines, positions)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise BadBatch(f"{file.key}: is not UTF-8, byte 0x{byte:02x} after line {lines.number}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadBatch(f"{file.key}: is damaged gzip after line {lines.number}: {error}") from error
    except csv.Error as error:
        raise BadSchema(f"{file.key}: the header line is not CSV: {error}") from error


def _text(raw: io.RawIOBase, file: BatchFile) -> io.TextIOWrapper:
    plain: IO[bytes] = io.BufferedReader(raw, READ_SIZE)
    if file.key.endswith(".gz"):
        plain = io.BufferedReader(gzip.GzipFile(fileobj=plain), READ_SIZE)
    return io.TextIOWrapper(plain, encoding="utf-8-sig", newline="")


def _records(lines: _Lines, positions: Sequence[int]) -> Iterator[Record]:
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(lines, strict=True)
    width = len(positions)
    in_order = list(positions) == list(range(width))
    while True:
        lines.taken.clear()
        first = lines.number + 1
        try:
            fields = next(reader, None)
        except csv.Error:
            for offset, line in enumerate(lines.taken):
                yield _misfit(first + offset, line.rstrip("\r\n").split(","), positions, "line is not well-formed CSV")
            continue
        if fields is None:
            return
        if len(fields) == width:
            yield Record(first, fields if in_order else [fields[position] for position in positions])
        elif fields:
            problem = f"line has {len(fields)} fields instead of {width}"
            yield _misfit(first, fields, positions, problem)


def _misfit(row: int, fields: list[str], positions: Sequence[int], problem: str) -> Record:
    """Keeps all text of a line that does not fit: too few fields are filled up, surplus ones go into the last."""
    width = len(positions)
    fitted = [*fields[: width - 1], ",".join(fields[width - 1 :])] if len(fields) > width else fields
    padded = [*fitted, *[""] * (width - len(fitted))]
    return Record(row, [padded[position] for position in positions], problem)


def _positions(header: list[str], source: Source, key: str) -> list[int]:
    """Returns where each column of the contract stands in the file."""
    expected = source.names
    missing = [name for name in expected if name not in header]
    extra = [name for name in header if name not in expected]
    twice = sorted({name for name in header if header.count(name) > 1})
    findings = [_missing_column(name, extra) for name in missing]
    renamed = {near for name in missing for near in difflib.get_close_matches(name, extra, n=1)}
    findings += [f"unexpected column {name!r}" for name in extra if name not in renamed]
    findings += [f"column {name!r} is given twice" for name in twice]
    if findings:
        raise BadSchema(f"{key}: {'; '.join(findings)} (source {source.name} has: {', '.join(expected)})")
    return [header.index(name) for name in expected]


def _missing_column(name: str, extra: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(extra), n=1)
    return f"missing column {name!r}" + (f", renamed to {near[0]!r}?" if near else "")


def _check_digest(raw: _Hashing, file: BatchFile) -> None:
    if raw.size != file.bytes:
        raise BadBatch(f"{file.key}: has {raw.size} bytes, _batch.json says {file.bytes}")
    if raw.digest != file.sha256:
        raise BadBatch(f"{file.key}: has SHA-256 {raw.digest}, _batch.json says {file.sha256}")


class _Hashing(io.RawIOBase):
    """A stream that knows size and SHA-256 of what was read through it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._stream.read(len(buffer))
        self._hash.update(chunk)
        self.size += len(chunk)
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def drain(self) -> None:
        """Reads to the end."""
        while self.read(READ_SIZE):
            pass

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


class _Lines:
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


class _Parts:
    """Writes rows of text as Parquet files of bounded size, holding a bounded number of rows in memory."""

    def __init__(self, source: Source, folder_uri: str) -> None:
        self._folder_uri = folder_uri
        texts = [(name, pa.string()) for name in source.names]
        self._schema = pa.schema(
            [*texts, (SOURCE_KEY, pa.string()), (ROW, pa.int64()), (FILE, pa.int32()), (PROBLEM, pa.string())]
        )
        self._pending: list[tuple[str | int | None, ...]] = []
        self._part = 0
        self._open: tuple[IO[bytes], pq.ParquetWriter] | None = None
        self.rows = 0

    def add(self, record: Record, key: str, position: int) -> None:
        self._pending.append((*record.fields, key, record.row, position, record.problem))
        self.rows += 1
        if len(self._pending) >= ROWS_AT_ONCE:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._upload()

    def _flush(self) -> None:
        if not self._pending:
            return
        columns = zip(*self._pending, strict=True)
        arrays = [pa.array(values, kind) for values, kind in zip(columns, self._schema.types, strict=True)]
        file, writer = self._open if self._open is not None else self._begin()
        writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._pending.clear()
        if file.tell() >= BYTES_PER_PART:
            self._upload()

    def _begin(self) -> tuple[IO[bytes], pq.ParquetWriter]:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _upload
        self._open = file, pq.ParquetWriter(file, self._schema, compression="zstd")
        return self._open

    def _upload(self) -> None:
        if self._open is None:
            return
        file, writer = self._open
        writer.close()
        file.seek(0)
        uri = f"{self._folder_uri}part-{self._part:05d}.parquet"
        with file:
            store.store_of(uri).upload(uri, file)
        self._part += 1
        self._open = None
