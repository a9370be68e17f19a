"""What a container image is, told by the name of its repository: the local server runs no images."""

from __future__ import annotations

from dataclasses import dataclass

from local.server.sagemaker.errors import unsupported


@dataclass(frozen=True)
class Framework:
    """A framework image of AWS: its repository, and the module that starts a training in it."""

    repository: str
    training_module: str


_FRAMEWORKS = (
    Framework("sagemaker-xgboost", "sagemaker_xgboost_container.training:main"),
    Framework("sagemaker-scikit-learn", "sagemaker_sklearn_container.training:main"),
    Framework("pytorch-training", "sagemaker_pytorch_container.training:main"),
    Framework("pytorch-inference", "sagemaker_pytorch_container.training:main"),
)


def framework_of(image: str) -> Framework | None:
    """The framework of an image such as ``<account>.dkr.ecr.<region>.amazonaws.com/sagemaker-xgboost:1.7-1``."""
    repository = image.rpartition("/")[2].partition("@")[0].partition(":")[0]
    return next((framework for framework in _FRAMEWORKS if framework.repository == repository), None)


def require_framework(image: str) -> Framework:
    """The framework of an image.

    Raises:
        ServiceError: It is not a framework image of AWS (``ValidationException``).
    """
    framework = framework_of(image)
    if framework is None:
        known = ", ".join(each.repository for each in _FRAMEWORKS)
        raise unsupported(f"the image {image} (images of these repositories are: {known})")
    return framework
