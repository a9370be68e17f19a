"""The landing check: every byte of every file is read once, checked, and staged as rows of text.

Engines disagree on what to do with a damaged file; so the job reads the files itself, in a stream, and hands Spark
Parquet files of texts, in which each row knows its file and line.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from constructs_lib.names.batch import BatchFile
from gapless_glue import store
from gapless_glue.batch import Batch
from gapless_glue.contract import Source
from gapless_glue.errors import BadBatch, BadSchema
from gapless_glue.formats import csv_file, json_lines_file, parquet_file
from gapless_glue.formats.rows import READ_SIZE, ROWS_AT_ONCE, Rows
from gapless_glue.formats.seen import Seen

SOURCE_KEY = "_source_key"
ROW = "_row"
FILE = "_file"
PROBLEM = "_problem"
MISTYPED = "_mistyped"
BYTES_PER_PART = 64 * 1024 * 1024

READERS: Mapping[str, Callable[[io.RawIOBase, BatchFile, Source, Seen], Iterator[Rows]]] = {
    "csv": csv_file.read,
    "json_lines": json_lines_file.read,
    "parquet": parquet_file.read,
}


@dataclass(frozen=True)
class StagedFile:
    """A file that was read: its key, its number of rows, and what was seen of its columns."""

    key: str
    rows: int
    seen: Seen


@dataclass(frozen=True)
class Staged:
    """The files of a source, in the batch's canonical order."""

    files: tuple[StagedFile, ...]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)


def stage(batch: Batch, source: Source, folder_uri: str) -> Staged:
    """Checks all files of a source and writes their rows as text under ``folder_uri``.

    The staged columns are the source's own, as text, and ``_source_key``, ``_row`` (line number, from 1), ``_file``
    (position in the batch's canonical order) and ``_problem`` (why the line is not a row of the table, else null);
    and ``_mistyped`` where the format knows it (see ``formats.rows.Record``).

    Raises:
        BadBatch: A file is absent, empty, damaged, not UTF-8, or differs from ``_batch.json``; or there is no row.
        BadSchema: A file has other columns than the source's policy allows.
    """
    parts = _Parts(source, folder_uri)
    files = []
    for position, file in enumerate(batch.of(source.name)):
        seen, rows = Seen(), 0
        for some in read_checked(batch.folder_uri, file, source, seen):
            parts.add(some, file.key, position)
            rows += len(some)
        files.append(StagedFile(file.key, rows, seen))
    parts.close()
    staged = Staged(tuple(files))
    if staged.rows == 0:
        raise BadBatch(f"source {source.name} has {'header lines only, ' * (source.format == 'csv')}no rows")
    return staged


def read_checked(folder_uri: str, file: BatchFile, source: Source, seen: Seen) -> Iterator[Rows]:
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
            yield from READERS[source.format](raw, file, source, seen)
        except (BadBatch, BadSchema):
            raw.drain()
            _check_digest(raw, file)
            raise
        raw.drain()
        _check_digest(raw, file)


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


class _Parts:
    """Writes rows of text as Parquet files of bounded size, holding a bounded number of rows in memory."""

    def __init__(self, source: Source, folder_uri: str) -> None:
        self._folder_uri = folder_uri
        texts = [(name, pa.string()) for name in source.names]
        places = [(SOURCE_KEY, pa.string()), (ROW, pa.int64()), (FILE, pa.int32())]
        self._schema = pa.schema([*texts, *places, (PROBLEM, pa.string()), (MISTYPED, pa.string())])
        self._pending: list[pa.RecordBatch] = []
        self._part = 0
        self._open: tuple[IO[bytes], pq.ParquetWriter] | None = None

    def add(self, rows: Rows, key: str, position: int) -> None:
        place = [pa.repeat(key, len(rows)), rows.numbers, pa.repeat(pa.scalar(position, pa.int32()), len(rows))]
        arrays = [*rows.fields, *place, rows.problems, rows.mistyped]
        self._pending.append(pa.record_batch(arrays, schema=self._schema))
        if sum(map(len, self._pending)) >= ROWS_AT_ONCE:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._upload()

    def _flush(self) -> None:
        if not self._pending:
            return
        file, writer = self._open if self._open is not None else self._begin()
        writer.write_table(pa.Table.from_batches(self._pending, self._schema))
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
