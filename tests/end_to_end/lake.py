"""What is in the lake: rows of the files themselves, partitions of the catalogue, answers of Athena."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from local.executions import RUNNING
from tests.end_to_end.live import Live, eventually

CATALOGUED = ("validated", "quarantine", "curated")


@dataclass(frozen=True)
class Partition:
    """A version of a table that queries see."""

    database: str
    table: str
    version: str
    location: str


def table_at(live: Live, location: str) -> pa.Table:
    """The rows of all Parquet files below a location."""
    uris = [uri for uri in live.uris(location) if uri.endswith(".parquet")]
    return pa.concat_tables([pq.ParquetFile(io.BytesIO(live.read(uri))).read() for uri in uris])


def rows_at(live: Live, location: str) -> int:
    """How many rows the Parquet files below a location have."""
    uris = [uri for uri in live.uris(location) if uri.endswith(".parquet")]
    return sum(pq.ParquetFile(io.BytesIO(live.read(uri))).metadata.num_rows for uri in uris)


def locations(manifest: Mapping[str, Any], zone: str) -> dict[str, str]:
    """Where the tables of a zone are, by name, as the manifest of a dataset says."""
    return {table["table"]: table["location"] for table in manifest["tables"] if table["zone"] == zone}


def database(live: Live, zone: str) -> str:
    """The catalogue database of a zone."""
    return f"{live.settings.stage}_{zone}"


def partitions(live: Live) -> list[Partition]:
    """Every partition of every table that the workload's pipelines write; a database holds those of others too."""
    glue, found = live.client("glue"), []
    for name in (database(live, zone) for zone in CATALOGUED):
        tables = glue.get_tables(DatabaseName=name)["TableList"]
        for table in (each for each in tables if each["Name"].startswith(f"{live.workload}_")):
            pages = glue.get_paginator("get_partitions").paginate(DatabaseName=name, TableName=table["Name"])
            for item in (item for page in pages for item in page["Partitions"]):
                place = item["StorageDescriptor"]["Location"]
                found.append(Partition(name, table["Name"], item["Values"][0], place))
    return found


def published_manifests(live: Live) -> dict[str, dict[str, Any]]:
    """The published manifests by version."""
    root = live.zone("datasets")
    uris = [uri for uri in live.uris(root) if uri.removeprefix(root).count("/") == 1 and uri.endswith("/manifest.json")]
    return {uri.split("/")[-2]: live.read_json(uri) for uri in uris}


def query(live: Live, text: str) -> list[list[str]]:
    """The rows that Athena answers, without the header."""
    answered = _answered(live, text)["QueryExecutionId"]
    rows = live.client("athena").get_query_results(QueryExecutionId=answered)["ResultSet"]["Rows"]
    return [[cell.get("VarCharValue", "") for cell in row["Data"]] for row in rows[1:]]


def scanned_bytes(live: Live, text: str) -> int:
    """How many bytes Athena reads to answer a query."""
    found: int = _answered(live, text)["Statistics"]["DataScannedInBytes"]
    return found


def _answered(live: Live, text: str) -> dict[str, Any]:
    athena = live.client("athena")
    asked = athena.start_query_execution(QueryString=text, WorkGroup=live.outputs.athena_work_group)

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = athena.get_query_execution(QueryExecutionId=asked["QueryExecutionId"])["QueryExecution"]
        return None if found["Status"]["State"] in {"QUEUED", RUNNING} else found

    execution = eventually(look, f"the answer to {text}")
    assert execution["Status"]["State"] == "SUCCEEDED", f"{text}: {execution['Status']}"
    return execution


def assert_only_whole_datasets_are_read(live: Live) -> None:
    """Queries see the files of published manifests and nothing else; every file that a manifest names exists."""
    published = published_manifests(live)
    for found in partitions(live):
        assert found.version in published, f"{found} belongs to no published dataset"
        named = [table["location"] for table in published[found.version]["tables"] if table["table"] == found.table]
        assert found.location in named, f"{found} is not what the manifest names"
    for manifest in published.values():
        for split in manifest["splits"].values():
            prefix, *names = live.read_json(split["manifest_uri"])
            assert names and all(live.uris(prefix["prefix"] + name) for name in names), split
