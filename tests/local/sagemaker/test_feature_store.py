"""The local Feature Store keeps to the published rules: newest event time online, every call in the history."""

from __future__ import annotations

import io
import json
import sys
import time
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.local.sagemaker.conftest import Lab, allow, error_of, wait_for

Document = dict[str, Any]

FEATURES = {"airport": "String", "observed_at": "String", "wind": "Fractional", "gusts": "Integral", "note": "String"}


def definitions(features: dict[str, str]) -> list[Document]:
    return [{"FeatureName": name, "FeatureType": kind} for name, kind in features.items()]


class FeatureStore:
    """Feature groups of one laboratory."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.control = lab.sagemaker
        self.runtime = lab.client("sagemaker-featurestore-runtime")

    def request(self, **changes: Any) -> Document:
        return {
            "FeatureGroupName": self.lab.unique("group"),
            "RecordIdentifierFeatureName": "airport",
            "EventTimeFeatureName": "observed_at",
            "FeatureDefinitions": definitions(FEATURES),
            "OnlineStoreConfig": {"EnableOnlineStore": True},
            "OfflineStoreConfig": {
                "S3StorageConfig": {"S3Uri": f"s3://{self.lab.bucket}/offline/"},
                "DisableGlueTableCreation": True,
            },
            "RoleArn": self.lab.role,
            **changes,
        }

    def group(self, **changes: Any) -> str:
        request = self.request(**changes)
        self.control.create_feature_group(**request)
        return str(request["FeatureGroupName"])

    def put(self, group: str, airport: str, observed_at: str, **values: Any) -> None:
        record = {"airport": airport, "observed_at": observed_at, **values}
        self.runtime.put_record(FeatureGroupName=group, Record=values_of(record))

    def get(self, group: str, airport: str, *features: str) -> dict[str, str]:
        wanted = {"FeatureNames": list(features)} if features else {}
        answer = self.runtime.get_record(FeatureGroupName=group, RecordIdentifierValueAsString=airport, **wanted)
        return {item["FeatureName"]: item["ValueAsString"] for item in answer.get("Record", [])}

    def described(self, group: str) -> Document:
        found: Document = self.control.describe_feature_group(FeatureGroupName=group)
        return found

    def history(self, group: str, rows: int) -> list[Document]:
        """The rows of the offline store, as soon as there are so many."""
        uri = self.described(group)["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"]
        prefix = uri.removeprefix(f"s3://{self.lab.bucket}/") + "/"

        def read() -> list[Document]:
            found = []
            for key in self.lab.keys(prefix):
                table = pq.read_table(io.BytesIO(self.lab.read(f"s3://{self.lab.bucket}/{key}")))
                found += [{"_key": key.removeprefix(prefix), **row} for row in table.to_pylist()]
            return found if len(found) >= rows else []

        return wait_for(read)  # type: ignore[no-any-return]


def values_of(record: dict[str, Any]) -> list[Document]:
    return [{"FeatureName": name, "ValueAsString": str(value)} for name, value in record.items()]


@pytest.fixture
def features(lab: Lab) -> FeatureStore:
    return FeatureStore(lab)


def test_the_record_with_the_greatest_event_time_is_online_and_every_one_is_in_the_history(
    features: FeatureStore,
) -> None:
    group = features.group()
    features.put(group, "JFK", "2013-01-01T10:00:00Z", wind=1.5, gusts=2, note="first")
    features.put(group, "JFK", "2013-01-01T12:00:00.250Z", wind=3.25)
    features.put(group, "JFK", "2013-01-01T11:00:00Z", wind=2.0)
    features.put(group, "JFK", "2013-01-01T12:00:00.250Z", wind=9.0)
    assert features.get(group, "JFK") == {"airport": "JFK", "observed_at": "2013-01-01T12:00:00.250Z", "wind": "3.25"}
    assert features.get(group, "EWR") == {}
    history = features.history(group, 4)
    assert sorted(row["wind"] for row in history) == [1.5, 2.0, 3.25, 9.0]
    first = next(row for row in history if row["wind"] == 1.5)
    assert (first["gusts"], first["note"], first["is_deleted"]) == (2, "first", False)
    assert first["_key"].startswith("year=2013/month=01/day=01/hour=10/20130101T100000Z_")
    assert first["write_time"] >= first["api_invocation_time"]


def test_single_features_can_be_asked_for(features: FeatureStore) -> None:
    group = features.group()
    features.put(group, "JFK", "2013-01-01T10:00:00Z", wind=1.5, gusts=2, note="x")
    assert features.get(group, "JFK", "wind", "note") == {"wind": "1.5", "note": "x"}
    code, message = error_of(lambda: features.get(group, "JFK", "waves"))
    assert code == "ValidationError"
    assert "[waves] does not exist" in message


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"airport": "JFK", "observed_at": "2013-01-01T10:00:00Z", "waves": "1"}, "[waves] does not exist"),
        ({"airport": "JFK", "observed_at": "2013-01-01 10:00:00"}, "is not in a format of"),
        ({"airport": "JFK"}, "missing EventTimeFeatureName feature [observed_at]"),
        ({"observed_at": "2013-01-01T10:00:00Z"}, "missing RecordIdentifierFeatureName feature [airport]"),
        ({"airport": "JFK", "observed_at": "2013-01-01T10:00:00Z", "gusts": "1.5"}, "[gusts] is not Integral"),
        ({"airport": "JFK", "observed_at": "2013-01-01T10:00:00Z", "wind": "strong"}, "[wind] is not Fractional"),
    ],
)
def test_a_record_that_does_not_fit_its_group_is_refused(
    features: FeatureStore, record: dict[str, str], told: str
) -> None:
    group = features.group()
    code, message = error_of(lambda: features.runtime.put_record(FeatureGroupName=group, Record=values_of(record)))
    assert code == "ValidationError"
    assert told in message


def test_a_soft_deletion_hides_a_record_until_a_newer_one_comes(features: FeatureStore) -> None:
    group = features.group()
    features.put(group, "JFK", "2013-01-01T10:00:00Z", wind=1.0)

    def delete(event_time: str, **more: Any) -> None:
        features.runtime.delete_record(
            FeatureGroupName=group, RecordIdentifierValueAsString="JFK", EventTime=event_time, **more
        )

    delete("2013-01-01T09:00:00Z")
    assert features.get(group, "JFK")["wind"] == "1.0"
    delete("2013-01-01T11:00:00Z")
    assert features.get(group, "JFK") == {}
    features.put(group, "JFK", "2013-01-01T10:30:00Z", wind=2.0)
    assert features.get(group, "JFK") == {}
    features.put(group, "JFK", "2013-01-01T12:00:00Z", wind=3.0)
    assert features.get(group, "JFK")["wind"] == "3.0"
    assert error_of(lambda: delete("2013-01-01T09:00:00Z", DeletionMode="HardDelete"))[0] == "ValidationError"
    delete("2013-01-01T13:00:00Z", DeletionMode="HardDelete")
    assert features.get(group, "JFK") == {}
    features.put(group, "JFK", "2013-01-01T10:00:00Z", wind=4.0)
    assert features.get(group, "JFK")["wind"] == "4.0"
    history = features.history(group, 7)
    assert len([row for row in history if row["is_deleted"] and row["wind"] is None]) == 3


def test_a_record_goes_when_its_time_to_live_is_over(features: FeatureStore) -> None:
    now = time.time()
    group = features.group(OnlineStoreConfig={"EnableOnlineStore": True, "TtlDuration": {"Unit": "Hours", "Value": 1}})
    two_hours_ago = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - 7200))
    just_now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    features.put(group, "JFK", two_hours_ago, wind=1.0)
    assert features.get(group, "JFK") == {}
    features.put(group, "JFK", just_now, wind=2.0)
    answer = features.runtime.get_record(
        FeatureGroupName=group, RecordIdentifierValueAsString="JFK", ExpirationTimeResponse="Enabled"
    )
    assert answer["ExpiresAt"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(now) + 3600))
    assert len(features.history(group, 2)) == 2


def test_a_batch_names_what_it_found_and_what_it_may_not_look_into(features: FeatureStore) -> None:
    group = features.group()
    for airport in ("JFK", "EWR"):
        features.put(group, airport, "2013-01-01T10:00:00Z", wind=1.0)
    answer = features.runtime.batch_get_record(
        Identifiers=[
            {"FeatureGroupName": group, "RecordIdentifiersValueAsString": ["JFK", "LGA", "EWR"]},
            {"FeatureGroupName": "absent", "RecordIdentifiersValueAsString": ["JFK"]},
        ]
    )
    assert [found["RecordIdentifierValueAsString"] for found in answer["Records"]] == ["JFK", "EWR"]
    assert [error["ErrorCode"] for error in answer["Errors"]] == ["ResourceNotFound"]
    assert answer["UnprocessedIdentifiers"] == []


def test_more_than_is_provisioned_is_throttled(features: FeatureStore) -> None:
    config = {
        "ThroughputMode": "Provisioned",
        "ProvisionedReadCapacityUnits": 0,
        "ProvisionedWriteCapacityUnits": 0,
    }
    group = features.group(ThroughputConfig=config)
    code, _ = error_of(lambda: features.put(group, "JFK", "2013-01-01T10:00:00Z"))
    assert code == "ThrottlingException"
    answer = features.runtime.batch_get_record(
        Identifiers=[{"FeatureGroupName": group, "RecordIdentifiersValueAsString": ["JFK", "LGA"]}]
    )
    assert answer["UnprocessedIdentifiers"] == [
        {"FeatureGroupName": group, "RecordIdentifiersValueAsString": ["JFK", "LGA"]}
    ]


def test_features_are_added_to_a_group_and_never_taken_away(features: FeatureStore) -> None:
    group = features.group()
    features.put(group, "JFK", "2013-01-01T10:00:00Z", wind=1.0)
    features.control.update_feature_group(FeatureGroupName=group, FeatureAdditions=definitions({"clouds": "Integral"}))
    features.put(group, "JFK", "2013-01-01T11:00:00Z", clouds=7)
    assert features.get(group, "JFK")["clouds"] == "7"
    assert [row.get("clouds") for row in sorted(features.history(group, 2), key=lambda row: row["observed_at"])] == [
        None,
        7,
    ]
    code, message = error_of(
        lambda: features.control.update_feature_group(
            FeatureGroupName=group, FeatureAdditions=definitions({"clouds": "String"})
        )
    )
    assert code == "ValidationException"
    assert "clouds exists already" in message


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"RecordIdentifierFeatureName": "gate"}, "gate is not in FeatureDefinitions"),
        ({"RecordIdentifierFeatureName": "wind"}, "must be String or Integral"),
        ({"EventTimeFeatureName": "gusts"}, "must be String or Fractional"),
        ({"FeatureDefinitions": definitions({**FEATURES, "write_time": "String"})}, "write_time is reserved"),
        ({"OnlineStoreConfig": {"EnableOnlineStore": True, "StorageType": "InMemory"}}, "StorageType InMemory"),
        ({"RoleArn": None}, "RoleArn is required"),
    ],
)
def test_a_group_that_cannot_be_is_refused(features: FeatureStore, changes: Document, told: str) -> None:
    request = {key: value for key, value in features.request(**changes).items() if value is not None}
    code, message = error_of(lambda: features.control.create_feature_group(**request))
    assert code == "ValidationException"
    assert told in message


def test_the_role_of_a_group_must_be_able_to_write_its_history(features: FeatureStore) -> None:
    role = features.lab.role_with(allow("s3:GetBucketAcl"))
    code, message = error_of(lambda: features.group(RoleArn=role))
    assert code == "ValidationException"
    assert "s3:PutObject" in message


def test_each_call_needs_its_own_permission_on_the_group(features: FeatureStore, local_server: Any) -> None:
    key, _ = features.lab.key()
    online = {"EnableOnlineStore": True, "SecurityConfig": {"KmsKeyId": key}}
    group = features.group(OnlineStoreConfig=online)
    arn = features.described(group)["FeatureGroupArn"]

    def runtime(*statements: Document) -> Any:
        return local_server.client_as("sagemaker-featurestore-runtime", *local_server.user(*statements))

    def read(client: Any) -> Any:
        return client.get_record(FeatureGroupName=group, RecordIdentifierValueAsString="JFK")

    assert read(runtime(allow("sagemaker:GetRecord", on=arn), allow("kms:Decrypt", on=key)))
    assert "kms:Decrypt" in error_of(lambda: read(runtime(allow("sagemaker:GetRecord", on=arn))))[1]
    code, message = error_of(lambda: read(runtime(allow("sagemaker:PutRecord", on=arn))))
    assert code == "AccessDeniedException"
    assert "sagemaker:GetRecord" in message


def test_a_group_is_listed_described_and_deleted(features: FeatureStore) -> None:
    group = features.group(Description="Wind")
    described = features.described(group)
    assert (described["FeatureGroupStatus"], described["Description"]) == ("Created", "Wind")
    listed = features.control.list_feature_groups(NameContains=group)["FeatureGroupSummaries"]
    assert [summary["FeatureGroupName"] for summary in listed] == [group]
    features.control.delete_feature_group(FeatureGroupName=group)
    assert error_of(lambda: features.described(group))[0] == "ResourceNotFound"


def test_records_outlive_a_server_that_is_killed(own_server: Any) -> None:
    features = FeatureStore(Lab(own_server))
    group = features.group()
    features.put(group, "JFK", "2013-01-01T10:00:00Z", wind=1.0)
    own_server.stop()
    again = sys.modules[type(own_server).__module__].start_server(own_server.state_dir)
    try:
        features = FeatureStore(Lab(again, name=features.lab.name))
        assert features.get(group, "JFK")["wind"] == "1.0"
        assert [row["wind"] for row in features.history(group, 1)] == [1.0]
    finally:
        again.stop()


# -- templates


def deploy(lab: Lab, properties: Document, stack: str | None = None) -> str:
    """Make a stack of one group, or change it; returns its name, or why that could not be."""
    client = lab.client("cloudformation")
    body = json.dumps({"Resources": {"Group": {"Type": "AWS::SageMaker::FeatureGroup", "Properties": properties}}})
    name = stack or lab.unique("stack")
    (client.update_stack if stack else client.create_stack)(StackName=name, TemplateBody=body)

    def settled() -> str | None:
        status = client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        return None if status.endswith("IN_PROGRESS") else str(status)

    status = wait_for(settled)
    if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        return name
    return " ".join(
        e.get("ResourceStatusReason", "") for e in client.describe_stack_events(StackName=name)["StackEvents"]
    )


def test_a_template_adds_features_in_place_and_removes_none(features: FeatureStore) -> None:
    properties = features.request()
    stack = deploy(features.lab, properties)
    group = properties["FeatureGroupName"]
    features.put(group, "JFK", "2013-01-01T10:00:00Z", wind=1.0)
    created = features.described(group)["CreationTime"]

    more = {**properties, "FeatureDefinitions": definitions({**FEATURES, "clouds": "Integral"})}
    assert deploy(features.lab, more, stack) == stack
    described = features.described(group)
    assert [each["FeatureName"] for each in described["FeatureDefinitions"]] == [*FEATURES, "clouds"]
    assert described["CreationTime"] == created
    assert features.get(group, "JFK")["wind"] == "1.0"

    assert "features cannot be removed or changed, only added: clouds" in deploy(features.lab, properties, stack)
    renamed = deploy(features.lab, {**more, "EventTimeFeatureName": "note"}, stack)
    assert "EventTimeFeatureName: CloudFormation cannot update a stack when a custom-named resource" in renamed
    assert features.get(group, "JFK")["wind"] == "1.0"
