"""The framework images that a workload may name, and the machines that they run on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from constructs_lib.names import framework_images
from constructs_lib.names.compute_file import Distribution

Scope = Literal["training", "inference"]
Processor = Literal["cpu", "gpu"]
PROCESSORS: Final[tuple[Processor, ...]] = ("cpu", "gpu")

IMAGES: Final = tuple(dict.fromkeys(key.split()[0] for key in framework_images.IMAGES))
"""What a workload may name, as ``framework:version``; one image trains and another one may serve."""

JOBS_IMAGE: Final = "xgboost:3.2-0"
"""What jobs run in that load no model, as its containers answer for it."""

ADAPTERS_IMAGE: Final = "scikit-learn:1.9-0"
"""What the adapters around an algorithm run in."""

IN_PROCESS: Final = ("xgboost", "scikit-learn")
"""Frameworks that need no more than jobs have beside them: a model of theirs is evaluated where it is loaded."""

DISTRIBUTIONS: Final[Mapping[str, tuple[Distribution, ...]]] = {
    "xgboost": ("hosts",),
    "scikit-learn": (),
    "pytorch": ("hosts", "mpi", "torch_distributed"),
    "tensorflow": ("hosts", "mpi"),
    "huggingface": ("hosts", "mpi", "torch_distributed"),
}
"""Framework to the ways in which its image starts a script on several machines.

SageMaker's own data-parallel library is in none of the images: the last one that has it is of PyTorch 2.3.
"""

TRANSFORM_MACHINES: Final = {
    "c4": ("xlarge", "2xlarge", "4xlarge", "8xlarge"),
    "c5": ("xlarge", "2xlarge", "4xlarge", "9xlarge", "18xlarge"),
    "c6i": ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "32xlarge"),
    "c7i": ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "48xlarge"),
    "g4dn": ("xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge"),
    "g5": ("xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "48xlarge"),
    "g6": ("xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "48xlarge"),
    "g6e": ("xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "48xlarge"),
    "inf2": ("xlarge", "8xlarge", "24xlarge", "48xlarge"),
    "m4": ("xlarge", "2xlarge", "4xlarge", "10xlarge", "16xlarge"),
    "m5": ("large", "xlarge", "2xlarge", "4xlarge", "12xlarge", "24xlarge"),
    "m6i": ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "32xlarge"),
    "m7i": ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "48xlarge"),
    "p2": ("xlarge", "8xlarge", "16xlarge"),
    "p3": ("2xlarge", "8xlarge", "16xlarge"),
    "r6i": ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "32xlarge"),
    "r7i": ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "48xlarge"),
    "trn1": ("2xlarge", "32xlarge"),
}
"""Family to the sizes of machines that run batch transforms."""

_OTHER_PROCESSORS = re.compile(r"(inf|trn)\d|[a-z]+\d+g[a-z]*$")


def processor_of(instance_type: str) -> Processor | None:
    """Returns for which processors a machine needs images; None: for processors that no image here is made for.

    Args:
        instance_type: SageMaker's name for the machine, such as ``ml.g5.xlarge``.
    """
    family = instance_type.split(".")[1]
    if _OTHER_PROCESSORS.match(family):
        return None
    return "gpu" if family[0] in "gp" else "cpu"


def processors(image: str, scope: Scope) -> tuple[Processor, ...]:
    """Returns for which processors there is an image; the images of ``IN_PROCESS`` run on machines with GPUs as well.

    Args:
        image: One of ``IMAGES``.
        scope: What it is to do.
    """
    made_for = [each for each in PROCESSORS if f"{image} {scope} {each}" in framework_images.IMAGES]
    return PROCESSORS if image.partition(":")[0] in IN_PROCESS else tuple(made_for)


def can_transform(instance_type: str) -> bool:
    """Says whether batch transforms run on a machine."""
    _, family, size = instance_type.split(".")
    return size in TRANSFORM_MACHINES.get(family, ())
