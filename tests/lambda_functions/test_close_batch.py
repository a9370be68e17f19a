"""Batches of what has come: each file in one batch, whatever happens twice, at once, or half."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from moto import mock_aws

from close_batch import handler as closer
from close_batch.compose import Plan, sort_incoming
from constructs_lib.names.batch import batch_folder, read_files
from constructs_lib.names.landing import LandingFolders, batch_item
from gapless_lambda import clients

LANDING, TABLE = "landing", "runs"
SERVICES = ("s3", "dynamodb")
FOLDERS = LandingFolders.of("orders")
PLAN = {
    "workload": "orders",
    "incoming": FOLDERS.incoming,
    "files": FOLDERS.files,
    "batches": FOLDERS.batches,
    "item": batch_item("orders"),
    "needs": ["orders"],
    "sources": {
        "orders": {"format": "csv", "collect": "new"},
        "prices": {"format": "json_lines", "collect": "all"},
        "shops": {"format": "parquet", "collect": "new"},
    },
}
LATER = "2099-01-01T00:00:00Z"


class Died(Exception):
    """The process ended in the middle."""


class Context:
    """What Lambda says of the time that is left."""

    def __init__(self, seconds: float = 900) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


class World:
    """A landing bucket with the function."""

    def __init__(self) -> None:
        self.s3, self.dynamodb = clients.client("s3"), clients.client("dynamodb")
        for bucket in (LANDING, "assets"):
            self.s3.create_bucket(Bucket=bucket)
        self.s3.put_object(Bucket="assets", Key="plan.json", Body=json.dumps(PLAN).encode())
        self.dynamodb.create_table(
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": "run", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "run", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def drop(self, place: str, content: str = "x") -> None:
        self.s3.put_object(Bucket=LANDING, Key=f"orders/incoming/{place}", Body=content.encode())

    def drop_all(self, content: str = "x") -> None:
        for place in ("orders/a.csv", "prices/p.jsonl.gz", "shops/s.parquet"):
            self.drop(place, f"{content} of {place}")

    def close(self, time: str = LATER, seconds: float = 900) -> list[Any]:
        """Call the function with one message; give the failures."""
        record = {"messageId": "m", "body": json.dumps({"time": time})}
        answer = closer.handler({"Records": [record]}, Context(seconds))
        return list(answer["batchItemFailures"])

    def keys(self, prefix: str) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket=LANDING, Prefix=prefix).get("Contents", [])
        return [each["Key"] for each in listed]

    @property
    def incoming(self) -> list[str]:
        return [key.removeprefix(FOLDERS.incoming) for key in self.keys(FOLDERS.incoming)]

    def batches(self) -> list[dict[str, Any]]:
        keys = [key for key in self.keys(FOLDERS.batches) if key.endswith("/_batch.json")]
        return [json.loads(self.s3.get_object(Bucket=LANDING, Key=key)["Body"].read()) for key in keys]

    def contents(self, batch: dict[str, Any]) -> list[tuple[str, str]]:
        """Source and content of every file of a batch, found as the pipelines find it."""
        folder = batch_folder(batch, "orders/batches/00000001/_batch.json")
        found = []
        for file in read_files(batch, workload="orders", sources=PLAN["sources"]):
            body = self.s3.get_object(Bucket=LANDING, Key=folder + file.key)["Body"].read()
            assert (len(body), hashlib.sha256(body).hexdigest()) == (file.bytes, file.sha256)
            found.append((file.source, body.decode()))
        return sorted(found)


@pytest.fixture(scope="module")
def aws() -> Iterator[None]:
    """Clients are made once, since that is what takes the time."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "test")
        clients.client.cache_clear()
        with mock_aws():
            for service in SERVICES:
                clients.client(service)
        yield
        clients.client.cache_clear()


