"""CSV: UTF-8, a header line, commas, ``"`` around values that need it; gzip when the key ends in ``.gz``.

Spark's CSV readers disagree on what to do with a damaged file; this one marks a damaged line and goes on.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from constructs_lib.names.batch import BatchFile
from gapless_glue.contract import Source
from gapless_glue.errors import BadBatch, BadSchema
from gapless_glue.formats.rows import Record, Rows, rows_of
from gapless_glue.formats.seen import Seen
from gapless_glue.formats.text import Lines, explained, open_text

LONGEST_FIELD = 1024 * 1024
Places = Sequence[int | None]
"""Where each column of the contract stands in the file; None where it does not."""


def read(raw: io.RawIOBase, file: BatchFile, source: Source, seen: Seen) -> Iterator[Rows]:
    """Yields the rows of a stream of bytes.

    Raises:
        BadBatch: It is empty, damaged or not UTF-8.
        BadSchema: Its header line is not CSV, or names other columns than the source's policy allows.
    """
    return rows_of(read_records(raw, file, source, seen))


def read_records(raw: io.RawIOBase, file: BatchFile, source: Source, seen: Seen) -> Iterator[Record]:
    """Yields the rows one by one; see ``read``."""
    lines = Lines(open_text(raw, file))
    with explained(file, lines):
        header = _header(lines, file)
        seen.look_at(header, source, file.key)
        places = [header.index(name) if name in header else None for name in source.names]
        yield from _records(lines, places, len(header))


def _header(lines: Lines, file: BatchFile) -> list[str]:
    try:
        header = next(csv.reader(lines), None)
    except csv.Error as error:
        raise BadSchema(f"{file.key}: the header line is not CSV: {error}") from error
    if header is None:
        raise BadBatch(f"{file.key}: is empty")
    return header


def _records(lines: Lines, places: Places, width: int) -> Iterator[Record]:
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(lines, strict=True)
    in_order = list(places) == list(range(width))
    while True:
        lines.taken.clear()
        first = lines.number + 1
        try:
            fields = next(reader, None)
        except csv.Error:
            for offset, line in enumerate(lines.taken):
                parts = line.rstrip("\r\n").split(",")
                yield _misfit(first + offset, parts, places, width, "line is not well-formed CSV")
            continue
        if fields is None:
            return
        if len(fields) == width:
            yield Record(first, fields if in_order else _placed(fields, places))
        elif fields:
            yield _misfit(first, fields, places, width, f"line has {len(fields)} fields instead of {width}")


def _misfit(row: int, fields: list[str], places: Places, width: int, problem: str) -> Record:
    """Keeps all text of a line that does not fit: too few fields are filled up, surplus ones go into the last."""
    fitted = [*fields[: width - 1], ",".join(fields[width - 1 :])] if len(fields) > width else fields
    return Record(row, _placed([*fitted, *[""] * (width - len(fitted))], places), problem)


def _placed(fields: Sequence[str], places: Places) -> list[str | None]:
    return [fields[place] if place is not None else None for place in places]
