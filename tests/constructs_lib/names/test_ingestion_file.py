"""What ``ingestion`` of a workload file must say, and what its errors tell the person who wrote it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from constructs_lib.names.ingestion_file import Database
from constructs_lib.names.workload_file import WorkloadFile, WorkloadFileError

API: dict[str, Any] = {"url": "https://api.example.com/v1/prices"}
SHOP: dict[str, Any] = {
    "name": "shop",
    "owner": "shop@example.com",
    "target": "sold",
    "event_time": "at",
    "sources": {
        "visits": {"key": ["id"], "columns": {"id": "string", "at": "timestamp", "sold": "boolean"}},
        "prices": {"format": "json_lines", "columns": {"id": "string", "price": "double"}},
        "clicks": {"format": "parquet", "columns": {"id": "string", "page": "string", "seconds": "double"}},
    },
    "ingestion": {"sources": {"visits": {"drop": {}}, "prices": {"api": API}, "clicks": {"stream": {}}}},
}


def shop(**paths: Any) -> dict[str, Any]:
    content = copy.deepcopy(SHOP)
    content["ingestion"]["sources"].update(paths)
    return content


def refusal(content: dict[str, Any]) -> str:
    with pytest.raises(WorkloadFileError) as error:
        WorkloadFile.parse(content)
    return str(error.value).removeprefix("workload.yaml: ")


def test_each_source_has_the_path_that_it_names() -> None:
    ingestion = WorkloadFile.parse(SHOP).ingestion
    assert ingestion is not None
    assert {name: path.kind for name, path in ingestion.sources.items()} == {
        "visits": "drop",
        "prices": "api",
        "clicks": "stream",
    }


def test_is_off_unless_it_is_there_and_never_part_of_the_contract() -> None:
    without = {key: value for key, value in SHOP.items() if key != "ingestion"}
    assert WorkloadFile.parse(without).ingestion is None
    assert WorkloadFile.parse(without).contract_json() == WorkloadFile.parse(SHOP).contract_json()


def test_every_source_needs_a_path() -> None:
    content = shop()
    del content["ingestion"]["sources"]["prices"]
    assert refusal(content).startswith("ingestion.sources: source 'prices' has no path; a batch holds every source")


def test_a_source_has_one_path() -> None:
    assert refusal(shop(visits={})) == (
        "ingestion.sources.visits: must have exactly one of stream, api, database, drop, was none"
    )
    assert "was api and drop" in refusal(shop(visits={"drop": {}, "api": API}))


@pytest.mark.parametrize(
    ("paths", "problem"),
    [
        ({"visit": {"drop": {}}}, "ingestion.sources: 'visit' is not a source; did you mean 'visits'?"),
        ({"visits": {"stream": {}}}, "ingestion.sources.visits.stream: writes parquet, the source's format is csv"),
        ({"clicks": {"api": API}}, "ingestion.sources.clicks.api: writes csv or json_lines"),
        ({"clicks": {"stream": {"partition_by": "pag"}}}, "'pag' is not a column; did you mean 'page'?"),
        ({"prices": {"api": {**API, "fields": {"id": "id"}}}}, "column 'price' is missing; give all columns or none"),
        ({"prices": {"api": {**API, "fields": {"cost": "c"}}}}, "'cost' is not a column"),
    ],
)
def test_paths_fit_their_sources(paths: dict[str, Any], problem: str) -> None:
    assert problem in refusal(shop(**paths))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"url": "http://api.example.com"}, "must start with https:// (http:// is allowed for this machine only)"),
        ({"url": "https://me:secret@api.example.com"}, "without user, password and fragment"),
        ({"every": "hourly"}, "must be a schedule such as rate(1 hour)"),
        ({"every": "rate(1 hours)"}, "must be a schedule such as rate(1 hour)"),
        ({"pagination": {"style": "page"}}, "pagination.parameter: is required for style page"),
        ({"pagination": {"style": "cursor", "parameter": "c"}}, "pagination.next: is required for style cursor"),
        ({"pagination": {"style": "link", "parameter": "c"}}, "pagination.parameter: style link has none"),
        ({"pagination": {"style": "offset", "parameter": "o", "next": "n"}}, "pagination.next: style offset has none"),
        ({"watermark": {"field": "at", "parameter": "since"}}, "watermark.start: is required"),
        ({"requests_per_second": 0}, "requests_per_second"),
        ({"secret": {"name": "Token"}}, "secret.name: must match"),
        ({"pages": 3}, "ingestion.sources.prices.api.pages: 'pages' is not a known key"),
    ],
)
def test_an_api_is_described_as_it_can_be_pulled(change: dict[str, Any], problem: str) -> None:
    assert problem in refusal(shop(prices={"api": {**API, **change}}))


@pytest.mark.parametrize("every", ["rate(1 hour)", "rate(15 minutes)", "cron(0 3 * * ? *)"])
def test_takes_the_schedules_of_event_bridge(every: str) -> None:
    WorkloadFile.parse(shop(prices={"api": {**API, "every": every}}))


DATABASE = {"url": "jdbc:postgresql://db.example.com/shop", "secret": "db", "table": "public.clicks", "key": "id"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"url": "jdbc:postgresql://me:pw@db/shop"}, "must be jdbc:<kind>://<host>"),
        ({"url": "jdbc:oracle://db/shop"}, "must be jdbc:<kind>://<host>"),
        ({"table": "clicks; drop table clicks"}, "database.table: must match"),
        ({"key": "nr"}, "'nr' is not a column"),
        ({"key": "seconds"}, "must be of type int, bigint, date, timestamp, string, was double"),
    ],
)
def test_a_database_is_described_as_it_can_be_pulled(change: dict[str, Any], problem: str) -> None:
    assert problem in refusal(shop(clicks={"database": {**DATABASE, **change}}))


@pytest.mark.parametrize(
    ("url", "port"),
    [("jdbc:postgresql://db/shop", 5432), ("jdbc:mysql://db:3307/shop", 3307), ("jdbc:sqlserver://db;x=1", 1433)],
)
def test_knows_the_port_of_a_database(url: str, port: int) -> None:
    assert Database.model_validate({**DATABASE, "url": url}).port == port


def test_refuses_what_cannot_be_a_producer() -> None:
    assert "producers" in refusal(shop(visits={"drop": {"producers": ["*"]}}))


def test_needs_name_sources() -> None:
    content = shop()
    content["ingestion"]["needs"] = ["visit"]
    assert "ingestion.needs: 'visit' is not a source" in refusal(content)
