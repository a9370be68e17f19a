"""Reads a workload's history as its data job does, and makes of it what was known at each instant of the story.

Run as a Glue job is (``local/engine/boot.py``), with one argument, a JSON file::

    {"batch_uri", "contract_uri", "bundle_uri", "lake_uri", "as_of", "schedule": {"unit", "rows", "start",
     "label_delay_seconds"}, "output"}

Files are checked and rows are validated or refused once, by the functions of the data job. For every instant the tables
are then cut to the rows of events before it, and only then joined to features, again by the data job's functions and
the workload's own: what lies behind an instant cannot be seen at it, whatever ``features.py`` does. The primary source
is cut by its event time, another one by the first time or date of its key, by ``settle.by`` or by its only time or
date; a source without any is a list that is known all along.

Writes ``known/<number>/``, the features as of the start (0) and of the end of each step, and ``steps.json``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import prepare_dataset as job
from constructs_lib.names.batch import canonical_instant, parse_instant
from gapless_glue import store
from gapless_glue.bundle import Bundle, load_bundle
from gapless_glue.contract import Contract, Source, parse_contract
from gapless_glue.dataset import EVENT_TIME, called, check_columns, instant_column
from gapless_glue.rules import parse_rules
from gapless_glue.validation import report_of
from local.story.schedule import Schedule, plan

TIMES = ("timestamp", "date")


class BadHistory(Exception):
    """The history is not fit to be told."""


def run(spark: SparkSession, asked: Mapping[str, Any]) -> None:
    """Check the history and write what was known when.

    Raises:
        BadHistory: Too many of its rows are refused, or a rule about a table does not hold.
        BadSchedule: It cannot be told in these steps.
        BadBatch: A file is not what it should be.
    """
    job.configure(spark)
    with tempfile.TemporaryDirectory() as folder:
        checked = make_job(spark, asked, Path(folder))
        validation = job.validate(checked)
        if not validation.accepted(checked.contract.max_quarantined_share):
            raise BadHistory(_why(report_of(validation), checked.contract))
        tables = by_event_time(checked, job.validated_tables(checked))
        output = Path(asked["output"])
        times = event_times(tables[checked.contract.primary], output / "times")
        steps = plan(read_schedule(asked["schedule"]), times, checked.contract.primary_source.time_zone)
        dropped = {}
        for number, as_of in enumerate([steps[0].begin, *(step.end for step in steps)]):
            dropped[number] = write_known(checked, tables, as_of, number, output / "known" / str(number))
        document = {
            "first": times[0].isoformat(),
            "rows": len(times),
            "dropped": {str(reason): rows for reason, rows in dropped[len(steps)].items() if reason is not None},
            "quarantined": {name: counts.quarantined for name, counts in validation.sources.items()},
            "steps": [
                {
                    "number": step.number,
                    "label": step.label,
                    "begin": step.begin.isoformat(),
                    "end": step.end.isoformat(),
                }
                for step in steps
            ],
        }
        (output / "steps.json").write_text(json.dumps(document, indent=1), encoding="utf-8")


def make_job(spark: SparkSession, asked: Mapping[str, Any], folder: Path) -> job.Job:
    """Give the run of the data job that validates the whole history."""
    contract = always_in_time(parse_contract(json.loads(store.read(asked["contract_uri"]))))
    bundle = load_bundle(asked["bundle_uri"], folder)
    zones = {
        f"{zone}_uri": f"{asked['lake_uri']}{zone}/" for zone in ("validated", "quarantine", "curated", "datasets")
    }
    options = job.Options(
        batch_uri=asked["batch_uri"],
        contract_uri=asked["contract_uri"],
        bundle_uri=asked["bundle_uri"],
        version="history",
        attempt="checked",
        as_of=asked["as_of"],
        engine="story",
        **zones,
    )
    batch = job.load_batch(options, contract)
    rules = parse_rules(bundle.rules, contract)
    return job.Job(spark, options, contract, bundle, batch, rules, job.Stopwatch())


def always_in_time(contract: Contract) -> Contract:
    """Give the contract without limits to how late a row may come: a history is read long after it was made."""
    sources = {
        name: replace(source, settle=replace(source.settle, late_after_days=None))
        if source.settle is not None
        else source
        for name, source in contract.sources.items()
    }
    return replace(contract, sources=sources)


def by_event_time(checked: job.Job, tables: Mapping[str, DataFrame]) -> dict[str, DataFrame]:
    """Give the tables, the primary source's rows with the event time that ``derive`` gives them beside."""
    contract, bundle = checked.contract, checked.bundle
    primary = tables[contract.primary]
    timed = _derived(contract, bundle, primary).withColumn(EVENT_TIME, F.col(contract.event_time))
    kept = timed.select(*primary.columns, EVENT_TIME).filter(F.col(EVENT_TIME).isNotNull())
    return {**tables, contract.primary: kept}


