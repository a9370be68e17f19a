"""Steps by the calendar and by rows, and the files of a history."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from constructs_lib.names.workload_file import WorkloadFile
from local.errors import UserError
from local.settings import CHECKOUT
from local.story.command import find_workload, parse_schedule
from local.story.data import find_data
from local.story.schedule import BadSchedule, Schedule, plan
from tests.local.story.drifting import history, write_workload

HOUR = dt.timedelta(hours=1)
BEGIN = dt.datetime(2013, 1, 1, 5, tzinfo=dt.UTC)
YEAR = [BEGIN + number * HOUR for number in range(365 * 24)]
NEW_YORK = "America/New_York"


def test_months_begin_at_midnight_of_the_workloads_time_zone() -> None:
    steps = plan(Schedule("month"), YEAR, NEW_YORK)
    assert [step.label for step in steps] == [f"2013-{month:02}" for month in range(4, 13)]
    assert steps[0].begin == dt.datetime(2013, 4, 1, 4, tzinfo=dt.UTC)
    assert steps[-1].end == dt.datetime(2014, 1, 1, 5, tzinfo=dt.UTC)
    assert all(before.end == after.begin for before, after in pairwise(steps))


def test_a_start_within_a_month_makes_a_shorter_first_step() -> None:
    steps = plan(Schedule("month", start=dt.datetime(2013, 5, 20, tzinfo=dt.UTC)), YEAR, NEW_YORK)
    assert steps[0].begin == dt.datetime(2013, 5, 20, tzinfo=dt.UTC)
    assert steps[0].end == dt.datetime(2013, 6, 1, 4, tzinfo=dt.UTC)


def test_weeks_begin_on_monday_also_when_clocks_change() -> None:
    steps = plan(Schedule("week"), YEAR, NEW_YORK)
    assert {step.begin.astimezone(dt.UTC).hour for step in steps} == {4, 5}
    assert all(step.begin.astimezone(dt.UTC).weekday() == 0 for step in steps)


def test_steps_by_rows_keep_rows_of_one_instant_together() -> None:
    times = [BEGIN + (number // 3) * HOUR for number in range(40)]
    steps = plan(Schedule(None, rows=10), times, "UTC")
    counts = [sum(step.begin <= time < step.end for time in times) for step in steps]
    assert sum(counts) == sum(time >= steps[0].begin for time in times)
    assert all(count % 3 == 0 for count in counts[:-1])
    assert all(9 <= count <= 12 for count in counts[:-1])


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        (Schedule("year"), r"there are \d steps of a year \(allowed: 2 to 200\)"),
        (Schedule("day"), r"there are \d+ steps of a day \(allowed: 2 to 200\)"),
        (
            Schedule("month", start=dt.datetime(2015, 1, 1, tzinfo=dt.UTC)),
            r"start 2015-01-01T00:00:00Z \(allowed: after",
        ),
        (Schedule(None, rows=100_000), r"there are 1 steps of 100000 rows"),
    ],
)
def test_refuses_a_history_that_cannot_be_told_so(schedule: Schedule, told: str) -> None:
    with pytest.raises(BadSchedule, match=told):
        plan(schedule, YEAR, NEW_YORK)


def test_refuses_two_kinds_of_step_and_an_unknown_one() -> None:
    with pytest.raises(UserError, match="a step is one of both"):
        parse_schedule("week", 5, None, 1.0)
    with pytest.raises(UserError, match=r"--every 'fortnight' \(allowed: day, week, month, quarter, year\)"):
        parse_schedule("fortnight", None, None, 1.0)


@pytest.fixture
def drifting(tmp_path: Path) -> Path:
    write_workload(tmp_path / "drifting", history()[:20])
    return tmp_path / "drifting"


def read(folder: Path) -> WorkloadFile:
    return WorkloadFile.load(folder / "workload.yaml")


def test_takes_a_file_per_source_and_tables_in_parquet(drifting: Path, tmp_path: Path) -> None:
    times = pa.array([at for at, _, _ in history()[:20]], pa.timestamp("us", tz="UTC"))
    table = pa.table({"event": list(range(20)), "at": times, "x": [0.5] * 20, "y": [1.5] * 20})
    (drifting / "data" / "events.csv").unlink()
    pq.write_table(table, drifting / "data" / "events.parquet")
    found = find_data(read(drifting), drifting, drifting / "data", tmp_path / "out")
    batch = json.loads((found.folder / "_batch.json").read_text())
    assert [file["source"] for file in batch["files"]] == ["events", "days"]
    lines = gzip.decompress((found.folder / batch["files"][0]["key"]).read_bytes()).decode().splitlines()
    assert lines[0] == '"event","at","x","y"'
    assert len(lines) == 21


def test_says_which_source_has_no_file(drifting: Path, tmp_path: Path) -> None:
    (drifting / "data" / "days.csv").rename(drifting / "data" / "day.csv")
    with pytest.raises(UserError, match=r"no file of source days: there is day.csv, events.csv \(allowed: days.csv"):
        find_data(read(drifting), drifting, drifting / "data", tmp_path / "out")


def test_asks_for_data_where_no_script_makes_them(drifting: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no batch.py .* one file for each of events, days"):
        find_data(read(drifting), drifting, None, tmp_path / "out")


def test_lets_the_workloads_own_script_write_the_data(tmp_path: Path) -> None:
    folder = CHECKOUT / "workloads" / "loan_approval"
    found = find_data(read(folder), folder, None, tmp_path / "out")
    assert found.as_of == "1991-01-01T00:00:00Z"
    assert (found.folder / "applications.csv.gz").is_file()


def test_refuses_a_workload_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"workload 'flight' does not exist \(there are: flight_delays, loan_approval"):
        find_workload("flight")
