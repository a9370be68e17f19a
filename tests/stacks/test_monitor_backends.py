"""The stack of a workload that SageMaker's own monitors look at: who may do what, and which stages refuse it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Template

from constructs_lib.names.workload_file import WorkloadFile
from stacks.config import ConfigurationError, PlatformConfig, project_context
from stacks.platform import PlatformStage
from tests.everything.platform import LOCAL_STAGE, with_settings
from tests.stacks.test_own_code import workload
from tests.stacks.test_workload import allowed, resources, statements_with, text

CLARIFY: dict[str, Any] = {
    "monitoring": {"backend": "clarify"},
    "evaluation": {"facets": [{"column": "channel", "values": ["web"]}], "explanations": {}},
}
STAGE: dict[str, Any] = {**LOCAL_STAGE, "model_monitor": True, "network": {"interface_endpoints": True}}
UNWATCHED = with_settings(workload("kept_orders"), {"monitoring": None})
FAMILIES = {"schema", "completeness", "drift", "quality", "bias", "attributions"}
PREFIX = "every-kept-orders-"


def templates(asked: list[WorkloadFile], folder: Path) -> dict[str, dict[str, Any]]:
    app = App(outdir=str(folder), context=project_context())
    config = PlatformConfig.parse({"every": STAGE})
    stage = PlatformStage(app, config=config.stages[0], workloads=asked)
    stacks = [each for each in stage.node.children if isinstance(each, Stack) and "OrdersWorkload" in each.node.id]
    return {each.node.id: dict(Template.from_stack(each).to_json()) for each in stacks}


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    watched = with_settings(UNWATCHED, CLARIFY)
    switched_back = with_settings(UNWATCHED, {"name": "own_orders", "monitoring": {"every": "hour"}})
    return templates([watched, switched_back], tmp_path_factory.mktemp("monitors"))


@pytest.fixture(scope="module")
def template(stacks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return stacks["KeptOrdersWorkload"]


def test_the_families_that_the_services_know_have_the_alarms_of_the_own_monitor(template: dict[str, Any]) -> None:
    alarms = resources(template, "AWS::CloudWatch::Alarm").values()
    names = {each["AlarmName"] for each in alarms if "Violations" in each.get("MetricName", "")}
    assert names == {f"{PREFIX}monitor-{family}" for family in FAMILIES}


def test_schedules_are_set_after_a_deployment_has_succeeded(template: dict[str, Any]) -> None:
    (rule,) = [
        each
        for each in resources(template, "AWS::Events::Rule").values()
        if each.get("EventPattern", {}).get("source") == ["aws.states"]
    ]
    assert rule["EventPattern"]["detail"]["status"] == ["SUCCEEDED"]
    assert text(rule["EventPattern"]["detail"]["stateMachineArn"][0]).endswith(f":stateMachine:{PREFIX}deploy")
    assert '"triggered_by": "deployment"' in rule["Targets"][0]["InputTransformer"]["InputTemplate"]
    assert "DeadLetterConfig" in rule["Targets"][0]


def test_the_function_makes_schedules_of_the_workload_alone_and_passes_the_monitors_role(
    template: dict[str, Any],
) -> None:
    for action in ("CreateMonitoringSchedule", "CreateModelBiasJobDefinition", "DeleteDataQualityJobDefinition"):
        granted = allowed(template, "SetMonitors", f"sagemaker:{action}")
        assert granted
        assert all(each.endswith(f"/{PREFIX}*") for each in granted), action
    (passed,) = statements_with(template, "SetMonitors", "iam:PassRole")
    assert passed["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    assert "MonitorRole" in json.dumps(passed["Resource"])


def test_monitors_read_what_was_served_and_write_only_their_results(template: dict[str, Any]) -> None:
    (written,) = allowed(template, "Monitor", "s3:PutObject")
    assert written.endswith("/kept_orders/monitors/results/*")
    pulled = {each.rpartition("/")[2] for each in allowed(template, "Monitor", "ecr:GetDownloadUrlForLayer")}
    assert pulled == {"sagemaker-model-monitor-analyzer", "sagemaker-clarify-processing"}
    made = allowed(template, "Monitor", "sagemaker:CreateEndpoint")
    assert {each.rpartition("/")[2] for each in made} == {f"{PREFIX}clarify*"}


def test_the_page_is_written_by_the_platforms_own_job_and_read_by_the_machine(template: dict[str, Any]) -> None:
    assert any(each.endswith("/kept_orders/monitoring/*") for each in allowed(template, "Processing", "s3:PutObject"))
    read = allowed(template, "MonitorMachine", "s3:GetObject")
    assert any(each.endswith("/kept_orders/monitoring/*") for each in read)
    assert not allowed(template, "MonitorMachine", "s3:PutObject")


def test_a_workload_that_was_switched_back_has_its_schedules_removed(stacks: dict[str, dict[str, Any]]) -> None:
    own = stacks["OwnOrdersWorkload"]
    machines = resources(own, "AWS::StepFunctions::StateMachine").values()
    (definition,) = [
        text(each["DefinitionString"]) for each in machines if each["StateMachineName"].endswith("monitor")
    ]
    assert '"RemoveMonitors"' in definition
    assert allowed(own, "SetMonitors", "sagemaker:DeleteMonitoringSchedule")
    assert not allowed(own, "SetMonitors", "sagemaker:CreateMonitoringSchedule")
    for action in ("s3:GetObject", "s3:PutObject"):
        (kept,) = allowed(own, "SetMonitors", action)
        assert kept.endswith("/own_orders/monitors/definitions/*")
    assert not statements_with(own, "SetMonitors", "iam:PassRole")


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        (
            {},
            "monitoring.backend: AWS has closed SageMaker Model Monitor and Clarify to new customers; if the account "
            "of stage dev may use them, give the stage model_monitor: true, otherwise allowed: builtin",
        ),
        (
            {"model_monitor": True, "region": "eu-south-2", "zones": ["eu-south-2a", "eu-south-2b"]},
            "there is no image of clarify in eu-south-2, the region of stage dev (allowed: af-south-1, ",
        ),
        (
            {"model_monitor": True},
            "clarify asks the model by an endpoint that it makes, and the network of stage dev reaches none of",
        ),
    ],
)
def test_stages_refuse_what_they_do_not_have(stage: dict[str, Any], told: str) -> None:
    config = PlatformConfig.parse({"dev": {"zones": ["eu-west-1a", "eu-west-1b"], **stage}})
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        PlatformStage(App(), config=config.stages[0], workloads=[with_settings(UNWATCHED, CLARIFY)])
