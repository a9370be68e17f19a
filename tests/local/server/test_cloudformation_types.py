"""Templates: what ministack lacks is made, what it drops is applied, what nobody knows is refused by name."""

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from local.server import cloudformation, hooks
from local.server.host import Caller, Request
from local.server.without_effect import REFUSED, WITHOUT_EFFECT, WITHOUT_EFFECT_IN_PART


class Stacks:
    """Deploys small templates."""

    def __init__(self, server: Any) -> None:
        self.client = server.client("cloudformation")

    def deploy(self, resources: dict[str, Any], name: str | None = None) -> dict[str, str]:
        """Make or change a stack; returns physical ids by logical id."""
        body = json.dumps({"Resources": resources})
        if name is None:
            name = f"stack-{time.time_ns()}"
            self.client.create_stack(StackName=name, TemplateBody=body)
            waiter = self.client.get_waiter("stack_create_complete")
        else:
            self.client.update_stack(StackName=name, TemplateBody=body)
            waiter = self.client.get_waiter("stack_update_complete")
        waiter.wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 90})
        self.name = name
        found = self.client.describe_stack_resources(StackName=name)["StackResources"]
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}

    def refusal(self, resources: dict[str, Any]) -> str:
        """Why a template cannot be deployed."""
        try:
            self.deploy(resources)
        except ClientError as error:
            return str(error)
        except WaiterError as error:
            name = error.last_response["Stacks"][0]["StackName"]
            events = self.client.describe_stack_events(StackName=name)["StackEvents"]
            return " ".join(event.get("ResourceStatusReason", "") for event in events)
        raise AssertionError("it was deployed")

    def delete(self) -> None:
        self.client.delete_stack(StackName=self.name)
        self.client.get_waiter("stack_delete_complete").wait(StackName=self.name, WaiterConfig={"Delay": 1})


@pytest.fixture
def stacks(local_server: Any) -> Stacks:
    return Stacks(local_server)


