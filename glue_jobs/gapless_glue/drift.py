"""Schema drift: where the columns of a landed file are not the contract's, and what becomes of its rows.

Columns that are added, dropped or reordered show when a file is read (``formats.seen``). A column is retyped when too
few of its values read as its type; that is measured on all rows, with the casts that make the typed values, so that
both always agree. Nothing is converted to make it fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from gapless_glue.contract import Source
from gapless_glue.errors import BadSchema
from gapless_glue.landing import FILE, PROBLEM, Staged, StagedFile
from gapless_glue.typed import BETWEEN_REASONS, Handling, cast_of, with_types

NARROWEST_FIRST = ("int", "bigint", "double", "date", "timestamp", "boolean")
"""The types that texts are tried for, to name what a column holds instead; a 0 and a 1 are numbers first."""

ABSENT = "absent"
PRESENT = "present"
LONGEST_TEXT = 200
MOST_ENTRIES = 100
MOST_IN_A_REASON = 5


@dataclass(frozen=True)
class Drift:
    """One finding about one file.

    Attributes:
        kind: ``added``, ``dropped``, ``reordered`` or ``retyped``.
        column: The column; None when the finding is about all of them.
        expected, observed: What the contract says, and what the file has instead.
        policy: What is done about it.
        rows: How many rows it is about.
        reads: The share of the column's values that read as its type; None unless it is retyped, or has no value.
    """

    source: str
    file: str
    kind: str
    column: str | None
    expected: str
    observed: str
    policy: str
    rows: int
    reads: float | None = None

    @property
    def is_alarming(self) -> bool:
        """Whether it changes what becomes of the data; another order that is accepted does not."""
        return (self.kind, self.policy) != ("reordered", "accept")

    @property
    def text(self) -> str:
        """The finding in a few words, which may stand in a reason."""
        told = {
            "reordered": "columns are in another order",
            "retyped": f"column {self.column} is retyped from {self.expected} to {self.observed}",
        }
        return told.get(self.kind, f"column {self.column!r} is {self.kind}").replace(BETWEEN_REASONS.strip(), ",")


@dataclass(frozen=True)
class Reading:
    """Of the values of a column of a file: how many there are, and how many read as its type."""

    present: int
    reads: int

    @property
    def share(self) -> float | None:
        return self.reads / self.present if self.present else None


def find_drift(rows: DataFrame, source: Source, staged: Staged) -> list[Drift]:
    """Finds the drift of all files of a source.

    Args:
        rows: The staged rows of the source.
        source: What they are.
        staged: What was seen of its files.

    Raises:
        BadSchema: A column is retyped and the source's policy is to stop.
    """
    readings = _count_readings(rows, source)
    retyped = [place for place, reading in readings.items() if _is_retyped(reading, *place, source, staged)]
    observed = _observe(rows, source, staged, {place: readings[place].present for place in retyped})
    drifts: list[Drift] = []
    for position, file in enumerate(staged.files):
        drifts += _of_columns(file, source)
        drifts += [
            _of_type(file, source, place[1], readings[place], observed[place])
            for place in retyped
            if place[0] == position
        ]
    _stop(drifts, source)
    return drifts


def handling_of(drifts: Iterable[Drift], staged: Staged) -> Handling:
    """Returns what is done about the findings, in terms of the positions of files."""
    positions = {file.key: position for position, file in enumerate(staged.files)}
    refused: dict[int, list[str]] = {}
    emptied: dict[str, set[int]] = {}
    for drift in drifts:
        position = positions[drift.file]
        if drift.policy == "quarantine":
            refused.setdefault(position, []).append(drift.text)
        elif (drift.kind, drift.policy) == ("retyped", "accept") and drift.column is not None:
            emptied.setdefault(drift.column, set()).add(position)
    return Handling({position: _reason(texts) for position, texts in refused.items()}, emptied)


def report_of_drift(drifts: Sequence[Drift]) -> dict[str, Any]:
    """Returns what the report says: how many findings there are, how many alarm, and so many of them, those first."""
    ordered = sorted(drifts, key=lambda drift: not drift.is_alarming)
    return {
        "count": len(drifts),
        "alarming": sum(drift.is_alarming for drift in drifts),
        "entries": [
            {
                "source": drift.source,
                "file": drift.file,
                "kind": drift.kind,
                "column": _short(drift.column),
                "expected": _short(drift.expected),
                "observed": _short(drift.observed),
                "policy": drift.policy,
                "rows": drift.rows,
                "reads": drift.reads,
            }
            for drift in ordered[:MOST_ENTRIES]
        ],
    }


def _of_columns(file: StagedFile, source: Source) -> Iterator[Drift]:
    """The findings about which columns a file has; those that stop the batch were raised when it was read."""
    policy, seen = source.drift, file.seen
    for name in seen.added:
        yield Drift(source.name, file.key, "added", name, ABSENT, PRESENT, policy.added, file.rows)
    for name in seen.dropped:
        kind = source.type_of(name)
        yield Drift(source.name, file.key, "dropped", name, kind, ABSENT, policy.dropped, file.rows)
    if seen.order:
        expected = ", ".join(name for name in source.names if name in seen.order)
        found = ", ".join(seen.order)
        yield Drift(source.name, file.key, "reordered", None, expected, found, policy.reordered, file.rows)


def _of_type(file: StagedFile, source: Source, column: str, reading: Reading, observed: str) -> Drift:
    policy = source.drift.retyped
    if policy == "accept" and column in source.never_null:
        policy = "quarantine_rows"
    rows = reading.present - reading.reads
    kind = source.type_of(column)
    return Drift(source.name, file.key, "retyped", column, kind, observed, policy, rows, reading.share)


def _is_retyped(reading: Reading, position: int, column: str, source: Source, staged: Staged) -> bool:
    """Whether too few values read; a column that has no values may still have another type in the file."""
    if reading.share is None:
        return column in staged.files[position].seen.kinds
    return 1 - reading.share >= source.drift.retyped_share


def _count_readings(rows: DataFrame, source: Source) -> dict[tuple[int, str], Reading]:
    """Counts values per file and column of a type that a value can fail to be, in one pass."""
    columns = [column.name for column in source.columns if column.type != "string" or source.has_kinds]
    if not columns:
        return {}
    counts = [F.count(F.col(f"{mark}_{name}")).alias(f"{mark}_{name}") for mark in "vt" for name in columns]
    counted = _fit(with_types(rows, source)).groupBy(FILE).agg(*counts).collect()
    return {
        (int(row[FILE]), name): Reading(int(row[f"v_{name}"]), int(row[f"t_{name}"]))
        for row in counted
        for name in columns
    }


def _observe(
    rows: DataFrame, source: Source, staged: Staged, present: Mapping[tuple[int, str], int]
) -> dict[tuple[int, str], str]:
    """Names what retyped columns hold: what the format says of it, or the narrowest type that all texts read as."""
    kinds = {place: staged.files[place[0]].seen.kinds.get(place[1]) for place in present}
    told = {place: " or ".join(sorted(found)) for place, found in kinds.items() if found}
    untold = [place for place in present if place not in told]
    if not untold:
        return told
    columns = sorted({column for _, column in untold})
    read = [_read_as(column, kind, source) for column in columns for kind in NARROWEST_FIRST]
    fit = _fit(with_types(rows, source)).filter(F.col(FILE).isin([position for position, _ in untold]))
    counts = [
        F.count(F.col(f"{column}_{kind}")).alias(f"{column}_{kind}") for column in columns for kind in NARROWEST_FIRST
    ]
    counted = {int(row[FILE]): row for row in fit.select(FILE, *read).groupBy(FILE).agg(*counts).collect()}
    for position, column in untold:
        row, wanted = counted[position], present[position, column]
        fitting = [kind for kind in NARROWEST_FIRST if row[f"{column}_{kind}"] == wanted]
        told[position, column] = next(iter(fitting), "string")
    return told


def _read_as(column: str, kind: str, source: Source) -> Column:
    return F.expr(cast_of(f"`v_{column}`", kind, source.time_zone)).alias(f"{column}_{kind}")


def _fit(typed: DataFrame) -> DataFrame:
    """The rows that are rows of the table at all."""
    return typed.filter(F.col(PROBLEM).isNull())


def _stop(drifts: Iterable[Drift], source: Source) -> None:
    stopping = [drift for drift in drifts if drift.kind == "retyped" and drift.policy == "stop"]
    if stopping:
        first = stopping[0].file
        told = "; ".join(_explained(drift) for drift in stopping if drift.file == first)
        raise BadSchema(f"{first}: {told} (source {source.name})")


def _explained(drift: Drift) -> str:
    share = "it has no values" if drift.reads is None else f"{drift.reads:.2%} of its values read as {drift.expected}"
    return f"{drift.text}, {share}"


def _reason(texts: Sequence[str]) -> str:
    told = [_short(text) or "" for text in texts[:MOST_IN_A_REASON]]
    more = [f"and {len(texts) - len(told)} more"] if len(texts) > len(told) else []
    return f"schema drift of the file: {', '.join([*told, *more])}"


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 3] + "..."
