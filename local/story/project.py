"""The application with one workload, which has more sections than its own file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from local.settings import CHECKOUT

_LINKED: Final = ("stacks", "constructs_lib", "lambda", "glue_jobs", "sagemaker_jobs")
_COPIED: Final = ("app.py", "cdk.json")
"""Python looks for modules beside the file that a script really is, so a link would lead back to the checkout."""


def make_project(folder: Path, workload_dir: Path, sections: Mapping[str, Any]) -> Path:
    """Make a project in an empty place, or make it anew; give its folder.

    Args:
        folder: Where.
        workload_dir: The folder of the workload.
        sections: What is added to its ``workload.yaml``.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in _LINKED:
        (folder / name).symlink_to(CHECKOUT / name)
    for name in _COPIED:
        shutil.copy2(CHECKOUT / name, folder / name)
    own = folder / "workloads" / workload_dir.name
    shutil.copytree(workload_dir, own, ignore=shutil.ignore_patterns("__pycache__"))
    with (own / "workload.yaml").open("a", encoding="utf-8") as file:
        yaml.safe_dump(dict(sections), file, sort_keys=False)
    return folder