@pytest.fixture
def world(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name, value in {
        "PLAN_URI": "s3://assets/plan.json",
        "LANDING_BUCKET": LANDING,
        "STATE_TABLE": TABLE,
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield World()


def test_makes_a_batch_of_every_source_that_the_pipelines_accept(world: World) -> None:
    world.drop_all()
    assert world.close() == []
    (batch,) = world.batches()
    assert world.contents(batch) == [
        ("orders", "x of orders/a.csv"),
        ("prices", "x of prices/p.jsonl.gz"),
        ("shops", "x of shops/s.parquet"),
    ]
    assert [file["key"].partition(".")[2] for file in batch["files"]] == ["csv", "jsonl.gz", "parquet"]
    assert world.incoming == []


def test_waits_until_every_source_has_come_once(world: World) -> None:
    world.drop("orders/a.csv")
    assert world.close() == []
    assert world.batches() == []
    assert world.incoming == ["orders/a.csv"]


def test_makes_no_batch_without_something_new_of_what_it_needs(world: World) -> None:
    world.drop_all()
    world.close()
    world.drop("shops/new.parquet", "new shops")
    world.close()
    assert len(world.batches()) == 1
    assert world.incoming == ["shops/new.parquet"]


def test_a_source_without_new_files_has_the_last_ones_again(world: World) -> None:
    world.drop_all()
    world.close()
    world.drop("orders/b.csv", "more orders")
    world.close()
    _, batch = world.batches()
    assert world.contents(batch) == [
        ("orders", "more orders"),
        ("prices", "x of prices/p.jsonl.gz"),
        ("shops", "x of shops/s.parquet"),
    ]


def test_a_source_that_collects_all_keeps_every_file(world: World) -> None:
    for day in ("monday", "tuesday", "wednesday"):
        world.drop_all(day)
        world.close()
    sources = [source for source, _ in world.contents(world.batches()[-1])]
    assert sources == ["orders", "prices", "prices", "prices", "shops"]


def test_names_a_file_that_came_twice_once(world: World) -> None:
    world.drop_all()
    world.drop("orders/again/a.csv", "x of orders/a.csv")
    world.close()
    assert len(world.contents(world.batches()[0])) == 3
    assert world.incoming == []


def test_is_as_of_its_message_and_never_before_its_newest_file(world: World) -> None:
    world.drop_all()
    world.close(time="2001-01-01T00:00:00Z")
    world.drop_all("later")
    world.close(time=LATER)
    first, second = world.batches()
    assert datetime.fromisoformat(first["as_of"]) >= datetime(2020, 1, 1, tzinfo=UTC)
    assert second["as_of"] == LATER


def test_called_again_it_makes_nothing_more(world: World) -> None:
    world.drop_all()
    for _ in range(3):
        assert world.close() == []
    assert len(world.batches()) == 1


@pytest.mark.parametrize("dies_at", ["put_object", "delete_object", "update_item"])
@pytest.mark.parametrize("after", [False, True])
def test_dying_anywhere_it_leaves_each_file_in_one_batch(
    world: World, monkeypatch: pytest.MonkeyPatch, dies_at: str, after: bool
) -> None:
    world.drop_all()
    client = clients.client("dynamodb" if dies_at == "update_item" else "s3")
    original = getattr(client, dies_at)

    def die(**arguments: Any) -> None:
        if after:
            original(**arguments)
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(client, dies_at, die)
        assert world.close() == [{"itemIdentifier": "m"}]
    world.drop("orders/meanwhile.csv", "meanwhile")
    assert world.close() == []
    assert world.incoming == []
    orders = [body for batch in world.batches() for source, body in world.contents(batch) if source == "orders"]
    assert sorted(orders) == ["meanwhile", "x of orders/a.csv"]


def test_of_two_at_once_one_makes_the_batch_and_both_finish_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.drop_all()
    client = clients.client("s3")
    original = client.put_object

    def overtaken(**arguments: Any) -> Any:
        monkeypatch.setattr(client, "put_object", original)
        world.drop("orders/b.csv", "seen by the other one only")
        assert world.close() == []
        world.drop("orders/c.csv", "for the next one")
        return original(**arguments)

    monkeypatch.setattr(client, "put_object", overtaken)
    assert world.close() == []
    (batch,) = world.batches()
    assert ("orders", "seen by the other one only") in world.contents(batch)
    assert world.incoming == ["orders/c.csv"]


def test_does_not_delete_a_file_that_has_been_replaced_since(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.drop_all()
    client = clients.client("s3")
    original = client.put_object

    def replaced(**arguments: Any) -> Any:
        monkeypatch.setattr(client, "put_object", original)
        world.drop("orders/a.csv", "another content")
        return original(**arguments)

    monkeypatch.setattr(client, "put_object", replaced)
    world.close()
    assert world.incoming == ["orders/a.csv"]
    assert ("orders", "x of orders/a.csv") in world.contents(world.batches()[0])


def test_tells_of_files_that_no_batch_can_take_after_taking_the_others(world: World) -> None:
    world.drop_all()
    for place in ("order/typo.csv", "nowhere.csv"):
        world.drop(place)
    world.drop("orders/empty.csv", "")
    assert world.close() == [{"itemIdentifier": "m"}]
    assert len(world.batches()) == 1
    assert world.incoming == ["nowhere.csv", "order/typo.csv", "orders/empty.csv"]


def test_names_each_stray_with_its_reason() -> None:
    sizes = {"nowhere.csv": 1, "order/a.csv": 1, "orders/empty.csv": 0}
    objects = [
        {"Key": f"orders/incoming/{place}", "Size": size, "ETag": "e", "LastModified": datetime.now(UTC)}
        for place, size in sizes.items()
    ]
    found = sort_incoming(objects, Plan.parse(PLAN))
    assert found.strays == {
        "orders/incoming/nowhere.csv": "it lies in no source's folder",
        "orders/incoming/order/a.csv": "'order' is no source of orders",
        "orders/incoming/orders/empty.csv": "it is empty",
    }


def test_leaves_unfinished_work_alone(world: World) -> None:
    world.drop_all()
    hidden = ["orders/_temporary/part-0.csv", "shops/.part.parquet.tmp", "shops/_SUCCESS"]
    for place in hidden:
        world.drop(place)
    assert world.close() == []
    assert world.incoming == sorted(hidden)


def test_reads_no_more_files_than_there_is_time_for(world: World) -> None:
    world.drop_all()
    assert world.close(seconds=60) == []
    assert world.batches() == []
    assert len(world.incoming) == 3


def test_many_files_of_one_source_keep_out_no_other_and_are_left_for_the_next_batch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closer, "MOST_FILES", 3)
    world.drop_all()
    world.drop("orders/z.csv", "too many")
    world.close()
    assert world.incoming == ["orders/z.csv"]


def test_refuses_a_message_without_a_time(world: World) -> None:
    world.drop_all()
    assert world.close(time="today") == [{"itemIdentifier": "m"}]
    assert world.batches() == []
