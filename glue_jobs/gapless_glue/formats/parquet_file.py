"""Parquet: columns have physical types, and one of another type than the contract's does not fit, whatever its values.

A time that is stored as an instant (adjusted to UTC, or INT96) is one; any other is local to the source's time zone.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from constructs_lib.names.batch import BatchFile
from gapless_glue.contract import Source
from gapless_glue.errors import BadBatch
from gapless_glue.formats.rows import READ_SIZE, ROWS_AT_ONCE, Rows, marked
from gapless_glue.formats.seen import Seen

_IS: dict[str, Callable[[pa.DataType], bool]] = {
    "string": lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    "int": pa.types.is_int32,
    "bigint": pa.types.is_int64,
    "double": pa.types.is_float64,
    "boolean": pa.types.is_boolean,
    "date": pa.types.is_date,
    "timestamp": pa.types.is_timestamp,
}


def read(raw: io.RawIOBase, file: BatchFile, source: Source, seen: Seen) -> Iterator[Rows]:
    """Yields the rows of a stream of bytes, which is kept in a file meanwhile: Parquet is read from its end.

    Raises:
        BadBatch: It is empty or no Parquet, or a text in it is not UTF-8.
        BadSchema: It has other columns than the source's policy allows.
    """
    with tempfile.TemporaryFile() as spool:
        shutil.copyfileobj(raw, spool, READ_SIZE)
        if spool.tell() == 0:
            raise BadBatch(f"{file.key}: is empty")
        try:
            # What is buffered ahead stays in memory until the file ends.
            yield from _read(pq.ParquetFile(spool, pre_buffer=False), file, source, seen)
        except (pa.ArrowException, OSError) as error:
            line = next(iter(str(error).splitlines()), "")
            raise BadBatch(f"{file.key}: is not readable as Parquet: {line}") from error


def _read(opened: pq.ParquetFile, file: BatchFile, source: Source, seen: Seen) -> Iterator[Rows]:
    schema = opened.schema_arrow
    seen.look_at(schema.names, source, file.key)
    kinds = {name: _values(schema.field(name).type) for name in source.names if name in schema.names}
    for name, kind in kinds.items():
        if not (_IS[source.type_of(name)](kind) or pa.types.is_null(kind)):
            seen.note_kind(name, _name(kind))
    int96 = {column.path for column in map(opened.schema.column, range(len(opened.schema.names))) if _is_int96(column)}
    row = 1
    for batch in opened.iter_batches(ROWS_AT_ONCE, columns=list(kinds)):
        batch.validate(full=True)
        yield _rows(batch, source, marked(seen.kinds), int96, row)
        row += len(batch)


def _rows(batch: pa.RecordBatch, source: Source, mistyped: str | None, int96: set[str], row: int) -> Rows:
    absent = pa.nulls(len(batch), pa.string())
    fields = [
        _texts(batch.column(name), int96=name in int96) if name in batch.schema.names else absent
        for name in source.names
    ]
    numbers = pa.array(range(row, row + len(batch)), pa.int64())
    marks = pa.repeat(mistyped, len(batch)) if mistyped else absent
    return Rows(fields, numbers, absent, marks)


def _is_int96(column: Any) -> bool:
    return bool(column.physical_type == "INT96")


def _values(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _name(kind: pa.DataType) -> str:
    """The contract's name of a type, where it has one."""
    return next((name for name, is_one in _IS.items() if is_one(kind)), str(kind))


def _texts(column: pa.Array, *, int96: bool) -> pa.Array:
    """Writes values as texts that read as the same values."""
    if pa.types.is_timestamp(column.type):
        zone = "UTC" if int96 or column.type.tz is not None else None
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.timestamp("us", zone))
    try:
        return pc.cast(column, pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return pa.array(map(_shown, column.to_pylist()), pa.string())


def _shown(value: Any) -> str | None:
    """A value of a type that has no text of its own, for people to look at."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return json.dumps(value, ensure_ascii=False, default=str)
