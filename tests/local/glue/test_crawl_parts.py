"""How a crawler groups and reads files, without a server.

The modules under test import DuckDB only, which both environments have.
"""

from __future__ import annotations

import gzip
import io
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local.server.glue.crawl import glob_pattern, is_hidden
from local.server.glue.crawl_grouping import Found, group, source_name
from local.server.glue.crawl_schema import NoSchema, Schema, schema_of


def found(key: str, *columns: str, classification: str = "csv") -> Found:
    """An object with columns of type string."""
    return Found(key, 10, Schema(classification, tuple((column, "string") for column in columns)))


FLIGHTS = ("carrier", "flight", "origin")
PLANES = ("tailnum", "engines")


def test_reads_names_and_types_of_a_csv_file() -> None:
    schema = schema_of(b"Carrier,n,share,late\nUA,1,0.5,\nAA,-2,3,NA\n", whole=True)

    assert schema.columns == (("carrier", "string"), ("n", "bigint"), ("share", "double"), ("late", "string"))
    assert (schema.header, schema.delimiter, schema.compression) == (True, ",", "none")


def test_reads_the_beginning_of_a_gzip_file() -> None:
    content = gzip.compress(b"name;n\n" + b"".join(b"row;%d\n" % row for row in range(100_000)))

    schema = schema_of(content[: len(content) // 2], whole=False)

    assert schema.columns == (("name", "string"), ("n", "bigint"))
    assert (schema.delimiter, schema.compression) == (";", "gzip")


def test_reads_the_schema_of_a_parquet_file() -> None:
    buffer = io.BytesIO()
    pq.write_table(
        pa.table({"id": pa.array([1], pa.int32()), "when": pa.array([0], pa.timestamp("us", "UTC"))}), buffer
    )

    assert schema_of(buffer.getvalue(), whole=True).columns == (("id", "int"), ("when", "timestamp"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x1f\x8b\x08\x00broken", "gzip"),
        (b"a,b\n\xff\xfe,1\n", "UTF-8"),
        (b"", "delimiter"),
        (b"PAR1broken", "Parquet"),
        (b"a,b\n1\n2\n3\n", "values each"),
    ],
)
def test_refuses_what_it_cannot_read(content: bytes, reason: str) -> None:
    with pytest.raises(NoSchema, match=reason):
        schema_of(content, whole=True)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("2013-01/flights.csv.gz", "flights"),
        ("2013-01/flights-2.csv.gz", "flights"),
        ("2013-01/flights/part-00000-8a1c.csv", "flights"),
        ("day=1/part-0.parquet", "root"),
        ("My Flights.csv", "my_flights"),
    ],
)
def test_names_a_source(key: str, name: str) -> None:
    assert source_name(key, "root") == name


def test_makes_one_table_per_source_and_one_partition_per_batch() -> None:
    tables = group(
        [
            found("first/flights.csv.gz", *FLIGHTS),
            found("first/planes.csv.gz", *PLANES),
            found("second/flights.csv.gz", *FLIGHTS),
            found("second/planes.csv.gz", *PLANES),
        ],
        "landing",
    )

    assert [table.name for table in tables] == ["flights", "planes"]
    assert tables[0].keys == ("partition_0",)
    assert tables[0].partitions == {("first",): "first/flights.csv.gz", ("second",): "second/flights.csv.gz"}
    assert tables[0].location == ""


def test_a_folder_of_one_source_is_one_partition() -> None:
    tables = group([found(f"day={day}/part-{part}.csv", *FLIGHTS) for day in (1, 2) for part in (0, 1)], "flights")

    assert [(table.name, table.keys) for table in tables] == [("flights", ("day",))]
    assert tables[0].partitions == {("1",): "day=1/", ("2",): "day=2/"}


def test_several_files_of_a_source_in_a_shared_folder_are_partitions_of_their_own() -> None:
    tables = group(
        [found("b/flights-1.csv", *FLIGHTS), found("b/flights-2.csv", *FLIGHTS), found("b/planes.csv", *PLANES)], "root"
    )

    assert tables[0].keys == ("partition_0", "file")
    assert tables[0].partitions == {
        ("b", "flights-1.csv"): "b/flights-1.csv",
        ("b", "flights-2.csv"): "b/flights-2.csv",
    }


def test_files_that_are_not_alike_are_tables_of_their_own() -> None:
    tables = group([found("a/flights.csv", *FLIGHTS), found("b/flights.csv", *PLANES)], "root")

    assert len({table.name for table in tables}) == 2


def test_merges_the_columns_of_files_that_are_alike() -> None:
    wide = Schema("csv", (("a", "bigint"), ("b", "bigint"), ("c", "string"), ("d", "string")))
    narrow = Schema("csv", (("a", "double"), ("b", "string"), ("c", "string")))

    assert wide.is_like(narrow)
    assert wide.merged(narrow).columns == (("a", "double"), ("b", "string"), ("c", "string"), ("d", "string"))


@pytest.mark.parametrize(
    ("pattern", "key", "excluded"),
    [
        ("**/_batch.json", "a/b/_batch.json", True),
        ("**/_batch.json", "_batch.json", True),
        ("*.json", "a/b.json", False),
        ("**.json", "a/b.json", True),
        ("day=?/{a,b}*.csv", "day=1/bee.csv", True),
        ("day=[12]/x.csv", "day=3/x.csv", False),
        ("a.csv", "abcsv", False),
    ],
)
def test_exclude_patterns_match_as_globs(pattern: str, key: str, excluded: bool) -> None:
    assert bool(re.fullmatch(glob_pattern(pattern), key)) is excluded


def test_underscores_and_dots_hide_files_and_folders() -> None:
    assert [is_hidden(key) for key in ("a/_batch.json", ".x/a.csv", "a/", "a/b_c.csv")] == [True, True, True, False]
