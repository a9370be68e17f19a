"""Crawlers list their target under their role and make tables of what they find."""

from __future__ import annotations

import gzip
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.glue.conftest import Lake, allow, wait_for

CATALOGUE = "arn:aws:glue:us-east-1:000000000000"
FLIGHTS = "carrier,flight,dep_delay\nUA,1,2.5\nAA,2,\n"
PLANES = "tailnum,engines\nN1,2\n"


class Landing(Lake):
    """A lake with a database and a crawler on the folder ``land/``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.database = f"landing_{uuid.uuid4().hex[:8]}"
        self.glue.create_database(DatabaseInput={"Name": self.database})

    def catalogue_grants(self) -> dict[str, Any]:
        """What a crawler's role needs in the catalogue."""
        actions = ["GetDatabase", "GetTables", "GetTable", "CreateTable", "UpdateTable", "DeleteTable"]
        actions += ["GetPartitions", "BatchCreatePartition"]
        tables, database = f"{CATALOGUE}:table/{self.database}/*", f"{CATALOGUE}:database/{self.database}"
        return allow([f"glue:{action}" for action in actions], tables, database, f"{CATALOGUE}:catalog")

    def crawler(self, *grants: dict[str, Any], **members: Any) -> str:
        """Make a crawler; returns its name."""
        name = f"crawler-{uuid.uuid4().hex[:8]}"
        logs = allow(["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], "arn:aws:logs:*:*:*")
        given = grants or (*self.read_grants("land/"), self.catalogue_grants())
        self.glue.create_crawler(
            Name=name,
            Role=self.server.role("glue.amazonaws.com", logs, *given),
            DatabaseName=self.database,
            Targets={"S3Targets": [{"Path": f"s3://{self.bucket}/land/", "Exclusions": ["**/_batch.json", "skip/**"]}]},
            **{"TablePrefix": "w_", **members},
        )
        return name

    def crawl(self, name: str) -> dict[str, Any]:
        """Crawl to the end; returns what the crawl came to."""
        self.glue.start_crawler(Name=name)

        def rested() -> dict[str, Any] | None:
            crawler: dict[str, Any] = self.glue.get_crawler(Name=name)["Crawler"]
            return crawler if crawler["State"] == "READY" else None

        last: dict[str, Any] = wait_for(rested)["LastCrawl"]
        return last

    def tables(self) -> dict[str, dict[str, Any]]:
        """The tables of the database by name."""
        return {table["Name"]: table for table in self.glue.get_tables(DatabaseName=self.database)["TableList"]}

    def partitions(self, table: str) -> dict[str, str]:
        """Values to location of the partitions of a table."""
        found = self.glue.get_partitions(DatabaseName=self.database, TableName=table)["Partitions"]
        return {"/".join(one["Values"]): one["StorageDescriptor"]["Location"] for one in found}


@pytest.fixture
def landing(local_server: Any) -> Landing:
    """A landing folder of the test's own."""
    return Landing(local_server)


def test_makes_tables_of_batches(landing: Landing) -> None:
    landing.put("land/2013-01/flights.csv.gz", gzip.compress(FLIGHTS.encode()))
    landing.put("land/2013-01/planes.csv", PLANES)
    landing.put("land/2013-01/_batch.json", "{}")
    landing.put("land/skip/other.csv", PLANES)
    crawler = landing.crawler()

    assert landing.crawl(crawler)["Status"] == "SUCCEEDED"

    tables = landing.tables()
    assert set(tables) == {"w_flights", "w_planes"}
    flights = tables["w_flights"]
    columns = [(column["Name"], column["Type"]) for column in flights["StorageDescriptor"]["Columns"]]
    assert columns == [("carrier", "string"), ("flight", "bigint"), ("dep_delay", "double")]
    assert flights["Parameters"]["classification"] == "csv"
    assert flights["Parameters"]["compressionType"] == "gzip"
    assert flights["Parameters"]["UPDATED_BY_CRAWLER"] == crawler
    assert landing.partitions("w_flights") == {"2013-01": f"s3://{landing.bucket}/land/2013-01/flights.csv.gz"}


def test_a_second_crawl_adds_partitions(landing: Landing) -> None:
    landing.put("land/2013-01/flights.csv", FLIGHTS)
    crawler = landing.crawler(SchemaChangePolicy={"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"})
    landing.crawl(crawler)
    landing.put("land/2013-02/flights.csv", FLIGHTS)

    assert landing.crawl(crawler)["Status"] == "SUCCEEDED"

    assert set(landing.partitions("w_flights")) == {"2013-01", "2013-02"}


@pytest.mark.parametrize(("behaviour", "columns"), [("LOG", 3), ("UPDATE_IN_DATABASE", 4)])
def test_keeps_to_its_policy_about_changed_columns(landing: Landing, behaviour: str, columns: int) -> None:
    landing.put("land/2013-01/flights.csv", FLIGHTS)
    crawler = landing.crawler(SchemaChangePolicy={"UpdateBehavior": behaviour, "DeleteBehavior": "LOG"})
    landing.crawl(crawler)
    landing.put("land/2013-02/flights.csv", "carrier,flight,dep_delay,origin\nUA,1,2.5,JFK\n")

    landing.crawl(crawler)

    assert len(landing.tables()["w_flights"]["StorageDescriptor"]["Columns"]) == columns


@pytest.mark.parametrize(("behaviour", "left"), [("LOG", {"w_flights"}), ("DELETE_FROM_DATABASE", set())])
def test_keeps_to_its_policy_about_what_is_gone(landing: Landing, behaviour: str, left: set[str]) -> None:
    landing.put("land/2013-01/flights.csv", FLIGHTS)
    crawler = landing.crawler(SchemaChangePolicy={"UpdateBehavior": "LOG", "DeleteBehavior": behaviour})
    landing.crawl(crawler)
    landing.s3.delete_object(Bucket=landing.bucket, Key="land/2013-01/flights.csv")

    landing.crawl(crawler)

    assert set(landing.tables()) == left


def test_an_unreadable_file_is_logged_and_left_out(landing: Landing) -> None:
    landing.put("land/2013-01/flights.csv", FLIGHTS)
    landing.put("land/2013-01/planes.csv.gz", b"\x1f\x8b\x08\x00broken")
    crawler = landing.crawler()

    assert landing.crawl(crawler)["Status"] == "SUCCEEDED"

    assert set(landing.tables()) == {"w_flights"}
    assert "planes.csv.gz: damaged gzip" in landing.log("/aws-glue/crawlers", crawler)


@pytest.mark.parametrize("missing", ["s3:GetObject", "s3:ListBucket", "glue"])
def test_a_missing_grant_fails_the_crawl(landing: Landing, missing: str) -> None:
    landing.put("land/2013-01/flights.csv", FLIGHTS)
    grants = [*landing.read_grants("land/"), landing.catalogue_grants()]
    kept = [grant for grant in grants if not str(grant["Action"]).lstrip("['").startswith(missing)]

    last = landing.crawl(landing.crawler(*kept))

    assert len(kept) == 2
    assert last["Status"] == "FAILED"
    assert "AccessDenied" in last["ErrorMessage"]
    assert landing.tables() == {}


def test_a_crawler_without_a_grant_on_the_catalogue_itself_fails(landing: Landing) -> None:
    landing.put("land/2013-01/flights.csv", FLIGHTS)
    grant = landing.catalogue_grants()
    grant["Resource"].remove(f"{CATALOGUE}:catalog")

    assert landing.crawl(landing.crawler(*landing.read_grants("land/"), grant))["Status"] == "FAILED"


def test_starting_needs_a_grant_on_the_crawler(landing: Landing) -> None:
    crawler, other = landing.crawler(), landing.crawler()
    keys = landing.server.user(allow("glue:StartCrawler", f"{CATALOGUE}:crawler/{crawler}"))
    client = landing.server.client_as("glue", *keys)
    client.start_crawler(Name=crawler)

    with pytest.raises(ClientError) as refused:
        client.start_crawler(Name=other)

    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"


def test_a_running_crawler_refuses_another_start_and_can_be_stopped(landing: Landing) -> None:
    for number in range(300):
        landing.put(f"land/{number:03}/flights.csv", FLIGHTS)
    crawler = landing.crawler()
    landing.glue.start_crawler(Name=crawler)

    with pytest.raises(ClientError) as refused:
        landing.glue.start_crawler(Name=crawler)
    landing.glue.stop_crawler(Name=crawler)

    assert refused.value.response["Error"]["Code"] == "CrawlerRunningException"
    rested = wait_for(lambda: (one := landing.glue.get_crawler(Name=crawler)["Crawler"])["State"] == "READY" and one)
    assert rested["LastCrawl"]["Status"] == "CANCELLED"
    with pytest.raises(ClientError) as idle:
        landing.glue.stop_crawler(Name=crawler)
    assert idle.value.response["Error"]["Code"] == "CrawlerNotRunningException"