def bucket(**properties: Any) -> dict[str, Any]:
    return {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": properties}}


def test_who_asks_for_a_stack_that_is_being_changed_hears_when_it_has_been(stacks: Stacks) -> None:
    """The CDK CLI asks again after five seconds only."""
    made = {f"Bucket{number}": bucket()["Bucket"] for number in range(30)}
    stacks.client.create_stack(StackName="held", TemplateBody=json.dumps({"Resources": made}))
    [found] = stacks.client.describe_stacks(StackName="held")["Stacks"]
    assert found["StackStatus"] == "CREATE_COMPLETE"
    stacks.client.delete_stack(StackName=found["StackId"])
    [found] = stacks.client.describe_stacks(StackName=found["StackId"])["Stacks"]
    assert found["StackStatus"] == "DELETE_COMPLETE"


@pytest.mark.parametrize(("status", "held"), [("UPDATE_IN_PROGRESS", True), ("REVIEW_IN_PROGRESS", False)])
def test_an_answer_is_held_back_for_a_while_only(status: str, held: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack of which there is only a change set is not being changed."""
    looks: list[str] = []

    def resolve(name: str) -> dict[str, str]:
        looks.append(name)
        return {"StackStatus": status}

    monkeypatch.setattr(hooks, "get", lambda _name: resolve)
    monkeypatch.setattr(cloudformation, "_HOLD_SECONDS", 0.1)
    monkeypatch.setattr(cloudformation, "_LOOK_SECONDS", 0.01)
    body = b"Action=DescribeStacks&StackName=one"
    cloudformation._await_change(Request("POST", "/", {}, body, {}, Caller("", "")))
    assert (len(looks) > 1) is held


FULL = {
    "BucketEncryption": {
        "ServerSideEncryptionConfiguration": [
            {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}, "BucketKeyEnabled": "true"}
        ]
    },
    "LifecycleConfiguration": {
        "Rules": [{"Id": "Tidy", "Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": "90"}}]
    },
    "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
    "Tags": [{"Key": "owner", "Value": "us"}],
    "NotificationConfiguration": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}},
    "VersioningConfiguration": {"Status": "Enabled"},
}


def test_bucket_properties_are_applied(stacks: Stacks, local_server: Any) -> None:
    s3 = local_server.client("s3")
    name = stacks.deploy(bucket(**FULL, LoggingConfiguration={"LogFilePrefix": "logs/"}))["Bucket"]
    encryption = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert encryption["BucketKeyEnabled"] is True
    assert encryption["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == "alias/aws/s3"
    lifecycle = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"][0]
    assert lifecycle["NoncurrentVersionExpiration"] == {"NoncurrentDays": 90}
    assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == [{"Key": "owner", "Value": "us"}]
    assert s3.get_bucket_logging(Bucket=name)["LoggingEnabled"]["TargetPrefix"] == "logs/"
    assert "OwnershipControls" in s3.get_bucket_ownership_controls(Bucket=name)
    assert "EventBridgeConfiguration" in s3.get_bucket_notification_configuration(Bucket=name)
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"


def test_a_lifecycle_rule_may_go_by_a_tag(stacks: Stacks, local_server: Any) -> None:
    rule = {"Status": "Enabled", "ExpirationInDays": 1, "TagFilters": [{"Key": "old", "Value": "true"}]}
    name = stacks.deploy(bucket(LifecycleConfiguration={"Rules": [rule]}))["Bucket"]
    (found,) = local_server.client("s3").get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert found["Filter"]["And"]["Tags"] == [{"Key": "old", "Value": "true"}]
    assert found["Expiration"] == {"Days": 1}


def test_bucket_properties_are_changed_and_removed(stacks: Stacks, local_server: Any) -> None:
    s3 = local_server.client("s3")
    name = stacks.deploy(bucket(**FULL))["Bucket"]
    kept = {key: value for key, value in FULL.items() if key not in ("Tags", "LifecycleConfiguration")}
    assert stacks.deploy(bucket(**kept), stacks.name)["Bucket"] == name
    with pytest.raises(ClientError, match="NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket=name)
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket=name)
    assert s3.get_bucket_encryption(Bucket=name)


def test_a_bucket_property_that_nobody_applies_is_refused_by_name(stacks: Stacks) -> None:
    refusal = stacks.refusal(bucket(AccelerateConfiguration={"AccelerationStatus": "Enabled"}))
    assert "does not apply AccelerateConfiguration of AWS::S3::Bucket" in refusal


def test_table_properties_are_applied(stacks: Stacks, local_server: Any) -> None:
    table = {
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True},
        "SSESpecification": {"SSEEnabled": True},
    }
    name = stacks.deploy({"Table": {"Type": "AWS::DynamoDB::Table", "Properties": table}})["Table"]
    dynamodb = local_server.client("dynamodb")
    recovery = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    assert recovery["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    expiry = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert (expiry["TimeToLiveStatus"], expiry["AttributeName"]) == ("ENABLED", "expires")
    assert dynamodb.describe_table(TableName=name)["Table"]["SSEDescription"]["Status"] == "ENABLED"


def test_the_key_of_a_topic_is_applied(stacks: Stacks, local_server: Any) -> None:
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"KmsMasterKeyId": "alias/own"}}
    arn = stacks.deploy({"Topic": topic})["Topic"]
    attributes = local_server.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]
    assert attributes["KmsMasterKeyId"] == "alias/own"


def test_a_security_configuration_is_made_changed_and_removed(stacks: Stacks, local_server: Any) -> None:
    def template(mode: str) -> dict[str, Any]:
        encryption = {"S3Encryptions": [{"S3EncryptionMode": mode}]}
        properties = {"Name": "own-config", "EncryptionConfiguration": encryption}
        return {"Config": {"Type": "AWS::Glue::SecurityConfiguration", "Properties": properties}}

    glue = local_server.client("glue")

    def mode() -> str:
        found = glue.get_security_configuration(Name="own-config")["SecurityConfiguration"]
        return str(found["EncryptionConfiguration"]["S3Encryption"][0]["S3EncryptionMode"])

    stacks.deploy(template("SSE-S3"))
    assert mode() == "SSE-S3"
    stacks.deploy(template("DISABLED"), stacks.name)
    assert mode() == "DISABLED"
    stacks.delete()
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        mode()


def test_a_named_query_and_a_composite_alarm_are_made(stacks: Stacks, local_server: Any) -> None:
    query = {"Name": "counts", "Database": "d", "QueryString": "select 1"}
    ids = stacks.deploy(
        {
            "Query": {"Type": "AWS::Athena::NamedQuery", "Properties": query},
            "Alarm": {"Type": "AWS::CloudWatch::CompositeAlarm", "Properties": {"AlarmRule": "FALSE"}},
        }
    )
    athena, cloudwatch = local_server.client("athena"), local_server.client("cloudwatch")
    assert athena.get_named_query(NamedQueryId=ids["Query"])["NamedQuery"]["Name"] == "counts"
    found = cloudwatch.describe_alarms(AlarmNames=[ids["Alarm"]], AlarmTypes=["CompositeAlarm"])
    assert found["CompositeAlarms"][0]["AlarmRule"] == "FALSE"


def test_an_alarm_on_what_is_usual_is_made_and_stays_without_data(stacks: Stacks, local_server: Any) -> None:
    metric = {"Metric": {"Namespace": "Test", "MetricName": "Rows"}, "Period": 60, "Stat": "Sum"}
    properties = {
        "ComparisonOperator": "LessThanLowerOrGreaterThanUpperThreshold",
        "EvaluationPeriods": 2,
        "ThresholdMetricId": "band",
        "Metrics": [
            {"Id": "band", "Expression": "ANOMALY_DETECTION_BAND(rows, 3)", "ReturnData": True},
            {"Id": "rows", "MetricStat": metric, "ReturnData": True},
        ],
    }
    ids = stacks.deploy({"Unusual": {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}})
    [found] = local_server.client("cloudwatch").describe_alarms(AlarmNames=[ids["Unusual"]])["MetricAlarms"]
    assert found["StateValue"] == "INSUFFICIENT_DATA"
    assert all(len(reason.split()) > 5 for reason in WITHOUT_EFFECT_IN_PART.values())


@pytest.mark.parametrize("type_name", WITHOUT_EFFECT)
def test_a_type_without_effect_is_accepted_for_a_reason(stacks: Stacks, type_name: str) -> None:
    assert len(WITHOUT_EFFECT[type_name].split()) > 5
    assert stacks.deploy({"Thing": {"Type": type_name, "Properties": {}}})["Thing"]


def test_an_unknown_type_is_refused_by_name_before_anything_is_made(stacks: Stacks) -> None:
    resources = {"Fleet": {"Type": "AWS::GameLift::Fleet", "Properties": {}}, **bucket()}
    assert "AWS::GameLift::Fleet" in stacks.refusal(resources)


@pytest.mark.parametrize("type_name", REFUSED)
def test_a_type_that_there_is_only_on_aws_is_refused_by_name(stacks: Stacks, type_name: str) -> None:
    assert type_name in stacks.refusal({"Thing": {"Type": type_name, "Properties": {}}, **bucket()})


def test_a_custom_resource_that_never_answers_does_not_hang(stacks: Stacks, functions: Any) -> None:
    silent = functions.create("def handler(event, context):\n    return None\n")
    arn = functions.client.get_function_configuration(FunctionName=silent)["FunctionArn"]
    properties = {"ServiceToken": arn, "ServiceTimeout": "2"}
    refusal = stacks.refusal({"Custom": {"Type": "Custom::Silent", "Properties": properties}})
    assert "timed out after 2s" in refusal
