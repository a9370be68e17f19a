"""What ``workload.yaml`` says of a model that Autopilot finds: how long it may search, and what for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field

from constructs_lib.names.file_parts import AllowPickle, Part, unknown
from constructs_lib.names.frameworks import JOBS_IMAGE
from constructs_lib.names.problems import BINARY, MULTICLASS, REGRESSION
from constructs_lib.names.training_file import Training

PROBLEM_TYPES: Final[Mapping[str, str]] = {
    BINARY: "BinaryClassification",
    MULTICLASS: "MulticlassClassification",
    REGRESSION: "Regression",
}
"""What Autopilot calls the problems that it solves on tables."""

OBJECTIVES: Final[Mapping[str, tuple[str, ...]]] = {
    BINARY: ("AUC", "Accuracy", "BalancedAccuracy", "F1", "Precision", "Recall"),
    MULTICLASS: ("Accuracy", "BalancedAccuracy", "F1macro", "PrecisionMacro", "RecallMacro"),
    REGRESSION: ("RMSE", "MSE", "MAE", "R2"),
}
"""Problem to what Autopilot may search for; the first one is the default."""

_READ: Final = ("string", "int", "bigint", "double", "boolean")


class AutoMLModel(Part):
    """The best candidate of a search by SageMaker Autopilot, in its ensembling mode.

    Attributes:
        allow_pickle: That the model's archive may hold pickles, and why: those of Autopilot do.
        candidates: How many models are tried at most.
        max_runtime_minutes: How long the whole search may take; one candidate has ``training.max_runtime_minutes``.
        objective: The metric on the validation split by which candidates are told apart. Default: ``AUC``,
            ``Accuracy`` or ``RMSE``, by the problem.
    """

    kind: Literal["automl"]
    allow_pickle: AllowPickle
    candidates: Annotated[int, Field(ge=1, le=250)] = 10
    max_runtime_minutes: Annotated[int, Field(ge=5, le=1200)] = 120
    objective: str | None = None

    @property
    def evaluated_in_process(self) -> bool:
        """Whether jobs load the model; otherwise its containers answer them by batch transforms."""
        return False

    @property
    def jobs_image(self) -> str:
        """What evaluation and golden requests run in."""
        return JOBS_IMAGE

    def objective_of(self, problem: str) -> str:
        """The metric that is searched for."""
        return self.objective or OBJECTIVES[problem][0]


def check_automl(
    model: AutoMLModel,
    *,
    problem: str,
    features: Mapping[str, str],
    training: Training,
) -> None:
    """Checks that Autopilot can do what the rest of the file asks of it.

    Args:
        problem: The workload's.
        features: Columns that the model sees, name to type.
        training: What it says of training.

    Raises:
        ValueError: It cannot; the message starts with the key that it is about.
    """
    if problem not in PROBLEM_TYPES:
        raise ValueError(f"model.kind: automl does not solve {problem} (allowed: {', '.join(PROBLEM_TYPES)})")
    if model.objective is not None and model.objective not in OBJECTIVES[problem]:
        raise ValueError(f"model.objective: {unknown(model.objective, OBJECTIVES[problem], f'objective of {problem}')}")
    if training.hyperparameters:
        given = ", ".join(training.hyperparameters)
        raise ValueError(f"training.hyperparameters: automl finds them by itself; leave them out, was {given}")
    if training.read_from != "s3":
        raise ValueError("training.read_from: automl reads a table of its own, which lies in s3")
    if training.guard is not None:
        raise ValueError("training.guard: automl trains many models, none of which tells how it gets on; leave it out")
    for column, kind in features.items():
        if kind not in _READ:
            raise ValueError(
                f"features.{column}: automl is not given a {kind}; make a number or a text of it in features.py "
                f"(allowed: {', '.join(_READ)})"
            )
