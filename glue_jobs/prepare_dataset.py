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
from dataclasses import MISSING, dataclass, field, fields
from functools import partial, reduce
from itertools import chain
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from constructs_lib.names.batch import NO_PARENT, canonical_instant, canonical_json, dataset_version, parse_instant
from constructs_lib.names.relabelled import NO_ANSWERS
from gapless_glue import store
from gapless_glue.accumulation import (
    Own,
    Parent,
    Places,
    carried_tables,
    days_of,
    grow,
    lineage,
    load_parent,
    plan_days,
    split_digest,
    split_manifest,
    write_lists,
)
from gapless_glue.answers import NOTHING, Answers, count_corrected, load_answers, put_in
from gapless_glue.around import judge_around
from gapless_glue.batch import Batch, parse_batch
from gapless_glue.bundle import Bundle, load_bundle
from gapless_glue.contract import Contract, Source, parse_contract
from gapless_glue.dataset import (
    count_hours,
    dataset_columns,
    dataset_schema,
    files_for,
    primary_rows,
    split_rows,
    write_features,
)
from gapless_glue.digest import digest_sums, digest_text
from gapless_glue.drift import find_drift, handling_of
from gapless_glue.earlier import read_earlier
from gapless_glue.errors import BadBatch, BadVersion, RowsLost
from gapless_glue.feature_groups import Records, join_groups, write_records
from gapless_glue.landing import stage
from gapless_glue.no_code import Handover, hand_over, take_over, write_handover, write_returned
from gapless_glue.profile import compare_with_last, profile, target_in
from gapless_glue.rules import SourceRule, judging_order, of_source, parse_analyzers, parse_rules
from gapless_glue.splits import SPLITS, SplitPlan, plan_splits
from gapless_glue.typed import REASONS, validated_schema
from gapless_glue.validation import (
    Validation,
    conclude,
    count_reasons,
    judged_source,
    measure_tables,
    report_of,
    staged_rows,
    write_zones,
)

SESSION = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.python.sql.dataFrameDebugging.enabled": "false",
}
MOST_WARNINGS = 20


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
        parent: The version of the dataset that the batch is added to, or ``none``.
        returned_uri: Where the features are that a recipe or flow made of what an earlier run of the attempt handed
            over. Default: this is the first run.
        answers_uri: What people have answered of served rows. Default: nothing.
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
    parent: str = NO_PARENT
    returned_uri: str = ""
    answers_uri: str = NO_ANSWERS

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
        required = option.default is MISSING
        parser.add_argument(f"--{option.name}", required=required, default=None if required else option.default)
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
    parent: Parent | None = None
    answers: Answers = NOTHING

    @property
    def present(self) -> dict[str, Source]:
        """The sources of which the batch holds files: all of them, unless it is added to a parent."""
        found = {file.source for file in self.batch.files}
        return {name: source for name, source in self.contract.sources.items() if name in found}

    def carried(self) -> dict[str, tuple[str, DataFrame]]:
        """Folder and valid rows of the sources that come from the parent."""
        return carried_tables(self.spark, self.contract, self.bundle, self.parent, self.present)


def run(spark: SparkSession, options: Options) -> None:
    """Makes the dataset of one batch, or a report that says why there is none.

    Raises:
        BadBatch: The batch or one of its files is not what it should be.
        JobError: The bundle or the version is not what it should be, or rows were lost.
    """
    configure(spark)
    clock = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        with clock.phase("loading"):
            contract = parse_contract(json.loads(store.read(options.contract_uri)))
            bundle = load_bundle(options.bundle_uri, Path(folder))
            batch = load_batch(options, contract)
            answers = load_answers(options.answers_uri, contract, options.as_of)
            check_version(options, contract, bundle, batch, answers)
            rules = parse_rules(bundle.rules, contract)
            parent = load_parent(options.datasets_uri, options.parent)
        job = Job(spark, options, contract, bundle, batch, rules, clock, parent, answers)
        if options.returned_uri:
            go_on(job)
            return
        validation = validate(job)
        if not validation.accepted(contract.max_quarantined_share):
            write_report(job, report_of(validation), no_phases())
        elif contract.features_by is not None:
            make_way(job, report_of(validation))
        else:
            prepare(job, report_of(validation))


def configure(spark: SparkSession) -> None:
    """Makes every engine read times as UTC, refuse silent overflow and write plain Parquet, and look up no callers."""
    for name, value in SESSION.items():
        spark.conf.set(name, value)


