"""What a workload file may say about rows for people to label, and what it is told when it says something else."""

from typing import Any

import pytest

from constructs_lib.names.relabelling_file import Relabelling
from constructs_lib.names.workload_file import WorkloadFile, WorkloadFileError
from stacks.config import ROOT

FLIGHTS = WorkloadFile.load(ROOT / "workloads" / "flight_delays" / "workload.yaml")
JOB = {
    "work_team": "arn:aws:sagemaker:us-east-1:111122223333:workteam/private-crowd/team",
    "prepares": "arn:aws:lambda:us-east-1:432418664414:function:PRE-TextMultiClass",
    "consolidates": "arn:aws:lambda:us-east-1:432418664414:function:ACS-TextMultiClass",
}
REGRESSION = {"problem": "regression", "target": "arr_delay", "gate": {}, "evaluation": {}, "training": {}}
MULTICLASS = {
    "problem": "multiclass_classification",
    "target": "arr_delay",
    "gate": {},
    "evaluation": {},
    "training": {},
}
SHADOW = {"serving": {"rollout": {"strategy": "shadow"}, "experiment": {"clip": 60}}}


def parsed(relabelling: Any, **more: Any) -> WorkloadFile:
    content = FLIGHTS.model_dump(mode="json", exclude_unset=True)
    return WorkloadFile.parse({**content, "relabelling": relabelling, **more})


def test_nobody_labels_rows_unless_it_is_asked_for() -> None:
    assert parsed(None).relabelling is None
    assert "relabelling" not in parsed(None).contract()
    assert parsed({}).relabelling == Relabelling()
    assert parsed({}).contract()["relabelling"] is True


def test_people_see_sensitive_columns_only_where_these_are_named() -> None:
    features = {**FLIGHTS.features, "tailnum": "string"}
    assert "tailnum" not in parsed({}, features=features).relabelling_options()["shown"]
    assert "tailnum" in parsed({"show": ["tailnum"]}, features=features).relabelling_options()["shown"]


def test_each_problem_has_its_uncertainty() -> None:
    assert parsed({}).relabelling_options()["uncertainty"] == "margin"
    assert parsed({"uncertainty": "entropy"}, **MULTICLASS).relabelling_options()["uncertainty"] == "entropy"
    options = parsed({"range": [-60, 600]}, **REGRESSION, **SHADOW).relabelling_options()
    assert (options["uncertainty"], options["range"], options["target_type"]) == ("spread", [-60.0, 600.0], "int")


def test_a_labelling_job_is_opt_in_and_knows_its_labels() -> None:
    asked = parsed({"destination": "ground_truth", "ground_truth": JOB}).relabelling
    assert asked is not None and asked.ground_truth is not None
    assert asked.answers("binary_classification") == ("true", "false")
    more = parsed({"destination": "ground_truth", "ground_truth": JOB, "labels": ["1", "2"]}, **MULTICLASS).relabelling
    assert more is not None and more.answers("multiclass_classification") == ("1", "2")


@pytest.mark.parametrize(
    ("given", "more", "told"),
    [
        ({"max_row": 3}, {}, "relabelling.max_row: 'max_row' is not a known key; did you mean 'max_rows'?"),
        ({"max_rows": 0}, {}, "relabelling.max_rows"),
        (
            {"uncertainty": "doubt"},
            {},
            "relabelling.uncertainty: allowed: 'margin', 'entropy' or 'spread', was \"doubt\"",
        ),
        ({"uncertainty": "spread"}, {}, "relabelling.uncertainty: spread is of problem: regression"),
        ({"uncertainty": "margin"}, {**REGRESSION, **SHADOW}, "relabelling.uncertainty: a number has no margin"),
        ({}, REGRESSION, "one model's number does not say how unsure it is; spread needs a challenger"),
        ({"show": ["carrier"]}, {}, "relabelling.show: 'carrier' is not a sensitive feature"),
        ({"labels": ["a"]}, {}, "relabelling.labels: are of problem: multiclass_classification, was binary"),
        ({"labels": ["a", "a"]}, MULTICLASS, "labels: 'a' is given twice"),
        ({"range": [1, 2]}, {}, "relabelling.range: is of problem: regression"),
        (
            {"range": [2, 1]},
            {**REGRESSION, **SHADOW},
            "range: must be the least and the largest number, was [2.0, 1.0]",
        ),
        ({"destination": "ground_truth"}, {}, "relabelling.ground_truth: is required for destination: ground_truth"),
        ({"ground_truth": JOB}, {}, "relabelling.ground_truth: has no meaning for destination: folder"),
        (
            {"destination": "ground_truth", "ground_truth": JOB},
            {**REGRESSION, **SHADOW},
            "relabelling.destination: a labelling job needs the labels to choose from (allowed here: folder)",
        ),
        (
            {"destination": "ground_truth", "ground_truth": {**JOB, "work_team": "team"}},
            {},
            "relabelling.ground_truth.work_team: must match",
        ),
        ({}, {"serving": {"capture_percent": 0}}, "relabelling: takes rows from what was captured, and nothing is"),
    ],
)
def test_mistakes_are_told_with_what_is_allowed(given: Any, more: Any, told: str) -> None:
    with pytest.raises(WorkloadFileError) as refused:
        parsed(given, **more)
    assert told in str(refused.value)


def test_goes_together_with_datasets_that_accumulate() -> None:
    contract = parsed({}, dataset={"accumulate": True}).contract()
    assert (contract["relabelling"], contract["dataset"]["accumulate"]) == (True, True)
