"""The data job: a landed batch becomes validated tables, a quarantine, features and a dataset split by time.

Runs as it is on AWS Glue 5.1 (Spark 3.5) and on any Spark Connect server. It publishes nothing: everything goes below
``version=…/attempt=…``, and the last object that it writes is the candidate manifest.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import reduce
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gapless_glue import store
from gapless_glue.batch import Batch, canonical_instant, dataset_version, parse_batch, parse_instant
from gapless_glue.bundle import Bundle, load_bundle
from gapless_glue.contract import Contract, canonical_json, load_contract
from gapless_glue.dataset import (
    count_dropped,
    count_hours,
    dataset_columns,
    dataset_schema,
    feature_rows,
    known_in_time,
    primary_rows,
    split_rows,
)
from gapless_glue.digest import digest_sums, digest_text
from gapless_glue.errors import BadBatch, BadVersion, RowsLost
from gapless_glue.feature_groups import Records, join_groups, write_records
from gapless_glue.landing import stage
from gapless_glue.profile import profile
from gapless_glue.rules import SourceRule, parse_analyzers, parse_rules
from gapless_glue.splits import SPLITS, SplitPlan, plan_splits
from gapless_glue.typed import REASONS, validated_schema
from gapless_glue.validation import (
    Validation,
    conclude,
    count_reasons,
    judged_source,
    measure_tables,
    report_of,
    write_zones,
)

SESSION = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.compression.codec": "zstd",
}
ROWS_PER_FILE = 1_000_000
MOST_FILES = 64


@dataclass(frozen=True)
class Options:
    """The job's arguments; every ``*_uri`` of a zone is ``s3://bucket/<workload>/``.

    Attributes:
        batch_uri: Where ``_batch.json`` is.
        contract_uri: Where the contract's JSON file is.
        bundle_uri: ``…/<sha256>/sourcedir.tar.gz``.
        version: The dataset's version as the check of the batch computed it.
        attempt: Names this run among all runs for the version.
        as_of: The instant that stands for now, ISO 8601 with an offset.
        engine: Names the code and engine that make the dataset; part of the version.
    """

    batch_uri: str
    contract_uri: str
    bundle_uri: str
    version: str
    attempt: str
    as_of: str
    engine: str
    validated_uri: str
    quarantine_uri: str
    curated_uri: str
    datasets_uri: str

    @property
    def run(self) -> str:
        """The part of every path that belongs to this run alone."""
        return f"version={self.version}/attempt={self.attempt}/"

    @property
    def dataset_uri(self) -> str:
        return f"{self.datasets_uri}{self.version}/attempt={self.attempt}/"

    def zone(self, zone: str, table: str) -> str:
        """Returns where this run writes a table of the validated, quarantine or curated zone."""
        return f"{getattr(self, zone + '_uri')}{table}/{self.run}"


def parse_options(argv: Sequence[str]) -> Options:
    """Reads ``--name value`` pairs; what Glue adds for itself is ignored."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for option in fields(Options):
        parser.add_argument(f"--{option.name}", required=True)
    known, _ = parser.parse_known_args(argv)
    return Options(**vars(known))


