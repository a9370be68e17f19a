"""Sources come in by themselves: pulled, dropped, streamed; and what came makes a batch that goes the whole way."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any

import pytest

from local.landing import batch_key
from tests.end_to_end.live import Live, eventually
from tests.everything.orders import CUSTOMERS, ORDERS, csv_gz, customer_rows, order_rows
from tests.http_source import HttpSource, failing, hanging_up, too_many

AS_OF = "2099-01-01T00:00:00Z"


@dataclass(frozen=True)
class Paths:
    """The ingestion paths of the deployed workload, and how a person uses them."""

    live: Live
    queues: dict[str, dict[str, str]]

    @classmethod
    def of(cls, live: Live) -> Paths:
        stack = live.client("cloudformation").describe_stacks(StackName="every-OrdersWorkload")["Stacks"][0]
        outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
        return cls(live, json.loads(outputs["IngestionQueues"]))

    def url(self, path: str, queue: str = "queue") -> str:
        name = self.queues[path][queue].rpartition(":")[2]
        return str(self.live.client("sqs").get_queue_url(QueueName=name)["QueueUrl"])

    def start(self, path: str) -> None:
        """Do what the schedule does."""
        self.live.client("sqs").send_message(QueueUrl=self.url(path), MessageBody=json.dumps({"time": AS_OF}))

    def landed(self, folder: str) -> list[str]:
        return self.live.uris(f"{self.live.zone('landing')}{folder}/")


@pytest.fixture(scope="session")
def paths(everything: Live) -> Paths:
    return Paths.of(everything)


def as_json(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [{**dict(zip(ORDERS, row, strict=True)), "late": row[-1] == "true"} for row in rows]


def test_a_flaky_api_and_a_dropped_file_become_a_batch_that_ends_in_a_served_model(
    paths: Paths, orders_api: HttpSource
) -> None:
    live = paths.live
    secret = json.dumps({"token": orders_api.token})
    live.client("secretsmanager").create_secret(Name="every-orders-orders-api", SecretString=secret)
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
