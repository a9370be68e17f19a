"""The test split: its rows, its digest and its target."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_BATCH_ROWS = 10_000


class BadTestSplit(Exception):
    """The test split cannot be scored: no rows, no target, or columns that a model does not know."""


def read_split(folder: Path) -> pa.Table:
    """Read every Parquet file below a folder, in the order of their paths.

    Raises:
        BadTestSplit: There are no files or no rows.
    """
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise BadTestSplit("the test split has no Parquet files")
    table = pa.concat_tables([pq.ParquetFile(file).read() for file in files])
    if not table.num_rows:
        raise BadTestSplit("the test split has no rows")
    return table


def split_digest(folder: Path) -> str:
    """Give the SHA-256 over a line ``<sha256>  <path>`` per Parquet file, sorted by path: equal bytes, equal digest."""
    files = sorted(folder.rglob("*.parquet"))
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(folder).as_posix()}\n" for file in files
    ]
    return hashlib.sha256("".join(lines).encode("utf-8")).hexdigest()


def rows_of(table: pa.Table) -> Iterator[list[dict[str, Any]]]:
    """Give the rows as models take them, some at a time; None where a value is missing."""
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        columns = [pc.if_else(pc.is_nan(c), None, c) if pa.types.is_floating(c.type) else c for c in batch.columns]
        yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist()


def booleans(table: pa.Table, target: str) -> npt.NDArray[np.bool_]:
    """Give a target that is a yes or a no, shape (rows,).

    Raises:
        BadTestSplit: It is missing, not boolean, has gaps, or is the same in every row.
    """
    truth: npt.NDArray[np.bool_] = _column(table, target, pa.types.is_boolean, "boolean").to_numpy()
    if truth.all() or not truth.any():
        raise BadTestSplit(f"target {target} is the same in all {len(truth)} rows: nothing can be ranked")
    return truth


def classes(table: pa.Table, target: str) -> list[str | int]:
    """Give a target that is a class, texts or whole numbers, one per row.

    Raises:
        BadTestSplit: It is missing, neither text nor whole number, has gaps, or is the same in every row.
    """
    column = _column(table, target, lambda kind: pa.types.is_string(kind) or pa.types.is_integer(kind), "string or int")
    truth: list[str | int] = column.to_pylist()
    if len(set(truth)) == 1:
        raise BadTestSplit(f"target {target} is the same in all {len(truth)} rows: nothing can be told apart")
    return truth


def numbers(table: pa.Table, target: str) -> npt.NDArray[np.float64]:
    """Give a target that is a number, shape (rows,).

    Raises:
        BadTestSplit: It is missing, not a number, has gaps or infinities, or is the same in every row.
    """
    column = _column(
        table, target, lambda kind: pa.types.is_integer(kind) or pa.types.is_floating(kind), "int, bigint or double"
    )
    truth: npt.NDArray[np.float64] = column.to_numpy().astype(np.float64)
    if not np.isfinite(truth).all():
        raise BadTestSplit(f"target {target} is not finite in {int((~np.isfinite(truth)).sum())} of {len(truth)} rows")
    if (truth == truth[0]).all():
        raise BadTestSplit(f"target {target} is the same in all {len(truth)} rows: nothing can be explained")
    return truth


def _column(table: pa.Table, target: str, allowed: Any, kinds: str) -> Any:
    if target not in table.column_names:
        raise BadTestSplit(f"target missing: {target}; given are {', '.join(table.column_names)}")
    column = table[target]
    if not allowed(column.type) or column.null_count:
        raise BadTestSplit(
            f"target {target} is {column.type} with {column.null_count} gaps; allowed is {kinds} without gaps"
        )
    return column
