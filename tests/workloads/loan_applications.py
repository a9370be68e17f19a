"""The splits of the loan applications, as the data job would write them, without it."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import sys
import types
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from constructs_lib.names.workload_file import WorkloadFile

FOLDER = Path(__file__).parents[2] / "workloads" / "loan_approval"

_TYPES = {
    "string": (pa.string(), str),
    "int": (pa.int32(), int),
    "double": (pa.float64(), float),
    "boolean": (pa.bool_(), lambda text: text == "true"),
}


def script(name: str) -> types.ModuleType:
    """A script of the workload's folder as a module."""
    spec = importlib.util.spec_from_file_location(f"loan_approval_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def applications() -> list[dict[str, str]]:
    """The rows of the batch."""
    text = gzip.decompress(script("batch").applications()).decode()
    return list(csv.DictReader(io.StringIO(text)))


def write_splits(folder: Path, workload: WorkloadFile) -> Path:
    """Write train, validation and test, each in a folder of its own; gives the folder of them."""
    rows = applications()
    table = pa.table({name: _column(rows, name, kind) for name, kind in workload.curated_columns().items()})
    shares = (1 - workload.split.validation - workload.split.test, 1 - workload.split.test, 1)
    start = 0
    for name, share in zip(("train", "validation", "test"), shares, strict=True):
        end = round(len(rows) * share)
        (folder / name).mkdir(parents=True)
        pq.write_table(table.slice(start, end - start), folder / name / "part-0.parquet")
        start = end
    return folder


def _column(rows: list[dict[str, str]], name: str, kind: str) -> pa.Array:
    if name in ("loan_to_price", "loan_to_income"):
        return pa.array([_ratio(row["loan"], row[name.removeprefix("loan_to_")]) for row in rows], pa.float64())
    if name.startswith("_"):
        return pa.array([row["applied_at" if name == "_event_time" else "application"] for row in rows])
    arrow, read = _TYPES[kind]
    return pa.array([_read(read, row[name]) for row in rows], arrow)


def _read(read: Any, text: str) -> Any:
    return read(text) if text else None


def _ratio(above: str, below: str) -> float | None:
    return float(above) / float(below) if below and float(below) > 0 else None
