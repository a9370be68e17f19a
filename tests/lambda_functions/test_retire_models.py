"""Models that nobody needs are deleted, and only those; so are archives that nothing names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from gapless_lambda import clients
from retire_models.handler import LostPackage, Result, handler

NOW = datetime.now(UTC)
GROUP = "arn:aws:sagemaker:us-east-1:123456789012:model-package/dev-orders-models"
FOLDER = "s3://artefacts/orders/"
APPROVED, REJECTED, PENDING = "Approved", "Rejected", "PendingManualApproval"


def missing(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "ValidationException", "Message": "Could not find it."}}, operation)


def arn(version: int) -> str:
    return f"{GROUP}/{version}"


def uri(version: int) -> str:
    return f"{FOLDER}models/{version:064x}/model.tar.gz"


@dataclass
class SageMaker:
    """The registry and what serves, with SageMaker's own shapes and messages."""

    packages: dict[str, dict[str, Any]] = field(default_factory=dict)
    endpoint: dict[str, Any] | None = None
    configs: dict[str, list[str]] = field(default_factory=dict)
    changed_meanwhile: str | None = None

    def get_paginator(self, operation: str) -> SageMaker:
        assert operation == "list_model_packages"
        return self

    def paginate(self, **asked: str) -> Iterator[dict[str, Any]]:
        assert asked == {"ModelPackageGroupName": "dev-orders-models"}
        for each in list(self.packages):
            yield {"ModelPackageSummaryList": [{"ModelPackageArn": each}]}

    def describe_model_package(self, ModelPackageName: str) -> dict[str, Any]:
        found = dict(self.packages[ModelPackageName])
        if ModelPackageName == self.changed_meanwhile:
            self.packages[ModelPackageName]["ModelApprovalStatus"] = APPROVED
        return found

    def delete_model_package(self, ModelPackageName: str) -> None:
        del self.packages[ModelPackageName]

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        assert EndpointName == "dev-orders-live"
        if self.endpoint is None:
            raise missing("DescribeEndpoint")
        return self.endpoint

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:
        if EndpointConfigName not in self.configs:
            raise missing("DescribeEndpointConfig")
        return {"ProductionVariants": [{"ModelName": each} for each in self.configs[EndpointConfigName]]}

    def describe_model(self, ModelName: str) -> dict[str, Any]:
        return {"Containers": [{"ModelPackageName": ModelName}]}

    def register(self, version: int, status: str, days_ago: float, **properties: str) -> str:
        self.packages[arn(version)] = {
            "ModelPackageVersion": version,
            "ModelApprovalStatus": status,
            "CreationTime": NOW - timedelta(days=400),
            "LastModifiedTime": NOW - timedelta(days=days_ago),
            "CustomerMetadataProperties": properties,
            "InferenceSpecification": {
                "Containers": [{"Image": "image", "ModelDataUrl": uri(version)}, {"Image": "b"}]
            },
        }
        return arn(version)


