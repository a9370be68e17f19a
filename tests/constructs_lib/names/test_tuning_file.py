"""What a workload file may say of hyperparameter tuning."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from constructs_lib.names.algorithms import ALGORITHMS
from constructs_lib.names.tuning_objective import NOT_TUNED, OBJECTIVES, default_pattern, reported
from constructs_lib.names.workload_file import WorkloadFile, WorkloadFileError

LINEAR = Path(__file__).parents[2] / "everything" / "workloads" / "linear_orders" / "workload.yaml"
XGBOOST = {"kind": "built_in", "algorithm": "xgboost"}
DEPTH = {"max_depth": {"integer": [3, 9]}}


def parsed(tuning: dict[str, Any], *, training: dict[str, Any] | None = None, **changed: Any) -> WorkloadFile:
    content = yaml.safe_load(LINEAR.read_text())
    return WorkloadFile.parse({**content, "training": {**(training or {}), "tuning": tuning}, **changed})


def config(tuning: dict[str, Any], **more: Any) -> dict[str, Any]:
    workload = parsed(tuning, **more)
    compared = workload.compared_by()
    assert compared is not None and workload.training.tuning is not None
    return workload.training.tuning.config(compared.metric, compared.goal, workload.training.seed)


def refused(tuning: dict[str, Any], **more: Any) -> str:
    with pytest.raises(WorkloadFileError) as caught:
        parsed(tuning, **more)
    return str(caught.value)


def test_ranges_are_listed_by_their_kind_as_texts() -> None:
    ranges = {
        "eta": {"continuous": [0.01, 0.3], "scaling": "log"},
        "max_depth": {"integer": [3, 9]},
        "booster": {"categorical": ["gbtree", True, 3]},
    }
    assert config({"ranges": ranges})["ParameterRanges"] == {
        "ContinuousParameterRanges": [
            {"Name": "eta", "MinValue": "0.01", "MaxValue": "0.3", "ScalingType": "Logarithmic"}
        ],
        "IntegerParameterRanges": [{"Name": "max_depth", "MinValue": "3", "MaxValue": "9", "ScalingType": "Auto"}],
        "CategoricalParameterRanges": [{"Name": "booster", "Values": ["gbtree", "true", "3"]}],
    }


def test_without_more_it_is_ten_trials_of_a_bayesian_search_for_what_the_gate_decides_by() -> None:
    assert config({"ranges": DEPTH}, training={"seed": 7}) == {
        "Strategy": "Bayesian",
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "auc"},
        "ResourceLimits": {
            "MaxNumberOfTrainingJobs": 10,
            "MaxParallelTrainingJobs": 2,
            "MaxRuntimeInSeconds": 7200,
        },
        "ParameterRanges": {
            "IntegerParameterRanges": [{"Name": "max_depth", "MinValue": "3", "MaxValue": "9", "ScalingType": "Auto"}]
        },
        "TrainingJobEarlyStoppingType": "Off",
        "RandomSeed": 7,
    }


def test_a_grid_has_as_many_trials_as_combinations_and_no_limit_in_the_request() -> None:
    ranges = {name: {"categorical": [1, 2, 3]} for name in ("left", "right")}
    found = config({"strategy": "grid", "ranges": ranges, "budget": {"parallel": 9}})
    assert "MaxNumberOfTrainingJobs" not in found["ResourceLimits"]
    assert "budget.parallel: must be at most the 9 trials, was 10" in refused(
        {"strategy": "grid", "ranges": ranges, "budget": {"parallel": 10}}
    )


def test_hyperband_says_its_resources() -> None:
    found = config({"strategy": "hyperband", "ranges": DEPTH, "hyperband": {"max_resource": 27}})
    assert found["StrategyConfig"] == {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 27}}


@pytest.mark.parametrize(
    ("metric", "line", "value"),
    [
        ("auc", "[3]\ttrain-auc:0.91\tvalidation-auc:0.81234", "0.81234"),
        ("log_loss", "validation-logloss:4.5e-1", "4.5e-1"),
        ("log_loss", "validation-log_loss = 0.45", "0.45"),
        ("rmse", "validation_rmse: 12", "12"),
    ],
)
def test_an_objective_is_found_as_xgboost_writes_it(metric: str, line: str, value: str) -> None:
    found = re.search(default_pattern(metric), line)
    assert found is not None and found[1] == value
    assert re.search(default_pattern(metric), line.replace("validation", "train")) is None


@pytest.mark.parametrize(("metric", "goal"), [("auc", "maximize"), ("log_loss", "minimize")])
def test_the_goal_follows_from_the_metric(metric: str, goal: str) -> None:
    compared = parsed({"ranges": DEPTH, "objective": {"metric": metric}}).compared_by()
    assert compared is not None and compared.goal == goal


def test_a_metric_of_the_workload_s_own_says_its_goal_and_its_pattern() -> None:
    own = {"metric": "profit", "goal": "maximize", "pattern": "profit is ([0-9.]+)"}
    compared = parsed({"ranges": DEPTH, "objective": own}).compared_by()
    assert compared is not None
    assert compared.definitions() == [{"Name": "profit", "Regex": "profit is ([0-9.]+)"}]


def test_a_built_in_algorithm_is_tuned_by_its_own_metric_and_may_search_what_it_requires() -> None:
    workload = parsed(
        {"ranges": {"num_round": {"integer": [5, 50]}}, "objective": {"metric": "validation:logloss"}}, model=XGBOOST
    )
    compared = workload.compared_by()
    assert compared is not None
    assert (compared.goal, compared.definitions()) == ("minimize", [])


def test_every_algorithm_has_objectives_or_a_reason() -> None:
    assert {*OBJECTIVES, *NOT_TUNED} == set(ALGORITHMS)
    assert not OBJECTIVES.keys() & NOT_TUNED.keys()


def test_each_metric_of_an_encoded_algorithm_goes_with_a_problem_and_each_problem_with_a_metric() -> None:
    for name, traits in ALGORITHMS.items():
        if traits.encoded and name not in NOT_TUNED:
            found = [reported(name, problem) for problem in traits.problems]
            assert all(found), name
            assert set().union(*found) == OBJECTIVES[name].keys(), name


def test_what_is_measured_on_another_channel_is_known_to_be() -> None:
    elsewhere = {name for name, traits in ALGORITHMS.items() if traits.encoded and traits.measured_on is not None}
    assert elsewhere == {
        name
        for name, metrics in OBJECTIVES.items()
        if ALGORITHMS[name].encoded and any(metric.startswith("test:") for metric in metrics)
    }


SEARCHED = {"ranges": DEPTH}


@pytest.mark.parametrize(
    ("tuning", "more", "said"),
    [
        ({"ranges": {}}, {}, "training.tuning.ranges: dictionary should have at least 1 item"),
        ({"ranges": {"a": {}}}, {}, "ranges.a: must be one of integer, continuous, categorical, was none of them"),
        ({"ranges": {"a": {"integer": [1, 2], "categorical": [1]}}}, {}, "was integer, categorical"),
        ({"ranges": {"a": {"integer": [5, 5]}}}, {}, "ranges.a.integer: must be [least, largest], the first below"),
        (
            {"ranges": {"a": {"continuous": [0, 1], "scaling": "log"}}},
            {},
            "ranges.a.scaling: log needs numbers above 0",
        ),
        ({"ranges": {"a": {"continuous": [0, 1], "scaling": "reverse_log"}}}, {}, "reverse_log needs continuous"),
        ({"ranges": {"a": {"integer": [0, 9], "scaling": "reverse_log"}}}, {}, "reverse_log needs continuous"),
        ({"ranges": {"a": {"categorical": [1, "1"]}}}, {}, "ranges.a.categorical: '1' is given twice"),
        ({"ranges": {"a": {"categorical": [1, 2], "scaling": "log"}}}, {}, "has no meaning for categorical, was log"),
        ({**SEARCHED, "strategy": "grid"}, {}, "ranges.max_depth: a grid takes categorical only; list the values"),
        (
            {"strategy": "grid", "ranges": {"a": {"categorical": [1, 2, 3]}}, "budget": {"trials": 3}},
            {},
            "budget.trials: a grid tries all of its 3 combinations, was 3; leave it out",
        ),
        (
            {"strategy": "grid", "ranges": {n: {"categorical": list(range(10))} for n in ("a", "b", "c")}},
            {},
            "ranges: a grid may have 750 combinations, was 1000",
        ),
        ({**SEARCHED, "strategy": "hyperband"}, {}, "tuning.hyperband: is required by strategy: hyperband"),
        ({**SEARCHED, "hyperband": {"max_resource": 9}}, {}, "hyperband: has no meaning for strategy: bayesian"),
        (
            {**SEARCHED, "strategy": "hyperband", "hyperband": {"max_resource": 9}, "early_stopping": "auto"},
            {},
            "early_stopping: hyperband stops trials by its own rule, was auto (allowed: off)",
        ),
        (
            {**SEARCHED, "strategy": "hyperband", "hyperband": {"min_resource": 9, "max_resource": 9}},
            {},
            "hyperband.min_resource: must be below max_resource 9, was 9",
        ),
        (
            {**SEARCHED, "strategy": "hyperband", "hyperband": {"max_resource": 9}},
            {"training": {"hyperparameters": {"num_round": 10}}},
            "hyperband.max_resource: every trial would be stopped before its end",
        ),
        (
            {**SEARCHED, "strategy": "hyperband", "hyperband": {"max_resource": 9}, "warm_start": "transfer"},
            {},
            "warm_start: hyperband does not learn from an earlier tuning, was transfer",
        ),
        ({**SEARCHED, "budget": {"trials": 1, "parallel": 2}}, {}, "budget.parallel: must be at most the 1 trials"),
        ({**SEARCHED, "budget": {"trials": 751}}, {}, "budget.trials: input should be less than or equal to 750"),
        ({**SEARCHED, "budget": {"parallel": 11}}, {}, "budget.parallel: input should be less than or equal to 10"),
        ({**SEARCHED, "budget": {"trials": 750}}, {}, "would not fit into a run's record, was 750 with 1 ranges"),
        (SEARCHED, {"training": {"hyperparameters": {"max_depth": 6}}}, "ranges.max_depth: is fixed by training.hyper"),
        ({"ranges": {"seed": {"integer": [1, 9]}}}, {}, "ranges.seed: every training is told it by the platform"),
        (
            {**SEARCHED, "objective": {"metric": "profit"}},
            {},
            "tuning.objective.goal: is required, as 'profit' is none",
        ),
        (
            {**SEARCHED, "objective": {"metric": "auc", "goal": "minimize"}},
            {},
            "objective.goal: of auc it is maximize, was minimize; leave it out",
        ),
        ({**SEARCHED, "objective": {"pattern": "no group"}}, {}, "objective.pattern: must have one group"),
        (
            SEARCHED,
            {"training": {"warm_pool_minutes": 9}},
            "training.tuning: SageMaker gives the trials their machines",
        ),
        (
            {**SEARCHED, "checkpoints": True},
            {"model": XGBOOST, "training": {"hyperparameters": {"num_round": 9}}},
            "training.tuning.checkpoints: xgboost looks for its checkpoints where those of all trials lie",
        ),
        (SEARCHED, {"model": {"kind": "pipeline"}}, "training.tuning: the steps of a SageMaker pipeline are one"),
        (
            SEARCHED,
            {"training": {"guard": {"watch": "debugger"}}},
            "training.tuning: SageMaker's tuning jobs take no Debugger rules",
        ),
        (
            SEARCHED,
            {"model": {"kind": "automl", "allow_pickle": {"reason": "Autopilot keeps its models as pickles"}}},
            "training.tuning: automl finds hyperparameters by itself; leave it out",
        ),
        (
            SEARCHED,
            {"model": XGBOOST, "training": {"hyperparameters": {"num_round": 9}}},
            "objective.metric: is required for xgboost (allowed: validation:accuracy, ",
        ),
        (
            {**SEARCHED, "objective": {"metric": "validation:acu"}},
            {"model": XGBOOST, "training": {"hyperparameters": {"num_round": 9}}},
            "did you mean 'validation:auc'?",
        ),
        (
            {"ranges": {"objective": {"categorical": ["a"]}}, "objective": {"metric": "validation:auc"}},
            {"model": XGBOOST, "training": {"hyperparameters": {"num_round": 9}}},
            "ranges.objective: xgboost gets it from problem: binary_classification",
        ),
        (
            {"ranges": {"k": {"integer": [1, 9]}}, "objective": {"metric": "test:mse"}},
            {"model": {"kind": "built_in", "algorithm": "knn"}},
            "objective.metric: 'test:mse' is not a metric of knn (allowed: test:accuracy)",
        ),
        (
            {"ranges": {"index_type": {"categorical": ["a"]}}, "objective": {"metric": "test:accuracy"}},
            {"model": {"kind": "built_in", "algorithm": "knn"}, "training": {"hyperparameters": {"k": 3}}},
            "ranges.index_type: 'index_type' is not a hyperparameter that knn is tuned by (allowed: k)",
        ),
    ],
)
def test_refuses_with_path_value_and_what_is_allowed(tuning: dict[str, Any], more: dict[str, Any], said: str) -> None:
    assert said in refused(tuning, **more)


def test_two_tunings_are_kin_when_they_share_objective_and_hyperparameters() -> None:
    one, other = (
        parsed({"ranges": ranges}, training={"hyperparameters": fixed}).training.tuning
        for ranges, fixed in (
            (DEPTH, {"eta": 0.1}),
            ({"eta": {"continuous": [0.1, 0.3]}}, {"max_depth": 6}),
        )
    )
    assert one is not None and other is not None
    kin = one.kinship({"eta": 0.1}, "auc")
    assert other.kinship({"max_depth": 6}, "auc") == kin
    assert one.kinship({"eta": 0.1}, "log_loss") != kin
    assert one.kinship({}, "auc") != kin


def space_of(ranges: dict[str, Any] = DEPTH, fixed: Any = 0.1, metric: str = "auc", **more: Any) -> str | None:
    tuning = parsed({"ranges": ranges, "when": "on_search", **more}).training.tuning
    assert tuning is not None
    return tuning.space({"eta": fixed}, metric)


def test_only_where_a_search_is_asked_for_it_has_a_place_that_is_known_again() -> None:
    here = space_of()
    assert here is not None and here == space_of(budget={"trials": 3}, strategy="random")
    others = [space_of({"max_depth": {"integer": [2, 99]}}), space_of(fixed=0.2), space_of(metric="log_loss")]
    assert len({here, *others}) == 4
    assert space_of(when="every_training") is None


def test_refuses_another_time_to_search() -> None:
    said = refused({**SEARCHED, "when": "sometimes"})
    assert "training.tuning.when" in said and '"sometimes"' in said
    assert "every_training" in said and "on_search" in said
