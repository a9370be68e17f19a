"""What a container image is, told by the name of its repository: the local server runs no images."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from local.server.sagemaker.errors import unsupported

_LOOK = "import importlib.util, sys; print(*(name for name in sys.argv[1:] if not importlib.util.find_spec(name)))"
_LOOK_SECONDS = 30


@dataclass(frozen=True)
class Framework:
    """A framework image of AWS: its repository, the module that starts a training in it, and what scripts import.

    Attributes:
        modules: What the job interpreter must have. Default: what it always has.
    """

    repository: str
    training_module: str
    modules: Sequence[str] = ()


_PYTORCH = "sagemaker_pytorch_container.training:main"
_FRAMEWORKS = (
    Framework("sagemaker-xgboost", "sagemaker_xgboost_container.training:main"),
    Framework("sagemaker-scikit-learn", "sagemaker_sklearn_container.training:main"),
    Framework("pytorch-training", _PYTORCH, ("torch",)),
    Framework("pytorch-inference", _PYTORCH, ("torch",)),
    Framework("tensorflow-training", "sagemaker_tensorflow_container.training:main", ("tensorflow",)),
    Framework("huggingface-pytorch-training", _PYTORCH, ("torch", "transformers")),
    Framework("huggingface-pytorch-inference", _PYTORCH, ("torch", "transformers")),
    Framework("autogluon-inference", _PYTORCH),
)
_SERVERS = {"tensorflow-inference": "it is served by TensorFlow Serving, a program of its own"}


def framework_of(image: str) -> Framework | None:
    """The framework of an image such as ``<account>.dkr.ecr.<region>.amazonaws.com/sagemaker-xgboost:1.7-1``."""
    repository = repository_of(image)
    return next((framework for framework in _FRAMEWORKS if framework.repository == repository), None)


def repository_of(image: str) -> str:
    """The last part of an image's name."""
    return image.rpartition("/")[2].partition("@")[0].partition(":")[0]


def is_framework(repository: str) -> bool:
    """Whether AWS publishes framework images under this name."""
    return repository in _SERVERS or any(framework.repository == repository for framework in _FRAMEWORKS)


def require_framework(image: str, job_python: Path) -> Framework:
    """The framework of an image.

    Raises:
        ServiceError: It is not a framework image of AWS, or this machine lacks the framework (``ValidationException``).
    """
    reason = _SERVERS.get(repository_of(image))
    if reason is not None:
        raise unsupported(f"the image {image} ({reason})")
    framework = framework_of(image)
    if framework is None:
        known = ", ".join(each.repository for each in _FRAMEWORKS)
        raise unsupported(f"the image {image} (images of these repositories are: {known})")
    missing = _missing(job_python, tuple(framework.modules))
    if missing:
        raise unsupported(f"the image {image} (not installed beside the jobs: {', '.join(missing)})")
    return framework


@cache
def _missing(job_python: Path, modules: tuple[str, ...]) -> list[str]:
    if not modules:
        return []
    look = [str(job_python), "-c", _LOOK, *modules]
    return subprocess.run(look, capture_output=True, text=True, timeout=_LOOK_SECONDS, check=True).stdout.split()