@dataclass
class Place:
    """Registry, bucket and table."""

    s3: Any
    dynamodb: Any
    sagemaker: SageMaker

    def put(self, *uris: str) -> None:
        for each in uris:
            self.s3.put_object(Bucket="artefacts", Key=each.removeprefix("s3://artefacts/"), Body=b"x")

    def record_live(self, **values: str) -> None:
        item = {"run": {"S": "live#orders"}, **{name: {"S": value} for name, value in values.items()}}
        self.dynamodb.put_item(TableName="runs", Item=item)

    @property
    def objects(self) -> set[str]:
        listed = self.s3.list_objects_v2(Bucket="artefacts").get("Contents", [])
        return {f"s3://artefacts/{each['Key']}" for each in listed}

    def run(self, *, days: float = 0) -> Result:
        """Call the function as if so many days had passed."""
        return handler({"time": (NOW + timedelta(days=days)).isoformat()}, None)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """The newest approved model stays, and each stays for ten days after it was changed."""
    settings = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "WORKLOAD": "orders",
        "ARTEFACTS_BUCKET": "artefacts",
        "RUNS_TABLE": "runs",
        "MODEL_PACKAGE_GROUP": "dev-orders-models",
        "ENDPOINT_NAME": "dev-orders-live",
        "KEEP_NEWEST": "1",
        "KEEP_DAYS": "10",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        clients.client.cache_clear()
        place = Place(boto3.client("s3"), boto3.client("dynamodb"), SageMaker())
        place.s3.create_bucket(Bucket="artefacts")
        place.dynamodb.create_table(
            TableName="runs",
            KeySchema=[{"AttributeName": "run", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "run", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        real = clients.client
        monkeypatch.setattr(
            "retire_models.handler.client", lambda name: place.sagemaker if name == "sagemaker" else real(name)
        )
        yield place
    clients.client.cache_clear()


def test_old_models_that_were_rejected_or_overtaken_are_deleted(place: Place) -> None:
    register = place.sagemaker.register
    overtaken, rejected = register(1, APPROVED, 11), register(2, REJECTED, 11)
    register(3, APPROVED, 11)
    assert set(place.run()["retired"]) == {overtaken, rejected}
    assert set(place.sagemaker.packages) == {arn(3)}


@pytest.mark.parametrize(
    ("status", "days", "properties"),
    [
        (PENDING, 400, {}),
        (REJECTED, 400, {"pinned": "the audit of 2026 looks at it"}),
        (APPROVED, 400, {"pinned": "compared with every year"}),
        (REJECTED, 9, {}),
        (APPROVED, 9, {}),
    ],
)
def test_what_is_pinned_young_or_waits_for_approval_stays(
    place: Place, status: str, days: float, properties: dict[str, str]
) -> None:
    place.sagemaker.register(1, status, days, **properties)
    place.sagemaker.register(2, APPROVED, 400)
    assert place.run() == {"retired": [], "leftovers": 0}


def test_the_newest_approved_models_stay_whatever_their_age(place: Place) -> None:
    place.sagemaker.register(9, APPROVED, 400)
    place.sagemaker.register(10, REJECTED, 1)
    assert place.run()["retired"] == []


@pytest.mark.parametrize("which", ["endpoint", "update", "record", "recorded configuration", "previous"])
def test_what_serves_or_served_before_stays(place: Place, which: str) -> None:
    serving = place.sagemaker.register(1, REJECTED, 400)
    place.sagemaker.register(2, APPROVED, 400)
    place.sagemaker.configs["conf-1"] = [serving]
    place.sagemaker.configs["conf-2"] = [arn(2)]
    if which == "endpoint":
        place.sagemaker.endpoint = {"EndpointConfigName": "conf-1"}
    elif which == "update":
        place.sagemaker.endpoint = {
            "EndpointConfigName": "conf-2",
            "PendingDeploymentSummary": {"EndpointConfigName": "conf-1"},
        }
    elif which == "record":
        place.record_live(model_package_arn=serving, config="conf-gone")
    else:
        place.record_live(**{"config" if which.startswith("recorded") else "previous_config": "conf-1"})
    assert place.run()["retired"] == []


def test_a_model_that_changes_meanwhile_stays(place: Place) -> None:
    """It is looked up once more right before it would be deleted."""
    changing = place.sagemaker.register(1, REJECTED, 400)
    place.sagemaker.register(2, APPROVED, 400)
    place.sagemaker.changed_meanwhile = changing
    assert place.run()["retired"] == []


def test_nothing_is_deleted_where_it_cannot_be_found_out_what_serves(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.sagemaker.register(1, REJECTED, 400)
    place.put(uri(1))
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "not authorized"}}, "DescribeEndpoint")

    def deny(**asked: str) -> None:
        raise denied

    monkeypatch.setattr(place.sagemaker, "describe_endpoint", deny)
    with pytest.raises(ClientError, match="not authorized"):
        place.run(days=100)
    assert (set(place.sagemaker.packages), place.objects) == ({arn(1)}, {uri(1)})


def test_archives_go_with_the_last_model_that_names_them(place: Place) -> None:
    register = place.sagemaker.register
    register(1, REJECTED, 400)
    register(2, REJECTED, 400)
    register(3, APPROVED, 400)
    shared = place.sagemaker.packages[arn(3)]["InferenceSpecification"]["Containers"]
    place.sagemaker.packages[arn(2)]["InferenceSpecification"]["Containers"] = shared
    place.put(uri(1), uri(3))
    assert place.run(days=40)["leftovers"] == 1
    assert place.objects == {uri(3)}


def test_what_jobs_have_left_goes_after_thirty_days_and_statements_stay(place: Place) -> None:
    kept = {f"{FOLDER}models/statements/run-1/a.json", f"{FOLDER}evaluations/a/evaluation.json", f"{FOLDER}bundles/b"}
    gone = {f"{FOLDER}training/job/output/model.tar.gz", f"{FOLDER}scoring/requests/a", uri(7)}
    other = {"s3://artefacts/orders_too/training/job/output/model.tar.gz"}
    place.put(*kept, *gone, *other)
    assert place.run(days=29)["leftovers"] == 0
    assert place.run(days=31)["leftovers"] == 3
    assert place.objects == kept | other


def test_an_archive_that_a_package_still_names_where_training_left_it_stays(place: Place) -> None:
    trained = f"{FOLDER}training/job/output/model.tar.gz"
    place.sagemaker.register(1, APPROVED, 400)
    place.sagemaker.packages[arn(1)]["InferenceSpecification"]["Containers"] = [{"ModelDataUrl": trained}]
    place.put(trained)
    assert place.run(days=400)["leftovers"] == 0


def test_no_archive_goes_when_a_package_that_serves_was_deleted_by_hand(place: Place) -> None:
    place.record_live(model_package_arn=arn(5))
    place.put(uri(5))
    with pytest.raises(LostPackage, match=r"behind the endpoint: .*/5; no archive was deleted"):
        place.run(days=100)
    assert place.objects == {uri(5)}


def test_a_second_call_has_nothing_to_do(place: Place) -> None:
    place.sagemaker.register(1, REJECTED, 400)
    place.put(uri(1))
    assert place.run(days=40)["leftovers"] == 1
    assert place.run(days=40) == {"retired": [], "leftovers": 0}


def test_the_set_that_serves_stays_and_so_does_the_version_before_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAS_SETS", "true")
    before, serves = place.sagemaker.register(1, REJECTED, 400), place.sagemaker.register(2, REJECTED, 400)
    place.sagemaker.register(3, APPROVED, 400)
    place.sagemaker.configs["conf-2"] = ["several"]
    several = {"Image": "image", "Mode": "MultiModel", "ModelDataUrl": f"{FOLDER}segments/abc/models/"}
    monkeypatch.setattr(place.sagemaker, "describe_model", lambda **_: {"Containers": [several]})
    place.record_live(config="conf-2", model_package_arn=serves, previous_package_arn=before)
    kept = {f"{FOLDER}segments/abc/models/a.tar.gz", f"{FOLDER}segments/abc/code/sourcedir.tar.gz"}
    place.put(*kept, f"{FOLDER}segments/abcd/models/a.tar.gz")
    assert place.run(days=31) == {"retired": [], "leftovers": 1}
    assert place.objects == kept
