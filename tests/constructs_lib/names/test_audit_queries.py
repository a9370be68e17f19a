"""What an auditor's saved queries find, on rows as CloudTrail and DynamoDB write them."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from constructs_lib.names.audit_queries import DECISION_COLUMNS, TRAIL_COLUMNS, audit_queries

ROLE = "arn:aws:iam::0:role/prepares"
EXPORT = "s3://trail/audit-table/AWSDynamoDB/{}/data/a.json.gz"


def duck(kind: str) -> str:
    """A Hive type in DuckDB's words."""
    if kind.startswith("array<"):
        return f"{duck(kind[6:-1])}[]"
    if kind.startswith("struct<"):
        return f"STRUCT({', '.join(_member(each) for each in members(kind[7:-1]))})"
    return "VARCHAR"


def _member(text: str) -> str:
    name, _, kind = text.partition(":")
    return f'"{name}" {duck(kind)}'


def members(text: str) -> list[str]:
    found, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if letter == "," and not depth:
            found.append(text[start:place])
            start = place + 1
    return [*found, text[start:]]


@pytest.fixture
def database() -> duckdb.DuckDBPyConnection:
    made = duckdb.connect()
    made.execute("CREATE SCHEMA dev_audit")
    made.execute("CREATE MACRO date_format(day, form) AS strftime(day, form)")
    for table, columns, more in (
        ("object_events", TRAIL_COLUMNS, '"day" VARCHAR'),
        ("decisions", DECISION_COLUMNS, '"$path" VARCHAR'),
    ):
        typed = ", ".join(f'"{name}" {duck(kind)}' for name, kind in columns.items())
        made.execute(f"CREATE TABLE dev_audit.{table} ({typed}, {more})")
    return made


def event(database: duckdb.DuckDBPyConnection, name: str, *, days: int = 0, error: str | None = None) -> None:
    reading = str(name == "GetObject").lower()
    database.execute(
        """INSERT INTO dev_audit.object_events BY NAME SELECT
        {'arn': 'arn:aws:sts::0:assumed-role/x/y', 'sessioncontext': {'sessionissuer': {'arn': ?}}} AS useridentity,
        '2026-11-29T10:00:00Z' AS eventtime, ? AS eventname, ? AS readonly, ? AS errorcode,
        [{'arn': 'arn:aws:s3:::curated/orders/a.parquet'}] AS resources,
        strftime(current_date - to_days(?), '%Y/%m/%d') AS day""",
        [ROLE, name, reading, error, days],
    )


def asked(database: duckdb.DuckDBPyConnection, name: str) -> list[tuple[Any, ...]]:
    (query,) = [each for each in audit_queries("dev") if each.name == name]
    return database.execute(query.text).fetchall()


def test_counts_who_read_and_who_wrote(database: duckdb.DuckDBPyConnection) -> None:
    for name in ("GetObject", "GetObject", "PutObject"):
        event(database, name)
    event(database, "GetObject", days=30)
    event(database, "GetObject", error="AccessDenied")
    ((who, place, name, requests, *_),) = asked(database, "reads-by-role")
    assert (who, place, name, requests) == (ROLE, "curated/orders", "GetObject", 2)
    assert [row[2:4] for row in asked(database, "writes-by-role")] == [("PutObject", 1)]
    assert [row[1:3] for row in asked(database, "refused")] == [("GetObject", "AccessDenied")]


def test_finds_what_was_deleted_and_the_history_of_an_object(database: duckdb.DuckDBPyConnection) -> None:
    for name in ("PutObject", "DeleteObject"):
        event(database, name)
    assert [row[3:] for row in asked(database, "deleted")] == [
        ("DeleteObject", "arn:aws:s3:::curated/orders/a.parquet")
    ]
    (query,) = [each for each in audit_queries("dev") if each.name == "history-of-an-object"]
    text = query.text.replace("<bucket>", "curated").replace("<key>", "orders/a.parquet")
    assert {row[1] for row in database.execute(text).fetchall()} == {"PutObject", "DeleteObject"}


def test_decisions_are_those_of_the_newest_export_once(database: duckdb.DuckDBPyConnection) -> None:
    for export, reasons in (("01700", ["old"]), ("01800", ["old", "new"])):
        for reason in reasons:
            database.execute(
                "INSERT INTO dev_audit.decisions SELECT {'workload': {'s': 'orders'}, 'event': {'s': ?}, "
                "'by': {'s': 'you'}, 'reason': {'s': ?}}, ?",
                [reason, reason, EXPORT.format(export)],
            )
    database.execute("INSERT INTO dev_audit.decisions SELECT NULL, ?", ["s3://trail/audit-table/AWSDynamoDB/01900/x"])
    found = asked(database, "decisions")
    assert [(row[1], row[3], row[4]) for row in found] == [("new", "you", "new"), ("old", "you", "old")]
