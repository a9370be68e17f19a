"""Writes the test split as requests, for models that a batch transform asks.

Arguments: ``--test`` (folder with the Parquet files of the split), ``--target`` (unless nothing is predicted),
``--output`` and ``--message``. The output folder then holds the requests and nothing else; see
:mod:`gapless_sagemaker.predictions`. The rows have the order in which ``evaluate`` reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from gapless_sagemaker.evaluation.split import read_split
from gapless_sagemaker.job import Arguments
from gapless_sagemaker.predictions import MOST_ROWS, features_of, write_requests


@dataclass(frozen=True)
class Options:
    """The arguments of the job."""

    test: Path
    target: str | None
    output: Path


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the arguments.

    Raises:
        BadArguments: One is unknown or missing.
    """
    parser = Arguments("write the test split as requests")
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--target")
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args(list(arguments))
    return Options(given.test, given.target, given.output)


def main(arguments: Sequence[str]) -> None:
    """Run the job.

    Raises:
        BadTestSplit: There are no files or no rows.
    """
    options = parse_options(arguments)
    table = read_split(options.test)
    write_requests(options.output, _rows(table.select(features_of(table.column_names, options.target))))


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=MOST_ROWS):
        yield from batch.to_pylist()
