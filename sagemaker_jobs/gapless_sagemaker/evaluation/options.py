"""What the workload file asks of an evaluation, as ``WorkloadFile.evaluation_options`` writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gapless_sagemaker.evaluation.slices import Slicing
from gapless_sagemaker.job import BadArguments


@dataclass(frozen=True)
class EvaluationOptions:
    """What is evaluated, and by what.

    Args:
        problem: One of ``constructs_lib.names.problems``.
        target: The column that is predicted; None for a problem without one.
        metric: The metric that decides.
        level: How often one of the bounds of a comparison with the champion may be wrong, such as 0.05.
        slices: Parts of the rows to look at on their own.
        min_slice_rows: With fewer rows a slice is not measured.
        content: Everything that was written, for parts that have keys of their own.
    """

    problem: str
    target: str | None
    metric: str
    level: float
    slices: tuple[Slicing, ...] = ()
    min_slice_rows: int = 100
    content: Mapping[str, Any] = field(default_factory=dict)


def read_options(folder: Path) -> EvaluationOptions:
    """Read the one JSON file of a folder.

    Raises:
        BadArguments: There is not exactly one.
    """
    files = sorted(folder.glob("*.json"))
    if len(files) != 1:
        raise BadArguments(f"options: {len(files)} files; allowed is one *.json")
    content = json.loads(files[0].read_text(encoding="utf-8"))
    return EvaluationOptions(
        problem=content["problem"],
        target=content["target"],
        metric=content["metric"],
        level=content["level"],
        slices=tuple(Slicing(each["column"], each["values"], each["bins"]) for each in content["slices"]),
        min_slice_rows=content["min_slice_rows"],
        content=content,
    )
