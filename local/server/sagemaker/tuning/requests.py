"""What is asked of a tuning: checked as SageMaker checks it, and turned into searches and trials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from local.server.sagemaker.algorithms import algorithm_of
from local.server.sagemaker.errors import invalid, unsupported
from local.server.sagemaker.jobs import script_mode
from local.server.sagemaker.store import Document

MOST_RANGES = 30
MOST_AT_ONCE = 10
MOST_TRIALS = 750
MOST_PARENTS = 5

NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_XGBOOST = (*("accuracy", "auc", "error", "f1", "logloss", "mae", "map", "merror", "mlogloss", "mse", "ndcg", "rmse"),)
_LINEAR = {
    "objective_loss": r"\w+_objective <loss>",
    **{name: f"{name} <loss>" for name in ("absolute_loss", "mse", "rmse")},
    **{f"{kind}_f_beta": rf"{kind}_f_[\d.]+ <score>" for kind in ("binary", "macro")},
    **{
        name: f"{name} <score>"
        for name in (
            "binary_classification_accuracy",
            "precision",
            "recall",
            "roc_auc_score",
            "multiclass_accuracy",
            "macro_precision",
            "macro_recall",
        )
    },
}
LOGGED = {
    "xgboost": {f"validation:{name}": f"validation-{name}:" for name in _XGBOOST},
    "linear-learner": {f"validation:{name}": f"validation {logged}=" for name, logged in _LINEAR.items()},
    "knn": {"test:accuracy": "test accuracy <score>=", "test:mse": "test mse <loss>="},
    "kmeans": {f"test:{name}": f"test {name} <loss>=" for name in ("msd", "ssd")},
}
"""Built-in algorithm to how its metrics stand in its log, before the number."""

_KINDS = {
    "IntegerParameterRanges": "integer",
    "ContinuousParameterRanges": "continuous",
    "CategoricalParameterRanges": "categorical",
}
_OF_TRIALS_ONLY = (
    "DefinitionName",
    "TuningObjective",
    "HyperParameterRanges",
    "HyperParameterTuningResourceConfig",
    "RetryStrategy",
)
_OTHER_NAMES = ("StaticHyperParameters", "AlgorithmSpecification", *_OF_TRIALS_ONLY)


def check(params: Document) -> None:
    """Check what the shape of a request leaves open.

    Raises:
        ServiceError: SageMaker would refuse it, or the local server has no counterpart (``ValidationException``).
    """
    for member in ("TrainingJobDefinitions", "Autotune"):
        if params.get(member):
            raise unsupported(f"{member} of a tuning job")
    if "TrainingJobDefinition" not in params:
        raise invalid("TrainingJobDefinition is required")
    config, definition = params["HyperParameterTuningJobConfig"], params["TrainingJobDefinition"]
    for member in _OF_TRIALS_ONLY:
        if definition.get(member):
            raise unsupported(f"{member} of a training job definition")
    if config.get("TuningJobCompletionCriteria"):
        raise unsupported("TuningJobCompletionCriteria of a tuning job")
    if config.get("ParameterRanges", {}).get("AutoParameters"):
        raise unsupported("AutoParameters of a tuning job")
    if "HyperParameterTuningJobObjective" not in config:
        raise invalid("HyperParameterTuningJobObjective is required")
    space = space_of(config)
    _check_space(space, definition.get("StaticHyperParameters", {}))
    _check_strategy(config, space)
    _check_limits(config, space)
    metric_definitions(params)


def space_of(config: Document) -> dict[str, dict[str, Any]]:
    """Where is searched: hyperparameter to ``{"kind", …}``, as the adviser takes it.

    Raises:
        ServiceError: A range is given twice, or its values are none (``ValidationException``).
    """
    space: dict[str, dict[str, Any]] = {}
    for member, kind in _KINDS.items():
        for each in config.get("ParameterRanges", {}).get(member, []):
            if each["Name"] in space:
                raise invalid(f"the hyperparameter {each['Name']} has more than one range")
            space[each["Name"]] = _range(kind, each)
    return space


def _range(kind: str, each: Document) -> dict[str, Any]:
    if kind == "categorical":
        return {"kind": kind, "values": each["Values"]}
    name, scaling = each["Name"], each.get("ScalingType", "Auto")
    try:
        read = int if kind == "integer" else float
        least, largest = read(each["MinValue"]), read(each["MaxValue"])
    except ValueError as error:
        raise invalid(f"the range of {name} is not {kind}: {error}") from error
    if not (math.isfinite(least) and math.isfinite(largest) and least < largest):
        raise invalid(f"the range of {name} must have a MinValue below its MaxValue, not {least} and {largest}")
    if scaling == "Logarithmic" and least <= 0:
        raise invalid(f"the range of {name} with ScalingType Logarithmic must be above 0, not from {least}")
    if scaling == "ReverseLogarithmic" and (kind == "integer" or least < 0 or largest >= 1):
        raise invalid(f"the range of {name} with ScalingType ReverseLogarithmic must be continuous, from 0 to below 1")
    return {"kind": kind, "least": least, "largest": largest, "scaling": scaling}


def _check_space(space: Mapping[str, Any], static: Mapping[str, str]) -> None:
    if not space:
        raise invalid("at least one hyperparameter must have a range")
    if len(space) > MOST_RANGES:
        raise invalid(f"{len(space)} hyperparameters have ranges; at most {MOST_RANGES} may")
    both = sorted(space.keys() & static.keys())
    if both:
        raise invalid(f"hyperparameters cannot be both static and tunable: {', '.join(both)}")


def _check_strategy(config: Document, space: Mapping[str, Any]) -> None:
    strategy, hyperband = config["Strategy"], config.get("StrategyConfig", {}).get("HyperbandStrategyConfig")
    if strategy != "Hyperband":
        if hyperband is not None:
            raise invalid(f"HyperbandStrategyConfig does not go with Strategy {strategy}")
        others = sorted(name for name, each in space.items() if each["kind"] != "categorical")
        if strategy == "Grid" and others:
            raise invalid(f"Strategy Grid takes categorical hyperparameters only, not {', '.join(others)}")
        return
    if hyperband is None or not {"MinResource", "MaxResource"} <= hyperband.keys():
        raise unsupported("Strategy Hyperband without MinResource and MaxResource")
    if hyperband["MinResource"] >= hyperband["MaxResource"]:
        raise invalid("MinResource must be less than MaxResource")
    if config.get("TrainingJobEarlyStoppingType", "Off") != "Off":
        raise invalid("TrainingJobEarlyStoppingType must be Off for Strategy Hyperband")


def _check_limits(config: Document, space: Mapping[str, Any]) -> None:
    limits = config["ResourceLimits"]
    combinations = math.prod(len(each["values"]) for each in space.values()) if config["Strategy"] == "Grid" else None
    asked = limits.get("MaxNumberOfTrainingJobs", combinations)
    if combinations is not None and asked != combinations:
        raise invalid(f"MaxNumberOfTrainingJobs must be the {combinations} combinations of the grid, or be left out")
    if asked is None:
        raise invalid("MaxNumberOfTrainingJobs is required")
    if asked > MOST_TRIALS:
        raise invalid(f"the tuning job may start {asked} training jobs; at most {MOST_TRIALS} are allowed")
    at_once = limits["MaxParallelTrainingJobs"]
    if at_once > min(asked, MOST_AT_ONCE):
        raise invalid(f"MaxParallelTrainingJobs is {at_once}; at most {min(asked, MOST_AT_ONCE)} are allowed here")


def metric_definitions(params: Document) -> list[Document]:
    """How the objective stands in the log of a built-in algorithm; nothing where the request says it.

    Raises:
        ServiceError: The request does not say it, or the algorithm does not report it (``ValidationException``).
    """
    specification = params["TrainingJobDefinition"]["AlgorithmSpecification"]
    metric = objective(params)["MetricName"]
    given = [each["Name"] for each in specification.get("MetricDefinitions", [])]
    static = params["TrainingJobDefinition"].get("StaticHyperParameters", {})
    built_in = algorithm_of(specification.get("TrainingImage", "")) if script_mode.PROGRAM not in static else None
    if built_in is None:
        if metric not in given:
            raise invalid(f"the objective metric {metric} is none of MetricDefinitions: {', '.join(given) or 'none'}")
        return []
    if given:
        raise invalid(f"MetricDefinitions of {built_in} are its own and cannot be given")
    known = LOGGED.get(built_in, {})
    if metric not in known:
        raise invalid(f"{built_in} has no objective metric {metric}; allowed: {', '.join(known) or 'none'}")
    return [{"Name": metric, "Regex": known[metric] + NUMBER}]


def objective(params: Document) -> Document:
    """What trials are compared by: ``{"Type", "MetricName"}``."""
    found: Document = params["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    return found


def most_trials(config: Document) -> int:
    """How many trials there are at most."""
    if config["Strategy"] == "Grid":
        return math.prod(len(each["values"]) for each in space_of(config).values())
    most: int = config["ResourceLimits"]["MaxNumberOfTrainingJobs"]
    return most


def trial_request(params: Document, name: str, hyperparameters: Mapping[str, str]) -> Document:
    """The request for the training job of a trial.

    Args:
        hyperparameters: What the trial is told beside the static ones.
    """
    definition = params["TrainingJobDefinition"]
    told = {**definition.get("StaticHyperParameters", {}), **hyperparameters}
    return {
        **{member: value for member, value in definition.items() if member not in _OTHER_NAMES},
        "TrainingJobName": name,
        "AlgorithmSpecification": definition["AlgorithmSpecification"],
        "HyperParameters": {**told, script_mode.TUNING_METRIC: objective(params)["MetricName"]},
    }


def search_of(document: Document, known: list[Document]) -> Document:
    """The search of a tuning, as the adviser takes it.

    Args:
        known: Trials that it begins with: ``{"hyperparameters", "value"}``.
    """
    config = document["HyperParameterTuningJobConfig"]
    hyperband = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {})
    return {
        "name": document["HyperParameterTuningJobName"],
        "strategy": config["Strategy"],
        "direction": objective(document)["Type"].lower(),
        "seed": document["_Seed"],
        "space": space_of(config),
        "trials": most_trials(config),
        "stops_early": config.get("TrainingJobEarlyStoppingType", "Off") == "Auto",
        "min_resource": hyperband.get("MinResource"),
        "max_resource": hyperband.get("MaxResource"),
        "known": known,
    }
