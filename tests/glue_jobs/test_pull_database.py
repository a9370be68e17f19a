"""A table of a database is pulled by a key that grows: each row once, wherever a run dies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest
from moto import mock_aws
from pyspark.sql import DataFrame, SparkSession

from gapless_glue import database
from gapless_glue.database import Overtaken, Table, credentials, kind_of
from gapless_glue.store import FileStore
from pull_database import Options, parse_options, run

COLUMNS = {"id": "bigint", "name": "string", "price": "double", "changed": "timestamp"}
STATE = "runs"


class Died(Exception):
    """The process ended in the middle."""


def item(number: int) -> tuple[Any, ...]:
    return (number, f"n{number}", Decimal(number) + Decimal("0.5"))


class World:
    """A database that the embedded Spark stands in for, folders, and the record."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.spark, self.folder = spark, folder
        self.rows: list[tuple[Any, ...]] = [item(number) for number in range(1, 4)]
        self.queries: list[str] = []
        self.dynamodb = boto3.client("dynamodb")
        self.dynamodb.create_table(
            TableName=STATE,
            AttributeDefinitions=[{"AttributeName": "run", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "run", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.options = Options(
            url="jdbc:postgresql://db.example.com/shop",
            secret="dev-shop-db",
            table="public.items",
            key="id",
            columns=json.dumps({"id": "bigint", "name": "string", "price": "double"}),
            item="pull#shop#items",
            state_table=STATE,
            **{f"{name}_uri": f"file://{folder}/{name}/" for name in ("pulled", "incoming", "files")},
        )
        self.attempts = 0

    def read(self, query: str) -> DataFrame:
        self.queries.append(query)
        frame = self.spark.createDataFrame(self.rows, "id int, name string, price decimal(10,2)")
        frame.createOrReplaceTempView("items")
        text = query.replace("public.items", "items").replace("VARCHAR(64)", "STRING")
        return self.spark.sql(text)

    def pull(self) -> int:
        self.attempts += 1
        return run(self.spark, self.options, self.read, self.dynamodb, f"jr_{self.attempts}")

    def files(self, name: str = "incoming") -> list[Path]:
        return sorted((self.folder / name).rglob("*.parquet"))

    def ids(self) -> list[int]:
        return sorted(row["id"] for path in self.files() for row in pq.read_table(path).to_pylist())

    def take(self) -> None:
        """Move the files to where batches keep them."""
        for path in self.files():
            target = self.folder / "files" / f"{database.digest(f'file://{path}')}.parquet"
            target.parent.mkdir(exist_ok=True)
            path.rename(target)


@pytest.fixture
def world(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield World(spark, tmp_path)


def test_pulls_everything_first_and_then_only_what_is_new(world: World) -> None:
    world.pull()
    world.rows += [item(4), (5, None, None)]
    world.pull()
    assert world.ids() == [1, 2, 3, 4, 5]
    asked = next(query for query in world.queries if "WHERE id >" in query)
    assert asked.endswith("WHERE id > CAST('3' AS BIGINT)")
    assert world.files("pulled") == []


def test_lands_nothing_when_nothing_is_new(world: World) -> None:
    world.pull()
    before = world.files()
    assert world.pull() == 0
    assert world.files() == before


def test_writes_the_declared_types(world: World) -> None:
    world.pull()
    schema = pq.read_schema(world.files()[0])
    assert {field.name: str(field.type) for field in schema} == {"id": "int64", "name": "string", "price": "double"}


@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("nth", [1, 2])
def test_dying_at_any_record_it_hands_each_row_over_once(
    world: World, monkeypatch: pytest.MonkeyPatch, nth: int, after: bool, taken: bool
) -> None:
    original, calls = database.Record.write, 0

    def die(self: Any, *given: Any) -> None:
        nonlocal calls
        calls += 1
        if calls != nth:
            return original(self, *given)
        if after:
            original(self, *given)
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(database.Record, "write", die)
        with pytest.raises(Died):
            world.pull()
    rows = world.ids()
    if taken:
        world.take()
    world.rows.append(item(4))
    world.pull()
    assert sorted(rows + world.ids() if taken else world.ids()) == [1, 2, 3, 4]


def test_dying_while_handing_over_it_goes_on_with_the_next_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(database, "publish", lambda *_: (_ for _ in ()).throw(Died()))
        with pytest.raises(Died):
            world.pull()
    assert world.files() == []
    world.pull()
    assert world.ids() == [1, 2, 3]


@pytest.mark.parametrize("taken", [False, True])
def test_dying_when_all_is_handed_over_it_hands_nothing_over_again(
    world: World, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(FileStore, "remove", lambda *_: (_ for _ in ()).throw(Died()))
        with pytest.raises(Died):
            world.pull()
    rows = world.ids()
    if taken:
        world.take()
    world.pull()
    assert (rows, world.ids()) == ([1, 2, 3], [] if taken else [1, 2, 3])


def test_of_two_at_once_only_one_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    original = database.Record.write

    def overtaken(self: Any, *given: Any) -> None:
        monkeypatch.setattr(database.Record, "write", original)
        world.pull()
        original(self, *given)

    monkeypatch.setattr(database.Record, "write", overtaken)
    with pytest.raises(Overtaken, match="another run pulls pull#shop#items"):
        world.pull()
    assert world.ids() == [1, 2, 3]


@pytest.mark.parametrize(
    ("kind", "key", "query"),
    [
        (
            "postgresql",
            "changed",
            "SELECT CAST(MAX(changed) AS VARCHAR(64)) AS high FROM t WHERE changed > "
            "CAST('2024-03-01 10:00:00.123456' AS TIMESTAMP)",
        ),
        (
            "mysql",
            "changed",
            "SELECT CAST(MAX(changed) AS CHAR(64)) AS high FROM t WHERE changed > "
            "CAST('2024-03-01 10:00:00.123456' AS DATETIME(6))",
        ),
        (
            "sqlserver",
            "changed",
            "SELECT CAST(MAX(changed) AS VARCHAR(64)) AS high FROM t WHERE changed > "
            "CAST('2024-03-01 10:00:00.123456' AS DATETIME2)",
        ),
    ],
)
def test_asks_each_database_in_its_own_words(kind: str, key: str, query: str) -> None:
    assert Table(kind, "t", key, COLUMNS).highest("2024-03-01 10:00:00.123456") == query


def test_a_key_with_a_quote_stays_a_value() -> None:
    query = Table("postgresql", "t", "name", COLUMNS).between("o'neil", "x' OR '1'='1")
    assert query.endswith("WHERE name > 'o''neil' AND name <= 'x'' OR ''1''=''1'")


@pytest.mark.parametrize("name", ["t; DROP TABLE t", "a b", "", "a.b.c.d"])
def test_refuses_a_name_that_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a table or column"):
        Table("postgresql", name, "id", COLUMNS)


def test_says_what_a_secret_must_hold_without_showing_it() -> None:
    assert credentials('{"username": "u", "password": "p"}') == {"user": "u", "password": "p"}
    with pytest.raises(ValueError, match="username and password") as error:
        credentials('{"username": "u", "pass": "hunter2"}')
    assert "hunter2" not in str(error.value)


def test_knows_the_databases_that_a_workload_may_name() -> None:
    assert kind_of("jdbc:mysql://db/shop") == "mysql"
    with pytest.raises(ValueError, match="allowed: postgresql"):
        kind_of("jdbc:oracle://db/shop")


def test_reads_its_arguments_and_the_id_of_the_run() -> None:
    names = list(Options.__dataclass_fields__)
    argv = [part for name in names for part in (f"--{name}", name)]
    options, attempt = parse_options([*argv, "--JOB_NAME", "x", "--JOB_RUN_ID", "jr_7"])
    assert (options.table, attempt) == ("table", "jr_7")
