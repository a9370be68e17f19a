"""A workload's history, step by step, as it was known at each instant."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from constructs_lib.names.bundle import build_bundle
from constructs_lib.names.workload_file import EVENT_TIME_COLUMN as EVENT_TIME
from constructs_lib.names.workload_file import ROW_ID_COLUMN as ROW_ID
from constructs_lib.names.workload_file import WorkloadFile
from gapless_glue.splits import SPLITS, PeriodCount, plan_splits
from local.errors import Failure, UserError
from local.processes import child
from local.settings import CHECKOUT
from local.story.schedule import Schedule, Step

BOOT: Final = CHECKOUT / "local" / "engine" / "boot.py"
_KEPT: Final = 3
"""Tables that stay in memory: those of the steps that a back-test looks at."""
_SCRIPT: Final = Path(__file__).with_name("cut_history.py")
_OF_THE_USER: Final = ("BadHistory", "BadSchedule", "BadBatch", "BadSchema", "BadBundle", "BadRules", "BadRecords")
"""What is wrong with files, rows, scripts or steps, and no defect of the story."""


@dataclass(frozen=True)
class Place:
    """A folder of the story and what is read from it.

    Attributes:
        folder: Everything is written below it.
        workload_dir: The workload's scripts.
        batch: The folder with ``_batch.json`` and the files of the whole history.
        as_of: An instant after everything.
    """

    folder: Path
    workload_dir: Path
    batch: Path
    as_of: str


@dataclass(frozen=True)
class History:
    """What was known when.

    Attributes:
        steps: The steps, in order.
        first: The first event.
        label_delay: How long after an event it is known what came true.
        facts: What was found about the whole history.
    """

    folder: Path
    workload: WorkloadFile
    steps: Sequence[Step]
    first: dt.datetime
    label_delay: dt.timedelta
    facts: dict[str, Any]

    def as_of(self, step: int) -> dt.datetime:
        """The instant at which a step ends; that of step 0 is the start of the story."""
        return self.steps[step - 1].end if step else self.steps[0].begin

    def known(self, step: int) -> pa.Table:
        """Every row of events before the end of a step, with its target, in order."""
        return _read_known(self.folder / "known" / str(step))

    def served(self, step: int) -> pa.Table:
        """The rows of a step, as the model is asked about them; the target is what comes true later."""
        return between(self.known(step), self.steps[step - 1].begin, self.steps[step - 1].end)

    def labelled(self, step: int) -> pa.Table:
        """The rows whose target is known at the end of a step."""
        return between(self.known(step), None, self.as_of(step) - self.label_delay)


@lru_cache(maxsize=_KEPT)
def _read_known(folder: Path) -> pa.Table:
    return pq.read_table(folder).sort_by([(EVENT_TIME, "ascending"), (ROW_ID, "ascending")])


def between(table: pa.Table, begin: dt.datetime | None, end: dt.datetime | None) -> pa.Table:
    """Rows of events from one instant on and before another."""
    times = _micros(table)
    if begin is not None:
        table, times = _where(table, times, pc.greater_equal(times, _micro(begin)))
    if end is not None:
        table, times = _where(table, times, pc.less(times, _micro(end)))
    return table


def _where(table: pa.Table, times: pa.ChunkedArray, mask: pa.ChunkedArray) -> tuple[pa.Table, pa.ChunkedArray]:
    return table.filter(mask), times.filter(mask)


def _micros(table: pa.Table) -> pa.ChunkedArray:
    """Event times as microseconds since 1970; times without a zone are UTC."""
    kind = table.schema.field(EVENT_TIME).type
    return table[EVENT_TIME].cast(pa.timestamp("us", tz=kind.tz)).cast(pa.int64())


def _micro(instant: dt.datetime) -> int:
    return round(instant.timestamp() * 1_000_000)


def event_times(table: pa.Table) -> list[dt.datetime]:
    """When the events of rows were, in UTC."""
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return [epoch + dt.timedelta(microseconds=each) for each in _micros(table).to_pylist()]


def write_splits(table: pa.Table, workload: WorkloadFile, folder: Path) -> dict[str, int]:
    """Write rows as the splits of a dataset, by the shares that the workload names; give their rows.

    Raises:
        TooFewRows: They cannot be split by time.
    """
    hour = 3_600_000_000
    grouped = pa.table({"hour": pc.floor(pc.divide(_micros(table).cast(pa.float64()), hour)), "time": _micros(table)})
    counted = grouped.group_by("hour").aggregate([("time", "count"), ("time", "min"), ("time", "max")])
    counts = [
        PeriodCount(int(row["hour"]), row["time_count"], None, row["time_min"], row["time_max"])
        for row in counted.to_pylist()
    ]
    rows = {}
    for split in plan_splits(counts, workload.split.validation, workload.split.test):
        chosen = between(
            table, dt.datetime.fromtimestamp(split.start, dt.UTC), dt.datetime.fromtimestamp(split.end, dt.UTC)
        )
        target = folder / split.name
        target.mkdir(parents=True)
        pq.write_table(chosen, target / "part-0.parquet", compression="zstd")
        rows[split.name] = chosen.num_rows
    assert tuple(rows) == SPLITS  # noqa: S101 - what plan_splits promises
    return rows


def read_history(place: Place, workload: WorkloadFile, schedule: Schedule) -> History:
    """Check the files of a history and find out what was known when; in a process of its own, as the data job runs.

    Raises:
        UserError: Files, scripts, rules or steps are not what they should be.
        Failure: The job failed otherwise.
    """
    if workload.preparation.features is not None:
        raise UserError("preparation.features: a story makes features by features.py, not by a recipe or flow")
    output = place.folder / "history"
    output.mkdir(parents=True)
    (place.folder / "contract.json").write_text(workload.contract_json(), encoding="utf-8")
    bundle = _bundle(place, workload)
    asked = {
        "batch_uri": f"file://{place.batch}/_batch.json",
        "contract_uri": f"file://{place.folder}/contract.json",
        "bundle_uri": f"file://{bundle}",
        "lake_uri": f"file://{place.folder}/lake/",
        "as_of": place.as_of,
        "schedule": {
            "unit": schedule.unit,
            "rows": schedule.rows,
            "start": schedule.start.isoformat() if schedule.start is not None else None,
            "label_delay_seconds": schedule.label_delay.total_seconds(),
        },
        "output": str(output),
    }
    (place.folder / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
    _run_job(place.folder)
    found = json.loads((output / "steps.json").read_text(encoding="utf-8"))
    steps = [
        Step(
            each["number"],
            each["label"],
            dt.datetime.fromisoformat(each["begin"]),
            dt.datetime.fromisoformat(each["end"]),
        )
        for each in found["steps"]
    ]
    first = dt.datetime.fromisoformat(found["first"])
    return History(output, workload, steps, first, schedule.label_delay, found)


def _bundle(place: Place, workload: WorkloadFile) -> Path:
    try:
        bundle = build_bundle(place.workload_dir)
    except ValueError as error:
        raise UserError(str(error)) from error
    path = place.folder / "bundles" / bundle.key(workload.name)
    path.parent.mkdir(parents=True)
    path.write_bytes(bundle.content)
    return path


def _run_job(folder: Path) -> None:
    failure = folder / "failure.json"
    paths = [part for name in ("glue_jobs", "") for part in ("--module-path", str(CHECKOUT / name))]
    command = [sys.executable, "-I", str(BOOT), "--engine", "sail", "--failure", str(failure), *paths]
    with (
        (folder / "history.log").open("wb") as log,
        child(
            [*command, str(_SCRIPT), str(folder / "asked.json")],
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "LANG": "C.UTF-8", "TMPDIR": str(folder)},
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        status = process.wait()
    if status:
        told = json.loads(failure.read_text())["message"] if failure.is_file() else f"exit code {status}"
        name, _, text = told.partition(": ")
        if name in _OF_THE_USER:
            raise UserError(text)
        raise Failure(f"the history could not be read: {told}; see {folder / 'history.log'}")
