"""Datasets that nobody needs are retired, and only those; leftovers go, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from gapless_lambda import clients
from retire_datasets.handler import Result, handler
from retire_datasets.lake import Datasets

NOW = datetime.now(UTC)
TAG = "gapless:retired"
ZONES = ("datasets", "validated", "quarantine", "curated")
ARTEFACTS = "artefacts"
GROUP = "dev-orders-models"
SPLITS = ("train", "validation", "test")
ATTEMPT = "run-1-0-0"


def version_of(number: int) -> str:
    return f"{number:032x}"


@dataclass
class Store:
    """Buckets, a registry, and the datasets in them; datasets are numbered by ``as_of``."""

    s3: Any
    sagemaker: Any
    policy: dict[str, str] = field(default_factory=dict)

    def publish(self, number: int, *, reads: Sequence[str] = ()) -> str:
        """A published dataset; ``reads`` are names of rows in other folders that its test split is made of as well."""
        version = version_of(number)
        root, folder = f"orders/{version}", f"orders/{version}/attempt={ATTEMPT}/"
        for split in SPLITS:
            self.put(f"{folder}{split}/part-0.parquet", "rows")
            names = [f"{version}/attempt={ATTEMPT}/{split}/part-0.parquet", *(reads if split == "test" else ())]
            self.put(f"{folder}{split}.manifest", json.dumps([{"prefix": "s3://datasets/orders/"}, *names]))
        uri = f"s3://datasets/{folder}"
        splits = {split: {"manifest_uri": f"{uri}{split}.manifest"} for split in SPLITS}
        manifest = json.dumps({"version": version, "attempt": ATTEMPT, "splits": splits})
        for name in (f"{folder}manifest.json", f"{root}/manifest.json"):
            self.put(name, manifest)
        for name in ("report.json", "profile.json"):
            self.put(f"{folder}{name}", "{}")
        entry = {"version": version, "as_of": f"2024-01-{number:02}", "report_uri": f"{uri}report.json"}
        self.put(f"orders/index/202401{number:02}T000000.000000Z_{version}.json", json.dumps(entry))
        return version

    def put(self, key: str, content: str, bucket: str = "datasets") -> None:
        self.s3.put_object(Bucket=bucket, Key=key, Body=content.encode())

    def pin(self, version: str) -> None:
        self.put(f"orders/pins/{version}/run-2.json", "{}")

    def register(self, version: str, status: str) -> str:
        made = self.sagemaker.create_model_package(
            ModelPackageGroupName=GROUP,
            ModelApprovalStatus=status,
            CustomerMetadataProperties={"dataset_version": version},
        )
        return str(made["ModelPackageArn"])

    def keys(self, prefix: str, bucket: str = "datasets") -> set[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {item["Key"] for page in pages for item in page.get("Contents", ())}

    def is_published(self, version: str) -> bool:
        return f"orders/{version}/manifest.json" in self.keys(f"orders/{version}/")

    def marked(self, version: str) -> set[str]:
        """Names of the objects of a dataset that will expire."""
        folder = f"orders/{version}/"
        tags = {key: self.s3.get_object_tagging(Bucket="datasets", Key=key)["TagSet"] for key in self.keys(folder)}
        return {key.rpartition("=")[2].partition("/")[2] for key, found in tags.items() if found}

    def run(self, *, days: float = 20) -> Result:
        """Call the function as if so many days had passed."""
        return handler({"time": (NOW + timedelta(days=days)).isoformat()}, None)


ROWS = {f"{split}/part-0.parquet" for split in SPLITS} | {f"{split}.manifest" for split in SPLITS}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Everything that is not among the two newest and is older than ten days may go."""
    with mock_aws():
        settings = {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "WORKLOAD": "orders",
            **{f"{zone.upper()}_BUCKET": zone for zone in (*ZONES, ARTEFACTS)},
            "MODEL_PACKAGE_GROUP": GROUP,
            "KEEP_NEWEST": "2",
            "KEEP_DAYS": "10",
            "RETIRED_TAG": TAG,
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        clients.client.cache_clear()
        s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")
        for zone in (*ZONES, ARTEFACTS):
            s3.create_bucket(Bucket=zone)
            s3.put_bucket_versioning(Bucket=zone, VersioningConfiguration={"Status": "Enabled"})
        sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
        yield Store(s3, sagemaker)
        clients.client.cache_clear()


# --- what is retired --------------------------------------------------------------------------------------------------


def test_retires_what_is_neither_new_nor_young_nor_used(store: Store) -> None:
    old, *others = [store.publish(number) for number in (1, 2, 3)]
    assert store.run()["retired"] == [old]
    assert not store.is_published(old)
    assert store.marked(old) == ROWS
    assert [version for version in others if store.marked(version) or not store.is_published(version)] == []


def test_keeps_the_records_of_what_it_retires(store: Store) -> None:
    old, *_ = [store.publish(number) for number in (1, 2, 3)]
    store.run()
    kept = store.keys(f"orders/{old}/attempt={ATTEMPT}/") - {
        f"orders/{old}/attempt={ATTEMPT}/{name}" for name in store.marked(old)
    }
    assert {key.rpartition("/")[2] for key in kept} == {"manifest.json", "report.json", "profile.json"}
    assert len(store.keys("orders/index/")) == 3


def test_keeps_the_young(store: Store) -> None:
    for number in (1, 2, 3):
        store.publish(number)
    assert store.run(days=9)["retired"] == []


def test_newest_is_what_has_the_latest_as_of_whenever_it_was_made(store: Store) -> None:
    *_, oldest = [store.publish(number) for number in (3, 2, 1)]
    assert store.run()["retired"] == [oldest]


def test_keeps_what_a_training_run_has_pinned(store: Store) -> None:
    old, *_ = [store.publish(number) for number in (1, 2, 3)]
    store.pin(old)
    assert store.run(days=20)["retired"] == []


def test_a_pin_does_not_hold_for_ever(store: Store) -> None:
    old, *_ = [store.publish(number) for number in (1, 2, 3)]
    store.pin(old)
    assert store.run(days=31)["retired"] == [old]


@pytest.mark.parametrize("status", ["Approved", "PendingManualApproval"])
def test_keeps_what_a_registered_model_was_made_of(store: Store, status: str) -> None:
    old, *_ = [store.publish(number) for number in (1, 2, 3)]
    store.register(old, status)
    assert store.run(days=400)["retired"] == []
    assert store.is_published(old)


def test_a_rejected_model_keeps_nothing(store: Store) -> None:
    old, *_ = [store.publish(number) for number in (1, 2, 3)]
    store.register(old, "Rejected")
    assert store.run()["retired"] == [old]


def test_spares_rows_that_a_kept_dataset_reads(store: Store) -> None:
    old = store.publish(1)
    shared = f"{old}/attempt={ATTEMPT}/test/part-0.parquet"
    store.publish(2)
    store.publish(3, reads=[shared])
    store.run()
    assert store.marked(old) == ROWS - {"test/part-0.parquet"}


def test_does_the_same_when_it_is_called_again(store: Store) -> None:
    old, *_ = [store.publish(number) for number in (1, 2, 3)]
    first, second = store.run(), store.run()
    assert first == second
    markers = store.s3.list_object_versions(Bucket="datasets", Prefix=f"orders/{old}/manifest.json")["DeleteMarkers"]
    assert len(markers) == 1


def test_says_nothing_more_of_a_dataset_whose_rows_have_expired(store: Store) -> None:
    old, *_ = [store.publish(number) for number in (1, 2, 3)]
    store.run()
    expire(store, old)
    assert store.run() == {"retired": [], "restored": [], "lost": [], "derived": 0, "leftovers": 0}


def expire(store: Store, version: str) -> None:
    """What the bucket's lifecycle does with what is marked."""
    for name in store.marked(version):
        store.s3.delete_object(Bucket="datasets", Key=f"orders/{version}/attempt={ATTEMPT}/{name}")


# --- what was made of rows --------------------------------------------------------------------------------------------


def derive(store: Store, version: str) -> tuple[set[str], set[str]]:
    """What a run of a built-in algorithm leaves of a dataset: what holds rows, and what does not."""
    encoded, scoring = f"orders/encoded/{version}/run-2-0-0", "orders/scoring"
    rows = {
        *(f"{encoded}/{split}/part-0.csv" for split in SPLITS[:2]),
        f"{scoring}/requests/{version}/run-2-0-0/00000000.json",
        f"{scoring}/predictions/{version}/score-run-2-0-0/00000000.json.out",
        f"{scoring}/predictions/{version}/champ-run-2-0-0/00000000.json.out",
    }
    others = {f"{encoded}/adapters/model.tar.gz", f"{encoded}/encoded.json"}
    for key in rows | others:
        store.put(key, "made of rows", ARTEFACTS)
    return rows, others


def test_what_runs_have_made_of_its_rows_goes_with_a_dataset_and_adapters_stay(store: Store) -> None:
    old, *kept = [store.publish(number) for number in (1, 2, 3)]
    rows, others = derive(store, old)
    for version in kept:
        others |= set().union(*derive(store, version))
    golden = {f"orders/scoring/{part}/00000000.json" for part in ("golden/deploy-1-0-0", "predictions/gold-d-0-0")}
    foreign = f"returns/encoded/{old}/run-2-0-0/train/part-0.csv"
    for key in (*golden, foreign):
        store.put(key, "not made of it", ARTEFACTS)
    assert (store.run()["derived"], store.run()["derived"]) == (len(rows), 0)
    assert store.keys("", ARTEFACTS) == others | golden | {foreign}


def test_what_a_run_makes_of_a_dataset_that_went_meanwhile_goes_the_next_night(store: Store) -> None:
    """A run whose pin has grown too old, and a call that broke off before it came to this."""
    old, *_ = [store.publish(number) for number in (1, 2, 3)]
    store.run()
    expire(store, old)
    rows, _ = derive(store, old)
    assert store.run()["derived"] == len(rows)


@pytest.mark.parametrize("held", ["pin", "model", "race"])
def test_what_was_made_of_a_dataset_that_is_held_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    old, *_ = [store.publish(number) for number in (1, 2, 3)]
    before = set().union(*derive(store, old))
    withdraw = Datasets.withdraw

    def withdraw_and_be_pinned(datasets: Any, version: str) -> None:
        withdraw(datasets, version)
        store.pin(version)

    match held:
        case "pin":
            store.pin(old)
        case "model":
            store.register(old, "Approved")
        case "race":
            monkeypatch.setattr(Datasets, "withdraw", withdraw_and_be_pinned)
    assert store.run()["derived"] == 0
    assert store.keys("", ARTEFACTS) == before


# --- races ------------------------------------------------------------------------------------------------------------


def test_a_pin_that_comes_between_decision_and_mark_wins(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    old, *_ = [store.publish(number) for number in (1, 2, 3)]
    withdraw = Datasets.withdraw

    def withdraw_and_be_pinned(datasets: Any, version: str) -> None:
        withdraw(datasets, version)
        store.pin(version)

    monkeypatch.setattr(Datasets, "withdraw", withdraw_and_be_pinned)
    done = store.run()
    assert (done["retired"], done["restored"]) == ([], [old])
    assert store.is_published(old) and not store.marked(old)


@pytest.mark.parametrize("step", ["withdraw", "mark"])
def test_goes_on_where_it_was_killed(store: Store, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    old, *_ = [store.publish(number) for number in (1, 2, 3)]
    with monkeypatch.context() as patch:
        whole = getattr(Datasets, step)

        def kill(datasets: Any, argument: Any) -> None:
            whole(datasets, argument if isinstance(argument, str) else list(argument)[:2])
            raise KeyboardInterrupt

        patch.setattr(Datasets, step, kill)
        with pytest.raises(KeyboardInterrupt):
            store.run()
    assert not store.is_published(old) and store.marked(old) != ROWS
    assert store.run()["retired"] == [old]
    assert store.marked(old) == ROWS


def test_puts_back_what_is_wanted_again_while_its_rows_are_there(store: Store) -> None:
    old, *_ = [store.publish(number) for number in (1, 2, 3)]
    published = store.s3.get_object(Bucket="datasets", Key=f"orders/{old}/manifest.json")["Body"].read()
    store.run()
    store.pin(old)
    assert store.run()["restored"] == [old]
    assert store.is_published(old) and not store.marked(old)
    again = store.s3.get_object(Bucket="datasets", Key=f"orders/{old}/manifest.json")["Body"].read()
    assert json.loads(again) == json.loads(published)


@pytest.mark.parametrize("gone", ["train/part-0.parquet", "test.manifest"])
def test_does_not_put_back_what_has_begun_to_expire(store: Store, gone: str) -> None:
    old, *_ = [store.publish(number) for number in (1, 2, 3)]
    store.run()
    store.s3.delete_object(Bucket="datasets", Key=f"orders/{old}/attempt={ATTEMPT}/{gone}")
    store.pin(old)
    done = store.run()
    assert (done["restored"], done["lost"]) == ([], [old])
    assert not store.is_published(old)


# --- leftovers --------------------------------------------------------------------------------------------------------


def leave_behind(store: Store, version: str, attempt: str) -> list[tuple[str, str]]:
    """What a killed worker leaves in every zone."""
    made = [
        ("datasets", f"orders/{version}/attempt={attempt}/_staging/orders/0.csv"),
        ("datasets", f"orders/{version}/attempt={attempt}/train/part-0.parquet"),
        *((zone, f"orders/items/version={version}/attempt={attempt}/part-0.parquet") for zone in ZONES[1:]),
    ]
    for bucket, key in made:
        store.put(key, "rows", bucket)
    store.put(f"orders/{version}/attempt={attempt}/report.json", "{}")
    return made


@pytest.mark.parametrize("number", [1, 9])
def test_removes_what_an_attempt_left_that_published_nothing(store: Store, number: int) -> None:
    """Of a version that another attempt has published, and of one that nobody has."""
    version = store.publish(1)
    made = leave_behind(store, version_of(number), "killed-0-0")
    before = store.keys(f"orders/{version}/attempt={ATTEMPT}/")
    assert store.run(days=31)["leftovers"] == len(made)
    assert [(bucket, key) for bucket, key in made if key in store.keys(key, bucket)] == []
    assert store.keys(f"orders/{version_of(number)}/attempt=killed-0-0/") == {
        f"orders/{version_of(number)}/attempt=killed-0-0/report.json"
    }
    assert store.keys(f"orders/{version}/attempt={ATTEMPT}/") == before


def test_leaves_alone_what_is_still_being_written(store: Store) -> None:
    leave_behind(store, version_of(9), "running-0-0")
    assert store.run(days=29)["leftovers"] == 0


def test_leaves_the_tables_of_published_attempts_alone(store: Store) -> None:
    version = store.publish(1)
    for zone in ZONES[1:]:
        store.put(f"orders/items/version={version}/attempt={ATTEMPT}/part-0.parquet", "rows", zone)
    assert store.run(days=400)["leftovers"] == 0


def test_what_is_published_and_not_yet_in_the_index_is_no_leftover(store: Store) -> None:
    version = store.publish(1)
    for key in store.keys("orders/index/"):
        store.s3.delete_object(Bucket="datasets", Key=key)
    assert store.run(days=400)["leftovers"] == 0
    assert store.is_published(version)


def test_touches_nothing_of_another_workload(store: Store) -> None:
    key = f"returns/{version_of(9)}/attempt=killed-0-0/train/part-0.parquet"
    store.put(key, "rows")
    store.run(days=400)
    assert store.keys("returns/") == {key}
