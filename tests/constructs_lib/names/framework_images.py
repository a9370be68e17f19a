"""Writes ``constructs_lib/names/framework_images.py`` from what the SageMaker SDK ships."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import constructs_lib.names

TARGET = Path(next(iter(constructs_lib.names.__path__))) / "framework_images.py"

VERSIONS: dict[str, dict[str, dict[str, str]]] = {
    "xgboost": {version: {"training": version, "inference": version} for version in ("3.0-5", "3.2-0")},
    "scikit-learn": {"1.9-0": {"training": "1.9-0", "inference": "1.9-0"}},
    "pytorch": {version: {"training": version, "inference": version} for version in ("2.5.1", "2.6.0")},
    "tensorflow": {version: {"training": version, "inference": version} for version in ("2.18.0", "2.19.0")},
    "huggingface": {
        "4.48.0": {"training": "pytorch2.3.0", "inference": "pytorch2.3.0"},
        "4.49.0": {"training": "pytorch2.5.1", "inference": "pytorch2.6.0"},
    },
}
"""Framework → version → scope → version in the SDK's file; of Transformers, the version of what is below it."""

_FILES = {"scikit-learn": "sklearn"}

_HEAD = '''"""Where the images of the frameworks are.

Generated from what the SageMaker SDK ships, so that synthesis needs neither the SDK nor a network; a test holds both
against each other. To make it again: ``PYTHONPATH=. python tests/constructs_lib/names/framework_images.py``.
"""

from __future__ import annotations

from typing import Final
'''


def known(framework: str, version: str, scope: str) -> tuple[dict[str, Any], list[str]]:
    """What the SDK knows of one image, and for which processors there is one."""
    folder = importlib.resources.files("sagemaker.core").joinpath("image_uri_config")
    content = json.loads(folder.joinpath(f"{_FILES.get(framework, framework)}.json").read_text())[scope]
    below = VERSIONS[framework][version][scope]
    found: dict[str, Any] = (
        content["versions"][version][below] if framework == "huggingface" else content["versions"][below]
    )
    processors = found.get("processors") or content.get("processors") or ["cpu"]
    return found, sorted(processors)


def tag(framework: str, version: str, scope: str, processor: str) -> str:
    """The tag of an image, put together as the SDK does."""
    found, _ = known(framework, version, scope)
    below = VERSIONS[framework][version][scope]
    if framework == "xgboost":
        return below
    start = f"{below.removeprefix('pytorch')}-transformers{version}" if framework == "huggingface" else below
    # The images that serve TensorFlow's models have no Python in their names.
    python = [] if framework == "tensorflow" and scope == "inference" else found["py_versions"]
    system = [found["container_version"][processor]] if "container_version" in found else []
    return "-".join([start, processor, *python, *system])


def images() -> Iterator[tuple[str, str, str, tuple[dict[str, str], str, str]]]:
    """Every image: framework and version, scope, processor, and registries, repository and tag."""
    for framework, versions in VERSIONS.items():
        for version in versions:
            for scope in ("training", "inference"):
                found, processors = known(framework, version, scope)
                for processor in processors:
                    image = (found["registries"], found["repository"], tag(framework, version, scope, processor))
                    yield f"{framework}:{version}", scope, processor, image


def render() -> str:
    """The module's text: images that lie in the same accounts share a table."""
    tables: list[dict[str, str]] = []
    rows: dict[str, tuple[int, str, str]] = {}
    for name, scope, processor, (registries, repository, tag_) in images():
        if registries not in tables:
            tables.append(registries)
        rows[f"{name} {scope} {processor}"] = (tables.index(registries), repository, tag_)
    lines = [_HEAD, "REGISTRIES: Final[tuple[dict[str, str], ...]] = ("]
    for table in tables:
        lines += ["    {", *(f'        "{region}": "{table[region]}",' for region in sorted(table)), "    },"]
    lines += [")", '"""Region to the account whose registry holds images there."""', ""]
    lines += ["IMAGES: Final[dict[str, tuple[int, str, str]]] = {"]
    for key, (number, repository, tag_) in rows.items():
        lines.append(f'    "{key}": ({number}, "{repository}", "{tag_}"),')
    lines += [
        "}",
        '"""Framework, version, scope and processor to number of the registries, repository, tag."""',
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
