"""Each guard rule lets a right resource pass and catches one that is wrong in exactly its way."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from gate.assembly import StackTemplate
from gate.template_rules import RULES, check_templates

Resource = dict[str, Any]
ACCOUNT = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
KEY = "arn:aws:kms:us-east-1:111122223333:key/12345678-1234-1234-1234-123456789012"
ROLE = "arn:aws:iam::111122223333:role/job"


def role(statement: dict[str, Any], *managed: Any) -> Resource:
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", **statement}
    document = {"Version": "2012-10-17", "Statement": [trust]}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {"AssumeRolePolicyDocument": document, "ManagedPolicyArns": list(managed)},
    }


def policy(action: Any, resource: Any, condition: Any = None) -> Resource:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    if condition is not None:
        statement["Condition"] = condition
    document = {"Version": "2012-10-17", "Statement": [statement]}
    return {
        "Type": "AWS::IAM::Policy",
        "Properties": {"PolicyName": "p", "Roles": ["job"], "PolicyDocument": document},
    }


SERVICE = {"Principal": {"Service": "glue.amazonaws.com"}}
PASSED = {"StringEquals": {"iam:PassedToService": "glue.amazonaws.com"}}
KEPT = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}

RIGHT: dict[str, Resource] = {
    "role": role({**SERVICE, "Condition": ACCOUNT}),
    "trusted": role(
        {
            "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
            "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}},
        }
    ),
    "pass": policy("iam:PassRole", ROLE, PASSED),
    "decrypt": policy(["kms:Decrypt", "s3:GetObject"], KEY),
    "bucket": {
        "Type": "AWS::S3::Bucket",
        **KEPT,
        "Properties": {
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [
                    {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}}
                ]
            },
            "VersioningConfiguration": {"Status": "Enabled"},
            "LifecycleConfiguration": {
                "Rules": [{"Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}]
            },
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        },
    },
    "table": {
        "Type": "AWS::DynamoDB::Table",
        **KEPT,
        "Properties": {
            "KeySchema": [{"AttributeName": "run", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "run", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
            "SSESpecification": {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": KEY},
        },
    },
    "key": {
        "Type": "AWS::KMS::Key",
        **KEPT,
        "Properties": {
            "EnableKeyRotation": True,
            "PendingWindowInDays": 30,
            "KeyPolicy": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}},
                        "Action": "kms:*",
                        "Resource": "*",
                    }
                ],
            },
        },
    },
    "repository": {
        "Type": "AWS::ECR::Repository",
        **KEPT,
        "Properties": {
            "RepositoryName": "images",
            "ImageTagMutability": "IMMUTABLE",
            "ImageScanningConfiguration": {"ScanOnPush": True},
            "EncryptionConfiguration": {"EncryptionType": "KMS", "KmsKey": KEY},
            "LifecyclePolicy": {"LifecyclePolicyText": "{}"},
        },
    },
    "project": {
        "Type": "AWS::CodeBuild::Project",
        "Properties": {
            "ServiceRole": ROLE,
            "Source": {"Type": "S3", "Location": "bucket/key.zip"},
            "Artifacts": {"Type": "NO_ARTIFACTS"},
            "Environment": {"Type": "LINUX_CONTAINER", "ComputeType": "BUILD_GENERAL1_SMALL", "Image": "image"},
            "EncryptionKey": KEY,
            "TimeoutInMinutes": 60,
            "QueuedTimeoutInMinutes": 15,
            "LogsConfig": {"CloudWatchLogs": {"Status": "ENABLED", "GroupName": "group"}},
        },
    },
    "signing_key": {
        "Type": "AWS::KMS::Key",
        **KEPT,
        "Properties": {
            "KeySpec": "ECC_NIST_P256",
            "KeyUsage": "SIGN_VERIFY",
            "PendingWindowInDays": 30,
            "KeyPolicy": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}},
                        "Action": "kms:*",
                        "Resource": "*",
                    }
                ],
            },
        },
    },
    "log_group": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 30, "KmsKeyId": KEY}},
    "topic": {"Type": "AWS::SNS::Topic", "Properties": {"KmsMasterKeyId": KEY}},
    "queue": {
        "Type": "AWS::SQS::Queue",
        "Properties": {"SqsManagedSseEnabled": True, "MessageRetentionPeriod": 1209600},
    },
    "job": {
        "Type": "AWS::Glue::Job",
        "Properties": {
            "Role": ROLE,
            "Command": {"Name": "glueetl", "ScriptLocation": "s3://bucket/script.py"},
            "Timeout": 60,
            "MaxRetries": 0,
            "ExecutionProperty": {"MaxConcurrentRuns": 3},
            "GlueVersion": "5.1",
            "DefaultArguments": {"--job-bookmark-option": "job-bookmark-disable"},
            "SecurityConfiguration": "lake",
        },
    },
    "crawler": {
        "Type": "AWS::Glue::Crawler",
        "Properties": {
            "Role": ROLE,
            "Targets": {"S3Targets": [{"Path": "s3://bucket/"}]},
            "CrawlerSecurityConfiguration": "lake",
        },
    },
    "machine": {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "RoleArn": ROLE,
            "DefinitionString": '{"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}',
            "StateMachineType": "STANDARD",
            "TracingConfiguration": {"Enabled": True},
            "LoggingConfiguration": {
                "Level": "ALL",
                "IncludeExecutionData": False,
                "Destinations": [
                    {"CloudWatchLogsLogGroup": {"LogGroupArn": "arn:aws:logs:us-east-1:111122223333:log-group:g:*"}}
                ],
            },
        },
    },
    "function": {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Role": ROLE,
            "Runtime": "python3.14",
            "Handler": "a.handler",
            "Code": {"S3Bucket": "bucket", "S3Key": "key"},
            "Timeout": 10,
            "MemorySize": 256,
            "LoggingConfig": {"LogGroup": "group"},
            "TracingConfig": {"Mode": "Active"},
            "Environment": {"Variables": {"STAGE": "dev"}},
        },
    },
    "rule": {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "EventPattern": {"source": ["aws.s3"]},
            "Targets": [
                {
                    "Id": "Queue",
                    "Arn": "arn:aws:sqs:us-east-1:111122223333:queue",
                    "DeadLetterConfig": {"Arn": "arn:aws:sqs:us-east-1:111122223333:dead"},
                    "RetryPolicy": {"MaximumRetryAttempts": 10, "MaximumEventAgeInSeconds": 3600},
                }
            ],
        },
    },
    "alarm": {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "Namespace": "AWS/Lambda",
            "MetricName": "Errors",
            "Statistic": "Sum",
            "Period": 300,
            "EvaluationPeriods": 1,
            "Threshold": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "AlarmActions": ["arn:aws:sns:us-east-1:111122223333:topic"],
            "ActionsEnabled": True,
            "TreatMissingData": "notBreaching",
            "AlarmDescription": "It failed\nRunbook: read its log",
        },
    },
    "composite": {
        "Type": "AWS::CloudWatch::CompositeAlarm",
        "Properties": {
            "AlarmRule": 'ALARM("a") OR ALARM("b")',
            "AlarmActions": ["arn:aws:sns:us-east-1:111122223333:topic"],
            "ActionsEnabled": True,
            "AlarmDescription": "Nobody is served\nRunbook: see which alarm is on",
        },
    },
    "permission": {
        "Type": "AWS::Lambda::Permission",
        "Properties": {
            "Action": "lambda:InvokeFunction",
            "FunctionName": "f",
            "Principal": "events.amazonaws.com",
            "SourceArn": "arn:aws:events:us-east-1:111122223333:rule/r",
        },
    },
}


def named(resource: Resource, name: str) -> Resource:
    return {**resource, "Properties": {**resource["Properties"], "RoleName": name}}


FULL_ACCESS = {"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":iam::aws:policy/AmazonSageMakerFullAccess"]]}

WRONG: list[tuple[str, Resource]] = [
    ("service_trust_names_the_account", role(SERVICE)),
    ("service_trust_names_the_account", role({**SERVICE, "Condition": {"Bool": {"aws:ViaAWSService": "true"}}})),
    ("roles_have_no_physical_name", named(role({**SERVICE, "Condition": ACCOUNT}), "operator")),
    ("trust_is_not_by_account_alone", role({"Principal": {"AWS": "arn:aws:iam::111122223333:root"}})),
    ("pass_role_is_exact", policy("iam:PassRole", ROLE)),
    ("pass_role_is_exact", policy(["iam:PassRole", "s3:GetObject"], "*", PASSED)),
    ("decryption_names_its_keys", policy("kms:Decrypt", "*")),
    ("decryption_names_its_keys", policy(["s3:GetObject", "kms:Decrypt"], [KEY, "*"])),
    ("actions_have_no_wildcard", policy(["s3:GetObject", "s3:List*"], KEY)),
    ("managed_policies_are_not_full_access", role({**SERVICE, "Condition": ACCOUNT}, FULL_ACCESS)),
    (
        "managed_policies_are_not_full_access",
        role({**SERVICE, "Condition": ACCOUNT}, "arn:aws:iam::aws:policy/AdministratorAccess"),
    ),
    (
        "no_custom_resources",
        {"Type": "Custom::Tidy", "Properties": {"ServiceToken": "arn:aws:lambda:us-east-1:111122223333:function:f"}},
    ),
]
"""Rule to a resource that breaks it."""

SPOILT: list[tuple[str, str, str, Any]] = [
    ("stateful_resources_say_what_becomes_of_them", "bucket", "DeletionPolicy", None),
    ("stateful_resources_say_what_becomes_of_them", "table", "UpdateReplacePolicy", None),
    ("replaceable_resources_have_no_physical_name", "bucket", "Properties.BucketName", "lake"),
    ("replaceable_resources_have_no_physical_name", "queue", "Properties.QueueName", "intake"),
    ("buckets_are_closed_and_keep_versions", "bucket", "Properties.PublicAccessBlockConfiguration", None),
    ("buckets_are_closed_and_keep_versions", "bucket", "Properties.VersioningConfiguration.Status", "Suspended"),
    ("tables_can_be_restored", "table", "Properties.PointInTimeRecoverySpecification", None),
    ("tables_can_be_restored", "table", "Properties.SSESpecification", None),
    ("images_stay_what_they_are", "repository", "Properties.ImageTagMutability", "MUTABLE"),
    ("images_stay_what_they_are", "repository", "Properties.ImageScanningConfiguration", None),
    ("images_stay_what_they_are", "repository", "Properties.EncryptionConfiguration", None),
    ("images_stay_what_they_are", "repository", "Properties.LifecyclePolicy", None),
    ("builds_end_and_are_logged", "project", "Properties.TimeoutInMinutes", None),
    ("builds_end_and_are_logged", "project", "Properties.QueuedTimeoutInMinutes", None),
    ("builds_end_and_are_logged", "project", "Properties.EncryptionKey", None),
    ("builds_end_and_are_logged", "project", "Properties.LogsConfig", None),
    ("encrypting_keys_rotate", "key", "Properties.EnableKeyRotation", False),
    ("keys_wait", "key", "Properties.PendingWindowInDays", 7),
    ("keys_wait", "signing_key", "Properties.PendingWindowInDays", 7),
    ("log_groups_end_and_are_encrypted", "log_group", "Properties.RetentionInDays", None),
    ("log_groups_end_and_are_encrypted", "log_group", "Properties.KmsKeyId", None),
    ("topics_are_encrypted", "topic", "Properties.KmsMasterKeyId", None),
    ("queues_are_encrypted_and_end", "queue", "Properties.SqsManagedSseEnabled", False),
    ("queues_are_encrypted_and_end", "queue", "Properties.MessageRetentionPeriod", None),
    ("glue_jobs_end_and_never_overlap_by_accident", "job", "Properties.Timeout", None),
    ("glue_jobs_end_and_never_overlap_by_accident", "job", "Properties.MaxRetries", None),
    ("glue_jobs_end_and_never_overlap_by_accident", "job", "Properties.GlueVersion", "3.0"),
    ("glue_jobs_end_and_never_overlap_by_accident", "job", "Properties.ExecutionProperty", None),
    ("glue_jobs_end_and_never_overlap_by_accident", "job", "Properties.DefaultArguments", None),
    ("glue_jobs_end_and_never_overlap_by_accident", "job", "Properties.SecurityConfiguration", None),
    ("crawlers_are_encrypted", "crawler", "Properties.CrawlerSecurityConfiguration", None),
    ("machines_are_standard_traced_and_logged", "machine", "Properties.StateMachineType", "EXPRESS"),
    ("machines_are_standard_traced_and_logged", "machine", "Properties.TracingConfiguration", None),
    ("machines_are_standard_traced_and_logged", "machine", "Properties.LoggingConfiguration.Level", "ERROR"),
    (
        "machines_are_standard_traced_and_logged",
        "machine",
        "Properties.LoggingConfiguration.IncludeExecutionData",
        True,
    ),
    ("functions_are_bounded_traced_and_logged", "function", "Properties.Timeout", None),
    ("functions_are_bounded_traced_and_logged", "function", "Properties.LoggingConfig", None),
    ("functions_are_bounded_traced_and_logged", "function", "Properties.TracingConfig.Mode", "PassThrough"),
    ("environments_hold_no_secret", "function", "Properties.Environment.Variables", {"DB_PASSWORD": "x"}),
    ("events_that_cannot_be_delivered_are_kept", "rule", "Properties.Targets.0.DeadLetterConfig", None),
    ("events_that_cannot_be_delivered_are_kept", "rule", "Properties.Targets.0.RetryPolicy", None),
    ("alarms_tell_somebody_what_to_do", "alarm", "Properties.AlarmActions", []),
    ("alarms_tell_somebody_what_to_do", "alarm", "Properties.ActionsEnabled", False),
    ("alarms_tell_somebody_what_to_do", "alarm", "Properties.TreatMissingData", None),
    ("alarms_tell_somebody_what_to_do", "alarm", "Properties.AlarmDescription", "It failed"),
    ("composite_alarms_tell_somebody_what_to_do", "composite", "Properties.AlarmActions", []),
    ("composite_alarms_tell_somebody_what_to_do", "composite", "Properties.ActionsEnabled", False),
    ("composite_alarms_tell_somebody_what_to_do", "composite", "Properties.AlarmDescription", "Nobody is served"),
    ("invoke_permissions_name_their_source", "permission", "Properties.SourceArn", None),
]
"""Rule, right resource, path in it, and the value (none: the path is removed) that breaks the rule."""


def found(tmp_path: Path, resources: dict[str, Resource]) -> set[str]:
    content = {"Resources": resources}
    path = tmp_path / "stack.template.json"
    path.write_text(json.dumps(content))
    own = {name for text in RULES.glob("*.guard") for name in rule_names(text)}
    return {each.rule for each in check_templates([StackTemplate("stack", path, content)]) if each.rule in own}


def rule_names(path: Path) -> list[str]:
    return re.findall(r"^rule (\w+)", path.read_text(), flags=re.MULTILINE)


def spoil(resource: Resource, path: str, value: Any) -> Resource:
    spoilt = copy.deepcopy(resource)
    *steps, last = path.split(".")
    place: Any = spoilt
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return spoilt


def test_a_role_that_another_account_has_to_know_may_have_a_name(tmp_path: Path) -> None:
    pulling = named(role({**SERVICE, "Condition": ACCOUNT}), "staging-flight-delays-pull")
    assert found(tmp_path, {**RIGHT, "pulling": pulling}) == set()


def test_right_resources_pass_every_rule(tmp_path: Path) -> None:
    assert found(tmp_path, RIGHT) == set()


@pytest.mark.parametrize(("rule", "resource"), WRONG)
def test_catches_a_wrong_resource(tmp_path: Path, rule: str, resource: Resource) -> None:
    assert found(tmp_path, {**RIGHT, "wrong": resource}) == {rule}


@pytest.mark.parametrize(("rule", "name", "path", "value"), SPOILT)
def test_catches_a_resource_that_is_wrong_in_one_place(
    tmp_path: Path, rule: str, name: str, path: str, value: Any
) -> None:
    assert found(tmp_path, {**RIGHT, "wrong": spoil(RIGHT[name], path, value)}) == {rule}


def test_every_rule_has_a_resource_that_breaks_it() -> None:
    broken = {rule for rule, _ in WRONG} | {rule for rule, *_ in SPOILT}
    assert broken == {name for path in RULES.glob("*.guard") for name in rule_names(path)}


def test_a_finding_names_stack_resource_path_and_rule(tmp_path: Path) -> None:
    content = {"Resources": {"Job": spoil(RIGHT["job"], "Properties.GlueVersion", "3.0")}}
    path = tmp_path / "stack.template.json"
    path.write_text(json.dumps(content))
    assert (
        "dev-Work/Job Properties.GlueVersion: a Glue job runs on a supported version "
        "(glue_jobs_end_and_never_overlap_by_accident)"
    ) in [str(each) for each in check_templates([StackTemplate("dev-Work", path, content)])]