def load_batch(options: Options, contract: Contract) -> Batch:
    """Fetches and checks ``_batch.json``."""
    try:
        text = store.read(options.batch_uri)
    except FileNotFoundError as error:
        raise BadBatch(f"there is no batch at {options.batch_uri}") from error
    needed = list(contract.sources) if options.parent == NO_PARENT else [contract.primary]
    return parse_batch(text, options.batch_uri, contract, needed=needed)


def check_version(options: Options, contract: Contract, bundle: Bundle, batch: Batch, answers: Answers) -> None:
    """Computes the version again.

    Raises:
        BadVersion: It is another than the job was started for.
    """
    version = dataset_version(
        batch.files,
        window_days=contract.window_days,
        contract_digest=contract.digest,
        as_of=options.as_of,
        bundle=bundle.digest,
        engine=options.engine,
        parent=options.parent,
        answers=answers.digest,
    )
    if version != options.version:
        raise BadVersion(f"the inputs make version {version}, the job was started for {options.version}")


def validate(job: Job) -> Validation:
    """Checks and stages the files, writes valid and refused rows, and counts what was written."""
    staging = f"{job.options.dataset_uri}_staging/"
    now = parse_instant(job.options.as_of)
    sources = job.present
    rules = [rule for rule in job.rules if rule.source in sources]
    try:
        with job.clock.phase("landing_check"):
            staged = {name: stage(job.batch, source, f"{staging}{name}/") for name, source in sources.items()}
        with job.clock.phase("validation"):
            drifts = {
                name: find_drift(staged_rows(job.spark, f"{staging}{name}/", source), source, staged[name])
                for name, source in sources.items()
            }
            for source in [sources[name] for name in judging_order(sources, rules)]:
                name = source.name
                handling = handling_of(drifts[name], staged[name])
                judged = judged_source(job.spark, f"{staging}{name}/", source, rules, now, handling)
                judged = judge_around(judged, source, of_source(rules, name), written_before(job, name))
                write_zones(judged, source, job.options.zone("validated", name), job.options.zone("quarantine", name))
            refused = count_reasons(read_written(job, "quarantine", dict.fromkeys(sources, f"{REASONS} string")))
            earlier = read_earlier(job.options.datasets_uri, before=job.options.as_of, rules=rules)
            measured = measure_tables(
                validated_tables(job),
                rules,
                now=now,
                analyzers=parse_analyzers(job.bundle.rules, job.contract),
                history={name: earlier.of_source(name) for name in sources},
            )
            rows_in = {name: files.rows for name, files in staged.items()}
            return conclude(
                job.contract, rules, rows_in, refused, measured, [*chain.from_iterable(drifts.values())], earlier
            )
    finally:
        store.store_of(staging).remove(staging)


def written_before(job: Job, source: str) -> dict[str, DataFrame]:
    """What the rules of a source can hold its rows against: the valid rows of the other sources, by their names."""
    if not any(rule.looks_around for rule in of_source(job.rules, source)):
        return {}
    nothing = {
        name: job.spark.createDataFrame([], validated_schema(other)) for name, other in job.contract.sources.items()
    }
    return {**nothing, **validated_tables(job)}


def validated_tables(job: Job) -> dict[str, DataFrame]:
    """The valid rows of every source that has any, those that come from the parent among them."""
    written = read_written(job, "validated", {name: validated_schema(source) for name, source in job.present.items()})
    return {**written, **{name: rows for name, (_, rows) in job.carried().items()}}


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


def make_way(job: Job, validation: Mapping[str, Any]) -> None:
    """Ends the first of two runs: hands rows over to the recipe or flow that makes the features."""
    with job.clock.phase("handover"):
        folder, as_of = job.options.zone("curated", "handover"), parse_instant(job.options.as_of)
        tables = validated_tables(job)
        records = write_groups(job, tables)
        groups = partial(join_groups, job.contract, records=records)
        dropped = hand_over(job.contract, job.bundle, tables, as_of, f"{folder}in/", more=groups)
    write_handover(job.options.dataset_uri, Handover(validation, dropped, told_of(records), job.clock.seconds))


def go_on(job: Job) -> None:
    """Begins the second of two runs: takes over where the first one ended, and goes on as a single run does."""
    handover = take_over(job.options.dataset_uri)
    job.clock.seconds = {**handover.seconds, **{f"{name}_again": took for name, took in job.clock.seconds.items()}}
    prepare(job, handover.validation, handover)
    folder = job.options.zone("curated", "handover")
    store.store_of(folder).remove(folder)


