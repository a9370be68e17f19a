"""Records of published datasets reach the local Feature Store: what is new, once, and nothing lost; and a request gets
the same features back that the dataset has."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from constructs_lib.names.batch import canonical_json, index_key
from gapless_glue.feature_store import TRIES, Record, put_all, put_into
from ingest_features import Options, run
from tests.local.sagemaker.conftest import Lab, allow, error_of
from tests.local.sagemaker.test_feature_store import FeatureStore, definitions

Document = dict[str, Any]

CONTRACT: Document = {
    "problem": "binary_classification",
    "name": "shop",
    "target": "returned",
    "event_time": "placed",
    "primary": "orders",
    "sources": {},
    "derived": [],
    "features": [],
    "window_days": None,
    "split": {"validation": 0.1, "test": 0.1},
    "quality": {"max_quarantined_share": 0.1},
    "feature_groups": [
        {
            "name": "visits",
            "source": "visits",
            "key": {"name": "person", "type": "int"},
            "event_time": "seen_at",
            "joined_on": "customer",
            "features": [
                {"name": "pages", "type": "bigint"},
                {"name": "minutes", "type": "double"},
                {"name": "member", "type": "boolean"},
            ],
            "max_age_minutes": None,
            "fallback": "missing",
            "defaults": {},
        }
    ],
}
TYPES = {"person": "Integral", "seen_at": "String", "pages": "Integral", "minutes": "Fractional", "member": "Integral"}
ROWS = [
    (1, "2024-01-31 23:30:00", 2**53 + 1, 0.1, True),
    (1, "2024-02-01 08:00:00.25", None, 1 / 3, None),
    (2, "2024-02-01 09:00:00", 7, -1e-300, False),
]


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer(port=0)
    server.start(background=True)
    _, port = server.listening_address
    session = SparkSession.builder.remote(f"sc://localhost:{port}").create()
    session.conf.set("spark.sql.session.timeZone", "UTC")
    yield session
    session.stop()
    server.stop()


@dataclass
class Shop:
    """A lake in a folder, whose records go to a group of the local server."""

    root: Path
    spark: SparkSession
    store: FeatureStore
    group: str
    contract: Document = field(default_factory=lambda: copy.deepcopy(CONTRACT))
    runs: int = 0

    def publish(self, version: str, as_of: str, rows: list[tuple[Any, ...]], more: str = "") -> None:
        """Writes a published dataset with records, as the data job and the machine leave it."""
        location = self.root / "curated" / version
        text = "person int, seen_at string, pages bigint, minutes double, member boolean"
        records = self.spark.createDataFrame(rows, ", ".join(filter(None, [text, more])))
        records.withColumn("seen_at", F.col("seen_at").cast("timestamp")).write.parquet(f"file://{location}/")
        group = {"location": f"file://{location}/", "records": len(rows), "dropped": {}}
        self._write(f"{version}/manifest.json", {"feature_groups": {"visits": group}})
        entry = {"version": version, "as_of": as_of, "manifest_uri": "", "report_uri": "", "profile_uri": ""}
        self._write(index_key(version, as_of), entry)

    def _write(self, name: str, content: Document) -> None:
        path = self.root / "datasets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(canonical_json(content))

    def ingest(self, version: str, runtime: Any = None) -> Document:
        self.runs += 1
        (self.root / "contract.json").write_text(json.dumps(self.contract))
        options = Options(
            version=version,
            attempt=f"run-{self.runs}-0-0",
            contract_uri=f"file://{self.root}/contract.json",
            group_names=json.dumps({"visits": self.group}),
            datasets_uri=f"file://{self.root}/datasets/",
            quarantine_uri=f"file://{self.root}/quarantine/",
        )
        return run(self.spark, options, self.store.control, runtime or self.store.runtime)


@pytest.fixture
def shop(tmp_path: Path, spark: SparkSession, lab: Lab) -> Shop:
    store = FeatureStore(lab)
    group = store.group(
        RecordIdentifierFeatureName="person", EventTimeFeatureName="seen_at", FeatureDefinitions=definitions(TYPES)
    )
    return Shop(tmp_path, spark, store, group)


def test_records_go_in_with_exactly_their_values(shop: Shop) -> None:
    shop.publish("v1", "2024-02-02T00:00:00Z", ROWS)
    report = shop.ingest("v1")
    assert (report["written"], report["refused"]) == (3, 0)
    assert shop.store.get(shop.group, "1") == {
        "person": "1",
        "seen_at": "2024-02-01T08:00:00.250Z",
        "minutes": repr(1 / 3),
    }
    history = {(row["person"], row["seen_at"]): row for row in shop.store.history(shop.group, 3)}
    first = history[1, "2024-01-31T23:30:00.000Z"]
    assert (first["pages"], first["minutes"], first["member"]) == (2**53 + 1, 0.1, 1)
    assert history[2, "2024-02-01T09:00:00.000Z"]["minutes"] == -1e-300


def test_the_months_of_the_history_are_named_with_their_folders(shop: Shop) -> None:
    shop.publish("v1", "2024-02-02T00:00:00Z", ROWS)
    uri = shop.store.described(shop.group)["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"]
    expected = [
        {
            "zone": "curated",
            "table": "shop_visits",
            "values": ["2024", month],
            "location": f"{uri}/year=2024/month={month}/",
        }
        for month in ("01", "02")
    ]
    assert shop.ingest("v1")["partitions"] == expected
    assert shop.ingest("v1")["partitions"] == expected, "a run after a killed one must name them all again"


def test_only_what_is_new_or_other_is_put(shop: Shop) -> None:
    shop.publish("v1", "2024-02-02T00:00:00Z", ROWS)
    shop.ingest("v1")
    changed = (*ROWS[2][:2], 8, *ROWS[2][3:])
    shop.publish("v2", "2024-02-03T00:00:00Z", [*ROWS[:2], changed, (3, "2024-02-02 10:00:00", 1, 1.0, True)])
    report = shop.ingest("v2")
    assert report["written"] == 2
    assert report["groups"]["visits"]["compared_with"].endswith("/v1/")
    assert shop.ingest("v2")["written"] == 0
    assert shop.ingest("v1")["written"] == 1, "compared with v2, which has another value in its place"


def test_a_dataset_that_did_not_go_in_completely_is_none_to_compare_with(shop: Shop) -> None:
    shop.publish("v1", "2024-02-02T00:00:00Z", ROWS)
    without = definitions({name: "String" if name == "minutes" else kind for name, kind in TYPES.items()})
    narrow = {"FeatureDefinitions": [each for each in without if each["FeatureName"] != "pages"]}
    group, shop.group = (
        shop.group,
        shop.store.group(RecordIdentifierFeatureName="person", EventTimeFeatureName="seen_at", **narrow),
    )
    report = shop.ingest("v1")
    assert (report["written"], report["refused"]) == (1, 2)
    kept = [json.loads(line) for line in Path(report["groups"]["visits"]["refused_uri"][7:]).read_text().splitlines()]
    assert len(kept) == 2
    assert all("[pages] does not exist" in each["error"] for each in kept)
    assert {"FeatureName": "pages", "ValueAsString": "7"} in [item for each in kept for item in each["record"]]
    shop.group = group
    assert shop.ingest("v1")["written"] == 3


def test_a_feature_that_was_added_goes_in_for_the_records_that_have_it(shop: Shop) -> None:
    """The group is changed in place; what was written before keeps its file, in which the feature is missing."""
    shop.publish("v1", "2024-02-02T00:00:00Z", ROWS)
    shop.ingest("v1")
    shop.store.control.update_feature_group(
        FeatureGroupName=shop.group, FeatureAdditions=definitions({"mood": "String"})
    )
    shop.contract["feature_groups"][0]["features"].append({"name": "mood", "type": "string"})
    rows = [(*ROWS[0], None), (*ROWS[1], "calm"), (*ROWS[2], None), (2, "2024-02-03 09:00:00", 8, 1.0, True, "glad")]
    shop.publish("v2", "2024-02-04T00:00:00Z", rows, "mood string")
    assert shop.ingest("v2")["written"] == 2
    assert shop.store.get(shop.group, "2")["mood"] == "glad"
    history = shop.store.history(shop.group, 5)
    assert sorted(row.get("mood") or "" for row in history) == ["", "", "", "calm", "glad"]


def test_records_that_are_too_many_at_once_are_put_again_until_all_are_in(shop: Shop) -> None:
    config = {
        "ThroughputMode": "Provisioned",
        "ProvisionedReadCapacityUnits": 100,
        "ProvisionedWriteCapacityUnits": 30,
    }
    group = shop.store.group(ThroughputConfig=config)
    records = [record(f"A{number}") for number in range(70)]
    assert put_all(records, put_into(shop.store.runtime, group)) == (70, [])
    assert len(shop.store.history(group, 70)) == 70


def test_what_is_too_much_until_the_end_is_given_back(shop: Shop) -> None:
    config = {
        "ThroughputMode": "Provisioned",
        "ProvisionedReadCapacityUnits": 0,
        "ProvisionedWriteCapacityUnits": 0,
    }
    group = shop.store.group(ThroughputConfig=config)
    waits: list[float] = []
    taken, refused = put_all(
        [record("JFK")], put_into(shop.store.runtime, group), wait=waits.append, chance=lambda: 1.0
    )
    assert taken == 0
    assert [(each.record, each.error) for each in refused] == [(record("JFK"), "ThrottlingException: Rate exceeded")]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0][: TRIES - 1]


def test_a_job_that_may_not_put_fails_instead_of_refusing_every_record(shop: Shop, local_server: Any) -> None:
    shop.publish("v1", "2024-02-02T00:00:00Z", ROWS)
    nobody = local_server.client_as("sagemaker-featurestore-runtime", *local_server.user(allow("s3:GetObject")))
    assert error_of(lambda: shop.ingest("v1", nobody))[0] == "AccessDeniedException"
    assert not (shop.root / "datasets" / "v1" / "features.json").exists()


def record(airport: str) -> Record:
    return [
        {"FeatureName": "airport", "ValueAsString": airport},
        {"FeatureName": "observed_at", "ValueAsString": "2024-01-01T00:00:00.000Z"},
    ]
