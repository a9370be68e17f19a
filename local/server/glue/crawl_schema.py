"""What a file looks like inside: its format and its columns, judged from its first bytes.

Follows AWS's built-in classifiers (https://docs.aws.amazon.com/glue/latest/dg/add-classifier.html) for CSV, plain or
gzipped, and Parquet; other files have no schema.
"""

from __future__ import annotations

import csv
import io
import re
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from local.server.hive_types import of_duckdb

SAMPLE_BYTES = 256 * 1024

_DELIMITERS = (",", "|", "\t", ";", "\x01")
_ROWS = 1000
_INTEGER = re.compile(r"[+-]?\d{1,18}")
_DOUBLE = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"


class NoSchema(ValueError):
    """No classifier recognises the file; the text says why."""


@dataclass(frozen=True)
class Schema:
    """The inside of a file.

    Attributes:
        classification: ``csv`` or ``parquet``.
        columns: Names in lower case and Hive types, in order.
        compression: ``gzip`` or ``none``.
        delimiter: What separates the values of a CSV file.
        header: Whether the first line of a CSV file holds names.
        quoted: Whether values of a CSV file are in double quotes.
    """

    classification: str
    columns: tuple[tuple[str, str], ...]
    compression: str = "none"
    delimiter: str = ","
    header: bool = False
    quoted: bool = False

    def is_like(self, other: Schema) -> bool:
        """Whether both may be files of one table: the same format, and at least 70 % of their columns in common."""
        mine, others = {name for name, _ in self.columns}, {name for name, _ in other.columns}
        same_format = (self.classification, self.delimiter) == (other.classification, other.delimiter)
        return same_format and len(mine & others) >= 0.7 * len(mine | others)

    def merged(self, other: Schema) -> Schema:
        """The schema of a table with files of both kinds: all columns, with types that hold the values of both."""
        types = dict(self.columns)
        for name, kind in other.columns:
            types[name] = _wider(types.get(name, kind), kind)
        return Schema(
            self.classification, tuple(types.items()), self.compression, self.delimiter, self.header, self.quoted
        )


def needs_whole_file(first: bytes) -> bool:
    """Whether the schema stands at the file's end."""
    return first.startswith(_PARQUET)


def schema_of(content: bytes, whole: bool) -> Schema:
    """The schema of a file.

    Args:
        content: The file, or its first ``SAMPLE_BYTES``.
        whole: Whether that is all of it.

    Raises:
        NoSchema: It is neither CSV nor Parquet, or is damaged.
    """
    if content.startswith(_PARQUET):
        return _parquet(content)
    if content.startswith(_GZIP):
        return _csv(*_unzipped(content, whole), "gzip")
    return _csv(content, whole, "none")


def _parquet(content: bytes) -> Schema:
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file, duckdb.connect(":memory:") as connection:
        file.write(content)
        file.flush()
        try:
            relation = connection.read_parquet(file.name)
        except duckdb.Error as error:
            raise NoSchema(f"damaged Parquet: {error}") from error
        types = [of_duckdb(kind) for kind in relation.types]
        return Schema("parquet", tuple(zip(_unique(relation.columns), types, strict=True)))


def _unzipped(content: bytes, whole: bool) -> tuple[bytes, bool]:
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        text = stream.decompress(content, SAMPLE_BYTES)
    except zlib.error as error:
        raise NoSchema(f"damaged gzip: {error}") from error
    if whole and not stream.eof and not stream.unconsumed_tail:
        raise NoSchema("damaged gzip: it ends early")
    return text, stream.eof


def _csv(content: bytes, whole: bool, compression: str) -> Schema:
    text = _decoded(content, whole)
    delimiter = _delimiter(text)
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row][: _ROWS + 1]
    if not rows:
        raise NoSchema("no rows")
    header = _is_header(rows)
    body = rows[1:] if header else rows
    width = len(rows[0])
    if sum(len(row) == width for row in rows) < 0.9 * len(rows):
        raise NoSchema(f"the rows do not have {width} values each")
    names = _unique(rows[0]) if header else [f"col{position}" for position in range(width)]
    types = [_type([row[position] for row in body if len(row) == width]) for position in range(width)]
    return Schema("csv", tuple(zip(names, types, strict=True)), compression, delimiter, header, '"' in text)


def _decoded(content: bytes, whole: bool) -> str:
    if not whole:
        content = content[: content.rfind(b"\n") + 1]
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NoSchema(f"not UTF-8 text: {error}") from error


def _delimiter(text: str) -> str:
    first = text.partition("\n")[0]
    found = max(_DELIMITERS, key=first.count)
    if found not in first:
        raise NoSchema("the first line has no delimiter")
    return found


def _is_header(rows: Sequence[Sequence[str]]) -> bool:
    names = rows[0]
    words = all(name and not _DOUBLE.fullmatch(name) for name in names)
    return words and len(set(names)) == len(names) and len(rows) > 1


def _type(values: Sequence[str]) -> str:
    given = [value for value in values if value]
    if given and all(_INTEGER.fullmatch(value) for value in given):
        return "bigint"
    if given and all(_DOUBLE.fullmatch(value) for value in given):
        return "double"
    return "string"


def _wider(left: str, right: str) -> str:
    if left == right:
        return left
    return "double" if {left, right} == {"bigint", "double"} else "string"


def _unique(names: Sequence[str]) -> list[str]:
    unique: list[str] = []
    for name in names:
        plain = name.strip().lower()
        unique.append(plain if plain not in unique else f"{plain}_{len(unique)}")
    return unique