@dataclass
class Stopwatch:
    """Seconds per phase, for the report only."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)


@dataclass(frozen=True)
class Split:
    """A written split."""

    plan: SplitPlan
    manifest_uri: str
    digest: str


@dataclass(frozen=True)
class Job:
    """What one run works with."""

    spark: SparkSession
    options: Options
    contract: Contract
    bundle: Bundle
    batch: Batch
    rules: Sequence[SourceRule]
    clock: Stopwatch


def run(spark: SparkSession, options: Options) -> None:
    """Makes the dataset of one batch, or a report that says why there is none.

    Raises:
        JobError: The batch, its files, the bundle or the version is not what it should be, or rows were lost.
    """
    configure(spark)
    clock = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        with clock.phase("loading"):
            contract = load_contract(options.contract_uri)
            bundle = load_bundle(options.bundle_uri, Path(folder))
            batch = load_batch(options, contract)
            check_version(options, contract, bundle, batch)
            rules = parse_rules(bundle.rules, contract)
        job = Job(spark, options, contract, bundle, batch, rules, clock)
        validation = validate(job)
        if validation.accepted(contract.max_quarantined_share):
            prepare(job, validation)
        else:
            write_report(job, validation, no_phases())


def configure(spark: SparkSession) -> None:
    """Makes every engine read times as UTC, refuse silent overflow and write plain Parquet."""
    for name, value in SESSION.items():
        spark.conf.set(name, value)


def load_batch(options: Options, contract: Contract) -> Batch:
    """Fetches and checks ``_batch.json``."""
    try:
        text = store.read(options.batch_uri)
    except FileNotFoundError as error:
        raise BadBatch(f"there is no batch at {options.batch_uri}") from error
    return parse_batch(text, options.batch_uri, contract)


def check_version(options: Options, contract: Contract, bundle: Bundle, batch: Batch) -> None:
    """Computes the version again.

    Raises:
        BadVersion: It is another than the job was started for.
    """
    version = dataset_version(batch.files, contract, as_of=options.as_of, bundle=bundle.digest, engine=options.engine)
    if version != options.version:
        raise BadVersion(f"the inputs make version {version}, the job was started for {options.version}")


def validate(job: Job) -> Validation:
    """Checks and stages the files, writes valid and refused rows, and counts what was written."""
    staging = f"{job.options.dataset_uri}_staging/"
    now = parse_instant(job.options.as_of)
    sources = job.contract.sources
    try:
        with job.clock.phase("landing_check"):
            rows_in = {name: stage(job.batch, source, f"{staging}{name}/") for name, source in sources.items()}
        with job.clock.phase("validation"):
            for name, source in sources.items():
                judged = judged_source(job.spark, f"{staging}{name}/", source, job.rules, now)
                write_zones(judged, source, job.options.zone("validated", name), job.options.zone("quarantine", name))
            refused = count_reasons(read_written(job, "quarantine", dict.fromkeys(sources, f"{REASONS} string")))
            analyzers = parse_analyzers(job.bundle.rules, job.contract)
            measured = measure_tables(validated_tables(job), job.rules, now=now, analyzers=analyzers)
            return conclude(job.contract, job.rules, rows_in, refused, measured)
    finally:
        store.store_of(staging).remove(staging)


def validated_tables(job: Job) -> dict[str, DataFrame]:
    """The valid rows of every source that has any."""
    return read_written(
        job, "validated", {name: validated_schema(source) for name, source in job.contract.sources.items()}
    )


def read_written(job: Job, zone: str, schemas: Mapping[str, str]) -> dict[str, DataFrame]:
    """Reads back the tables of a zone that this run wrote; a table without rows has no files and is left out."""
    places = {name: job.options.zone(zone, name) for name in schemas}
    return {
        name: job.spark.read.schema(schemas[name]).parquet(place) for name, place in places.items() if data_files(place)
    }


def data_files(folder_uri: str) -> list[str]:
    """The Parquet files in a folder, relative to it, sorted."""
    uris = store.store_of(folder_uri).list(folder_uri)
    return [uri.removeprefix(folder_uri) for uri in uris if uri.endswith(".parquet")]


def prepare(job: Job, validation: Validation) -> None:
    """Writes curated features, the three splits, profile, report and candidate manifest."""
    with job.clock.phase("cleaning"):
        tables = validated_tables(job)
        records = write_records(
            job.contract,
            job.bundle,
            tables,
            lambda group: job.options.zone("curated", group),
            parse_instant(job.options.as_of),
        )
        dropped = write_curated(job, validation, tables, records)
        curated = read_dataset(job, job.options.zone("curated", "features"))
    with job.clock.phase("splitting"):
        plans = plan_curated(job, curated, dropped)
        splits = write_splits(job, curated, plans)
    with job.clock.phase("exploration"):
        described = profile(curated, job.contract.features, job.contract.target)
        write_json(f"{job.options.dataset_uri}profile.json", {"version": job.options.version, **described})
    phases = {
        "exploration": exploration(job, described),
        "cleaning": cleaning(validation.sources[job.contract.primary].validated, dropped),
        "splitting": {split.plan.name: split_report(split) for split in splits},
    }
    groups = {"feature_groups": {name: each.told() for name, each in records.items()}} if records else {}
    write_report(job, validation, {**phases, **groups})
    write_json(f"{job.options.dataset_uri}manifest.json", {**manifest(job, splits), **groups})


def write_curated(
    job: Job, validation: Validation, tables: Mapping[str, DataFrame], records: Mapping[str, Records]
) -> dict[str | None, int]:
    """Writes the features of all usable rows; returns rows per reason for dropping them.

    Raises:
        RowsLost: The primary source's rows did not all come through.
    """
    contract = job.contract
    primary = primary_rows(contract, job.bundle, tables[contract.primary], parse_instant(job.options.as_of))
    primary = join_groups(contract, primary, records)
    dropped = count_dropped(primary)
    validated = validation.sources[contract.primary].validated
    if sum(dropped.values()) != validated:
        raise RowsLost(f"{validated} rows of {contract.primary} were validated, derive gave {sum(dropped.values())}")
    joined = known_in_time(contract, tables) | {contract.primary: primary}
    rows = feature_rows(contract, job.bundle, joined)
    rows.coalesce(files_for(dropped.get(None, 0))).write.mode("overwrite").parquet(
        job.options.zone("curated", "features")
    )
    return dropped


def read_dataset(job: Job, folder_uri: str) -> DataFrame:
    """Reads back rows of the dataset."""
    return job.spark.read.schema(dataset_schema(job.contract)).parquet(folder_uri)


def plan_curated(job: Job, curated: DataFrame, dropped: Mapping[str | None, int]) -> list[SplitPlan]:
    """Finds the bounds of the splits.

    Raises:
        RowsLost: There are more or fewer rows with features than rows that were kept.
        TooFewRows: The rows cannot be split.
    """
    hours = count_hours(curated, job.contract.target)
    found, kept = sum(hour.rows for hour in hours), dropped.get(None, 0)
    if found != kept:
        raise RowsLost(f"{kept} rows of {job.contract.primary} were kept, features gave {found}")
    return plan_splits(hours, job.contract.validation_share, job.contract.test_share)


def write_splits(job: Job, curated: DataFrame, plans: Sequence[SplitPlan]) -> list[Split]:
    """Writes each split and its SageMaker manifest, reads all back and digests them in one pass.

    Raises:
        RowsLost: A split does not have the planned number of rows.
    """
    for plan in plans:
        rows = split_rows(curated, plan).coalesce(files_for(plan.rows))
        rows.write.mode("overwrite").parquet(f"{job.options.dataset_uri}{plan.name}")
    columns = dataset_columns(job.contract)
    digests = [
        read_dataset(job, f"{job.options.dataset_uri}{plan.name}").agg(
            F.lit(plan.name).alias("split"), F.count(F.lit(1)).alias("rows"), *digest_sums(columns)
        )
        for plan in plans
    ]
    found = {row["split"]: row for row in reduce(DataFrame.unionAll, digests).collect()}
    splits = []
    for plan in plans:
        row = found[plan.name]
        if row["rows"] != plan.rows:
            raise RowsLost(f"split {plan.name}: {plan.rows} rows were planned, {row['rows']} are written")
        digest = digest_text(columns, row["rows"], [row["sum_a"], row["sum_b"]])
        splits.append(Split(plan, write_split_manifest(job, plan.name), digest))
    return splits


def write_split_manifest(job: Job, split: str) -> str:
    """Writes the manifest that SageMaker reads a split by; returns its URI."""
    folder = job.options.dataset_uri
    files = [f"{split}/{name}" for name in data_files(f"{folder}{split}/")]
    uri = f"{folder}{split}.manifest"
    write_json(uri, [{"prefix": folder}, *files])
    return uri


def files_for(rows: int) -> int:
    """How many files a table of so many rows is written to, at most (an engine may make a few more)."""
    return max(1, min(MOST_FILES, -(-rows // ROWS_PER_FILE)))


def exploration(job: Job, described: Mapping[str, Any]) -> dict[str, Any]:
    """The exploration's part of the report; the profile itself is a file of its own."""
    return {
        "rows": described["rows"],
        "columns": len(described["columns"]),
        "profile_uri": f"{job.options.dataset_uri}profile.json",
        "warnings": described["warnings"],
    }


