"""Which dataset a batch is added to, where datasets accumulate, and which batches come too late."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from check_batch.handler import handler
from constructs_lib.names.batch import NO_PARENT, BadBatch, index_key
from gapless_lambda.clients import client

CONTRACT: dict[str, Any] = {
    "name": "shop",
    "primary": "orders",
    "window_days": None,
    "sources": {"orders": {}, "customers": {}},
    "dataset": {"accumulate": True, "repeats_within_days": 7},
}
BUNDLE, ENGINE = "b" * 64, "engine-1"


class Shop:
    """A workload that accumulates: its landing folder and what it published."""

    def __init__(self, s3: Any) -> None:
        self.s3 = s3

    def publish(self, version: str, as_of: str, *, content: bytes = b"other", **manifest: Any) -> None:
        """Publishes a dataset that was made of one file of orders."""
        inputs = [{"source": "orders", "key": "o.csv", "sha256": hashlib.sha256(content).hexdigest(), "bytes": 5}]
        made = {"version": version, "inputs": inputs, "bundle": BUNDLE, "engine": ENGINE, "days_uri": "s3://x/y"}
        self.put("datasets", f"shop/{version}/manifest.json", {**made, **manifest})
        entry = {"version": version, "manifest_uri": f"s3://datasets/shop/{version}/manifest.json"}
        self.put("datasets", f"shop/{index_key(version, as_of)}", entry)

    def put(self, bucket: str, key: str, content: Any) -> None:
        self.s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(content).encode())

    def check(
        self, as_of: str, *, sources: tuple[str, ...] = ("orders",), content: bytes = b"rows", **more: Any
    ) -> Any:
        files = []
        for source in sources:
            self.s3.put_object(Bucket="landing", Key=f"shop/x/{source}.csv", Body=content)
            digest = hashlib.sha256(content).hexdigest()
            files.append({"source": source, "key": f"{source}.csv", "bytes": len(content), "sha256": digest})
        self.put("landing", "shop/x/_batch.json", {"workload": "shop", "files": files, **more})
        event = {"batch_uri": "s3://landing/shop/x/_batch.json", "as_of": as_of, "bundle": {"bundle": BUNDLE}}
        return handler(event, None)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "CONTRACT_URI": "s3://assets/contract.json",
        "DATASETS_URI": "s3://datasets/shop/",
        "ENGINE": ENGINE,
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        client.cache_clear()
        s3 = boto3.client("s3")
        for bucket in ("landing", "assets", "datasets"):
            s3.create_bucket(Bucket=bucket)
        found = Shop(s3)
        found.put("assets", "contract.json", CONTRACT)
        yield found
    client.cache_clear()


def test_the_first_batch_has_no_parent_and_holds_every_source(shop: Shop) -> None:
    assert shop.check("2024-01-02T00:00:00Z", sources=("orders", "customers"))["parent"] == NO_PARENT
    with pytest.raises(BadBatch, match="no file of source customers"):
        shop.check("2024-01-02T00:00:00Z")


def test_the_parent_is_the_newest_dataset_before_the_batch(shop: Shop) -> None:
    shop.publish("newer", "2024-01-02T00:00:00Z")
    shop.publish("older", "2024-01-01T00:00:00Z")
    assert shop.check("2024-01-03T00:00:00Z")["parent"] == "newer"


def test_the_parent_is_part_of_the_version(shop: Shop) -> None:
    alone = shop.check("2024-01-03T00:00:00Z", sources=("orders", "customers"))
    shop.publish("older", "2024-01-01T00:00:00Z")
    assert shop.check("2024-01-03T00:00:00Z", sources=("orders", "customers"))["version"] != alone["version"]


def test_a_batch_with_a_parent_must_bring_rows_of_the_primary_source(shop: Shop) -> None:
    shop.publish("older", "2024-01-01T00:00:00Z")
    with pytest.raises(BadBatch, match="no file of source orders; this batch has to hold orders"):
        shop.check("2024-01-03T00:00:00Z", sources=("customers",))


@pytest.mark.parametrize("as_of", ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"])
def test_refuses_a_batch_that_later_datasets_would_not_have(shop: Shop, as_of: str) -> None:
    shop.publish("newest", "2024-01-02T00:00:00Z")
    with pytest.raises(BadBatch, match=r"is not after that of dataset newest, .* land it again with a later one"):
        shop.check(as_of)


def test_a_batch_may_run_again_with_other_code_even_when_it_is_not_the_newest(shop: Shop) -> None:
    shop.publish("first", "2024-01-01T00:00:00Z")
    shop.publish("mine", "2024-01-02T00:00:00Z", content=b"rows", bundle="a" * 64)
    shop.publish("newest", "2024-01-03T00:00:00Z")
    assert shop.check("2024-01-02T00:00:00Z")["parent"] == "first"


def test_of_datasets_with_one_as_of_that_of_our_own_code_is_the_parent(shop: Shop) -> None:
    shop.publish("a", "2024-01-01T00:00:00Z")
    shop.publish("z", "2024-01-01T00:00:00Z", bundle="a" * 64)
    assert shop.check("2024-01-02T00:00:00Z")["parent"] == "a"


def test_a_dataset_from_before_accumulation_is_no_parent(shop: Shop) -> None:
    shop.publish("old", "2024-01-01T00:00:00Z")
    manifest = {"version": "old", "inputs": [], "bundle": BUNDLE, "engine": ENGINE}
    shop.put("datasets", "shop/old/manifest.json", manifest)
    assert shop.check("2024-01-02T00:00:00Z", sources=("orders", "customers"))["parent"] == NO_PARENT


def test_a_fresh_batch_holds_everything_and_has_no_parent(shop: Shop) -> None:
    shop.publish("older", "2024-01-01T00:00:00Z")
    assert shop.check("2024-01-02T00:00:00Z", sources=("orders", "customers"), fresh=True)["parent"] == NO_PARENT
    with pytest.raises(BadBatch, match="no file of source customers"):
        shop.check("2024-01-02T00:00:00Z", fresh=True)
    with pytest.raises(BadBatch, match="fresh must be true or false, was 'yes'"):
        shop.check("2024-01-02T00:00:00Z", fresh="yes")


def test_reads_no_dataset_where_none_accumulates(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATASETS_URI")
    shop.put("assets", "contract.json", {name: value for name, value in CONTRACT.items() if name != "dataset"})
    assert shop.check("2024-01-02T00:00:00Z", sources=("orders", "customers"))["parent"] == NO_PARENT