def prepare(job: Job, validation: Mapping[str, Any], handover: Handover | None = None) -> None:
    """Writes curated features, the three splits, profile, report and candidate manifest.

    Args:
        validation: The validation's part of the report.
        handover: What an earlier run handed over. Default: there was none.
    """
    more: dict[str, Any] = {}
    figures: dict[str, Any] = {}
    if job.contract.accumulates:
        dropped, curated, splits, more, figures = add_to_parent(job)
    else:
        with job.clock.phase("cleaning"):
            if handover is None:
                tables = validated_tables(job)
                records = write_groups(job, tables)
                dropped = write_curated(job, tables, records)
                added = job.answers.told(corrected_by_answers(job, tables))
                more = figures = {**told_of(records), **added}
            else:
                more = figures = dict(handover.figures)
                dropped = write_back(job, handover)
            curated = read_dataset(job, job.options.zone("curated", "features"))
        with job.clock.phase("splitting"):
            plans = plan_curated(job, curated, dropped, added=figures.get("answers", {"added": 0})["added"])
            splits = write_splits(job, curated, plans)
    check_kept(job, validation, dropped)
    with job.clock.phase("exploration"):
        described = profile(curated, job.contract.features, target_in(job.contract))
        comparison = compare_with_last(described, job.options.datasets_uri, job.options.as_of)
        described = {"version": job.options.version, **described, "comparison": comparison}
        write_json(f"{job.options.dataset_uri}profile.json", described)
    phases = {
        "exploration": exploration(job, described),
        "cleaning": cleaning(validated_rows(job, validation), dropped),
        "splitting": {split.plan.name: split_report(split) for split in splits},
        **figures,
    }
    write_report(job, validation, phases)
    write_json(f"{job.options.dataset_uri}manifest.json", {**manifest(job, splits), **more})


def write_curated(job: Job, tables: Mapping[str, DataFrame], records: Mapping[str, Records]) -> dict[str | None, int]:
    """Writes the features of all usable rows; returns rows per reason for dropping them."""
    return write_features(
        job.contract,
        job.bundle,
        tables,
        parse_instant(job.options.as_of),
        job.options.zone("curated", "features"),
        more=lambda primary: join_groups(job.contract, primary, records),
        answered=lambda rows: put_in(job.spark, job.contract, job.answers, rows),
    )


def corrected_by_answers(job: Job, tables: Mapping[str, DataFrame]) -> int:
    """Counts the usable rows whose target is that of an answer."""
    if not job.answers.used:
        return 0
    primary = tables[job.contract.primary]
    rows = primary_rows(job.contract, job.bundle, primary, parse_instant(job.options.as_of))
    return count_corrected(job.spark, job.answers, rows)


def write_groups(job: Job, tables: Mapping[str, DataFrame]) -> Mapping[str, Records]:
    """Writes the records of the feature groups; returns them by group."""
    as_of = parse_instant(job.options.as_of)
    return write_records(job.contract, job.bundle, tables, lambda group: job.options.zone("curated", group), as_of)


def told_of(records: Mapping[str, Records]) -> dict[str, Any]:
    """What report and manifest say of the records of feature groups, if there are any."""
    return {"feature_groups": {name: each.told() for name, each in records.items()}} if records else {}


def write_back(job: Job, handover: Handover) -> Mapping[str | None, int]:
    """Writes the features that came back; returns rows per reason for dropping them."""
    options, rows = job.options, handover.dropped.get(None, 0)
    handed_uri, folder = f"{options.zone('curated', 'handover')}in/", options.zone("curated", "features")
    write_returned(job.spark, job.contract, handed_uri, options.returned_uri, rows, folder)
    return handover.dropped


def validated_rows(job: Job, validation: Mapping[str, Any]) -> int:
    """How many rows of the primary source are valid."""
    return int(validation["sources"][job.contract.primary]["validated"])


def check_kept(job: Job, validation: Mapping[str, Any], dropped: Mapping[str | None, int]) -> None:
    """Holds what became of the primary source's rows against how many there were.

    Raises:
        RowsLost: They did not all come through.
    """
    primary, validated = job.contract.primary, validated_rows(job, validation)
    if sum(dropped.values()) != validated:
        raise RowsLost(f"{validated} rows of {primary} were validated, derive gave {sum(dropped.values())}")


def read_dataset(job: Job, folder_uri: str) -> DataFrame:
    """Reads back rows of the dataset."""
    return job.spark.read.schema(dataset_schema(job.contract)).parquet(folder_uri)


