import json
from typing import Any

from aws_cdk import Aws, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Match, Template

from constructs_lib.alarms import FailureAlarms, NoAlarms
from constructs_lib.asl import machine, remember, succeed
from constructs_lib.pipeline_machine import PipelineMachine


def any_machine(stack: Stack, name: str = "Loop", **changed: Any) -> PipelineMachine:
    arguments = {
        "name": f"dev-{name.lower()}",
        "definition": machine("Works", {"Begin": remember({"region": Aws.REGION}), "End": succeed()}, timeout=60),
        "alarms": NoAlarms("Nobody is told in this test of something else"),
        "log_key": kms.Key.from_key_arn(stack, f"{name}Key", "arn:aws:kms:us-east-1:000000000000:key/k"),
        "log_retention_days": 30,
    }
    return PipelineMachine(stack, name, **{**arguments, **changed})


def statements_of(stack: Stack, role: str) -> list[dict[str, Any]]:
    policies = Template.from_stack(stack).find_resources("AWS::IAM::Policy")
    (found,) = [policy for name, policy in policies.items() if name.startswith(role)]
    statements: list[dict[str, Any]] = found["Properties"]["PolicyDocument"]["Statement"]
    return statements


def test_logs_every_step_without_data_and_traces(stack: Stack) -> None:
    any_machine(stack)
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::StepFunctions::StateMachine",
        {
            "StateMachineName": "dev-loop",
            "StateMachineType": "STANDARD",
            "LoggingConfiguration": {"Level": "ALL", "IncludeExecutionData": False, "Destinations": Match.any_value()},
            "TracingConfiguration": {"Enabled": True},
        },
    )
    template.has_resource_properties(
        "AWS::Logs::LogGroup",
        {"LogGroupName": "/aws/vendedlogs/states/dev-loop", "RetentionInDays": 30, "KmsKeyId": Match.any_value()},
    )


def test_a_definition_may_hold_what_is_known_only_when_deployed(stack: Stack) -> None:
    any_machine(stack)
    (resource,) = Template.from_stack(stack).find_resources("AWS::StepFunctions::StateMachine").values()
    definition = resource["Properties"]["DefinitionString"]
    assert {"Ref": "AWS::Region"} in definition["Fn::Join"][1]


def test_tells_somebody_when_an_execution_fails_or_runs_out_of_time(stack: Stack) -> None:
    any_machine(stack, alarms=FailureAlarms(sns.Topic(stack, "Topic")))
    for metric in ("ExecutionsFailed", "ExecutionsTimedOut"):
        Template.from_stack(stack).has_resource_properties(
            "AWS::CloudWatch::Alarm", {"Namespace": "AWS/States", "MetricName": metric, "Threshold": 1}
        )


def test_may_only_log_and_trace_by_itself(stack: Stack) -> None:
    any_machine(stack)
    (statement,) = statements_of(stack, "LoopRole")
    assert {action.partition(":")[0] for action in statement["Action"]} == {"logs", "xray"}


def test_another_machine_may_run_it_to_its_end(stack: Stack) -> None:
    inner, outer = any_machine(stack), any_machine(stack, "Outer")
    inner.grant_run(outer)
    allowed = {action for each in statements_of(stack, "OuterRole")[1:] for action in _list(each["Action"])}
    assert allowed == {
        "states:StartExecution",
        "states:DescribeExecution",
        "states:StopExecution",
        "events:DescribeRule",
        "events:PutRule",
        "events:PutTargets",
    }
    resources = json.dumps([each["Resource"] for each in statements_of(stack, "OuterRole")[1:]])
    assert "stateMachine:dev-loop" in resources
    assert "rule/StepFunctionsGetEventsForStepFunctionsExecutionRule" in resources


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
