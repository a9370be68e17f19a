"""Pulls what is new in a table of a database into the incoming folder of a source, as Parquet of the declared types.

Runs on AWS Glue in the stage's network, by a connection that says where in it. How far the table has been pulled is an
item of the runs table. What the greatest key is, the database says, in its own words, and those are kept: no engine in
between rounds it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import boto3
from pyspark.sql import DataFrame, SparkSession

from gapless_glue.database import ENCRYPTED, Folders, Read, Record, Table, credentials, kind_of, pull

SESSION = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}


@dataclass(frozen=True)
class Options:
    """The job's arguments.

    Attributes:
        url: JDBC address of the database.
        secret: Name of the secret with ``username`` and ``password``.
        table: The table or view.
        key: The column that grows.
        columns: JSON object, declared column to type.
        item: Key of the item that remembers.
        state_table: The table that it is in.
        pulled_uri, incoming_uri, files_uri: Folders of the source in the landing zone.
    """

    url: str
    secret: str
    table: str
    key: str
    columns: str
    item: str
    state_table: str
    pulled_uri: str
    incoming_uri: str
    files_uri: str


def parse_options(argv: Sequence[str]) -> tuple[Options, str]:
    """Reads ``--name value`` pairs, and the id of the run; what else Glue adds for itself is ignored."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for option in fields(Options):
        parser.add_argument(f"--{option.name}", required=True)
    parser.add_argument("--JOB_RUN_ID", dest="run", default="local")
    known, _ = parser.parse_known_args(argv)
    values = vars(known)
    run = values.pop("run")
    return Options(**values), run


def reader(spark: SparkSession, options: Options, login: dict[str, str]) -> Read:
    """Returns what runs a query in the database, encrypted on its way."""
    given = {**login, **ENCRYPTED[kind_of(options.url)]}

    def read(query: str) -> DataFrame:
        return spark.read.format("jdbc").options(url=options.url, query=query, **given).load()

    return read


def run(spark: SparkSession, options: Options, read: Read, dynamodb: Any, attempt: str) -> int:
    """Pulls once; returns the number of files that were handed over."""
    for name, value in SESSION.items():
        spark.conf.set(name, value)
    table = Table(kind_of(options.url), options.table, options.key, json.loads(options.columns))
    record = Record(dynamodb, options.state_table, options.item)
    folders = Folders(options.pulled_uri, options.incoming_uri, options.files_uri)
    return pull(read, table, record, folders, attempt)


def main() -> None:
    options, attempt = parse_options(sys.argv[1:])
    spark = SparkSession.builder.getOrCreate()
    secret = boto3.client("secretsmanager").get_secret_value(SecretId=options.secret)["SecretString"]
    read = reader(spark, options, credentials(secret))
    files = run(spark, options, read, boto3.client("dynamodb"), attempt)
    print(json.dumps({"job": "pull_database", "table": options.table, "files": files}))  # noqa: T201


if __name__ == "__main__":
    main()
