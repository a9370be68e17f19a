"""JSON lines: UTF-8, one object per line; gzip when the key ends in ``.gz``. A field that a line lacks is missing.

JSON has kinds of its own: the text ``"12"`` is no number. Numbers are kept as they are written, so ``1.0`` and ``1e3``
are no whole numbers either.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from constructs_lib.names.batch import BatchFile
from gapless_glue.contract import Source
from gapless_glue.errors import BadBatch
from gapless_glue.formats.rows import Record, Rows, marked, rows_of
from gapless_glue.formats.seen import MOST_NAMES, Seen
from gapless_glue.formats.text import Lines, explained, open_text

LONGEST_LINE = 16 * 1024 * 1024
NO_OBJECT = "line is not a JSON object"
TWICE = "line gives a field twice"
HALF_A_CHARACTER = "line has half a character, a surrogate without its other half"


class _Integer(str):
    """A number without a fraction, as it is written."""


class _Fraction(str):
    """Any other number, as it is written."""


class _Twice(ValueError):
    """An object has two fields of one name."""


FITTING: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "int": (_Integer,),
    "bigint": (_Integer,),
    "double": (_Integer, _Fraction),
    "boolean": (bool,),
    "date": (str,),
    "timestamp": (str,),
}
KINDS: dict[type, str] = {
    str: "string",
    _Integer: "bigint",
    _Fraction: "double",
    bool: "boolean",
    dict: "object",
    list: "array",
}


def read(raw: io.RawIOBase, file: BatchFile, source: Source, seen: Seen) -> Iterator[Rows]:
    """Yields the rows of a stream of bytes.

    Raises:
        BadBatch: It is empty, damaged, not UTF-8, or has a line of more than ``LONGEST_LINE`` characters.
        BadSchema: Its lines together have other fields than the source's policy allows.
    """
    return rows_of(read_records(raw, file, source, seen))


def read_records(raw: io.RawIOBase, file: BatchFile, source: Source, seen: Seen) -> Iterator[Record]:
    """Yields the rows one by one; see ``read``."""
    lines = Lines(_bounded(open_text(raw, file), file))
    objects = _Objects(source, seen)
    with explained(file, lines):
        for line in lines:
            lines.taken.clear()
            if line.strip():
                yield objects.record(lines.number, line)
    if lines.number == 0:
        raise BadBatch(f"{file.key}: is empty")
    if objects.names:
        seen.look_at(list(objects.names), source, file.key, ordered=False)


def _bounded(text: io.TextIOWrapper, file: BatchFile) -> Iterator[str]:
    while line := text.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise BadBatch(f"{file.key}: has a line of more than {LONGEST_LINE} characters; JSON lines are expected")
        yield line


class _Objects:
    """The objects of a file; ``names`` are the fields seen so far, of those that the source lacks only so many."""

    def __init__(self, source: Source, seen: Seen) -> None:
        self._columns = [(column.name, FITTING[column.type]) for column in source.columns]
        self._known = set(source.names)
        self._missing = source.missing
        self._seen = seen
        self.names: dict[str, None] = {}

    def record(self, number: int, line: str) -> Record:
        """Reads one line."""
        try:
            content = _DECODER.decode(line)
        except _Twice:
            return self._misfit(number, TWICE)
        except (ValueError, RecursionError):
            return self._misfit(number, NO_OBJECT)
        if not isinstance(content, dict):
            return self._misfit(number, NO_OBJECT)
        self._note_names(content)
        fields = [_text(content.get(name)) for name, _ in self._columns]
        if "\\u" in line:
            whole = [_whole(field) for field in fields]
            if whole != fields:
                return Record(number, whole, HALF_A_CHARACTER)
        return Record(number, fields, mistyped=self._mistyped(content, fields))

    def _misfit(self, number: int, problem: str) -> Record:
        """A line that is no row; its text stays in the file, as it might show in one column what is another's."""
        return Record(number, [None] * len(self._columns), problem)

    def _note_names(self, content: dict[str, Any]) -> None:
        if content.keys() <= self.names.keys():
            return
        for name in content:
            if name in self._known or len(self.names) < MOST_NAMES + len(self._known):
                self.names[name] = None

    def _mistyped(self, content: dict[str, Any], fields: Sequence[str | None]) -> str | None:
        found = []
        for (name, fitting), text in zip(self._columns, fields, strict=True):
            if text is None or type(content[name]) in fitting or text.strip() in self._missing:
                continue
            found.append(name)
            self._seen.note_kind(name, KINDS[type(content[name])])
        return marked(found)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return _json(value)


def _json(value: Any) -> str:
    """The JSON of a value, with its numbers as they were written."""
    if isinstance(value, _Integer | _Fraction):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_json(name)}: {_json(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _whole(text: str | None) -> str | None:
    return None if text is None else text.encode("utf-8", "replace").decode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise _Twice
    return content


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    parse_int=_Integer, parse_float=_Fraction, parse_constant=_no_constant, object_pairs_hook=_object
)
