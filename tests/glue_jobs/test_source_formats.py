"""CSV, JSON lines and Parquet give the same rows, and what has a kind or type of its own must have the right one."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from constructs_lib.names.batch import BatchFile
from gapless_glue.batch import Batch
from gapless_glue.contract import Column, DriftPolicy, Source
from gapless_glue.errors import BadBatch, BadSchema
from gapless_glue.formats import json_lines_file, parquet_file
from gapless_glue.formats.rows import ROWS_AT_ONCE, Record
from gapless_glue.formats.seen import Seen
from gapless_glue.landing import stage
from gapless_glue.typed import judge, staged_schema

Shop = Any  # the class of the fixture; conftest.py has it

TYPES = {
    "order": pa.int64(),
    "customer": pa.int32(),
    "placed": pa.timestamp("us"),
    "amount": pa.float64(),
    "country": pa.string(),
    "returned": pa.bool_(),
}
NOON = dt.datetime(2024, 7, 1, 12)  # noqa: DTZ001 - a local time
KINDS = {"id": "bigint", "n": "int", "x": "double", "ok": "boolean", "day": "date", "at": "timestamp", "note": "string"}


def source(form: str, **other: Any) -> Source:
    columns = tuple(Column(name, kind) for name, kind in KINDS.items())
    defaults: dict[str, Any] = {"time_zone": "Europe/Berlin", "key": (), "known_later": (), "missing": ("", "NA")}
    return Source(name="things", columns=columns, **{**defaults, **other}, format=form)


def file_of(key: str, content: bytes) -> BatchFile:
    return BatchFile("things", hashlib.sha256(content).hexdigest(), key, len(content))


@pytest.fixture
def judged(tmp_path: Path, spark: SparkSession) -> Callable[..., list[dict[str, Any]]]:
    """Stages a file and judges its rows; each comes back with ``t_…`` values and ``_reasons``."""

    def call(table: Source, key: str, content: bytes) -> list[dict[str, Any]]:
        (tmp_path / key).write_bytes(content)
        batch = Batch(f"file://{tmp_path}/", (file_of(key, content),))
        stage(batch, table, f"file://{tmp_path}/staged/")
        staged = spark.read.schema(staged_schema(table)).parquet(f"file://{tmp_path}/staged/")
        return [row.asDict() for row in judge(staged, table, []).orderBy("_row").collect()]

    return call


def lines(*objects: Any) -> bytes:
    return "".join(f"{json.dumps(each)}\n" for each in objects).encode()


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, **options)
    return buffer.getvalue()


def any_object(**other: Any) -> dict[str, Any]:
    full = {
        "id": 7, "n": 1, "x": 1.5, "ok": True, "day": "2024-02-29", "at": "2024-07-01T12:00:00", "note": "NA ",
    }  # fmt: skip
    return full | other


def any_columns(**other: Any) -> dict[str, Any]:
    full = {
        "id": pa.array([7], pa.int64()),
        "n": pa.array([1], pa.int32()),
        "x": pa.array([1.5]),
        "ok": pa.array([True]),
        "day": pa.array([dt.date(2024, 2, 29)]),
        "at": pa.array([NOON], pa.timestamp("us")),
        "note": pa.array(["text"]),
    }
    return full | other


def as_lines(orders: list[dict[str, Any]]) -> bytes:
    return gzip.compress(lines(*[{**order, "placed": order["placed"].isoformat()} for order in orders]), mtime=0)


def as_parquet(orders: list[dict[str, Any]]) -> bytes:
    return parquet({name: pa.array([order[name] for order in orders], kind) for name, kind in TYPES.items()})


def typed_order(text: str) -> dict[str, Any]:
    order, customer, placed, amount, country, returned = next(csv.reader([text]))
    when = dt.datetime.fromisoformat(placed)
    return {
        "order": int(order), "customer": int(customer), "placed": when, "amount": float(amount), "country": country,
        "returned": returned == "true",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("form", "key", "write"), [("json_lines", "orders.json.gz", as_lines), ("parquet", "orders.parquet", as_parquet)]
)
def test_the_same_rows_make_the_same_dataset_in_every_format(
    shop: Shop, form: str, key: str, write: Callable[[list[dict[str, Any]]], bytes]
) -> None:
    before = shop.run()
    shop.contract["sources"]["orders"]["format"] = form
    content = write([typed_order(line) for line in shop.orders()])
    shop.entries = [entry for entry in shop.entries if entry["source"] != "orders"]
    shop.land("orders", f"{key}.raw", content)
    (shop.landing / f"{key}.raw").rename(shop.landing / key)
    shop.entries[-1]["key"] = key
    after = shop.run()
    assert after["phases"]["validation"]["rows_quarantined"] == 0
    for split in ("train", "validation", "test"):
        digests = {run["phases"]["splitting"][split]["digest"] for run in (before, after)}
        assert len(digests) == 1


JSON_VALUES: list[tuple[str, Any, Any]] = [
    ("id", 9223372036854775807, 9223372036854775807),
    ("x", 3, 3.0),
    ("x", 1e-300, 1e-300),
    ("ok", False, False),
    ("day", "2024-02-29", dt.date(2024, 2, 29)),
    ("note", "two\nlines, \"'", "two\nlines, \"'"),
    ("n", None, None),
    ("n", "", None),
    ("n", " NA ", None),
    ("note", "NA", None),
]


def test_a_json_value_of_the_right_kind_is_read(judged: Any) -> None:
    content = lines(*[any_object(**{column: value}) for column, value, _ in JSON_VALUES])
    rows = judged(source("json_lines"), "a.json", content)
    found = [
        (column, row[f"t_{column}"], row["_reasons"]) for (column, _, _), row in zip(JSON_VALUES, rows, strict=True)
    ]
    assert found == [(column, typed, None) for column, _, typed in JSON_VALUES]


OTHER_KINDS: list[tuple[str, str, str]] = [
    ("n", "1.0", "1.0"),
    ("n", "1e3", "1e3"),
    ("n", '"1"', "1"),
    ("n", "true", "true"),
    ("n", "2147483648", "2147483648"),
    ("id", '"7"', "7"),
    ("x", '"1.5"', "1.5"),
    ("ok", "1", "1"),
    ("ok", '"true"', "true"),
    ("day", "20240229", "20240229"),
    ("at", "1709164800", "1709164800"),
    ("note", "5", "5"),
    ("note", "false", "false"),
    ("note", '{"a":[1, 1.50,null]}', '{"a": [1, 1.50, null]}'),
]


def test_a_json_value_of_another_kind_is_refused_and_never_converted(judged: Any) -> None:
    content = b"".join(
        lines(any_object(**{column: "HERE"})).replace(b'"HERE"', text.encode()) for column, text, _ in OTHER_KINDS
    )
    rows = judged(source("json_lines"), "a.json", content)
    found = [
        (row[column], row[f"t_{column}"], row["_reasons"])
        for (column, _, _), row in zip(OTHER_KINDS, rows, strict=True)
    ]
    assert found == [(shown, None, f"column {column} is not {KINDS[column]}") for column, _, shown in OTHER_KINDS]


def test_a_field_that_a_json_line_lacks_is_missing(judged: Any) -> None:
    short = {name: value for name, value in any_object().items() if name != "n"}
    rows = judged(source("json_lines"), "a.json", lines(any_object(), short))
    assert [(row["t_n"], row["_reasons"]) for row in rows] == [(1, None), (None, None)]


NO_ROWS = [
    ("[1, 2]", json_lines_file.NO_OBJECT),
    ('{"id": 1', json_lines_file.NO_OBJECT),
    ('{"x": NaN}', json_lines_file.NO_OBJECT),
    ("[" * 100_000, json_lines_file.NO_OBJECT),
    ('{"id": 1, "id": 2}', json_lines_file.TWICE),
]


def test_a_line_that_is_no_row_is_quarantined_with_its_place_and_shows_none_of_its_values(judged: Any) -> None:
    content = b"\r\n\r\n".join([line.encode() for line, _ in NO_ROWS] + [lines(any_object())])
    *rows, good = judged(source("json_lines"), "a.json", content)
    assert [row["_reasons"] for row in rows] == [problem for _, problem in NO_ROWS]
    assert {row[name] for row in rows for name in KINDS} == {None}
    assert [row["_row"] for row in rows] == [1, 3, 5, 7, 9]
    assert good["_reasons"] is None


def test_half_a_character_is_no_text() -> None:
    record = records(lines(any_object(note="\ud83d")))[0]
    assert (record.fields[-1], record.problem) == ("?", json_lines_file.HALF_A_CHARACTER)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KINDS]) | st.text(max_size=3), inner),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(JSON.map(json.dumps) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=20)
)
def test_every_line_of_any_text_becomes_one_record(texts: list[str]) -> None:
    content = "\n".join([json.dumps(any_object()), *[" ".join(text.splitlines()) for text in texts]]).encode()
    expected = [number for number, line in enumerate(content.decode().split("\n"), 1) if line.strip()]
    found = records(content)
    assert [record.row for record in found] == expected
    assert {len(record.fields) for record in found} == {len(KINDS)}
    assert all(isinstance((field or "").encode(), bytes) for record in found for field in record.fields)


def records(content: bytes) -> list[Record]:
    accepting = source("json_lines", drift=DriftPolicy(added="accept", dropped="accept"))
    raw: Any = io.BytesIO(content)
    return list(json_lines_file.read_records(raw, file_of("a.json", content), accepting, Seen()))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.json: is empty"),
        (b"\n\n", "source things has no rows"),
        (b'{"id": "\xff"}', r"a\.json: is not UTF-8, byte 0xff"),
        (b" " * (json_lines_file.LONGEST_LINE + 1), r"a\.json: has a line of more than 16777216 characters"),
    ],
)
def test_refuses_a_json_file_without_readable_rows(judged: Any, content: bytes, message: str) -> None:
    with pytest.raises(BadBatch, match=message):
        judged(source("json_lines"), "a.json", content)


def test_refuses_fields_that_no_json_line_has_and_fields_that_the_source_lacks(judged: Any) -> None:
    short = {name: value for name, value in any_object(colour="red").items() if name != "note"}
    with pytest.raises(BadSchema, match=r"a\.json: missing column 'note'; unexpected column 'colour'"):
        judged(source("json_lines"), "a.json", lines(short, short))


ROUND_TRIPS: list[dict[str, tuple[pa.Array, Any]]] = [
    {
        "id": (pa.array([-(2**63)], pa.int64()), -(2**63)),
        "x": (pa.array([0.1 + 0.2]), 0.1 + 0.2),
        "ok": (pa.array([False]), False),
        "day": (pa.array([dt.date(1, 1, 1)]), dt.date(1, 1, 1)),
        "note": (pa.array(["a\x00b\n€"]), "a\x00b\n€"),
        "n": (pa.nulls(1), None),
    },
    {
        "x": (pa.array([5e-324]), 5e-324),
        "note": (pa.array(["text"], pa.large_string()), "text"),
        "n": (pa.array([None], pa.int32()), None),
    },
    {
        "x": (pa.array([1.7976931348623157e308]), 1.7976931348623157e308),
        "note": (pa.array(["text"]).dictionary_encode(), "text"),
        "day": (pa.nulls(1), None),
    },
]


@pytest.mark.parametrize("values", ROUND_TRIPS, ids=["plain", "large", "dictionary"])
def test_parquet_values_of_the_right_types_are_read_exactly(
    judged: Any, values: dict[str, tuple[pa.Array, Any]]
) -> None:
    columns = any_columns(**{name: array for name, (array, _) in values.items()})
    row = judged(source("parquet"), "a.parquet", parquet(columns))[0]
    assert row["_reasons"] is None
    assert {name: row[f"t_{name}"] for name in values} == {name: typed for name, (_, typed) in values.items()}


@pytest.mark.parametrize(
    ("values", "options", "instant"),
    [
        (pa.array([NOON], pa.timestamp("us")), {}, "2024-07-01T10:00:00"),  # Berlin is two hours ahead in summer
        (pa.array([NOON], pa.timestamp("ms")), {}, "2024-07-01T10:00:00"),
        (pa.array([NOON], pa.timestamp("us", "UTC")), {}, "2024-07-01T12:00:00"),
        (pa.array([NOON], pa.timestamp("us", "America/New_York")), {}, "2024-07-01T12:00:00"),
        (pa.array([NOON], pa.timestamp("ns")), {"use_deprecated_int96_timestamps": True}, "2024-07-01T12:00:00"),
    ],
    ids=["local", "milliseconds", "utc", "zone", "int96"],
)
def test_a_parquet_time_is_an_instant_or_local_as_its_type_says(
    judged: Any, values: Any, options: dict[str, Any], instant: str
) -> None:
    row = judged(source("parquet"), "a.parquet", parquet(any_columns(at=values), **options))[0]
    wanted = dt.datetime.fromisoformat(instant).replace(tzinfo=dt.UTC)
    found = row["t_at"] if row["t_at"].tzinfo else row["t_at"].replace(tzinfo=dt.UTC)
    assert (found, row["_reasons"]) == (wanted, None)


WRONG_TYPES: list[dict[str, tuple[pa.Array, str]]] = [
    {
        "n": (pa.array([1], pa.int64()), "1"),
        "id": (pa.array([1], pa.int32()), "1"),
        "x": (pa.array([1.5], pa.float32()), "1.5"),
        "ok": (pa.array([1], pa.int32()), "1"),
        "day": (pa.array(["2024-02-29"]), "2024-02-29"),
        "at": (pa.array(["2024-07-01T12:00:00"]), "2024-07-01T12:00:00"),
        "note": (pa.array([5], pa.int64()), "5"),
    },
    {"n": (pa.array([1.0]), "1"), "note": (pa.array([b"caf\xc3\xa9"]), "café")},
    {"n": (pa.array(["1"]), "1"), "note": (pa.array([b"\xff"]), "\\xff")},
    {
        "x": (pa.array([2], pa.int64()), "2"),
        "note": (pa.array([{"a": [dt.date(2024, 1, 1)]}]), '{"a": ["2024-01-01"]}'),
    },
]


@pytest.mark.parametrize("values", WRONG_TYPES, ids=["plain", "binary", "not text", "nested"])
def test_parquet_columns_of_other_types_are_refused_and_never_converted(
    judged: Any, values: dict[str, tuple[pa.Array, str]]
) -> None:
    columns = any_columns(**{name: array for name, (array, _) in values.items()})
    row = judged(source("parquet"), "a.parquet", parquet(columns))[0]
    assert {name: (row[name], row[f"t_{name}"]) for name in values} == {
        name: (shown, None) for name, (_, shown) in values.items()
    }
    assert row["_reasons"] == "; ".join(f"column {name} is not {KINDS[name]}" for name in KINDS if name in values)


def test_parquet_has_no_infinity_and_no_nan(judged: Any) -> None:
    columns = {name: pa.concat_arrays([values] * 3) for name, values in any_columns().items()}
    columns["x"] = pa.array([float("inf"), float("nan"), 1.0])
    rows = judged(source("parquet"), "a.parquet", parquet(columns))
    assert [row["_reasons"] for row in rows] == ["column x is not double"] * 2 + [None]


def test_parquet_rows_are_numbered_through() -> None:
    count = ROWS_AT_ONCE + 7
    columns = {name: pa.array(values.to_pylist() * count, values.type) for name, values in any_columns().items()}
    content = parquet(columns | {"id": pa.array(range(count), pa.int64())}, row_group_size=5000)
    raw: Any = io.BytesIO(content)
    found = list(parquet_file.read(raw, file_of("a.parquet", content), source("parquet"), Seen()))
    assert len(found) > 1
    assert [number for rows in found for number in rows.numbers.to_pylist()] == list(range(1, count + 1))
    assert [text for rows in found for text in rows.fields[0].to_pylist()] == [str(number) for number in range(count)]


def test_missing_values_say_nothing_of_a_columns_kind() -> None:
    seen = Seen()
    raw: Any = io.BytesIO(lines(any_object(n="NA", x=None, day="")))
    list(json_lines_file.read(raw, file_of("a.json", b""), source("json_lines"), seen))
    content = parquet(any_columns(n=pa.nulls(1)))
    raw = io.BytesIO(content)
    list(parquet_file.read(raw, file_of("a.parquet", content), source("parquet"), seen))
    assert seen.kinds == {}


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: data[:4] * 5, lambda data: data[8:]])
def test_refuses_a_damaged_parquet_file(judged: Any, damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(BadBatch, match=r"a\.parquet: is not readable as Parquet"):
        judged(source("parquet"), "a.parquet", damage(parquet(any_columns())))


def test_refuses_a_parquet_text_that_is_not_utf_8(judged: Any) -> None:
    bad = pa.array([b"\xff\xfe"]).view(pa.string())
    with pytest.raises(BadBatch, match="UTF8"):
        judged(source("parquet"), "a.parquet", parquet(any_columns(note=bad)))


def test_refuses_an_empty_parquet_file(judged: Any) -> None:
    with pytest.raises(BadBatch, match=r"a\.parquet: is empty"):
        judged(source("parquet"), "a.parquet", b"")


def test_refuses_other_columns_in_parquet_and_names_them(judged: Any) -> None:
    columns = any_columns(colour=pa.array(["red"]))
    del columns["note"]
    with pytest.raises(BadSchema, match=r"a\.parquet: missing column 'note'; unexpected column 'colour'"):
        judged(source("parquet"), "a.parquet", parquet(columns))


def test_a_message_about_many_columns_stays_short(judged: Any) -> None:
    columns = any_columns(**{f"more_{number}": pa.nulls(1) for number in range(1000)})
    with pytest.raises(BadSchema) as error:
        judged(source("parquet"), "a.parquet", parquet(columns))
    assert "unexpected column 'more_19'; … (source things has: id," in str(error.value)


def test_reads_parquet_columns_in_any_order(judged: Any) -> None:
    columns = dict(reversed(any_columns().items()))
    assert judged(source("parquet"), "a.parquet", parquet(columns))[0]["_reasons"] is None
