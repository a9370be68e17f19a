"""A function deletes a workload's models every night and may do that and nothing else."""

import json
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Template

from constructs_lib.alarms import FailureAlarms
from constructs_lib.data_lake import DataLake
from constructs_lib.guarded_endpoint import GuardedEndpoint
from constructs_lib.images import FrameworkImage, Image
from constructs_lib.keys import EncryptionKey
from constructs_lib.model_registry import ModelRegistry
from constructs_lib.model_retention import ModelRetirement
from constructs_lib.names.retention_file import ModelRetention
from constructs_lib.network import Network, OwnNetwork


@pytest.fixture
def template(stack: Stack) -> Template:
    alarms, key = FailureAlarms(sns.Topic(stack, "Topic")), EncryptionKey(stack, "Key", description="Logs", logs=True)
    plan = OwnNetwork(zones=("us-east-1a", "us-east-1b"))
    endpoint = GuardedEndpoint(
        stack,
        "Endpoint",
        name="dev-orders-live",
        variant="primary",
        prefix="dev-orders-",
        image=FrameworkImage(stack, "Image", image=Image("xgboost", "3.2-0")),
        network=Network(stack, "Network", plan=plan, log_key=key),
        key=key,
        alarms=alarms,
        latency_ms=100,
        new_share=1,
    )
    ModelRetirement(
        stack,
        "Retirement",
        workload="orders",
        keep=ModelRetention(keep_newest=3, keep_days=7),
        lake=DataLake(stack, "Lake", stage="dev"),
        registry=ModelRegistry(stack, "Registry", name="dev-orders-models", description=""),
        endpoint=endpoint,
        alarms=alarms,
        log_retention_days=30,
    )
    return Template.from_stack(stack)


def statements(template: Template, action: str) -> list[str]:
    """What the function may do an action on, as text."""
    policies = template.find_resources("AWS::IAM::Policy")
    (policy,) = [each for name, each in policies.items() if name.startswith("RetirementFunctionRole")]
    found: list[Any] = []
    for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
        if action in (statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]):
            resources = statement["Resource"]
            found += resources if isinstance(resources, list) else [resources]
    return [json.dumps(each) for each in found]


def test_deletes_models_of_its_own_group_only(template: Template) -> None:
    (resource,) = statements(template, "sagemaker:DeleteModelPackage")
    assert ":model-package/dev-orders-models/*" in resource
    assert statements(template, "sagemaker:UpdateModelPackage") == []


def test_deletes_archives_and_leftovers_and_neither_bundles_nor_evaluations(template: Template) -> None:
    places = statements(template, "s3:DeleteObject")
    assert sorted(place.split('"/')[1].split('*"')[0] for place in places) == [
        "orders/models/",
        "orders/scoring/",
        "orders/training/",
    ]
    assert statements(template, "s3:PutObject") == []
    assert statements(template, "s3:GetObject") == []


def test_may_see_what_serves_and_change_nothing_of_it(template: Template) -> None:
    for action in ("DescribeEndpoint", "DescribeEndpointConfig", "DescribeModel"):
        (resource,) = statements(template, f"sagemaker:{action}")
        assert "/dev-orders-" in resource
    for action in ("DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel", "UpdateEndpoint"):
        assert statements(template, f"sagemaker:{action}") == []


def test_runs_every_night_with_what_the_workload_says(template: Template) -> None:
    (rule,) = template.find_resources("AWS::Events::Rule").values()
    assert rule["Properties"]["ScheduleExpression"] == "cron(47 3 * * ? *)"
    (function,) = template.find_resources("AWS::Lambda::Function").values()
    variables = function["Properties"]["Environment"]["Variables"]
    assert (variables["KEEP_NEWEST"], variables["KEEP_DAYS"]) == ("3", "7")