def cleaning(rows_in: int, dropped: Mapping[str | None, int]) -> dict[str, Any]:
    """The cleaning's part of the report."""
    changes = dict(sorted((reason, count) for reason, count in dropped.items() if reason is not None))
    return {"rows_in": rows_in, "rows_out": dropped.get(None, 0), "changes": changes}


def split_report(split: Split) -> dict[str, Any]:
    """What report and manifest say of a split."""
    plan = split.plan
    return {"rows": plan.rows, "from": plan.first, "to": plan.last, "positives": plan.positives, "digest": split.digest}


def no_phases() -> dict[str, Any]:
    """The phases of a batch that was not accepted: nothing was made of it."""
    nothing = {"rows": 0, "from": None, "to": None, "positives": 0, "digest": None}
    return {
        "exploration": {"rows": 0, "columns": 0, "profile_uri": None, "warnings": []},
        "cleaning": {"rows_in": 0, "rows_out": 0, "changes": {}},
        "splitting": dict.fromkeys(SPLITS, nothing),
    }


def write_report(job: Job, validation: Validation, phases: Mapping[str, Any]) -> None:
    """Writes ``report.json``."""
    report = {
        "version": job.options.version,
        "attempt": job.options.attempt,
        "as_of": canonical_instant(job.options.as_of),
        "batch_uri": job.options.batch_uri,
        "seconds": job.clock.seconds,
        "phases": {"validation": report_of(validation), **phases},
    }
    write_json(f"{job.options.dataset_uri}report.json", report)


