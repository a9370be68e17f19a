"""Sources come in by themselves: pulled, dropped, streamed; and what came makes a batch that goes the whole way."""

from __future__ import annotations

import datetime as dt
import io
import json
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq
import pytest

from local.landing import batch_key
from tests.end_to_end.live import Live, eventually, type_command
from tests.everything.orders import CUSTOMERS, ORDERS, csv_gz, customer_rows, order_rows
from tests.http_source import HttpSource, failing, hanging_up, too_many

AS_OF = "2099-01-01T00:00:00Z"


@dataclass(frozen=True)
class Paths:
    """The ingestion paths of the deployed workload, and how a person uses them."""

    live: Live
    queues: dict[str, dict[str, str]]
    streams: dict[str, str]
    prefix: str

    @classmethod
    def of(cls, live: Live, stack_name: str) -> Paths:
        stack = live.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"][0]
        outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
        parsed = {name: json.loads(outputs.get(name, "{}")) for name in ("IngestionQueues", "IngestionStreams")}
        return cls(live, parsed["IngestionQueues"], parsed["IngestionStreams"], outputs["LandingPrefix"])

    def url(self, path: str, queue: str = "queue") -> str:
        name = self.queues[path][queue].rpartition(":")[2]
        return str(self.live.client("sqs").get_queue_url(QueueName=name)["QueueUrl"])

    def start(self, path: str) -> None:
        """Do what the schedule does."""
        self.live.client("sqs").send_message(QueueUrl=self.url(path), MessageBody=json.dumps({"time": AS_OF}))

    def landed(self, folder: str) -> list[str]:
        return self.live.uris(f"s3://{self.live.outputs.landing_bucket}/{self.prefix}{folder}/")

    def wait_for_files(self, count: int) -> list[str]:
        """Wait until so many files of clicks have landed."""

        def look() -> list[str] | None:
            found = self.landed("incoming/clicks")
            return found if len(found) == count else None

        return eventually(look, f"{count} files", seconds=60)

    def waiting(self, path: str, queue: str) -> int:
        return self.live.waiting(self.url(path, queue))


@pytest.fixture(scope="session")
def paths(pulled: Live) -> Paths:
    return Paths.of(pulled, "every-PulledOrdersWorkload")


@pytest.fixture(scope="session")
def clicks(everything: Live) -> Paths:
    return Paths.of(everything, "every-ClicksWorkload")


def as_json(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [{**dict(zip(ORDERS, row, strict=True)), "late": row[-1] == "true"} for row in rows]


def test_a_flaky_api_and_a_dropped_file_become_a_batch_that_ends_in_a_served_model(
    paths: Paths, orders_api: HttpSource
) -> None:
    live = paths.live
    secret = json.dumps({"token": orders_api.token})
    live.client("secretsmanager").create_secret(Name="every-pulled-orders-orders-api", SecretString=secret)
    orders_api.rows = as_json(order_rows(dt.date(2024, 3, 1), 10))
    orders_api.stumbles = [too_many("0"), failing(503), hanging_up]
    customers = csv_gz(CUSTOMERS, customer_rows())
    live.write(f"{live.zone('landing')}incoming/customers/customers.csv.gz", customers)

    paths.start("orders")
    eventually(lambda: paths.landed("incoming/orders"), "the pulled file", seconds=60)
    assert {request["limit"] for request in orders_api.requests} == {"500"}
    paths.start("batches")
    (uri,) = eventually(lambda: paths.landed("batches"), "the batch", seconds=60)

    batch = live.read_json(uri)
    assert [file["source"] for file in batch["files"]] == ["customers", "orders"]
    chain = live.chain_of(batch_key(batch))
    assert chain.outcome() == "deployed", chain
    assert paths.landed("incoming") == []


def click(number: int, page: str, **changed: Any) -> dict[str, bytes]:
    seen = {"clicked_at": f"2024-03-01T10:00:{number:02}Z", "seconds": 1.5, "scrolls": 3, "sold": number % 2 == 0}
    record = {"click_id": f"k{number}", "customer": "c01", "page": page, **seen, **changed}
    return {"Data": json.dumps(record).encode()}


def test_records_of_a_stream_land_as_parquet_and_those_that_failed_land_when_they_are_replayed(clicks: Paths) -> None:
    live, (stream,) = clicks.live, clicks.streams.values()
    records = [click(1, "home"), click(2, "cart"), click(3, "home"), click(4, "cart", scrolls="many")]
    answer = live.client("firehose").put_record_batch(DeliveryStreamName=stream, Records=records)
    assert answer["FailedPutCount"] == 0

    landed = clicks.wait_for_files(2)
    assert [uri.split("/incoming/clicks/")[1].split("/")[0] for uri in landed] == ["page=cart", "page=home"]
    assert [row["click_id"] for row in rows_of(live, landed[1])] == ["k1", "k3"]
    eventually(lambda: clicks.waiting("clicks", "failed") == 1, "the message about the failed record", seconds=60)

    mend_schema(live, "scrolls", "string")
    assert "moved 1 messages" in live.command("--workload", "clicks", "ingest", "replay", "clicks")
    rows = [row for uri in clicks.wait_for_files(3) for row in rows_of(live, uri)]
    assert {row["click_id"]: row["scrolls"] for row in rows}["k4"] == "many"
    assert clicks.landed("failed") == []
    assert "clicks (stream): 0 waiting, 0 given up" in live.command("--workload", "clicks", "ingest", "list")


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("clicks", "clicks is a stream: it delivers by itself what is put on it"),
        ("click", "'click' is no ingestion path (allowed: batches, clicks, shops)"),
    ],
)
def test_says_which_paths_can_be_started_by_hand(clicks: Paths, path: str, problem: str) -> None:
    live = clicks.live
    done = type_command(live.settings, "--workload", "clicks", "ingest", "start", path, root=live.root)
    assert done.returncode == 2
    assert problem in done.stderr


def rows_of(live: Live, uri: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(io.BytesIO(live.read(uri))).to_pylist()
    return found


def mend_schema(live: Live, column: str, kind: str) -> None:
    """Change the type of a column of the stream's table."""
    glue = live.client("glue")
    table = glue.get_table(DatabaseName="every_landing", Name="clicks_clicks_stream")["Table"]
    columns = [
        {**each, "Type": kind if each["Name"] == column else each["Type"]}
        for each in table["StorageDescriptor"]["Columns"]
    ]
    changed = {"Name": table["Name"], "StorageDescriptor": {**table["StorageDescriptor"], "Columns": columns}}
    glue.update_table(DatabaseName="every_landing", TableInput=changed)