def plan_curated(job: Job, curated: DataFrame, dropped: Mapping[str | None, int], *, added: int = 0) -> list[SplitPlan]:
    """Finds the bounds of the splits.

    Args:
        added: Rows that came of answers and of no source.

    Raises:
        RowsLost: There are more or fewer rows with features than rows that were kept and added.
        TooFewRows: The rows cannot be split.
    """
    hours = count_hours(curated, job.contract)
    found, kept = sum(hour.rows for hour in hours), dropped.get(None, 0)
    if found != kept + added:
        answered = f" and {added} were added by answers" if added else ""
        raise RowsLost(f"{kept} rows of {job.contract.primary} were kept{answered}, features gave {found}")
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


def add_to_parent(
    job: Job,
) -> tuple[Mapping[str | None, int], DataFrame, list[Split], dict[str, Any], dict[str, Any]]:
    """Adds the batch to its parent.

    Returns:
        Rows per reason for dropping them, the rows of the days that changed, the splits of the whole dataset, and what
        manifest and report say besides.
    """
    options, contract = job.options, job.contract
    features_uri = f"{options.curated_uri}features/"
    run_uri = options.zone("curated", "features")
    with job.clock.phase("cleaning"):
        own = Own(options.version, parse_instant(options.as_of), validated_tables(job))
        places = Places(options.datasets_uri, options.dataset_uri, features_uri, run_uri)
        grown = grow(job.spark, contract, job.bundle, job.parent, own, places, job.answers)
    with job.clock.phase("splitting"):
        splits = []
        for plan in plan_days(contract, grown.days):
            days = days_of(grown.days, plan)
            uri = f"{options.dataset_uri}{plan.name}.manifest"
            write_json(uri, split_manifest(days, features_uri))
            splits.append(Split(plan, uri, split_digest(contract, days)))
        more = {
            "parent": options.parent,
            "lineage": lineage(contract, job.bundle),
            **write_lists(contract, grown.days, options.dataset_uri),
            **grown.answers,
        }
    return grown.dropped, grown.rows, splits, more, {"accumulation": grown.figures, **grown.answers}


def write_split_manifest(job: Job, split: str) -> str:
    """Writes the manifest that SageMaker reads a split by; returns its URI."""
    folder = job.options.dataset_uri
    files = [f"{split}/{name}" for name in data_files(f"{folder}{split}/")]
    uri = f"{folder}{split}.manifest"
    write_json(uri, [{"prefix": folder}, *files])
    return uri


def exploration(job: Job, described: Mapping[str, Any]) -> dict[str, Any]:
    """The exploration's part of the report; the profile itself is a file of its own, with every warning."""
    comparison = described["comparison"] or {"version": None, "warnings": []}
    return {
        "rows": described["rows"],
        "columns": len(described["columns"]),
        "profile_uri": f"{job.options.dataset_uri}profile.json",
        "warnings": [found["text"] for found in described["warnings"]][:MOST_WARNINGS],
        "compared_with": comparison["version"],
        "changes": [found["text"] for found in comparison["warnings"]][:MOST_WARNINGS],
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
        "exploration": {
            "rows": 0,
            "columns": 0,
            "profile_uri": None,
            "warnings": [],
            "compared_with": None,
            "changes": [],
        },
        "cleaning": {"rows_in": 0, "rows_out": 0, "changes": {}},
        "splitting": dict.fromkeys(SPLITS, nothing),
    }


def write_report(job: Job, validation: Mapping[str, Any], phases: Mapping[str, Any]) -> None:
    """Writes ``report.json``."""
    report = {
        "version": job.options.version,
        "attempt": job.options.attempt,
        "as_of": canonical_instant(job.options.as_of),
        "batch_uri": job.options.batch_uri,
        "seconds": job.clock.seconds,
        "phases": {"validation": validation, **phases},
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
        "tables": tables(job),
        "report_uri": f"{options.dataset_uri}report.json",
        "profile_uri": f"{options.dataset_uri}profile.json",
    }


def tables(job: Job) -> list[dict[str, str]]:
    """The partitions of this dataset's version; a table without rows has none.

    Sources that come from the parent stay where they are. Features that accumulate are listed by day elsewhere.
    """
    written = [(zone, name) for zone in ("validated", "quarantine") for name in job.present]
    if not job.contract.accumulates:
        written.append(("curated", "features"))
    places = [(zone, name, job.options.zone(zone, name)) for zone, name in written]
    carried = [("validated", name, place) for name, (place, _) in job.carried().items()]
    return [
        {"zone": zone, "table": f"{job.contract.name}_{name}", "location": place}
        for zone, name, place in [*(each for each in places if data_files(each[2])), *carried]
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
