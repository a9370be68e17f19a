"""Rows that are to be scored: read from the files that somebody delivered, typed as the workload's contract says.

A file is CSV with a header, JSON lines, either of them gzip when its name ends in ``.gz``, or Parquet. Every row needs
the columns of its key and every feature; an empty text in CSV, ``null`` and NaN are missing values.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pyarrow.parquet as pq

SUFFIXES = (".csv", ".json", ".jsonl", ".parquet")
_PARQUET_ROWS = 10_000


class BadRows(Exception):
    """A file cannot be read, or a row lacks a column or has a value of another type; the text says where."""


@dataclass(frozen=True)
class Columns:
    """The columns of a row by what they are for: name to type, or just names.

    Attributes:
        key: What names the row.
        features: What the model sees.
        keep: What is handed on, as texts.
    """

    key: Mapping[str, str]
    features: Mapping[str, str]
    keep: Sequence[str]


@dataclass(frozen=True)
class Row:
    """One row, typed."""

    key: dict[str, Any]
    features: dict[str, Any]
    keep: dict[str, str | None]


def read_rows(path: Path, name: str, columns: Columns, missing: Sequence[str] = ("",)) -> Iterator[Row]:
    """Read the rows of a file.

    Args:
        path: Where it is.
        name: What to call it.
        columns: What a row has.
        missing: The texts that stand for a missing value in CSV.

    Raises:
        BadRows: It is no such file, or a row is not one.
    """
    for number, cells in enumerate(_cells(path, name, frozenset(missing)), start=1):
        yield Row(
            {column: _value(cells, column, kind, name, number) for column, kind in columns.key.items()},
            {column: _value(cells, column, kind, name, number) for column, kind in columns.features.items()},
            {column: _text(_found(cells, column, name, number)) for column in columns.keep},
        )


def suffix_of(name: str) -> str:
    """Give the suffix that says how a file is read.

    Raises:
        BadRows: It is none of those that there are.
    """
    suffix = Path(name.removesuffix(".gz")).suffix
    if suffix not in SUFFIXES or (suffix == ".parquet" and name.endswith(".gz")):
        raise BadRows(
            f"{name}: how it is read is told by its suffix (allowed: {', '.join(SUFFIXES)}, .gz behind texts)"
        )
    return suffix


def _cells(path: Path, name: str, missing: frozenset[str]) -> Iterator[Mapping[str, Any]]:
    suffix = suffix_of(name)
    try:
        if suffix == ".parquet":
            # What is buffered ahead stays in memory until the file ends.
            for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(batch_size=_PARQUET_ROWS):
                yield from batch.to_pylist()
            return
        with _opened(path, name) as lines:
            yield from _csv(lines, name, missing) if suffix == ".csv" else _json_lines(lines, name)
    except (OSError, EOFError, UnicodeDecodeError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise BadRows(f"{name}: cannot be read: {error}") from error


def _opened(path: Path, name: str) -> TextIO:
    if name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _csv(lines: TextIO, name: str, missing: frozenset[str]) -> Iterator[Mapping[str, Any]]:
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, None)
        if not header:
            raise BadRows(f"{name}: has no header")
        for number, cells in enumerate(reader, start=1):
            if len(cells) != len(header):
                raise BadRows(f"{name}: row {number} has {len(cells)} values, the header names {len(header)} columns")
            yield {column: None if cell in missing else _Text(cell) for column, cell in zip(header, cells, strict=True)}
    except csv.Error as error:
        raise BadRows(f"{name}: line {reader.line_num}: {error}") from error


def _json_lines(lines: TextIO, name: str) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BadRows(f"{name}: line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise BadRows(f"{name}: line {number} must be an object of columns, was {type(row).__name__}")
        yield row


class _Text(str):
    """A value of CSV, which says nothing of its type."""

    __slots__ = ()


def _found(cells: Mapping[str, Any], column: str, name: str, number: int) -> Any:
    if column not in cells:
        raise BadRows(f"{name}: row {number} has no column {column} (given: {', '.join(map(str, cells))})")
    return cells[column]


def _value(cells: Mapping[str, Any], column: str, kind: str, name: str, number: int) -> Any:
    found = _found(cells, column, name, number)
    if found is None or (isinstance(found, float) and math.isnan(found)):
        return None
    try:
        return _READERS[kind](found)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRows(f"{name}: row {number}: {column} must be a {kind}, was {str(found)[:80]!r}") from error


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, _Text) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return bool(_refused(value))


def _integer(value: Any) -> int:
    if isinstance(value, _Text):
        return int(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    return int(value) if whole or (isinstance(value, float) and value.is_integer()) else _refused(value)


def _double(value: Any) -> float:
    plain = isinstance(value, _Text) or (isinstance(value, int | float) and not isinstance(value, bool))
    number = float(value) if plain else _refused(value)
    return number if math.isfinite(number) else _refused(value)


def _string(value: Any) -> str:
    return str(value) if isinstance(value, str) else _refused(value)


def _moment(value: Any) -> str:
    moment = value if isinstance(value, dt.date) else dt.datetime.fromisoformat(_string(value))
    return moment.isoformat() if isinstance(value, dt.date) else str(value)


def _refused(value: Any) -> Any:
    raise ValueError(value)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "boolean": _boolean,
    "int": _integer,
    "bigint": _integer,
    "double": _double,
    "string": _string,
    "date": _moment,
    "timestamp": _moment,
}


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    return value.isoformat() if isinstance(value, dt.date) else json.dumps(value, ensure_ascii=False, default=str)
