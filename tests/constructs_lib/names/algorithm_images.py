"""Writes ``constructs_lib/names/algorithm_images.py`` from what the SageMaker SDK ships."""

from __future__ import annotations

import json
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import constructs_lib.names

TARGET = Path(next(iter(constructs_lib.names.__path__))) / "algorithm_images.py"
XGBOOST = "3.2-0"
"""The algorithm that has versions."""

ALGORITHMS = (
    "blazingtext",
    "factorization-machines",
    "forecasting-deepar",
    "image-classification",
    "ipinsights",
    "kmeans",
    "knn",
    "lda",
    "linear-learner",
    "ntm",
    "object-detection",
    "object2vec",
    "pca",
    "randomcutforest",
    "semantic-segmentation",
    "seq2seq",
    "xgboost",
)

_HEAD = '''"""Where the images of SageMaker's built-in algorithms are.

Generated from what the SageMaker SDK ships, so that synthesis needs neither the SDK nor a network; a test holds both
against each other. To make it again: ``PYTHONPATH=. python tests/constructs_lib/names/algorithm_images.py``.
"""

from __future__ import annotations

from typing import Final
'''


def known(algorithm: str) -> tuple[str, str, dict[str, str]]:
    """What the SDK knows of the image of an algorithm: repository, tag, and region to account."""
    folder = distribution("sagemaker-core").locate_file("sagemaker/core/image_uri_config")
    content: dict[str, Any] = json.loads(Path(str(folder), f"{algorithm}.json").read_text())
    versions = content.get("training", content)["versions"]
    tag = XGBOOST if algorithm == "xgboost" else "1"
    return versions[tag]["repository"], tag, versions[tag]["registries"]


def render() -> str:
    """The module's text: algorithms whose images lie in the same accounts share a table."""
    tables: list[dict[str, str]] = []
    images: dict[str, tuple[str, str, int]] = {}
    for algorithm in ALGORITHMS:
        repository, tag, registries = known(algorithm)
        if registries not in tables:
            tables.append(registries)
        images[algorithm] = (repository, tag, tables.index(registries))
    return "\n".join([_HEAD, _registries(tables), _images(images)])


def _registries(tables: list[dict[str, str]]) -> str:
    lines = ["REGISTRIES: Final[tuple[dict[str, str], ...]] = ("]
    for table in tables:
        lines += ["    {", *(f'        "{region}": "{table[region]}",' for region in sorted(table)), "    },"]
    return "\n".join(
        [*lines, ")", '"""Region to the account whose registry holds images there, one table per family."""', ""]
    )


def _images(images: dict[str, tuple[str, str, int]]) -> str:
    lines = ["IMAGES: Final[dict[str, tuple[str, str, int]]] = {"]
    lines += [f'    "{name}": ("{repository}", "{tag}", {at}),' for name, (repository, tag, at) in images.items()]
    return "\n".join(
        [*lines, "}", '"""Algorithm to its repository, the image\'s tag and the place of its table."""', ""]
    )


if __name__ == "__main__":
    TARGET.write_text(render())
