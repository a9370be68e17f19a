"""Whatever lines a file holds: each is in the validated zone or in the quarantine, exactly once."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from constructs_lib.names.batch import BatchFile
from gapless_glue.batch import Batch
from gapless_glue.contract import Column, Source
from gapless_glue.dqdl.parser import parse
from gapless_glue.formats.csv_file import read_records
from gapless_glue.formats.rows import Record
from gapless_glue.formats.seen import Seen
from gapless_glue.landing import stage
from gapless_glue.rules import SourceRule
from gapless_glue.validation import judged_source, write_zones

COLUMNS = {"id": "bigint", "day": "date", "at": "timestamp", "price": "double", "ok": "boolean", "note": "string"}
SOURCE = Source(
    name="things",
    time_zone="Europe/London",
    key=("id",),
    columns=tuple(Column(name, kind) for name, kind in COLUMNS.items()),
    known_later=(),
    missing=("", "NA"),
)
RULES = [
    SourceRule("things", rule)
    for rule in parse('Rules = [ ColumnValues "price" > 0, IsUnique "note" where "price > 1" ]').rules[None]
]
PLAUSIBLE = st.sampled_from(["1", "2", "3", "NA", "", "2024-02-29", "2024-03-31T01:30:00", "1.5", "-1", "true", "note"])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
FIELDS = st.lists(PLAUSIBLE | TEXT, min_size=1, max_size=8).filter(lambda fields: fields != [""])
GOOD = st.builds(
    lambda number, note: [str(number), "2024-01-01", "2024-01-01T00:00", "1", "1", note], st.integers(0, 9), TEXT
)
STRAY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=20)


def quoted(fields: list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(fields)
    return buffer.getvalue()


def file_of(content: bytes, key: str) -> BatchFile:
    return BatchFile("things", hashlib.sha256(content).hexdigest(), key, len(content))


@pytest.fixture
def zones(tmp_path: Path, spark: SparkSession) -> Callable[..., tuple[int, list[Any], list[Any]]]:
    """Stages, judges and writes files; gives rows read, and what is in the two zones as (key of the file, line)."""
    runs = iter(range(1_000_000))

    def call(*contents: bytes) -> tuple[int, list[Any], list[Any]]:
        root = tmp_path / str(next(runs))
        files = []
        for number, content in enumerate(contents):
            files.append(file_of(content, f"{number}.csv"))
            (root / "landing").mkdir(parents=True, exist_ok=True)
            (root / "landing" / f"{number}.csv").write_bytes(content)
        rows = stage(Batch(f"file://{root}/landing/", tuple(sorted(files))), SOURCE, f"file://{root}/staged/")
        judged = judged_source(spark, f"file://{root}/staged/", SOURCE, RULES)
        write_zones(judged, SOURCE, f"file://{root}/validated", f"file://{root}/quarantine")
        return rows.rows, places(root / "validated"), places(root / "quarantine")

    return call


def places(folder: Path) -> list[tuple[str, int]]:
    rows = [row for file in folder.glob("*.parquet") for row in pq.ParquetFile(file).read().to_pylist()]
    return [(row["_source_key"], row["_row"]) for row in rows]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables=st.lists(st.lists(FIELDS | GOOD, min_size=1, max_size=30), min_size=1, max_size=2))
def test_every_row_ends_in_one_of_the_zones(zones: Callable[..., Any], tables: list[list[list[str]]]) -> None:
    header = quoted(list(COLUMNS))
    rows, validated, refused = zones(*[(header + "".join(map(quoted, table))).encode() for table in tables])
    assert rows == sum(map(len, tables)) == len(validated) + len(refused)
    assert len({*validated, *refused}) == rows


def records_of(lines: list[str]) -> list[Record]:
    content = "\n".join([",".join(COLUMNS), *lines]).encode() + b"\n"
    return list(read_records(io.BytesIO(content), file_of(content, "x.csv"), SOURCE, Seen()))  # type: ignore[arg-type]


def text_of(record: Record) -> list[str]:
    return [field or "" for field in record.fields]


@given(lines=st.lists(STRAY.filter(lambda line: bool(line) and '"' not in line), max_size=30))
def test_a_stray_line_is_a_row_of_its_own_and_keeps_its_text(lines: list[str]) -> None:
    records = records_of(lines)
    assert [record.row for record in records] == list(range(2, len(lines) + 2))
    assert [",".join(text_of(record)).rstrip(",") for record in records] == [line.rstrip(",") for line in lines]


@given(lines=st.lists(STRAY.filter(bool), max_size=30))
def test_stray_quotes_join_lines_or_mark_them_and_never_raise(lines: list[str]) -> None:
    records = records_of(lines)
    assert [record.row for record in records][:1] == ([2] if lines else [])
    assert [record.row for record in records] == sorted({record.row for record in records})
    assert all(len(record.fields) == len(COLUMNS) for record in records)
    assert sum(len("".join(text_of(record))) for record in records) >= sum(
        len(line.replace(",", "").replace('"', "")) for line in lines
    )


def test_a_quote_that_is_never_closed_hides_no_line() -> None:
    lines = ['1,2024-01-01,2024-01-01T00:00,1,1,"open', *[f"{n},2024-01-01,,1,1,x" for n in range(2, 50)]]
    content = gzip.compress("\n".join([",".join(COLUMNS), *lines]).encode())
    records = list(read_records(io.BytesIO(content), file_of(content, "x.csv.gz"), SOURCE, Seen()))  # type: ignore[arg-type]
    assert [record.row for record in records] == list(range(2, 51))
    assert {record.problem for record in records} == {"line is not well-formed CSV"}
