"""What a tuning compares its trials by, and which models can be tuned at all.

The metrics of built-in algorithms are those of the pages «Tune a … model» in the SageMaker developer guide, such as
https://docs.aws.amazon.com/sagemaker/latest/dg/xgboost-tuning.html. SageMaker reads them from the algorithms' logs by
itself. For every other model the request says how the metric stands in the log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from constructs_lib.names.algorithms import ALGORITHMS
from constructs_lib.names.automl_file import AutoMLModel
from constructs_lib.names.built_in_file import BuiltInModel
from constructs_lib.names.file_parts import unknown
from constructs_lib.names.model_file import Model, PipelineModel
from constructs_lib.names.problems import BINARY, MULTICLASS, PROBLEMS, REGRESSION
from constructs_lib.names.training_file import Training
from constructs_lib.names.tuning_file import Goal, Tuning

NUMBER: Final = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"


def _all(goal: Goal, *names: str) -> dict[str, Goal]:
    return dict.fromkeys(names, goal)


OBJECTIVES: Final[Mapping[str, Mapping[str, Goal]]] = {
    "xgboost": {
        **_all("maximize", *(f"validation:{name}" for name in ("accuracy", "auc", "f1", "map", "ndcg"))),
        **_all(
            "minimize",
            *(f"validation:{name}" for name in ("error", "logloss", "mae", "merror", "mlogloss", "mse", "rmse")),
        ),
    },
    "linear-learner": {
        **_all(
            "maximize",
            *(
                f"validation:{name}"
                for name in (
                    "binary_classification_accuracy",
                    "binary_f_beta",
                    "precision",
                    "recall",
                    "roc_auc_score",
                    "multiclass_accuracy",
                    "macro_f_beta",
                    "macro_precision",
                    "macro_recall",
                )
            ),
        ),
        **_all("minimize", *(f"validation:{name}" for name in ("objective_loss", "absolute_loss", "mse", "rmse"))),
    },
    "knn": {"test:accuracy": "maximize", "test:mse": "minimize"},
    "kmeans": {"test:msd": "minimize", "test:ssd": "minimize"},
    "factorization-machines": {
        "test:binary_classification_accuracy": "maximize",
        "test:binary_f_beta": "maximize",
        "test:binary_classification_cross_entropy": "minimize",
        "test:rmse": "minimize",
    },
    "blazingtext": {"validation:accuracy": "maximize"},
    "forecasting-deepar": {
        "test:RMSE": "minimize",
        "test:mean_wQuantileLoss": "minimize",
        "train:final_loss": "minimize",
    },
    "image-classification": {"validation:accuracy": "maximize"},
    "ipinsights": {"validation:discriminator_auc": "maximize"},
    "lda": {"test:pwll": "maximize"},
    "ntm": {"validation:total_loss": "minimize"},
    "object-detection": {"validation:mAP": "maximize"},
    "object2vec": {"validation:accuracy": "maximize", "validation:cross_entropy": "minimize"},
    "randomcutforest": {"test:f1": "maximize"},
    "semantic-segmentation": {"validation:mIOU": "maximize", "validation:pixel_accuracy": "maximize"},
    "seq2seq": {
        "validation:accuracy": "maximize",
        "validation:bleu": "maximize",
        "validation:perplexity": "minimize",
    },
}
"""Built-in algorithm to what it can be tuned for."""

_UNREAD: Final = "tells its metrics by its script alone, in words that differ by version, and nothing here reads them"

NOT_TUNED: Final[Mapping[str, str]] = {
    "pca": "has no metric that it can be tuned for",
    **{name: _UNREAD for name, traits in ALGORITHMS.items() if traits.pinned},
}
"""Algorithms that cannot be tuned, with the reason."""

_LINEAR: Final = "linear-learner"
_REPORTED: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    (_LINEAR, BINARY): ("objective_loss", "binary_", "precision", "recall", "roc_auc_score"),
    (_LINEAR, MULTICLASS): ("objective_loss", "multiclass_", "macro_"),
    (_LINEAR, REGRESSION): ("objective_loss", "absolute_loss", "mse", "rmse"),
    ("knn", BINARY): ("accuracy",),
    ("knn", MULTICLASS): ("accuracy",),
    ("knn", REGRESSION): ("mse",),
    ("factorization-machines", BINARY): ("binary_",),
    ("factorization-machines", REGRESSION): ("rmse",),
}
"""Algorithm and problem to what the names of the metrics start with that it reports then. Default: all of them."""

_INITIAL: Final = ("init_method", "init_scale", "init_sigma", "init_value")
_CHOSEN: Final[Mapping[str, tuple[str, ...]]] = {
    "xgboost": (
        *("alpha", "colsample_bylevel", "colsample_bynode", "colsample_bytree", "eta", "gamma", "lambda"),
        *("max_delta_step", "max_depth", "min_child_weight", "num_round", "subsample"),
    ),
    "linear-learner": (*("wd", "l1", "learning_rate", "mini_batch_size", "use_bias", "positive_example_weight_mult"),),
    "knn": ("k",),
    "kmeans": ("epochs", "extra_center_factor", "init_method", "mini_batch_size"),
    "factorization-machines": (
        *(f"{part}_{what}" for part in ("bias", "factors", "linear") for what in _INITIAL),
        *(f"{part}_{what}" for part in ("bias", "factors", "linear") for what in ("lr", "wd")),
        *("epochs", "mini_batch_size"),
    ),
    "blazingtext": ("buckets", "epochs", "learning_rate", "min_count", "vector_dim", "word_ngrams"),
}
"""What SageMaker can search of the algorithms that the platform encodes for."""


@dataclass(frozen=True)
class Compared:
    """What trials are compared by.

    Attributes:
        metric: Its name.
        goal: Whether more or less of it is better.
        pattern: How it stands in a training's log; None where the algorithm is known to SageMaker.
    """

    metric: str
    goal: Goal
    pattern: str | None

    def definitions(self) -> list[dict[str, str]]:
        """``MetricDefinitions`` of the request."""
        return [] if self.pattern is None else [{"Name": self.metric, "Regex": self.pattern}]


def default_pattern(metric: str) -> str:
    """How a metric stands in the log as XGBoost writes it: ``validation-auc:0.81``, ``validation-logloss:0.4``."""
    return f"validation[-_:]{re.escape(metric).replace('_', '_?')}[ ]*[:=][ ]*{NUMBER}"


def compared_by(tuning: Tuning, *, model: Model, problem: str, deciding: str) -> Compared:
    """Returns what the trials of a tuning are compared by.

    Args:
        model: How the model is made.
        problem: The workload's.
        deciding: The metric that decides in its gate.

    Raises:
        ValueError: The objective is not one of this model; the message starts with the key that it is about.
    """
    asked = tuning.objective
    if isinstance(model, BuiltInModel):
        return _of_algorithm(tuning, model.algorithm, problem)
    metric = asked.metric if asked.metric is not None else deciding
    known = PROBLEMS[problem].metrics.get(metric)
    goal = asked.goal if known is None else ("maximize" if known else "minimize")
    if goal is None:
        raise ValueError(
            f"objective.goal: is required, as {metric!r} is none of the metrics of {problem} "
            f"({', '.join(PROBLEMS[problem].metrics)})"
        )
    _check_goal(tuning, metric, goal)
    return Compared(metric, goal, asked.pattern if asked.pattern is not None else default_pattern(metric))


def check_tuning(tuning: Tuning, *, model: Model, problem: str, deciding: str, training: Training) -> None:
    """Checks that a model can be tuned as the file asks for.

    Args:
        training: What the file says of training; the other arguments are those of ``compared_by``.

    Raises:
        ValueError: It cannot; the message starts with the key that it is about.
    """
    if isinstance(model, AutoMLModel):
        raise ValueError("tuning: automl finds hyperparameters by itself; leave it out")
    if isinstance(model, PipelineModel):
        raise ValueError(
            "tuning: the steps of a SageMaker pipeline are one training and its evaluation; "
            "allowed with model.kind: script, built_in or container"
        )
    if training.guard is not None and training.guard.watch == "debugger":
        raise ValueError(
            "tuning: SageMaker's tuning jobs take no Debugger rules; allowed with guard.watch: script or log"
        )
    if training.warm_pool_minutes is not None:
        raise ValueError(
            "tuning: SageMaker gives the trials their machines, so none can be kept for the next training, was "
            f"warm_pool_minutes: {training.warm_pool_minutes}; leave one of them out"
        )
    if tuning.checkpoints and isinstance(model, BuiltInModel):
        raise ValueError(
            f"checkpoints: {model.algorithm} looks for its checkpoints where those of all trials lie, and would "
            "go on from another's; allowed with model.kind: script or container"
        )
    compared_by(tuning, model=model, problem=problem, deciding=deciding)
    tuning.check_fixed(training.hyperparameters)
    if isinstance(model, BuiltInModel):
        _check_algorithm(tuning, model, problem)


def reported(algorithm: str, problem: str) -> Mapping[str, Goal]:
    """Returns what an algorithm can be tuned for that solves a problem."""
    metrics, starts = OBJECTIVES[algorithm], _REPORTED.get((algorithm, problem))
    return {
        name: goal for name, goal in metrics.items() if starts is None or name.rpartition(":")[2].startswith(starts)
    }


def _of_algorithm(tuning: Tuning, algorithm: str, problem: str) -> Compared:
    asked = tuning.objective
    if algorithm in NOT_TUNED:
        raise ValueError(f"objective.metric: {algorithm} {NOT_TUNED[algorithm]}; leave tuning out")
    metrics = reported(algorithm, problem)
    if asked.metric is None:
        raise ValueError(f"objective.metric: is required for {algorithm} (allowed: {', '.join(metrics)})")
    if asked.metric not in metrics:
        raise ValueError(f"objective.metric: {unknown(asked.metric, metrics, f'metric of {algorithm}')}")
    if asked.pattern is not None:
        raise ValueError(f"objective.pattern: SageMaker reads the log of {algorithm} by itself; leave it out")
    _check_goal(tuning, asked.metric, metrics[asked.metric])
    return Compared(asked.metric, metrics[asked.metric], None)


def _check_goal(tuning: Tuning, metric: str, goal: Goal) -> None:
    if tuning.objective.goal not in (None, goal):
        raise ValueError(f"objective.goal: of {metric} it is {goal}, was {tuning.objective.goal}; leave it out")


def _check_algorithm(tuning: Tuning, model: BuiltInModel, problem: str) -> None:
    name, traits = model.algorithm, model.traits
    follow: Mapping[str, Any] = traits.given_by(problem)
    for each in tuning.ranges:
        if each in follow:
            raise ValueError(
                f"ranges.{each}: {name} gets it from problem: {problem} and the encoded split; leave it out"
            )
        if name in _CHOSEN and each not in _CHOSEN[name]:
            raise ValueError(
                f"ranges.{each}: {unknown(each, _CHOSEN[name], f'hyperparameter that {name} is tuned by')}"
            )
