"""The saved queries of a workload, run over its tables by the local Athena."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from constructs_lib.names.lake_queries import lake_queries
from constructs_lib.names.naming import database_name, table_name
from constructs_lib.names.workload_file import WorkloadFile
from tests.local.glue.test_athena_queries import Workspace

ROOT = Path(__file__).parents[3]
WORKLOAD = WorkloadFile.load(ROOT / "workloads" / "flight_delays" / "workload.yaml")
TYPES: dict[str, Callable[[int], Any]] = {
    "string": str,
    "int": int,
    "bigint": int,
    "double": float,
    "boolean": lambda number: number % 2 == 0,
    "timestamp": lambda number: dt.datetime(2013, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=number),
    "date": lambda number: dt.date(2013, 1, 1 + number),
}
ARROW = {
    "string": pa.string(), "int": pa.int32(), "bigint": pa.int64(), "double": pa.float64(), "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"), "date": pa.date32(),
}  # fmt: skip


@dataclass
class Stage(Workspace):
    """A stage of its own with every table of the workload and two versions of each."""

    stage: str = field(default_factory=lambda: f"s{uuid.uuid4().hex[:7]}")

    def fill(self) -> None:
        for zone in ("validated", "quarantine", "curated"):
            self.glue.create_database(DatabaseInput={"Name": database_name(self.stage, zone)})
        for source in WORKLOAD.sources:
            self._table("validated", source, WORKLOAD.validated_columns(source), {"old": range(3), "new": range(5)})
            reasons = ["bad", "bad; worse"]
            columns = WORKLOAD.quarantine_columns(source)
            self._table("quarantine", source, columns, {"old": range(1), "new": range(2)}, {"_reasons": reasons})
        self._table("curated", "features", WORKLOAD.curated_columns(), {"old": range(4), "new": range(2, 8)})

    def _table(
        self,
        zone: str,
        name: str,
        columns: dict[str, str],
        versions: dict[str, range],
        given: dict[str, list[str]] | None = None,
    ) -> None:
        self.database = database_name(self.stage, zone)
        full = table_name(WORKLOAD.name, name)
        self.table(full, columns)
        for version, numbers in versions.items():
            values = {
                column: pa.array(
                    (given or {}).get(column, [TYPES[kind](number) for number in numbers])[: len(numbers)], ARROW[kind]
                )
                for column, kind in columns.items()
            }
            folder = f"{zone}/{full}/version={version}"
            self.write(f"{folder}/part.parquet", **values)
            self.register(full, version, folder)

    def answer(self, name: str) -> list[list[str | None]]:
        """The rows that a saved query gives."""
        query = next(each for each in lake_queries(self.stage, WORKLOAD) if each.name == name)
        self.database = query.database
        return self.rows(query.text)


@pytest.fixture(scope="module")
def stage(local_server: Any) -> Stage:
    stage = Stage(local_server)
    stage.fill()
    return stage


def test_every_query_runs(stage: Stage) -> None:
    for query in lake_queries(stage.stage, WORKLOAD):
        assert stage.answer(query.name), query.name


def test_counts_rows_per_version(stage: Stage) -> None:
    rows = stage.answer("rows-per-version")
    assert len(rows) == 2 * (len(WORKLOAD.sources) + 1)
    assert ["validated", "flights", "new", "5"] in rows
    assert ["curated", "features", "old", "4"] in rows


def test_counts_each_reason_of_a_row(stage: Stage) -> None:
    flights = [row[1:] for row in stage.answer("quarantine-by-reason") if row[0] == "flights"]
    assert flights == [["new", "bad", "2"], ["new", "worse", "1"], ["old", "bad", "1"]]


def test_the_newest_features_are_those_of_the_dataset_with_the_newest_event(stage: Stage) -> None:
    rows = stage.answer("newest-features")
    assert {row[0] for row in rows} == {"new"}
    assert [row[-1] for row in rows] == ["7", "6", "5", "4", "3", "2"]


def test_tells_the_balance_of_the_target(stage: Stage) -> None:
    found = {
        str(row[0]): [int(str(row[1])), int(str(row[2])), float(str(row[3]))] for row in stage.answer("target-balance")
    }
    assert found == {"new": [6, 3, 0.5], "old": [4, 2, 0.5]}
    days = stage.answer("target-by-day")
    assert [(str(row[0])[:10], row[1]) for row in days] == [(f"2013-01-{day:02}", "1") for day in range(3, 9)]


def test_tells_what_is_missing(stage: Stage) -> None:
    first = stage.answer("missing-values")[0]
    assert first[:2] == ["new", "6"]
    assert {float(str(share)) for share in first[2:]} == {0.0}
