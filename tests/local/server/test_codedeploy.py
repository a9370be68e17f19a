"""An alias with CodeDeploy's update policy: hooks are asked, calls shared, alarms watched, and failures taken back."""

import io
import json
import zipfile
from typing import Any

import pytest

from tests.local.server.conftest import ANYTHING, Functions, any_name, wait_until

AT_ONCE = "CodeDeployDefault.LambdaAllAtOnce"
CANARY = "CodeDeployDefault.LambdaCanary10Percent30Minutes"
NUMBER = "def handler(event, context):\n    return {number}\n"
HOOK = """
import boto3

def handler(event, context):
    answer = boto3.client("lambda").invoke(FunctionName="{asked}")["Payload"].read()
    boto3.client("codedeploy").put_lifecycle_event_hook_execution_status(
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status="Failed" if answer == b"{refused}" else "Succeeded",
    )
    return answer.decode()
"""
BAD_BEFORE, BAD_AFTER = 7, 8


class Shifted:
    """A stack with an alias of a function that answers with the number of its version."""

    def __init__(self, server: Any, functions: Functions, config: str) -> None:
        self.server, self.config, self.name = server, config, any_name("stack")
        self.lambdas, self.formation = functions.client, server.client("cloudformation")
        self.function = functions.create(NUMBER.format(number=1))
        self.before = functions.create(HOOK.format(asked=self.function, refused=BAD_BEFORE), ANYTHING)
        self.after = functions.create(HOOK.format(asked=f"{self.function}:live", refused=BAD_AFTER), ANYTHING)
        actions = ["lambda:GetAlias", "lambda:UpdateAlias", "lambda:InvokeFunction", "cloudwatch:DescribeAlarms"]
        allowed = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        self.role = server.role("codedeploy.amazonaws.com", allowed)
        self.alarm = any_name("alarm")
        server.client("cloudwatch").put_metric_alarm(
            AlarmName=self.alarm,
            Namespace="Test",
            MetricName=self.alarm,
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
        )
        self.first = self.lambdas.publish_version(FunctionName=self.function)["Version"]
        self.formation.create_stack(StackName=self.name, TemplateBody=self.template(self.first))
        assert self.settled() == "CREATE_COMPLETE", self.said()

    def template(self, version: str) -> str:
        group = {"ApplicationName": self.name, "DeploymentGroupName": "live"}
        alarms = {"Enabled": True, "Alarms": [{"Name": self.alarm}]}
        more = {"ServiceRoleArn": self.role, "DeploymentConfigName": self.config, "AlarmConfiguration": alarms}
        hooks = {"BeforeAllowTrafficHook": self.before, "AfterAllowTrafficHook": self.after}
        alias = {"FunctionName": self.function, "FunctionVersion": version, "Name": "live"}
        resources = {
            "Application": {
                "Type": "AWS::CodeDeploy::Application",
                "Properties": {"ApplicationName": self.name, "ComputePlatform": "Lambda"},
            },
            "Group": {"Type": "AWS::CodeDeploy::DeploymentGroup", "Properties": {**group, **more}},
            "Alias": {
                "Type": "AWS::Lambda::Alias",
                "Properties": alias,
                "UpdatePolicy": {"CodeDeployLambdaAliasUpdate": {**group, **hooks}},
                "DependsOn": "Group",
            },
        }
        return json.dumps({"Resources": resources})

    def publish(self, number: int) -> str:
        """A version that answers with a number."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as zipped:
            zipped.writestr("code.py", NUMBER.format(number=number))
        self.lambdas.update_function_code(FunctionName=self.function, ZipFile=archive.getvalue())
        version: str = self.lambdas.publish_version(FunctionName=self.function)["Version"]
        return version

    def begin(self, version: str) -> None:
        self.formation.update_stack(StackName=self.name, TemplateBody=self.template(version))

    def move(self, version: str) -> str:
        """Let the alias go to a version; give the stack's state afterwards."""
        self.begin(version)
        return self.settled()

    def settled(self) -> str:
        def state() -> str | None:
            found: str = self.formation.describe_stacks(StackName=self.name)["Stacks"][0]["StackStatus"]
            return None if found.endswith("IN_PROGRESS") else found

        settled: str = wait_until(state, 60)
        return settled

    def alias(self) -> dict[str, Any]:
        found: dict[str, Any] = self.lambdas.get_alias(FunctionName=self.function, Name="live")
        return found

    def call(self) -> Any:
        answer = self.lambdas.invoke(FunctionName=self.function, Qualifier="live")
        return json.loads(answer["Payload"].read())

    def said(self) -> str:
        events = self.formation.describe_stack_events(StackName=self.name)["StackEvents"]
        return " ".join(event.get("ResourceStatusReason", "") for event in events)


@pytest.fixture
def at_once(local_server: Any, functions: Functions) -> Shifted:
    return Shifted(local_server, functions, AT_ONCE)


def test_an_alias_goes_to_a_version_that_both_hooks_are_content_with(at_once: Shifted) -> None:
    second = at_once.publish(2)
    assert at_once.call() == 1
    assert at_once.move(second) == "UPDATE_COMPLETE", at_once.said()
    assert at_once.alias()["FunctionVersion"] == second
    assert at_once.call() == 2


@pytest.mark.parametrize(("number", "event"), [(BAD_BEFORE, "BeforeAllowTraffic"), (BAD_AFTER, "AfterAllowTraffic")])
def test_a_version_that_a_hook_refuses_is_taken_back_with_the_update(at_once: Shifted, number: int, event: str) -> None:
    assert at_once.move(at_once.publish(number)) == "UPDATE_ROLLBACK_COMPLETE"
    assert f"{event}: hook" in at_once.said()
    assert at_once.alias()["FunctionVersion"] == at_once.first
    assert at_once.call() == 1


def test_a_share_of_the_calls_meets_the_new_version_until_an_alarm_takes_it_back(
    local_server: Any, functions: Functions
) -> None:
    shifted = Shifted(local_server, functions, CANARY)
    second = shifted.publish(2)
    shifted.begin(second)
    weights = {"AdditionalVersionWeights": {second: 0.1}}
    wait_until(lambda: shifted.alias().get("RoutingConfig") == weights)
    assert {shifted.call() for _ in range(150)} == {1, 2}
    cloudwatch = local_server.client("cloudwatch")
    cloudwatch.set_alarm_state(AlarmName=shifted.alarm, StateValue="ALARM", StateReason="a test")
    assert shifted.settled() == "UPDATE_ROLLBACK_COMPLETE"
    assert f"alarms went off: {shifted.alarm}" in shifted.said()
    assert shifted.alias()["FunctionVersion"] == shifted.first
    assert "RoutingConfig" not in shifted.alias()


def test_a_way_to_shift_that_is_not_known_here_is_refused_by_name(local_server: Any, functions: Functions) -> None:
    with pytest.raises(AssertionError, match=r"LambdaLinear10PercentEvery1Minute is not available"):
        Shifted(local_server, functions, "CodeDeployDefault.LambdaLinear10PercentEvery1Minute")
