"""The jobs use only what Spark 3.5 on AWS Glue and Sail do alike; what differs is named here with the reason."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JOBS = [*sorted((ROOT / "glue_jobs").rglob("*.py")), *sorted((ROOT / "workloads").glob("*/features.py"))]
DIFFERENT = {
    "approxQuantile": "Sail lacks it",
    "percentile_approx": "Sail interpolates",
    "input_file_name": "Sail lacks it",
    "observe": "Sail lacks it",
    "rdd": "Spark Connect has none",
    "sparkContext": "Spark Connect has none",
    "localCheckpoint": "Sail lacks it",
    "rand": "other rows for the same seed",
    "randn": "other rows for the same seed",
    "sample": "other rows for the same seed",
    "randomSplit": "other rows for the same seed",
    "monotonically_increasing_id": "depends on partitions",
    "udf": "the workers lack our packages",
    "show": "output is for logs",
    "toPandas": "not every worker has pandas",
    "csv": "damaged lines are lost or abort; stage them first",
    "json": "damaged lines are lost or abort; stage them first",
    "nullif": "a function since Spark 3.5 only in SQL",
}
TEXTS = [
    "partitionOverwriteMode",
    "_corrupt_record",
    "DROPMALFORMED",
    "PERMISSIVE",
    "maxRecordsPerFile",
    "errorifexists",
]


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_uses_the_portable_subset(path: Path) -> None:
    tree = ast.parse(path.read_text())
    used = {
        node.attr: node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and not (isinstance(node.value, ast.Name) and node.value.id in ("csv", "json"))
    }
    found = {name: (line, DIFFERENT[name]) for name, line in used.items() if name in DIFFERENT}
    assert not found
    assert not [text for text in TEXTS if text in path.read_text()]


def test_there_is_something_to_look_at() -> None:
    assert len(JOBS) > 10
