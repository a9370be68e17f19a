"""The ingestion job: the records of a published dataset's feature groups go into SageMaker Feature Store.

Only records that the last dataset which went in completely does not have with all their values are put, so that a
batch costs what is new. It may be killed and run again at any time: the store keeps the newest event time whatever the
order, and a record that is put twice is one record. The last object that it writes is ``features.json`` beside the
dataset's manifest.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import boto3
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from constructs_lib.names.batch import canonical_json
from gapless_glue import store
from gapless_glue.contract import Contract, FeatureGroup, parse_contract
from gapless_glue.errors import BadRecords
from gapless_glue.feature_groups import instant_text, records_schema
from gapless_glue.feature_store import Record, Refusal, client, put_all, put_into, record_of
from gapless_glue.index import Entry, read_index

LOOKED_BACK = 20
"""Of so many datasets before, the newest that went in completely is what records are compared with."""

END_OF_TIME = "9999-12-31T00:00:00Z"


@dataclass(frozen=True)
class Options:
    """The job's arguments; every ``*_uri`` of a zone is ``s3://bucket/<workload>/``.

    Attributes:
        version: The published dataset.
        attempt: Names this run among all runs for the version.
        contract_uri: Where the contract's JSON file is.
        group_names: JSON: feature group in ``workload.yaml`` → physical name.
    """

    version: str
    attempt: str
    contract_uri: str
    group_names: str
    datasets_uri: str
    quarantine_uri: str

    @property
    def report_uri(self) -> str:
        return f"{self.datasets_uri}{self.version}/features.json"


def parse_options(argv: Sequence[str]) -> Options:
    """Reads ``--name value`` pairs; what Glue adds for itself is ignored."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for option in fields(Options):
        parser.add_argument(f"--{option.name}", required=True)
    known, _ = parser.parse_known_args(argv)
    return Options(**vars(known))


def run(spark: SparkSession, options: Options, sagemaker: Any, runtime: Any) -> dict[str, Any]:
    """Puts what is new of every group; returns what ``features.json`` says.

    Args:
        sagemaker, runtime: Clients of SageMaker and of the Feature Store's runtime.

    Raises:
        BadRecords: The dataset has no records of a group.
    """
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    report = {"version": options.version, "attempt": options.attempt, **ingest_all(spark, options, sagemaker, runtime)}
    store.store_of(options.report_uri).write(options.report_uri, canonical_json(report))
    return report


def ingest_all(spark: SparkSession, options: Options, sagemaker: Any, runtime: Any) -> dict[str, Any]:
    """Puts what is new of every group."""
    contract: Contract = parse_contract(json.loads(store.read(options.contract_uri)))
    names = json.loads(options.group_names)
    locations = record_locations(options)
    groups: dict[str, dict[str, Any]] = {}
    partitions = []
    for group in contract.feature_groups:
        if group.name not in locations:
            raise BadRecords(f"dataset {options.version} has no records of feature group {group.name}")
        location, base = locations[group.name], last_complete(options, group.name)
        records = read_records(spark, group, location)
        new = records if base is None else records.exceptAll(read_records(spark, group, base))
        place, table = history_of(sagemaker, names[group.name]), f"{contract.name}_{group.name}"
        partitions += [month_partition(table, place, *month) for month in months_of(records, group)]
        written, refused = put_all(records_in(new, group), put_into(runtime, names[group.name]))
        groups[group.name] = {
            "records_uri": location,
            "compared_with": base,
            "written": written,
            "refused": len(refused),
            "refused_uri": keep_refused(options, group.name, refused),
        }
    figures = {total: sum(group[total] for group in groups.values()) for total in ("written", "refused")}
    return {**figures, "groups": groups, "partitions": partitions}


def record_locations(options: Options) -> dict[str, str]:
    """Where the published dataset's records lie, by group."""
    manifest = json.loads(store.read(f"{options.datasets_uri}{options.version}/manifest.json"))
    return {name: group["location"] for name, group in manifest.get("feature_groups", {}).items()}


def last_complete(options: Options, group: str) -> str | None:
    """Where the records lie of the newest dataset whose records of this group all went in; None when there is none."""
    for entry in reversed(read_index(options.datasets_uri, before=END_OF_TIME, newest=LOOKED_BACK)):
        report = _report_of(options, entry)
        if group in report and report[group]["refused"] == 0:
            return str(report[group]["records_uri"])
    return None


def _report_of(options: Options, entry: Entry) -> Mapping[str, Any]:
    try:
        report = json.loads(store.read(f"{options.datasets_uri}{entry.version}/features.json"))
    except FileNotFoundError:
        return {}
    groups: Mapping[str, Any] = report["groups"]
    return groups


def read_records(spark: SparkSession, group: FeatureGroup, location: str) -> DataFrame:
    """Reads the records that a data job wrote; a feature that it did not know yet is null, and no files are no rows."""
    if not any(uri.endswith(".parquet") for uri in store.store_of(location).list(location)):
        return spark.createDataFrame([], records_schema(group))
    return spark.read.schema(records_schema(group)).parquet(location)


def months_of(records: DataFrame, group: FeatureGroup) -> list[tuple[str, str]]:
    """The years and months of event times, UTC, in order."""
    month = F.date_format(F.col(group.event_time), "yyyy-MM").alias("month")
    found = sorted(row["month"] for row in records.select(month).distinct().collect())
    return [(each[:4], each[5:]) for each in found]


def history_of(sagemaker: Any, name: str) -> str:
    """Where a group's history lies."""
    group = sagemaker.describe_feature_group(FeatureGroupName=name)
    uri: str = group["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"]
    return uri.rstrip("/")


def month_partition(table: str, place: str, year: str, month: str) -> dict[str, Any]:
    """A partition of the history's table: one month of its folders."""
    return {
        "zone": "curated",
        "table": table,
        "values": [year, month],
        "location": f"{place}/year={year}/month={month}/",
    }


def records_in(rows: DataFrame, group: FeatureGroup) -> Iterator[Record]:
    """Yields records one by one, so that the driver never holds them all."""
    texts = [instant_text(name) if name == group.event_time else F.col(name) for name in rows.columns]
    for row in rows.select(*texts).toLocalIterator():
        yield record_of(group, row)


def keep_refused(options: Options, group: str, refused: Sequence[Refusal]) -> str | None:
    """Keeps what was not taken, with the reason; returns where."""
    if not refused:
        return None
    uri = f"{options.quarantine_uri}feature_store/{group}/version={options.version}/attempt={options.attempt}.jsonl"
    lines = [canonical_json({"record": each.record, "error": each.error}) for each in refused]
    store.store_of(uri).write(uri, b"".join(line + b"\n" for line in lines))
    return uri


def main() -> None:
    options = parse_options(sys.argv[1:])
    report = run(SparkSession.builder.getOrCreate(), options, boto3.client("sagemaker"), client())
    figures = {name: report[name] for name in ("version", "written", "refused")}
    print(json.dumps({"job": "ingest_features", **figures}))  # noqa: T201


if __name__ == "__main__":
    main()