def manifest(job: Job, splits: Sequence[Split]) -> dict[str, Any]:
    """The candidate manifest: all that a reader of the dataset needs."""
    options, contract = job.options, job.contract
    return {
        "workload": contract.name,
        "version": options.version,
        "attempt": options.attempt,
        "as_of": canonical_instant(options.as_of),
        "inputs": [
            {"source": file.source, "key": file.key, "sha256": file.sha256, "bytes": file.bytes}
            for file in job.batch.files
        ],
        "bundle": job.bundle.digest,
        "contract_digest": contract.digest,
        "engine": options.engine,
        "splits": {split.plan.name: {"manifest_uri": split.manifest_uri, **split_report(split)} for split in splits},
        "tables": tables(options, contract),
        "report_uri": f"{options.dataset_uri}report.json",
        "profile_uri": f"{options.dataset_uri}profile.json",
    }


def tables(options: Options, contract: Contract) -> list[dict[str, str]]:
    """The partitions that this run wrote; a table without rows has none."""
    written = [("validated", name) for name in contract.sources] + [("quarantine", name) for name in contract.sources]
    places = [(zone, name, options.zone(zone, name)) for zone, name in [*written, ("curated", "features")]]
    return [
        {"zone": zone, "table": f"{contract.name}_{name}", "location": place}
        for zone, name, place in places
        if data_files(place)
    ]


def write_json(uri: str, content: Any) -> None:
    """Writes a value as canonical JSON."""
    store.store_of(uri).write(uri, canonical_json(content))


def main() -> None:
    options = parse_options(sys.argv[1:])
    print(json.dumps({"job": "prepare_dataset", "version": options.version, "attempt": options.attempt}))  # noqa: T201
    run(SparkSession.builder.getOrCreate(), options)


if __name__ == "__main__":
    main()