def _derived(contract: Contract, bundle: Bundle, primary: DataFrame) -> DataFrame:
    if not contract.derived or bundle.derive is None:
        return primary
    derived = called("derive", lambda derive: derive(primary), bundle.derive)
    check_columns("derive", derived, [contract.event_time])
    return derived


def event_times(primary: DataFrame, folder: Path) -> list[datetime]:
    """Give the event times in order."""
    primary.select(EVENT_TIME).orderBy(EVENT_TIME).coalesce(1).write.mode("overwrite").parquet(f"file://{folder}")
    found = pq.read_table(folder)[EVENT_TIME].cast("timestamp[us]").to_pylist()
    return [each.replace(tzinfo=UTC) for each in sorted(found)]


def write_known(
    checked: job.Job, tables: Mapping[str, DataFrame], as_of: datetime, number: int, folder: Path
) -> dict[str | None, int]:
    """Write the features as the data job would have made them at an instant; give rows by why they were dropped."""
    moment = canonical_instant(as_of.isoformat())
    then = replace(checked, options=replace(checked.options, as_of=moment, attempt=f"known-{number}"))
    cut = {name: known_at(then.contract, name, rows, as_of) for name, rows in tables.items()}
    dropped = job.write_curated(then, cut, job.write_groups(then, cut))
    written = Path(store.local_path(then.options.zone("curated", "features")))
    folder.parent.mkdir(parents=True, exist_ok=True)
    written.rename(folder)
    return dropped


def known_at(contract: Contract, name: str, rows: DataFrame, as_of: datetime) -> DataFrame:
    """Give the rows of a source that lie before an instant."""
    if name == contract.primary:
        return rows.filter(F.col(EVENT_TIME) < instant_column(as_of)).drop(EVENT_TIME)
    time = time_of(contract.sources[name])
    return rows if time is None else rows.filter(F.col(time).cast("timestamp") < instant_column(as_of))


def time_of(source: Source) -> str | None:
    """Give the column that says when a row of a source could be known; None for a list that is known all along."""
    in_key = [name for name in source.key if source.type_of(name) in TIMES]
    if in_key:
        return in_key[0]
    if source.settle is not None:
        return source.settle.by
    all_times = [column.name for column in source.columns if column.type in TIMES]
    return all_times[0] if len(all_times) == 1 else None


def read_schedule(asked: Mapping[str, Any]) -> Schedule:
    """Read the schedule out of the argument."""
    return Schedule(
        unit=asked["unit"],
        rows=asked["rows"],
        start=parse_instant(asked["start"]) if asked["start"] is not None else None,
        label_delay=timedelta(seconds=asked["label_delay_seconds"]),
    )


def _why(report: Mapping[str, Any], contract: Contract) -> str:
    reasons = []
    for name, counts in report["sources"].items():
        if counts["quarantined"]:
            most = sorted(counts["reasons"].items(), key=lambda item: -item[1])[:3]
            told = "; ".join(f"{reason} ({rows} rows)" for reason, rows in most)
            reasons.append(f"{name}: {counts['quarantined']} of {counts['rows_in']} rows are refused: {told}")
    allowed = f"at most {contract.max_quarantined_share:.0%} of the rows may be, and every rule about a table must hold"
    return f"{'; '.join(reasons) or 'a rule about a table does not hold'} (allowed: {allowed})"


def main() -> None:
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    run(SparkSession.builder.getOrCreate(), asked)


if __name__ == "__main__":
    main()
