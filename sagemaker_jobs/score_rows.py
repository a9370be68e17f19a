"""Writes the rows of a delivered input as records of a batch transform, or refuses the input as a whole.

Arguments: ``--files`` (folder of ``_score.json`` and of the files that it names), ``--marker_sha256`` (of
``_score.json`` as it was when it was checked), ``--contract`` (folder with the workload's contract), ``--keep`` (once
per column that is handed on), ``--join`` (``row`` or ``key``), ``--strategy``, ``--output`` and ``--message``.

The output folder then holds ``rows/00000000.jsonl`` … and ``summary.json`` with ``{"rows", "files"}``. A line is
``{"input": {column: value}, "request": …}``; the transform sends what is under ``request`` and puts the answer beside
``input``. With ``single_record`` the request is ``{"instances": [{feature: value}]}``, otherwise the features.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gapless_sagemaker.delivered import BadRows, Columns, Row, read_rows
from gapless_sagemaker.job import Arguments, write_json

MARKER = "_score.json"
MOST_FILES = 500
"""How many files there may be: what a transform answers is listed in one call."""

_ROWS_PER_FILE = 10_000


@dataclass(frozen=True)
class Options:
    """The arguments of the job."""

    files: Path
    marker_sha256: str
    contract: Path
    keep: tuple[str, ...]
    join: str
    strategy: str
    output: Path


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the arguments.

    Raises:
        BadArguments: One is unknown, missing or not allowed.
    """
    parser = Arguments("write rows as records of a batch transform")
    parser.add_argument("--files", type=Path, required=True)
    parser.add_argument("--marker_sha256", required=True)
    parser.add_argument("--contract", type=Path, required=True)
    parser.add_argument("--keep", action="append", default=[])
    parser.add_argument("--join", choices=("row", "key"), required=True)
    parser.add_argument("--strategy", choices=("single_record", "multi_record"), required=True)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args(list(arguments))
    return Options(
        given.files,
        given.marker_sha256,
        given.contract,
        tuple(given.keep),
        given.join,
        given.strategy,
        given.output,
    )


def main(arguments: Sequence[str]) -> None:
    """Run the job.

    Raises:
        BadRows: A file or a row is not what it has to be; nothing of the input is scored then.
    """
    options = parse_options(arguments)
    contract = json.loads(next(options.contract.glob("*.json")).read_text(encoding="utf-8"))
    primary = contract["sources"][contract["primary"]]
    types = {column["name"]: column["type"] for column in primary["columns"]}
    columns = Columns(
        key={name: types[name] for name in primary["key"]},
        features={column["name"]: column["type"] for column in contract["features"]},
        keep=options.keep,
    )
    rows, files = write_records(options.output / "rows", _rows(options, columns, primary["missing"]), options)
    if not rows:
        raise BadRows("the input has no rows")
    write_json(options.output, "summary.json", {"rows": rows, "files": files})


def checked_files(folder: Path, marker_sha256: str) -> list[str]:
    """Give the names of an input's files, whose contents are what its ``_score.json`` says.

    Raises:
        BadRows: They are not, or ``_score.json`` is another one than that which was checked.
    """
    marker = (folder / MARKER).read_bytes()
    if hashlib.sha256(marker).hexdigest() != marker_sha256:
        raise BadRows(f"{MARKER} was changed after it was checked; deliver the input again under another folder")
    named = json.loads(marker)["files"]
    for file in named:
        path = folder / file["key"]
        found = _digest(path) if path.is_file() else "nothing"
        if found != file["sha256"]:
            raise BadRows(f"{file['key']}: its SHA-256 is {found}, {MARKER} says {file['sha256']}")
    return sorted(str(file["key"]) for file in named)


def write_records(folder: Path, rows: Iterator[Row], options: Options) -> tuple[int, int]:
    """Write rows as records, in order; returns how many rows and how many files there are.

    Files grow where there would be too many of them otherwise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = files = 0
    first = next(rows, None)
    while first is not None:
        size = _ROWS_PER_FILE * (1 + files // 100) ** 2
        with (folder / f"{files:08}.jsonl").open("w", encoding="utf-8", newline="\n") as target:
            for row in itertools.chain([first], itertools.islice(rows, size - 1)):
                target.write(json.dumps(record(row, options), ensure_ascii=False, allow_nan=False) + "\n")
                count += 1
        files, first = files + 1, next(rows, None)
    if files > MOST_FILES:
        raise BadRows(f"the input has {count} rows, which is more than one input may have; deliver it in parts")
    return count, files


def record(row: Row, options: Options) -> dict[str, Any]:
    """Give what stands on a line."""
    carried = {**row.key, **(row.features if options.join == "row" else {}), **row.keep}
    request = {"instances": [row.features]} if options.strategy == "single_record" else row.features
    return {"input": carried, "request": request}


def _rows(options: Options, columns: Columns, missing: Sequence[str]) -> Iterator[Row]:
    for key in checked_files(options.files, options.marker_sha256):
        yield from read_rows(options.files / key, key, columns, missing)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
