from typing import Any

import pytest
from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Match, Template

from constructs_lib.alarms import Alarms, FailureAlarms, Metric, NoAlarms
from constructs_lib.data_lake import DataLake
from constructs_lib.feature_group import FeatureGroup
from constructs_lib.feature_ingestion import FeatureIngestion
from constructs_lib.grants import ServiceRole

DEFINITIONS = {"airport": "String", "observed_at": "String", "wind": "Fractional"}


def any_group(stack: Stack, **changes: Any) -> FeatureGroup:
    given: dict[str, Any] = {
        "name": "dev-flight-delays-weather",
        "key": "airport",
        "event_time": "observed_at",
        "definitions": DEFINITIONS,
        "lake": DataLake(stack, "Lake", stage="dev"),
        "prefix": "flight_delays/feature_store/weather/",
        "table": "flight_delays_weather",
        "columns": {"airport": "string", "observed_at": "string", "wind": "double"},
        **changes,
    }
    return FeatureGroup(stack, "Weather", **given)


def statements(stack: Stack, role: str) -> dict[str, Any]:
    """Action → resource of the policy of a role, for actions that stand alone or together."""
    policies = Template.from_stack(stack).find_resources("AWS::IAM::Policy")
    found: dict[str, Any] = {}
    for name, policy in policies.items():
        if name.startswith(role):
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                actions = statement["Action"]
                for action in [actions] if isinstance(actions, str) else actions:
                    found.setdefault(action, []).append(statement["Resource"])
    return found


def test_keeps_the_newest_online_and_every_record_in_the_lake_under_the_lakes_key(stack: Stack) -> None:
    any_group(stack)
    template = Template.from_stack(stack)
    (key,) = template.find_resources("AWS::KMS::Key", {"Properties": {"EnableKeyRotation": True}})
    key_arn = {"Fn::GetAtt": [key, "Arn"]}
    template.has_resource_properties(
        "AWS::SageMaker::FeatureGroup",
        {
            "FeatureGroupName": "dev-flight-delays-weather",
            "RecordIdentifierFeatureName": "airport",
            "EventTimeFeatureName": "observed_at",
            "FeatureDefinitions": [{"FeatureName": name, "FeatureType": kind} for name, kind in DEFINITIONS.items()],
            "OnlineStoreConfig": {
                "EnableOnlineStore": True,
                "SecurityConfig": {"KmsKeyId": key_arn},
                "TtlDuration": Match.absent(),
            },
            "OfflineStoreConfig": {
                "S3StorageConfig": {"S3Uri": Match.any_value(), "KmsKeyId": key_arn},
                "DisableGlueTableCreation": True,
                "DataCatalogConfig": {
                    "Catalog": "AwsDataCatalog",
                    "Database": "dev_curated",
                    "TableName": "flight_delays_weather",
                },
            },
        },
    )


def test_the_table_of_the_history_is_there_before_the_group(stack: Stack) -> None:
    any_group(stack)
    template = Template.from_stack(stack)
    ((table_id, table),) = template.find_resources("AWS::Glue::Table").items()
    (group,) = template.find_resources("AWS::SageMaker::FeatureGroup").values()
    assert table_id in group["DependsOn"]
    keys = table["Properties"]["TableInput"]["PartitionKeys"]
    assert keys == [{"Name": "year", "Type": "string"}, {"Name": "month", "Type": "string"}]
    assert any(each.startswith("WeatherRoleDefaultPolicy") for each in group["DependsOn"])


def test_stays_with_its_table_when_its_stack_goes(stack: Stack) -> None:
    any_group(stack)
    template = Template.from_stack(stack)
    for kind in ("AWS::SageMaker::FeatureGroup", "AWS::Glue::Table"):
        template.has_resource(kind, {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"})


def test_goes_where_it_may_go(stack: Stack) -> None:
    any_group(stack, removal_policy=RemovalPolicy.DESTROY)
    Template.from_stack(stack).has_resource("AWS::SageMaker::FeatureGroup", {"DeletionPolicy": "Delete"})


def test_the_online_store_forgets_after_the_given_days(stack: Stack) -> None:
    any_group(stack, keep_days=30)
    Template.from_stack(stack).has_resource_properties(
        "AWS::SageMaker::FeatureGroup", {"OnlineStoreConfig": {"TtlDuration": {"Unit": "Days", "Value": 30}}}
    )


def test_its_role_writes_below_its_prefix_and_reads_nothing(stack: Stack) -> None:
    any_group(stack)
    found = statements(stack, "WeatherRole")
    assert set(found) == {
        "s3:PutObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
        "s3:PutObjectAcl",
        "s3:GetBucketAcl",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:GenerateDataKey",
    }
    assert all("/flight_delays/feature_store/weather/*" in str(place) for place in found["s3:PutObject"])
    assert all("feature_store" not in str(place) for place in found["s3:GetBucketAcl"])


@pytest.mark.parametrize(
    ("grant", "actions"),
    [
        ("grant_ingest", {"sagemaker:PutRecord", "sagemaker:DescribeFeatureGroup"}),
        ("grant_read", {"sagemaker:BatchGetRecord", "sagemaker:GetRecord"}),
    ],
)
def test_grants_are_about_one_group_and_its_key(stack: Stack, grant: str, actions: set[str]) -> None:
    role = ServiceRole(stack, "Somebody", service="lambda.amazonaws.com", description="Somebody")
    getattr(any_group(stack), grant)(role)
    found = statements(stack, "Somebody")
    assert set(found) == {*actions, "kms:Decrypt", "kms:DescribeKey"}
    for action in actions:
        assert all("feature-group/dev-flight-delays-weather" in str(place) for place in found[action])


def ingestion(stack: Stack, alarms: Alarms) -> FeatureIngestion:
    return FeatureIngestion(
        stack,
        "Ingestion",
        name="dev-flight-delays-ingest",
        description="Puts records",
        groups={"weather": any_group(stack)},
        security_configuration="dev-lake",
        key=kms.Key.from_key_arn(stack, "Key", "arn:aws:kms:us-east-1:000000000000:key/lake"),
        refused=Metric("Gapless", "FeatureRecordsRefused", {"Workload": "flight_delays"}),
        alarms=alarms,
    )


def test_tells_somebody_of_a_failed_run_and_of_records_that_were_not_taken(stack: Stack) -> None:
    job = ingestion(stack, FailureAlarms(sns.Topic(stack, "Topic")))
    template = Template.from_stack(stack)
    for metric in ("glue.error.ALL", "FeatureRecordsRefused"):
        template.has_resource_properties("AWS::CloudWatch::Alarm", {"MetricName": metric})
    assert job.group_names == {"weather": "dev-flight-delays-weather"}
    assert "sagemaker:PutRecord" in statements(stack, "IngestionJobRole")


def test_tells_nobody_where_silence_is_right(stack: Stack) -> None:
    ingestion(stack, NoAlarms("an example that nobody has to look after"))
    Template.from_stack(stack).resource_count_is("AWS::CloudWatch::Alarm", 0)
