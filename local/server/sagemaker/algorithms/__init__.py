"""Built-in algorithms that run on the local server: in the job interpreter, on scikit-learn and XGBoost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from local.server.sagemaker.errors import unsupported

CHILD = Path(__file__).with_name("child.py")
"""The program that trains and serves; it runs in the job interpreter."""

XGBOOST_REPOSITORY = "sagemaker-xgboost"
"""Its image is a framework image as well: it runs the algorithm where no script is named."""

_HERE = {XGBOOST_REPOSITORY: "xgboost", **{name: name for name in ("linear-learner", "knn", "kmeans", "pca")}}
_ON_AWS = (
    "blazingtext",
    "factorization-machines",
    "forecasting-deepar",
    "image-classification",
    "ipinsights",
    "lda",
    "ntm",
    "object-detection",
    "object2vec",
    "randomcutforest",
    "semantic-segmentation",
    "seq2seq",
)


def algorithm_of(image: str) -> str | None:
    """The built-in algorithm of an image such as ``<account>.dkr.ecr.<region>.amazonaws.com/knn:1``.

    Raises:
        ServiceError: It is an algorithm that has no counterpart here (``ValidationException``).
    """
    repository = image.rpartition("/")[2].partition("@")[0].partition(":")[0]
    if repository in _ON_AWS:
        known = ", ".join(_HERE.values())
        raise unsupported(f"the built-in algorithm {repository} ({known} are)")
    return _HERE.get(repository)


def is_algorithm(repository: str) -> bool:
    """Whether AWS publishes a built-in algorithm under this name."""
    return repository in _HERE or repository in _ON_AWS


def training_command(algorithm: str, root: Path) -> list[str]:
    """The command that trains.

    Args:
        root: Where ``/opt/ml`` of the container is.
    """
    return ["python", str(CHILD), algorithm, str(root)]


def serving_environment(algorithm: str) -> Mapping[str, str]:
    """What makes a model server answer as the algorithm does."""
    return {
        "SAGEMAKER_PROGRAM": CHILD.name,
        "SAGEMAKER_SUBMIT_DIRECTORY": str(CHILD.parent),
        "GAPLESS_ALGORITHM": algorithm,
    }


def container_environment(image: str, asked: Mapping[str, str]) -> dict[str, str]:
    """What a container that serves is told: what was asked for, and what makes it answer as its algorithm does.

    Raises:
        ServiceError: It is an algorithm that has no counterpart here (``ValidationException``).
    """
    algorithm = algorithm_of(image)
    if algorithm is None or "SAGEMAKER_PROGRAM" in asked:
        return dict(asked)
    return {**asked, **serving_environment(algorithm)}
