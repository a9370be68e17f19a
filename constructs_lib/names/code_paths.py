"""Which files of the repository are deployed, and which are a workload's scripts.

Patterns are those of CodePipeline's filters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Final

from constructs_lib.names.naming import check_workload

PLATFORM: Final = (
    "*",
    "{stacks,constructs_lib,delivery,requirements}/**",
    "{lambda,glue_jobs,sagemaker_jobs}/**",
    "workloads/*/workload.yaml",
    "workloads/*/container/**",
    "workloads/*/*.{dqdl,flow,json}",
)
"""What templates are made of. Rules and recipes are in templates as well as in bundles."""


def model_code(workload: str) -> tuple[str, ...]:
    """Returns the patterns of a workload's scripts, rules, golden requests and tests."""
    folder = f"workloads/{check_workload(workload)}"
    return f"{folder}/*.{{py,dqdl,json}}", f"{folder}/**/*.{{py,dqdl,json}}"


def matching(paths: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """Returns the paths that one of the patterns matches.

    ``*`` stays within a folder, ``**`` does not, braces hold alternatives; as in CodePipeline's glob patterns.
    """
    expressions = [_expression(pattern) for pattern in patterns]
    return [path for path in paths if any(expression.fullmatch(path) for expression in expressions)]


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*|\{[^{}]*\})", pattern)
    return re.compile("".join(_translated(part) for part in parts))


def _translated(part: str) -> str:
    if part == "**":
        return ".*"
    if part == "*":
        return "[^/]*"
    if part.startswith("{"):
        return f"(?:{'|'.join(re.escape(each) for each in part[1:-1].split(','))})"
    return re.escape(part)
