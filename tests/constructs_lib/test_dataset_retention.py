"""A function retires a workload's datasets every night and may do that and nothing else."""

import json
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Match, Template

from constructs_lib.alarms import FailureAlarms
from constructs_lib.data_lake import RETIRED_TAG, DataLake
from constructs_lib.dataset_retention import DatasetRetirement
from constructs_lib.model_registry import ModelRegistry
from constructs_lib.names.retention_file import DatasetRetention


@pytest.fixture
def template(stack: Stack) -> Template:
    DatasetRetirement(
        stack,
        "Retirement",
        workload="orders",
        keep=DatasetRetention(keep_newest=3, keep_days=7),
        lake=DataLake(stack, "Lake", stage="dev", expires_retired=True),
        registry=ModelRegistry(stack, "Registry", name="dev-orders-models", description=""),
        alarms=FailureAlarms(sns.Topic(stack, "Topic")),
        log_retention_days=30,
    )
    return Template.from_stack(stack)


def allowed(template: Template) -> dict[str, list[str]]:
    """Action to the ends of what the function may do it on."""
    policies = template.find_resources("AWS::IAM::Policy")
    (policy,) = [each for name, each in policies.items() if name.startswith("RetirementFunctionRole")]
    found: dict[str, list[str]] = {}
    for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
        for action in _listed(statement["Action"]):
            found.setdefault(action, []).extend(json.dumps(each) for each in _listed(statement["Resource"]))
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_runs_every_night_on_behalf_of_its_own_rule_only(template: Template) -> None:
    (rule,) = template.find_resources("AWS::Events::Rule")
    function = {"Fn::GetAtt": [Match.string_like_regexp("^RetirementFunction"), "Arn"]}
    template.has_resource_properties(
        "AWS::Events::Rule",
        {
            "ScheduleExpression": "cron(17 3 * * ? *)",
            "State": "ENABLED",
            "Targets": [Match.object_like({"Arn": function, "Id": "Function"})],
        },
    )
    template.has_resource_properties(
        "AWS::Lambda::Permission",
        {
            "FunctionName": function,
            "Principal": "events.amazonaws.com",
            "SourceAccount": {"Ref": "AWS::AccountId"},
            "SourceArn": {"Fn::GetAtt": [rule, "Arn"]},
        },
    )


def test_the_function_knows_what_is_kept_and_the_tag_that_the_bucket_goes_by(template: Template) -> None:
    template.has_resource_properties(
        "AWS::Lambda::Function",
        {
            "Environment": {
                "Variables": Match.object_like(
                    {
                        "WORKLOAD": "orders",
                        "KEEP_NEWEST": "3",
                        "KEEP_DAYS": "7",
                        "MODEL_PACKAGE_GROUP": "dev-orders-models",
                        "RETIRED_TAG": RETIRED_TAG,
                    }
                )
            }
        },
    )
    template.has_resource_properties(
        "AWS::S3::Bucket",
        {
            "LifecycleConfiguration": {
                "Rules": Match.array_with(
                    [
                        Match.object_like(
                            {
                                "ExpirationInDays": 1,
                                "TagFilters": [{"Key": RETIRED_TAG, "Value": "true"}],
                                "Status": "Enabled",
                            }
                        )
                    ]
                )
            }
        },
    )


def test_writes_and_marks_datasets_and_deletes_leftovers_of_its_workload_only(template: Template) -> None:
    found = allowed(template)
    for action in ("s3:PutObject", "s3:PutObjectTagging", "s3:DeleteObjectTagging", "s3:GetObject"):
        (place,) = found[action]
        assert "LakeDatasets" in place and "/orders/*" in place, action
    made = [place for place in found["s3:DeleteObject"] if "LakeArtefacts" in place]
    assert sorted(place.partition("/orders/")[2].partition('"')[0] for place in made) == ["encoded/*", "scoring/*"]
    zones = ("Datasets", "Validated", "Quarantine", "Curated")
    places = sorted(set(found["s3:DeleteObject"]) - set(made))
    assert len(places) == len(zones)
    assert all(f"Lake{zone}" in place for zone, place in zip(sorted(zones), places, strict=True))
    assert all("/orders/*" in place for place in places)


def test_reads_the_registry_and_changes_nothing_there(template: Template) -> None:
    actions = {action for action in allowed(template) if action.startswith("sagemaker:")}
    assert actions == {"sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages"}


def test_a_failed_night_is_told(template: Template) -> None:
    template.has_resource_properties("AWS::CloudWatch::Alarm", {"Namespace": "AWS/Lambda", "MetricName": "Errors"})


def test_a_night_on_which_the_function_cannot_be_called_is_kept_and_told(template: Template) -> None:
    (queue,) = template.find_resources("AWS::SQS::Queue")
    template.has_resource_properties(
        "AWS::Events::Rule",
        {"Targets": [Match.object_like({"DeadLetterConfig": {"Arn": {"Fn::GetAtt": [queue, "Arn"]}}})]},
    )
    template.has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {
            "MetricName": "ApproximateNumberOfMessagesVisible",
            "Dimensions": [{"Name": "QueueName", "Value": {"Fn::GetAtt": [queue, "QueueName"]}}],
        },
    )
    template.has_resource_properties("AWS::SQS::QueuePolicy", {"Queues": [{"Ref": queue}]})
