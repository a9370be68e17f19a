"""What every reader gives: rows as text in the contract's order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

ROWS_AT_ONCE = 20_000
READ_SIZE = 1024 * 1024


@dataclass(frozen=True)
class Record:
    """One row as it was read.

    Attributes:
        row: Its number in the file, from 1: the line, or the row of a file without lines.
        fields: The texts of the contract's columns; None for a value that is not there.
        problem: Why the fields cannot be trusted.
        mistyped: The columns whose value is of another kind than their type, as ``,a,b,``. A text hides its kind; a
            format with kinds of its own tells it here.
    """

    row: int
    fields: Sequence[str | None]
    problem: str | None = None
    mistyped: str | None = None


@dataclass(frozen=True)
class Rows:
    """Some records of a file, by column: one array of texts per column of the contract, and one per attribute."""

    fields: Sequence[pa.Array]
    numbers: pa.Array
    problems: pa.Array
    mistyped: pa.Array

    def __len__(self) -> int:
        return len(self.numbers)


def rows_of(records: Iterable[Record]) -> Iterator[Rows]:
    """Gathers records, a bounded number at a time."""
    pending: list[Record] = []
    for record in records:
        pending.append(record)
        if len(pending) >= ROWS_AT_ONCE:
            yield _gathered(pending)
            pending = []
    if pending:
        yield _gathered(pending)


def _gathered(records: Sequence[Record]) -> Rows:
    columns = zip(*[record.fields for record in records], strict=True)
    return Rows(
        [pa.array(values, pa.string()) for values in columns],
        pa.array([record.row for record in records], pa.int64()),
        pa.array([record.problem for record in records], pa.string()),
        pa.array([record.mistyped for record in records], pa.string()),
    )


def marked(columns: Iterable[str]) -> str | None:
    """The text of ``Record.mistyped`` for these columns, None for none."""
    names = ",".join(columns)
    return f",{names}," if names else None
