"""What is told to the job that encodes splits, to what learns from them, and to the containers that serve between
adapters. Whoever trains such a model says it by these functions, wherever it is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from constructs_lib.names.algorithms import COMPUTED, CSV, PARQUET, RECORDS, SCRIPTS_CHANNEL, TEXT, UNLABELLED
from constructs_lib.names.automl_file import PROBLEM_TYPES, AutoMLModel
from constructs_lib.names.built_in_file import BuiltInModel
from constructs_lib.names.problems import REGRESSION

SERVING: Final[Mapping[str, str]] = {
    "SAGEMAKER_PROGRAM": "inference.py",
    "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
    "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
}
"""Environment of a container that serves by a script."""

REQUEST_ADAPTER: Final = "request_adapter.py"
ANSWER_ADAPTER: Final = "answer_adapter.py"

_FORMATS: Final[Mapping[str, str]] = {
    CSV: "csv",
    UNLABELLED: "csv",
    PARQUET: "parquet",
    RECORDS: "records",
    TEXT: "text",
}
_ANSWERS: Final[Mapping[str, str]] = {
    "xgboost": "numbers",
    "linear-learner": "scores",
    "factorization-machines": "scores",
    "knn": "votes",
    "kmeans": "clusters",
    "pca": "components",
    "blazingtext": "labels",
    **dict.fromkeys(("autogluon", "catboost", "lightgbm", "tabtransformer"), "probabilities"),
}
_REQUESTS: Final[Mapping[str, str]] = {"factorization-machines": "vectors", "blazingtext": "texts"}
_VERBOSE: Final = {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "application/json; verbose=true"}
"""Makes nearest neighbours tell their votes and not only who won."""

_ANSWERED: Final = {"SAGEMAKER_INFERENCE_OUTPUT": "probabilities,labels"}
"""What a classifier that was found is told to answer: all probabilities, and which class each of them is of."""

_SEED: Final = "seed"
_KEPT: Final = "num_components"


def encoding_options(
    model: BuiltInModel | AutoMLModel, *, problem: str, target: str | None, hyperparameters: Mapping[str, str]
) -> dict[str, str]:
    """Returns the arguments of the job that encodes, beside its folders.

    Args:
        model: What learns from the encoded splits.
        problem, target: The workload's.
        hyperparameters: Of the training, as texts.
    """
    told = {"problem": problem, **({"target": target} if target else {})}
    if isinstance(model, AutoMLModel):
        return {"algorithm": "automl", **told, "request": "cells", "answer": "cells", "format": "table"}
    name, traits = model.algorithm, model.traits
    told = {"algorithm": name, **told}
    if not traits.encoded:
        return {**told, "request": "own", "answer": "own"}
    return {
        **told,
        "request": _REQUESTS.get(name, "csv"),
        "answer": _ANSWERS[name],
        "format": _FORMATS[traits.content_type],
        "missing": "nan" if traits.content_type == PARQUET else "mean",
        **({"keep": hyperparameters[_KEPT]} if name == "pca" else {}),
        **({"below": SCRIPTS_CHANNEL, "categories": traits.categories} if traits.pinned else {}),
    }


def algorithm_hyperparameters(
    model: BuiltInModel, *, problem: str, hyperparameters: Mapping[str, str], encoded: Callable[[str], str]
) -> dict[str, str]:
    """Returns what an algorithm is told: what follows from problem and split, and what the workload gives.

    Args:
        problem, hyperparameters: As for :func:`encoding_options`.
        encoded: Gives, by the name of a hyperparameter, what follows from the encoded split; may give an expression.
    """
    traits = model.traits
    follows = {name: encoded(name) if value == COMPUTED else value for name, value in traits.given_by(problem).items()}
    given = {name: value for name, value in hyperparameters.items() if name != _SEED or traits.seeded}
    every_component = {_KEPT: encoded(_KEPT)} if model.algorithm == "pca" else {}
    return {**follows, **given, **every_component}


def encoded_content_types(model: BuiltInModel) -> Mapping[str, str]:
    """Returns the channels that an algorithm reads, with what they hold."""
    traits = model.traits
    return dict.fromkeys(traits.channels, traits.content_type) if traits.encoded else model.channels


def algorithm_environment(model: BuiltInModel) -> dict[str, str]:
    """Returns what the container of an algorithm is told when it serves; of one that is an image of its own."""
    return dict(_VERBOSE) if model.algorithm == "knn" else {}


def found_environment(problem: str) -> dict[str, str]:
    """Returns what the container of a model that AutoML has found is told, beside what its search says."""
    return {} if problem == REGRESSION else dict(_ANSWERED)


def adapter_environment(program: str, adapters_sha256: str) -> dict[str, str]:
    """Returns what the container of an adapter is told.

    Args:
        program: :data:`REQUEST_ADAPTER` or :data:`ANSWER_ADAPTER`.
        adapters_sha256: The digest that the job has told; may be an expression.
    """
    return {**SERVING, "SAGEMAKER_PROGRAM": program, "GAPLESS_ADAPTERS_SHA256": adapters_sha256}


def search_request(model: AutoMLModel, *, problem: str, target: str | None, candidate_seconds: int) -> dict[str, Any]:
    """Returns the members of ``CreateAutoMLJobV2`` that say what is searched for.

    Args:
        problem, target: The workload's.
        candidate_seconds: How long one candidate may take.
    """
    tabular = {
        "Mode": "ENSEMBLING",
        "ProblemType": PROBLEM_TYPES[problem],
        "TargetAttributeName": target,
        "CompletionCriteria": {
            "MaxCandidates": model.candidates,
            "MaxRuntimePerTrainingJobInSeconds": candidate_seconds,
            "MaxAutoMLJobRuntimeInSeconds": model.max_runtime_minutes * 60,
        },
    }
    return {
        "AutoMLProblemTypeConfig": {"TabularJobConfig": tabular},
        "AutoMLJobObjective": {"MetricName": model.objective_of(problem)},
    }
