"""What a workload may ask of an evaluation and of the gate, and what it is told when that does not fit."""

from __future__ import annotations

from typing import Any

import pytest

from constructs_lib.names.fairness_file import ModelCard
from constructs_lib.names.workload_file import WorkloadFile, WorkloadFileError

CONTENT: dict[str, Any] = {
    "name": "churn",
    "owner": "retention@example.com",
    "target": "churned",
    "event_time": "renewal_due",
    "sources": {
        "customers": {
            "key": ["customer"],
            "known_later": ["churned"],
            "sensitive": ["plan"],
            "columns": {
                "customer": "bigint",
                "renewal_due": "timestamp",
                "since": "date",
                "churned": "boolean",
                "plan": "string",
                "region": "string",
                "months": "int",
                "spent": "double",
            },
        }
    },
}


def workload(**others: Any) -> WorkloadFile:
    return WorkloadFile.parse({**CONTENT, **others})


def refusal(**others: Any) -> str:
    with pytest.raises(WorkloadFileError) as error:
        workload(**others)
    return str(error.value)


def test_asks_for_nothing_special_by_default() -> None:
    assert workload().evaluation_options() == {
        "problem": "binary_classification",
        "target": "churned",
        "metric": "auc",
        "level": 0.05,
        "slices": [],
        "min_slice_rows": 100,
        "facets": [],
        "favourable": (True,),
        "explanations": None,
        "features": ["since", "plan", "region", "months", "spent"],
        "sensitive": ["plan"],
        "name": "churn",
        "owner": "retention@example.com",
        "description": "",
        "model_card": ModelCard().model_dump(),
    }


def test_tells_the_evaluation_which_slices_to_look_at() -> None:
    slices = [
        {"column": "region"},
        {"column": "plan", "values": ["gold"]},
        {"column": "spent", "bins": [10, 100.5]},
        {"column": "months"},
    ]
    asked = workload(evaluation={"slices": slices, "min_slice_rows": 50}, gate={"champion": {"level": 0.1}})
    options = asked.evaluation_options()
    assert options["slices"] == [
        {"column": "region", "values": None, "bins": None},
        {"column": "plan", "values": ["gold"], "bins": None},
        {"column": "spent", "values": None, "bins": [10.0, 100.5]},
        {"column": "months", "values": None, "bins": None},
    ]
    assert (options["min_slice_rows"], options["level"]) == (50, 0.1)


def test_what_is_evaluated_changes_no_dataset() -> None:
    other = workload(evaluation={"slices": [{"column": "region"}]}, gate={"floor": 0.9})
    assert other.contract_digest() == workload().contract_digest()


@pytest.mark.parametrize(
    ("slicing", "message"),
    [
        ({"column": "regoin"}, "evaluation.slices.0.column: 'regoin' is not a feature; did you mean 'region'?"),
        ({"column": "churned"}, "evaluation.slices.0.column: 'churned' is not a feature"),
        ({"column": "spent"}, "without bins a slice needs a column of type string or int or bigint or boolean"),
        ({"column": "since"}, "evaluation.slices.0.column: without bins a slice needs a column of type"),
        ({"column": "region", "bins": [1]}, "ranges need a column of type int or bigint or double, was string"),
        ({"column": "months", "bins": [3, 2]}, "bins: must be ascending, was [3.0, 2.0]"),
        ({"column": "months", "bins": [2, 2]}, "bins: must be ascending, was [2.0, 2.0]"),
        ({"column": "months", "bins": [2], "values": [3]}, "bins: does not go together with values"),
        ({"column": "months", "values": ["3"]}, 'values: must be of type int as the column is, was "3"'),
        ({"column": "months", "values": [True]}, "values: must be of type int as the column is, was true"),
        ({"column": "months", "values": [3, 3]}, "values: a value is given twice, was [3, 3]"),
        ({"column": "months", "values": []}, "evaluation.slices.0.values"),
        ({"column": "plan"}, "'plan' is sensitive, and its values would stand in reports; name values or bins"),
        ({"colum": "plan"}, "evaluation.slices.0.colum: 'colum' is not a known key; did you mean 'column'?"),
    ],
)
def test_refuses_a_slice_that_cannot_be(slicing: dict[str, Any], message: str) -> None:
    assert message in refusal(evaluation={"slices": [slicing]})


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"slices": {"floor": 0.5}}, "gate.slices: has no meaning without evaluation.slices"),
        ({"floors": {"auc": 0.5}}, "gate.floors.auc: is the metric that decides; give its limit by floor"),
        ({"floors": {"rmse": 0.5}}, "gate.floors.rmse: 'rmse' is not a metric of binary_classification"),
        ({"champion": {"margin": -1}}, "gate.champion.margin: input should be greater than or equal to 0, was -1"),
        ({"champion": {"level": 0.6}}, "gate.champion.level: input should be less than or equal to 0.5, was 0.6"),
        ({"calibration": {"max_error": 0}}, "gate.calibration.max_error: input should be greater than 0, was 0"),
        ({"tolerance": 0.1}, "gate.tolerance: 'tolerance' is not a known key"),
    ],
)
def test_refuses_a_gate_that_cannot_judge(gate: dict[str, Any], message: str) -> None:
    assert message in refusal(gate=gate)


def test_calibration_needs_a_target() -> None:
    content = {**CONTENT, "problem": "clustering", "gate": {"calibration": {"max_error": 0.1}}}
    del content["target"]
    with pytest.raises(WorkloadFileError, match=r"gate\.calibration: has no meaning for problem: clustering"):
        WorkloadFile.parse(content)


def test_every_rule_reaches_the_judge() -> None:
    gate = {"floor": 0.7, "floors": {"recall": 0.2}, "champion": {"margin": 0.01}, "calibration": {"max_error": 0.1}}
    looked_at = {"slices": [{"column": "region"}], "facets": [{"column": "region", "values": ["north"]}]}
    bias = [{"metric": "DI", "at_least": 0.8}, {"metric": "RD", "facet": "region", "at_most": 0.1}]
    judged = {**gate, "slices": {"floor": 0.6}, "bias": bias, "limits": {"bytes": 1000}}
    asked = workload(evaluation=looked_at, gate=judged)
    assert asked.gate.judged(asked.problem) == {
        "metric": "auc",
        "floor": 0.7,
        "floors": {"recall": 0.2},
        "champion": {"required": True, "level": 0.05, "margin": 0.01},
        "calibration": {"max_error": 0.1},
        "slices": {"floor": 0.6},
        "bias": [{**rule, "judged_by": "estimate"} for rule in bias],
        "limits": {"bytes": 1000},
    }
