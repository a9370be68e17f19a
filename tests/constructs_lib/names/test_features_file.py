"""What ``workload.yaml`` may say of features without code, and what is wrong with the files that it names."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from constructs_lib.names.workload_file import WorkloadFile, WorkloadFileError

NO_CODE = Path(__file__).parents[2] / "everything" / "no_code"
STEPS: list[dict[str, Any]] = json.loads((NO_CODE / "recipe.json").read_text())
FLOW: dict[str, Any] = json.loads((NO_CODE / "orders.flow").read_text())
RECIPE = {"databrew_recipe": "recipe.json"}
BY_FLOW = {"data_wrangler_flow": "orders.flow", "output_node": "33333333-joined"}


def content(features: Any, **other: Any) -> dict[str, Any]:
    return {
        "name": "orders",
        "owner": "orders@example.com",
        "target": "late",
        "event_time": "ordered_at",
        "sources": {
            "orders": {
                "key": ["order_id"],
                "columns": {"order_id": "string", "ordered_at": "timestamp", "amount": "double", "late": "boolean"},
            },
            "customers": {"columns": {"customer": "string"}},
        },
        "preparation": {"features": features},
        **other,
    }


def parsed(folder: Path, features: Any, **other: Any) -> WorkloadFile:
    return WorkloadFile.parse(content(features, **other), folder=folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "recipe.json").write_text(json.dumps(STEPS))
    (tmp_path / "orders.flow").write_text(json.dumps(FLOW))
    return tmp_path


def test_a_script_is_the_default_and_leaves_the_contract_as_it_is(folder: Path) -> None:
    without = {name: value for name, value in content("script").items() if name != "preparation"}
    assert parsed(folder, "script") == WorkloadFile.parse(without)
    assert "features_by" not in parsed(folder, "script").contract()


@pytest.mark.parametrize(("features", "kind"), [(RECIPE, "databrew_recipe"), (BY_FLOW, "data_wrangler_flow")])
def test_the_contract_says_who_makes_the_features(folder: Path, features: dict[str, str], kind: str) -> None:
    told = parsed(folder, features).contract()["features_by"]
    assert told["kind"] == kind and len(told["digest"]) == 64


def test_another_step_is_another_contract_and_other_blanks_are_not(folder: Path) -> None:
    digest = parsed(folder, RECIPE).contract_digest()
    (folder / "recipe.json").write_text(json.dumps(STEPS, indent=4))
    assert parsed(folder, RECIPE).contract_digest() == digest
    (folder / "recipe.json").write_text(json.dumps(STEPS[:1]))
    assert parsed(folder, RECIPE).contract_digest() != digest


def test_another_node_of_the_same_flow_is_another_contract(folder: Path) -> None:
    flow = copy.deepcopy(FLOW)
    flow["nodes"].append({"node_id": "other", "type": "TRANSFORM"})
    (folder / "orders.flow").write_text(json.dumps(flow))
    digests = {
        parsed(folder, {**BY_FLOW, "output_node": node}).contract_digest() for node in ("other", "33333333-joined")
    }
    assert len(digests) == 2


def test_a_larger_machine_is_the_same_contract(folder: Path) -> None:
    larger = {**BY_FLOW, "instance_type": "ml.m5.12xlarge", "instances": 4, "timeout_minutes": 120}
    assert parsed(folder, larger).contract() == parsed(folder, BY_FLOW).contract()


def test_the_file_is_looked_for_beside_workload_yaml(folder: Path) -> None:
    (folder / "workload.yaml").write_text(json.dumps(content(RECIPE)))
    found = WorkloadFile.load(folder / "workload.yaml").preparation.features
    assert found is not None and found.content == STEPS


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ("formula", "preparation.features"),
        ({}, "must name one of databrew_recipe, data_wrangler_flow, was []"),
        ({**RECIPE, **BY_FLOW}, "must name one of databrew_recipe, data_wrangler_flow"),
        ({**RECIPE, "instances": 2}, "instances: has no meaning for a databrew_recipe (allowed: nodes)"),
        ({**BY_FLOW, "nodes": 3}, "nodes: has no meaning for a data_wrangler_flow"),
        ({"data_wrangler_flow": "orders.flow"}, "output_node: is required"),
        ({**RECIPE, "nodes": 1}, "preparation.features.nodes: input should be greater than or equal to 2, was 1"),
        ({**RECIPE, "node": 3}, "preparation.features.node: 'node' is not a known key; did you mean 'nodes'?"),
        ({"databrew_recipe": "../recipe.json"}, "preparation.features.databrew_recipe: must match"),
        ({"databrew_recipe": "no.json"}, "databrew_recipe: no.json is not in the workload's folder"),
        ({"databrew_recipe": "orders.flow"}, "orders.flow must be a list of steps that is not empty"),
        (
            {**BY_FLOW, "output_node": "33333333-join"},
            "'33333333-join' is not a node that transforms; did you mean '33333333-joined'",
        ),
        ({**BY_FLOW, "output_node": "11111111-orders"}, "'11111111-orders' is not a node that transforms"),
    ],
)
def test_says_what_is_wrong_with_the_settings(folder: Path, features: Any, message: str) -> None:
    with pytest.raises(WorkloadFileError) as refused:
        parsed(folder, features)
    assert message in str(refused.value)
    assert str(refused.value).startswith("workload.yaml: preparation.features")


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("no json", "cannot be read as JSON"),
        ("[]", "must be a list of steps that is not empty, was []"),
        ('[{"Operation": "UPPER_CASE"}]', "step 1: must be an object with Action"),
        ('[{"Action": {"Operation": "upper"}}]', 'step 1: Action.Operation: must be a name in capitals, was "upper"'),
        ('[{"Action": {"Operation": "A", "Parameters": {"n": 1}}}]', "Action.Parameters: must map names to texts"),
        ('[{"Action": {"Operation": "A"}, "ConditionExpressions": [{}]}]', "a condition must have Condition"),
        ('[{"Action": {"Operation": "JOIN"}}]', "JOIN reads another dataset; a recipe gets the rows of the primary"),
        (
            '[{"Action": {"Operation": "A"}}, {"Action": {"Operation": "B", "Parameters": {"secondInputs": "[]"}}}]',
            "step 2: B reads another dataset",
        ),
        ('[{"Action": {"Operation": "A", "Parameters": {"x": "{% 1 %}"}}}]', "must not hold '{%'"),
        (json.dumps([STEPS[0]] * 2000), "must have at most 100000 bytes without blanks"),
    ],
)
def test_says_what_is_wrong_with_a_recipe(folder: Path, steps: str, message: str) -> None:
    (folder / "recipe.json").write_text(steps)
    with pytest.raises(WorkloadFileError) as refused:
        parsed(folder, RECIPE)
    assert message in str(refused.value)
    assert "preparation.features.databrew_recipe: recipe.json" in str(refused.value)


def changed_flow(node: int, **definition: Any) -> dict[str, Any]:
    flow = copy.deepcopy(FLOW)
    flow["nodes"][node]["parameters"]["dataset_definition"].update(definition)
    return flow


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        ([], "must be an object with a list of nodes, was []"),
        ({"nodes": [{"type": "SOURCE"}]}, "a node must have node_id and type"),
        (changed_flow(0, datasetSourceType="Athena"), 'node 11111111-orders: a source must be S3, was "Athena"'),
        (changed_flow(0, s3ExecutionContext={"s3ContentType": "csv"}), 'must be of content type parquet, was "csv"'),
        (changed_flow(1, name="orders"), "reads 'orders' twice"),
        (changed_flow(1, name="customer"), "what it reads: 'customer' is not a source; did you mean 'customers'?"),
        ({"nodes": FLOW["nodes"][1:]}, "does not read the primary source 'orders'"),
        (changed_flow(0, name=None), "must have the name of one of the workload's sources"),
    ],
)
def test_says_what_is_wrong_with_a_flow(folder: Path, flow: Any, message: str) -> None:
    (folder / "orders.flow").write_text(json.dumps(flow))
    with pytest.raises(WorkloadFileError) as refused:
        parsed(folder, BY_FLOW)
    assert message in str(refused.value)
    assert "preparation.features.data_wrangler_flow: orders.flow" in str(refused.value)


def test_does_not_go_together_with_answers_of_people(folder: Path) -> None:
    with pytest.raises(WorkloadFileError, match=r"relabelling: does not go together with preparation.features: rows"):
        parsed(folder, RECIPE, relabelling={})


def test_does_not_go_together_with_a_dataset_that_accumulates(folder: Path) -> None:
    with pytest.raises(WorkloadFileError, match=r"dataset.accumulate: does not go together with preparation.features"):
        parsed(folder, RECIPE, dataset={"accumulate": True})


def test_a_file_needs_a_folder_to_lie_in() -> None:
    with pytest.raises(WorkloadFileError, match=r"recipe.json cannot be read without the workload's folder"):
        WorkloadFile.parse(content(RECIPE))
