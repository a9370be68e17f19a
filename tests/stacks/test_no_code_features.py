"""The stack of a workload whose features are made by a recipe or a flow: who may do what, and that the gate agrees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App

from constructs_lib.names.workload_file import WorkloadFile
from gate.assembly import StackTemplate, templates
from gate.nag import check_nag
from gate.template_rules import check_templates
from gate.wildcards import as_list, as_text, unexplained
from stacks.config import PlatformConfig, project_context
from stacks.platform import build_platform, read_workloads
from tests.everything.platform import FOLDER, LOCAL_STAGE, ONLY_ON_AWS, with_settings

Recipe = tuple[StackTemplate, list[Any]]
RECIPE = {"databrew_recipe": "recipe.json", "nodes": 3}
FLOW = ONLY_ON_AWS["preparation"]["features"]


def workload(features: Any) -> WorkloadFile:
    more = {"preparation": {"features": features}}
    orders = next(each for each in read_workloads(FOLDER) if each.name == "orders")
    return with_settings(orders, more)


def built(folder: Path, features: Any) -> Recipe:
    """The workload's stack, and what the solutions pack found."""
    context = {**project_context(), "@aws-cdk/core:failSynthOnValidationErrors": False}
    app = App(context=context, outdir=str(folder))
    build_platform(app, PlatformConfig.parse({"every": LOCAL_STAGE}), [workload(features)])
    findings = check_nag(app, ["every"], ["orders"])
    return next(stack for stack in templates(folder) if stack.stack.endswith("OrdersWorkload")), list(findings)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return built(tmp_path_factory.mktemp("recipe"), RECIPE)


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> StackTemplate:
    return built(tmp_path_factory.mktemp("flow"), FLOW)[0]


def statements(stack: StackTemplate, part: str) -> list[dict[str, Any]]:
    """What the roles whose logical id begins like this are allowed."""
    policies = stack.of_type("AWS::IAM::Policy").items()
    return [
        statement
        for name, each in policies
        if name.startswith(part)
        for statement in each["Properties"]["PolicyDocument"]["Statement"]
    ]


def objects_of(found: list[dict[str, Any]], action: str) -> set[str]:
    """What an action on objects is allowed on, without the bucket."""
    allowed = [each for each in found if action in as_list(each["Action"])]
    return {as_text(resource).partition("/")[2] for each in allowed for resource in as_list(each["Resource"])}


def test_the_gate_finds_nothing_about_a_recipe(
    recipe: Recipe,
) -> None:
    stack, findings = recipe
    assert [str(each) for each in findings] == []
    assert check_templates([stack]) == []
    allowed = [*statements(stack, "Recipe"), *statements(stack, "DataMachine")]
    assert [each for statement in allowed for each in unexplained(statement, ["every"], ["orders"])] == []


def test_a_recipe_sees_what_is_handed_over_and_nothing_else(
    recipe: Recipe,
) -> None:
    found = statements(recipe[0], "Recipe")
    assert {each.removesuffix("/*").rstrip("/") for each in objects_of(found, "s3:PutObject")} <= {
        "orders/handover",
        "orders_$folder$",
        "orders/handover_$folder$",
    }
    assert "orders/*" not in objects_of(found, "s3:GetObject")


def test_only_databrew_of_this_account_takes_the_recipe_s_role(
    recipe: Recipe,
) -> None:
    (role,) = [each for name, each in recipe[0].of_type("AWS::IAM::Role").items() if name.startswith("RecipeRole")]
    (statement,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "databrew.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_the_machine_makes_only_what_carries_its_tags_and_removes_only_what_has_its_name(
    recipe: Recipe,
) -> None:
    found = [
        each
        for each in statements(recipe[0], "DataMachine")
        if any(action.startswith("databrew:") for action in as_list(each["Action"]))
    ]
    anywhere = [each for each in found if as_list(each["Resource"]) == ["*"]]
    assert [each["Condition"] for each in anywhere] == [
        {"StringEquals": {"aws:RequestTag/gapless:stage": "every", "aws:RequestTag/gapless:workload": "orders"}}
    ]
    assert all(action.startswith("databrew:Create") for each in anywhere for action in as_list(each["Action"]))
    named = [as_text(resource) for each in found if each not in anywhere for resource in as_list(each["Resource"])]
    assert all("/every-orders-features-*" in each for each in named)


def test_a_flow_reads_its_own_file_and_what_is_handed_over(flow: StackTemplate) -> None:
    found = statements(flow, "FlowJobs")
    assert objects_of(found, "s3:PutObject") == {"orders/handover/*"}
    assert {each for each in objects_of(found, "s3:GetObject") if not each.endswith(".flow")} == {"orders/handover/*"}
    assert any(each.endswith(".flow") for each in objects_of(found, "s3:GetObject"))


def test_the_machine_may_run_flows_in_the_network_of_the_stage(flow: StackTemplate) -> None:
    definitions = [
        as_text(each["Properties"]["DefinitionString"])
        for each in flow.of_type("AWS::StepFunctions::StateMachine").values()
    ]
    assert sum("sagemaker-data-wrangler-container:3.x" in each for each in definitions) == 1
    passed = [each for each in statements(flow, "DataMachine") if "iam:PassRole" in as_list(each["Action"])]
    assert any("FlowJobsRole" in str(each["Resource"]) for each in passed)


@pytest.mark.parametrize("features", [RECIPE, FLOW])
def test_the_dataset_s_version_follows_the_file(features: Any) -> None:
    script = workload("script").contract_digest()
    assert workload(features).contract_digest() != script
