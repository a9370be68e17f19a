"""Managed MLflow: what the construct promises."""

from typing import Any

import pytest
from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Match, Template

from constructs_lib.data_lake import DataLake
from constructs_lib.experiment_tracking import ExperimentTracking


def any_tracking(stack: Stack, **changed: Any) -> ExperimentTracking:
    arguments: dict[str, Any] = {"stage": "dev", "lake": DataLake(stack, "Lake", stage="dev")}
    return ExperimentTracking(stack, "Tracking", **{**arguments, **changed})


def statements_of(stack: Stack, role: str) -> list[dict[str, Any]]:
    policies = Template.from_stack(stack).find_resources("AWS::IAM::Policy")
    (found,) = [each for name, each in policies.items() if name.startswith(role)]
    statements: list[dict[str, Any]] = found["Properties"]["PolicyDocument"]["Statement"]
    return statements


def actions_of(stack: Stack, role: str, prefix: str) -> set[str]:
    actions = [each["Action"] for each in statements_of(stack, role)]
    flat = {action for each in actions for action in ([each] if isinstance(each, str) else each)}
    return {action for action in flat if action.startswith(prefix)}


def test_costs_nothing_while_nobody_calls_it_unless_a_server_is_asked_for(stack: Stack) -> None:
    any_tracking(stack)
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::SageMaker::MlflowTrackingServer", 0)
    template.has_resource(
        "AWS::SageMaker::MlflowApp",
        {
            "DeletionPolicy": "RetainExceptOnCreate",
            "Properties": {"Name": "dev-experiments", "ModelRegistrationMode": "AutoModelRegistrationDisabled"},
        },
    )


def test_a_server_has_the_size_that_is_asked_for(stack: Stack) -> None:
    any_tracking(stack, server="medium")
    Template.from_stack(stack).has_resource(
        "AWS::SageMaker::MlflowTrackingServer",
        {
            "DeletionPolicy": "RetainExceptOnCreate",
            "Properties": {
                "TrackingServerName": "dev-experiments",
                "TrackingServerSize": "Medium",
                "AutomaticModelRegistration": False,
            },
        },
    )


def test_goes_with_its_stack_where_that_is_wanted(stack: Stack) -> None:
    any_tracking(stack, removal_policy=RemovalPolicy.DESTROY)
    Template.from_stack(stack).has_resource("AWS::SageMaker::MlflowApp", {"DeletionPolicy": "Delete"})


def test_refuses_a_size_that_there_is_not(stack: Stack) -> None:
    with pytest.raises(ValueError, match="server must be one of serverless, small, medium, large, got: 'huge'"):
        any_tracking(stack, server="huge")


def test_reaches_nothing_of_the_lake_but_its_own_folder(stack: Stack) -> None:
    any_tracking(stack)
    objects = [
        each["Resource"]["Fn::Join"][1][-1]
        for each in statements_of(stack, "TrackingRole")
        if "s3:GetObject" in each["Action"] or "s3:PutObject" in each["Action"]
    ]
    assert objects
    assert set(objects) == {"/_experiments/*"}
    Template.from_stack(stack).has_resource_properties(
        "AWS::IAM::Role",
        {
            "AssumeRolePolicyDocument": {
                "Statement": [
                    Match.object_like(
                        {
                            "Principal": {"Service": "sagemaker.amazonaws.com"},
                            "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
                        }
                    )
                ]
            }
        },
    )


def test_whoever_logs_calls_the_app_and_writes_to_one_workload(stack: Stack) -> None:
    role = iam.Role(stack, "Logger", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    any_tracking(stack).grant_log(role, "flights")
    assert actions_of(stack, "Logger", "sagemaker") == {"sagemaker:CallMlflowAppApi"}
    (written,) = [each["Resource"] for each in statements_of(stack, "Logger") if "s3:PutObject" in each["Action"]]
    assert written["Fn::Join"][1][-1] == "/_experiments/flights/*"


def test_whoever_logs_to_a_server_may_delete_no_experiment(stack: Stack) -> None:
    role = iam.Role(stack, "Logger", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    any_tracking(stack, server="small").grant_log(role, "flights")
    actions = actions_of(stack, "Logger", "sagemaker")
    assert "sagemaker-mlflow:LogBatch" in actions
    assert not {action for action in actions if "DeleteExperiment" in action or action.endswith("*")}
