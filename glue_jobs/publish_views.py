"""Adds the features of a published dataset to an Iceberg table, and makes and refreshes the materialised views over it.

Runs on AWS Glue 5.1 with Iceberg. A version's rows replace what the table holds of that version, so running it again
changes nothing. A view's name ends in digits that stand for its definition: another definition is another view.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gapless_glue import store

VERSION = "version"


@dataclass(frozen=True)
class Options:
    """The job's arguments.

    Attributes:
        table: The Iceberg table, ``<catalog>.<database>.<table>``.
        view_prefix: What the views' names start with, ``<catalog>.<database>.<workload>_``.
        views_uri: JSON: name → ``{"sql", "refresh_hours"}``; ``{features}`` in the SQL stands for the table.
        curated_uri: Folder of the version's Parquet files.
        version: The dataset's version.
    """

    table: str
    view_prefix: str
    views_uri: str
    curated_uri: str
    version: str


def parse_options(argv: Sequence[str]) -> Options:
    """Reads ``--name value`` pairs; what Glue adds for itself is ignored."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for option in fields(Options):
        parser.add_argument(f"--{option.name}", required=True)
    known, _ = parser.parse_known_args(argv)
    return Options(**vars(known))


def version_rows(spark: SparkSession, options: Options) -> DataFrame:
    """Reads the version's rows in the columns and types of the table."""
    columns = spark.table(options.table).schema
    wanted = [field for field in columns if field.name != VERSION]
    rows = spark.read.parquet(options.curated_uri)
    typed = [F.col(field.name).cast(field.dataType).alias(field.name) for field in wanted]
    return rows.select(*typed, F.lit(options.version).alias(VERSION))


def view_statements(options: Options, views: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns what makes every view that is not there yet, and then refreshes it."""
    statements = []
    for name, view in sorted(views.items()):
        query = view["sql"].strip().rstrip("; \n").replace("{features}", options.table)
        digest = hashlib.sha256(f"{query} {view['refresh_hours']}".encode()).hexdigest()[:8]
        full_name = f"{options.view_prefix}{name}_{digest}"
        schedule = f"SCHEDULE REFRESH EVERY {int(view['refresh_hours'])} HOURS"
        statements.append(f"CREATE MATERIALIZED VIEW IF NOT EXISTS {full_name} {schedule} AS {query}")
        statements.append(f"REFRESH MATERIALIZED VIEW {full_name}")
    return statements


def run(spark: SparkSession, options: Options) -> None:
    """Writes the version's rows, then brings every view up to date."""
    version_rows(spark, options).writeTo(options.table).overwritePartitions()
    for statement in view_statements(options, json.loads(store.read(options.views_uri))):
        spark.sql(statement)


def main() -> None:
    options = parse_options(sys.argv[1:])
    print(json.dumps({"job": "publish_views", "version": options.version}))  # noqa: T201
    run(SparkSession.builder.getOrCreate(), options)


if __name__ == "__main__":
    main()
