"""A dataset that accumulates: a batch is added to the newest dataset before it, its *parent*.

What a dataset holds beside its splits is in its manifest: ``parent``, ``lineage`` (what its rows were made by),
``days_uri`` (the list of its days) and ``day_partitions`` (the same for the catalogue, in pieces).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from constructs_lib.names.batch import NO_PARENT, canonical_json, parse_instant
from constructs_lib.names.relabelled import NO_ANSWERS
from gapless_glue import store
from gapless_glue.answers import NOTHING, Answers, load_answers, put_in_days
from gapless_glue.bundle import Bundle
from gapless_glue.contract import Contract
from gapless_glue.dataset import dataset_columns, dataset_schema, window_start, write_features
from gapless_glue.days import Change, Day, Days, add_rows, read_days, read_rows, since, write_days
from gapless_glue.digest import digest_text
from gapless_glue.errors import BadParent, RowsLost, TooFewRows
from gapless_glue.splits import DAY, SplitPlan, plan_splits
from gapless_glue.typed import validated_schema

LARGEST_PIECE = 100
"""Glue takes so many partitions in one call."""
PIECE_CHARACTERS = 150_000
"""A state of Step Functions holds 256 KiB, and a partition repeats every column of its table."""


@dataclass(frozen=True)
class Parent:
    """An earlier dataset, as its published manifest says."""

    manifest: Mapping[str, Any]

    @property
    def version(self) -> str:
        return str(self.manifest["version"])

    @property
    def as_of(self) -> datetime:
        return parse_instant(self.manifest["as_of"])

    @property
    def lineage(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.manifest["lineage"]
        return found

    def location_of(self, table: str) -> str:
        """Returns where the valid rows of a source are that the dataset was made with."""
        return next(
            str(each["location"])
            for each in self.manifest["tables"]
            if each["zone"] == "validated" and each["table"] == table
        )


@dataclass(frozen=True)
class Places:
    """Where an accumulating dataset is; every URI is a folder.

    Attributes:
        datasets_uri: The workload's datasets.
        dataset_uri: What this run writes of its dataset.
        features_uri: The workload's features: every day of every dataset lies somewhere in it.
        run_uri: What this run writes of them.
    """

    datasets_uri: str
    dataset_uri: str
    features_uri: str
    run_uri: str

    def of(self, version: str) -> str:
        """Returns where this run writes the days that the batch of a dataset touches."""
        return f"{self.run_uri}from={version}/"


@dataclass(frozen=True)
class Own:
    """The batch itself: its version, its time, and its tables with those that it takes from the parent."""

    version: str
    as_of: datetime
    tables: Mapping[str, DataFrame]


@dataclass(frozen=True)
class Grown:
    """A dataset after the batch was added to it.

    Attributes:
        dropped: Rows of the batch per reason for dropping them; None stands for those that were kept.
        days: The days of the dataset.
        rows: The rows of the days that the batch touched.
        figures: For the report.
        answers: What report and manifest say of people's answers.
    """

    dropped: Mapping[str | None, int]
    days: Days
    rows: DataFrame
    figures: Mapping[str, Any]
    answers: Mapping[str, Any]


def load_parent(datasets_uri: str, version: str) -> Parent | None:
    """Reads the published manifest of the parent; the version ``none`` says that there is none.

    Raises:
        BadParent: There is no such dataset, or it is one that does not accumulate.
    """
    if version == NO_PARENT:
        return None
    uri = f"{datasets_uri}{version}/manifest.json"
    try:
        manifest = json.loads(store.read(uri))
    except FileNotFoundError as error:
        raise BadParent(f"there is no published dataset {version}") from error
    if "days_uri" not in manifest:
        raise BadParent(f"dataset {version} does not accumulate")
    return Parent(manifest)


def lineage(contract: Contract, bundle: Bundle) -> dict[str, Any]:
    """Returns what the rows of a dataset depend on beside its inputs: digests of the sources' columns and of the rest.

    Scripts that do not make rows, such as ``train.py``, do not count.
    """
    rows = {
        "features": bundle.features_digest,
        "columns": [[column.name, column.type] for column in dataset_columns(contract)],
        "derived": [[column.name, column.type] for column in contract.derived],
        "roles": [contract.primary, contract.event_time, contract.target, *contract.primary_source.key],
        "known_later": {name: sorted(source.known_later) for name, source in contract.sources.items()},
    }
    sources = {
        name: _digest([[column.name, column.type] for column in source.columns])
        for name, source in contract.sources.items()
    }
    return {"rows": _digest(rows), "sources": sources}


def carried_tables(
    spark: SparkSession, contract: Contract, bundle: Bundle, parent: Parent | None, present: Collection[str]
) -> dict[str, tuple[str, DataFrame]]:
    """Returns what a batch takes from its parent, for it has no file of them: source → folder and valid rows.

    Raises:
        BadParent: The columns of such a source are no longer the parent's.
    """
    absent = [name for name in contract.sources if name not in present]
    if parent is None:
        return {}
    _check_columns(contract, bundle, parent, absent)
    places = {name: parent.location_of(f"{contract.name}_{name}") for name in absent}
    return {name: (place, _read_table(spark, contract, name, place)) for name, place in places.items()}


def grow(
    spark: SparkSession,
    contract: Contract,
    bundle: Bundle,
    parent: Parent | None,
    own: Own,
    places: Places,
    answers: Answers = NOTHING,
) -> Grown:
    """Adds the batch to its parent; makes the parent's rows anew when they were made by other features.

    Of people's answers, those that the parent's rows have already stay as they are.

    Raises:
        BadBundle: ``features.py`` does not do what the contract says.
        BadParent: The rows of the parent would have to be made anew, and cannot be.
        RowsLost: A step gave more or fewer rows than it took.
        TooFewRows: No row of the batch can be used.
    """
    start = window_start(contract, own.as_of)
    same = parent is not None and parent.lineage["rows"] == lineage(contract, bundle)["rows"]
    days: Days = read_days(parent.manifest["days_uri"]) if parent is not None and same else {}
    again = ancestors(places.datasets_uri, parent, start) if parent is not None and not same else []
    staging = f"{places.dataset_uri}_staging/"
    try:
        for each in again:
            days = _made_again(spark, contract, bundle, each, days, places)
        staged = f"{staging}{own.version}/"
        dropped = write_features(contract, bundle, own.tables, own.as_of, staged)
        if not dropped.get(None, 0):
            raise TooFewRows(f"no row of the batch can be used: {json.dumps(dict(dropped))}")
        rows = spark.read.schema(dataset_schema(contract)).parquet(staged)
        known = answers_of(contract, parent) if parent is not None and same else NOTHING
        answered = put_in_days(spark, contract, answers, answers.new_since(known), rows, since(days, start))
        expected = dropped.get(None, 0) + answered.others
        change = _all_added(contract, add_rows(spark, contract, days, answered.rows, places.of(own.version)), expected)
    finally:
        store.store_of(staging).remove(staging)
    inside = since(change.days, start)
    figures = {
        "parent": parent.version if parent is not None else NO_PARENT,
        "made_again": [each.version for each in again],
        "rows_added": change.added - answered.others + answered.added,
        "rows_replaced": change.replaced - answered.others + answered.added,
        "rows_read": change.read,
        "rows_written": sum(change.days[name].rows for name in change.rewritten),
        "days_written": len(change.rewritten),
        "days_pruned": len(change.days) - len(inside),
        "days": len(inside),
    }
    touched = [change.days[name] for name in change.rewritten]
    counts = {
        "corrected": answered.corrected,
        "added": answered.added,
        "carried": len(answers.used) - answered.corrected - answered.added,
    }
    return Grown(dropped, inside, read_rows(spark, contract, touched), figures, answers.told_of(counts))


def answers_of(contract: Contract, parent: Parent) -> Answers:
    """Returns the answers that are in the rows of an earlier dataset."""
    uri = parent.manifest.get("answers", {}).get("uri", NO_ANSWERS)
    return load_answers(uri, contract, parent.manifest["as_of"])


def ancestors(datasets_uri: str, parent: Parent, start: datetime | None) -> list[Parent]:
    """Returns the parent and the datasets before it that may have rows of the window, the oldest first."""
    found = [parent]
    while (earlier := load_parent(datasets_uri, found[-1].manifest["parent"])) is not None:
        if start is not None and earlier.as_of <= start:
            break
        found.append(earlier)
    return found[::-1]


def _made_again(
    spark: SparkSession, contract: Contract, bundle: Bundle, each: Parent, days: Days, places: Places
) -> Days:
    """Adds the batch of an ancestor with the features of today, as of its own time."""
    _check_columns(contract, bundle, each, contract.sources)
    tables = {
        name: _read_table(spark, contract, name, each.location_of(f"{contract.name}_{name}"))
        for name in contract.sources
    }
    staged = f"{places.dataset_uri}_staging/{each.version}/"
    dropped = write_features(contract, bundle, tables, each.as_of, staged)
    return _added(spark, contract, days, dropped, staged, places.of(each.version)).days


def _added(
    spark: SparkSession,
    contract: Contract,
    days: Days,
    dropped: Mapping[str | None, int],
    staged: str,
    folder_uri: str,
) -> Change:
    kept = dropped.get(None, 0)
    if not kept:
        return Change(days, [], 0, 0, 0)
    rows = spark.read.schema(dataset_schema(contract)).parquet(staged)
    return _all_added(contract, add_rows(spark, contract, days, rows, folder_uri), kept)


def _all_added(contract: Contract, change: Change, expected: int) -> Change:
    if change.added != expected:
        raise RowsLost(f"{expected} rows of {contract.primary} were kept, features gave {change.added}")
    return change


def plan_days(contract: Contract, days: Days) -> list[SplitPlan]:
    """Finds the bounds of the splits from the counts of the days.

    Raises:
        TooFewRows: There are fewer than three days.
    """
    return plan_splits([day.count for day in days.values()], contract.validation_share, contract.test_share, period=DAY)


def days_of(days: Days, plan: SplitPlan) -> list[Day]:
    """Returns the days of a split, in order."""
    ordered = sorted(days.values(), key=lambda day: day.day)
    return [day for day in ordered if plan.start <= day.count.number * DAY < plan.end]


def split_digest(contract: Contract, days: Sequence[Day]) -> str:
    """Returns the canonical digest of the rows of some days: that of their sums."""
    sums = [sum(day.sums[index] for day in days) for index in range(2)]
    return digest_text(dataset_columns(contract), sum(day.rows for day in days), sums)


def split_manifest(days: Sequence[Day], features_uri: str) -> list[Any]:
    """Returns the manifest that SageMaker reads a split by: the files of its days, wherever they were written."""
    return [{"prefix": features_uri}, *(uri.removeprefix(features_uri) for day in days for uri in day.uris)]


def write_lists(contract: Contract, days: Days, dataset_uri: str) -> dict[str, Any]:
    """Writes the list of days, for the next batch and for the catalogue; returns what the manifest says of them."""
    uri = f"{dataset_uri}days.json"
    write_days(uri, days)
    size = max(1, min(LARGEST_PIECE, PIECE_CHARACTERS // (600 + 80 * len(dataset_columns(contract)))))
    names = sorted(days)
    pieces = []
    for number, first in enumerate(range(0, len(names), size)):
        pieces.append(f"{dataset_uri}partitions-{number:04}.json")
        listed = [{"day": name, "location": days[name].location} for name in names[first : first + size]]
        store.store_of(uri).write(pieces[-1], canonical_json({"partitions": listed}))
    return {"days_uri": uri, "day_partitions": pieces}


def _read_table(spark: SparkSession, contract: Contract, name: str, location: str) -> DataFrame:
    return spark.read.schema(validated_schema(contract.sources[name])).parquet(location)


def _check_columns(contract: Contract, bundle: Bundle, parent: Parent, names: Collection[str]) -> None:
    ours = lineage(contract, bundle)["sources"]
    changed = [name for name in names if parent.lineage["sources"].get(name) != ours[name]]
    if changed:
        raise BadParent(
            f"the columns of source {', '.join(changed)} are not those of dataset {parent.version} any more; land a "
            'batch that holds everything, with "fresh": true in its _batch.json'
        )


def _digest(content: Any) -> str:
    return hashlib.sha256(canonical_json(content)).hexdigest()
