"""What algorithms read: CSV, Parquet, records in protobuf, lines of text; the target first, no header.

A table is what a search for algorithms reads: CSV with a header and with values as they are."""

from __future__ import annotations

import csv
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_MAGIC = 0xCED7230A
_LENGTH_DELIMITED = 2


@dataclass(frozen=True)
class Rows:
    """Some rows: their targets, if there are any, and either vectors, texts, or cells with the names of columns."""

    labels: Sequence[float] | None
    vectors: Sequence[Sequence[float]] = field(default=())
    texts: Sequence[str] = field(default=())
    cells: Sequence[Sequence[Any]] = field(default=())
    names: Sequence[str] = field(default=())

    def numbers(self) -> Sequence[Sequence[float]]:
        """Each row as one list, the target first."""
        if self.labels is None:
            return self.vectors
        return [[label, *vector] for label, vector in zip(self.labels, self.vectors, strict=True)]


def write_csv(target: Path, batches: Iterable[Rows]) -> None:
    """Write CSV without a header."""
    with target.open("w", encoding="ascii", newline="") as file:
        for rows in batches:
            file.writelines(",".join(map(repr, row)) + "\n" for row in rows.numbers())


def write_parquet(target: Path, batches: Iterable[Rows]) -> None:
    """Write Parquet, columns of doubles in order, where NaN says that a value is missing."""
    writer: pq.ParquetWriter | None = None
    for rows in batches:
        matrix = np.array(rows.numbers(), dtype=np.float64)
        names = [f"c{at}" for at in range(matrix.shape[1])]
        table = pa.table({name: matrix[:, at] for at, name in enumerate(names)})
        writer = writer or pq.ParquetWriter(target, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def write_records(target: Path, batches: Iterable[Rows]) -> None:
    """Write RecordIO-wrapped protobuf, ``aialgs.data.Record`` with a dense tensor of 32-bit floats and a label."""
    with target.open("wb") as file:
        for rows in batches:
            for at, vector in enumerate(rows.vectors):
                file.write(framed(record(vector, None if rows.labels is None else rows.labels[at])))


def record(vector: Sequence[float], label: float | None) -> bytes:
    """One ``Record``: ``features`` (field 1) and ``label`` (field 2) are maps from a name to a tensor."""
    features = _field(1, _entry(vector))
    return features if label is None else features + _field(2, _entry([label]))


def framed(content: bytes) -> bytes:
    """A record in a RecordIO file: magic number, length, content, zeros up to four bytes."""
    return struct.pack("<II", _MAGIC, len(content)) + content + b"\x00" * (-len(content) % 4)


def _entry(values: Sequence[float]) -> bytes:
    packed = struct.pack(f"<{len(values)}f", *values)
    tensor = _field(1, packed)
    value = _field(2, tensor)
    return _field(1, b"values") + _field(2, value)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def write_text(target: Path, batches: Iterable[Rows]) -> None:
    """Write a line per row: the class as ``__label__<code>``, then the words."""
    with target.open("w", encoding="utf-8", newline="") as file:
        for rows in batches:
            labels = rows.labels or []
            file.writelines(f"__label__{int(label)} {text}\n" for label, text in zip(labels, rows.texts, strict=True))


def write_table(target: Path, batches: Iterable[Rows]) -> None:
    """Write CSV with a header, the target first: whole numbers without a point, nothing for a missing value."""
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for number, rows in enumerate(batches):
            if not number:
                writer.writerow(rows.names)
            labels = rows.labels or []
            writer.writerows([_plain(label), *cells] for label, cells in zip(labels, rows.cells, strict=True))


def _plain(number: float) -> float | int:
    return int(number) if number.is_integer() else number


WRITERS: Mapping[str, Callable[[Path, Iterable[Rows]], None]] = {
    "csv": write_csv,
    "parquet": write_parquet,
    "records": write_records,
    "text": write_text,
    "table": write_table,
}
"""Name of a format to what writes it."""
