"""What records deliveries sees a stage's own events only; the dashboard shows what is published."""

import json
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Match, Template

from constructs_lib.alarms import FailureAlarms
from constructs_lib.data_lake import DataLake
from constructs_lib.delivery_figures import DeliveryFigures
from constructs_lib.machines.deployment import FINAL_ERRORS
from constructs_lib.names.delivery import NOT_ATTEMPTED
from constructs_lib.platform_dashboard import PlatformDashboard


def figures(stack: Stack, **watched: Any) -> Template:
    lake = DataLake(stack, "Lake", stage="dev")
    DeliveryFigures(
        stack,
        "Figures",
        stage="dev",
        records=lake.runs_table,
        key=lake.key,
        alarms=FailureAlarms(sns.Topic(stack, "Topic")),
        log_retention_days=30,
        **watched,
    )
    return Template.from_stack(stack)


def patterns(template: Template) -> dict[str, Any]:
    """Source to pattern."""
    found = [each["Properties"]["EventPattern"] for each in template.find_resources("AWS::Events::Rule").values()]
    return {each["source"][0]: each for each in found}


def test_hears_of_deployments_and_of_the_alarms_of_what_is_live(stack: Stack) -> None:
    found = patterns(figures(stack, workloads=["late_orders"]))
    assert set(found) == {"aws.states", "aws.cloudwatch"}
    assert found["aws.states"]["detail"]["stateMachineArn"] == [{"wildcard": "*:stateMachine:dev-*-deploy"}]
    assert found["aws.cloudwatch"]["detail"]["alarmName"] == [{"wildcard": "dev-*-live-*"}]


def test_hears_of_a_pipeline_alone(stack: Stack) -> None:
    template = figures(stack, pipelines=["gapless"])
    found = patterns(template)
    assert set(found) == {"aws.codepipeline"}
    assert found["aws.codepipeline"]["detail"]["pipeline"] == ["gapless"]
    assert "sagemaker:DescribeModelPackage" not in json.dumps(template.to_json())


def test_may_look_at_packages_of_its_workloads_and_at_two_things_of_the_table(stack: Stack) -> None:
    template = figures(stack, workloads=["late_orders", "churn"])
    (policy,) = [
        each["Properties"]["PolicyDocument"]["Statement"]
        for name, each in template.find_resources("AWS::IAM::Policy").items()
        if name.startswith("FiguresFunctionRole")
    ]
    granted = {action: each["Resource"] for each in policy for action in _listed(each["Action"])}
    packages = json.dumps(granted["sagemaker:DescribeModelPackage"])
    assert ":model-package/dev-late-orders-*" in packages
    assert ":model-package/dev-churn-*" in packages
    assert {action for action in granted if action.startswith("dynamodb:")} == {"dynamodb:GetItem", "dynamodb:PutItem"}


def test_what_counts_as_not_attempted_is_an_error_of_the_machine() -> None:
    assert set(NOT_ATTEMPTED) <= set(FINAL_ERRORS)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_has_something_to_watch(stack: Stack) -> None:
    with pytest.raises(ValueError, match="at least one workload or pipeline, got none"):
        figures(stack)


# --- the dashboard ---------------------------------------------------------------------------------------------------


def body(template: Template) -> dict[str, Any]:
    (dashboard,) = template.find_resources("AWS::CloudWatch::Dashboard").values()
    text = dashboard["Properties"]["DashboardBody"]
    joined = text if isinstance(text, str) else "".join(p if isinstance(p, str) else "X" for p in text["Fn::Join"][1])
    found: dict[str, Any] = json.loads(joined)
    return found


def dashboard(stack: Stack, **given: Any) -> Template:
    alarms = {"late_orders": ("dev-late-orders-live-errors",)}
    PlatformDashboard(stack, "Platform", stage="dev", workloads=["late_orders"], endpoint_alarms=alarms, **given)
    return Template.from_stack(stack)


def test_shows_the_four_figures_of_each_model(stack: Stack) -> None:
    widgets = body(dashboard(stack))["widgets"]
    titles = [each["properties"].get("title") for each in widgets if each["type"] == "metric"]
    assert titles == [
        "Deployment frequency, in four weeks",
        "Lead time, median in seconds",
        "Change failure rate",
        "Time to restore, median in seconds",
        "Pipelines: executions a day",
        "Endpoint",
    ]
    (lead,) = [each for each in widgets if each["properties"].get("title", "").startswith("Lead time")]
    assert lead["properties"]["metrics"] == [
        [
            "Gapless",
            "DeliveryLeadTime",
            "Stage",
            "dev",
            "Workload",
            "late_orders",
            {"stat": "p50", "label": "lead time"},
        ]
    ]


def test_shows_the_figures_of_the_platform_above_those_of_models(stack: Stack) -> None:
    widgets = body(dashboard(stack, pipelines={"gapless": "eu-west-1"}))["widgets"]
    deployed = [each for each in widgets if each["properties"].get("title", "").startswith("Deployment frequency")]
    assert [each["properties"]["metrics"][0][2:4] for each in deployed] == [["Pipeline", "gapless"], ["Stage", "dev"]]
    assert deployed[0]["y"] < deployed[1]["y"]
    assert [each["properties"]["region"] for each in deployed] == ["eu-west-1", "X"], "where each is published"


def test_no_widget_lies_over_another(stack: Stack) -> None:
    widgets = body(dashboard(stack, pipelines={"gapless": "eu-west-1"}))["widgets"]
    cells = [
        (x, y)
        for each in widgets
        for x in range(each["x"], each["x"] + each["width"])
        for y in range(each["y"], each["y"] + each["height"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_a_workload_has_as_many_metrics_as_the_costs_count_with(stack: Stack) -> None:
    widgets = body(dashboard(stack))["widgets"]
    metrics = [each for widget in widgets for each in widget["properties"].get("metrics", [])]
    named = {tuple(str(part) for part in each if not isinstance(part, dict)) for each in metrics} - {()}
    assert len(named) == 15


def test_is_the_same_every_time(stack: Stack) -> None:
    other = Stack(App(), "Other")
    assert body(dashboard(stack)) == body(dashboard(other))
    dashboard_name = Match.object_like({"DashboardName": "gapless-dev"})
    Template.from_stack(other).has_resource_properties("AWS::CloudWatch::Dashboard", dashboard_name)
