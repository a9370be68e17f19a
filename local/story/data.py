"""The files of a workload's history: the user's, or those that the workload's own script makes."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from constructs_lib.names.batch import parse_instant
from constructs_lib.names.workload_file import WorkloadFile
from local.errors import Failure, UserError
from local.flights import Months, build_batch
from local.landing import BATCH_FILE
from local.processes import child
from local.settings import CHECKOUT

AFTER_EVERYTHING: Final = "2100-01-01T00:00:00Z"
"""Stands for now where files do not say what they are data of."""

_SUFFIXES: Final = {
    "csv": (".csv", ".csv.gz", ".parquet"),
    "json_lines": (".jsonl", ".jsonl.gz", ".json", ".json.gz"),
    "parquet": (".parquet",),
}
_FLIGHTS: Final = "flight_delays"


@dataclass(frozen=True)
class Data:
    """A folder with ``_batch.json`` and its files, and the instant that stands for now when rows are checked."""

    folder: Path
    as_of: str


def find_data(workload: WorkloadFile, workload_dir: Path, given: Path | None, folder: Path) -> Data:
    """Give the whole history as one batch.

    Args:
        given: A folder with a batch, a folder with a file (or a folder of files) per source that is named like it, or
            the file of the only source. Default: what the workload's ``batch.py`` writes; of flights, all of 2013.
        folder: Where to write; must not exist yet.

    Raises:
        UserError: There is no file for a source, or more than one kind of it.
        Failure: ``batch.py`` failed.
    """
    folder.mkdir(parents=True)
    if given is not None:
        return _given(workload, given.absolute(), folder)
    if (workload_dir / "batch.py").is_file():
        _run_batch_script(workload_dir, folder)
        return _of_batch(folder)
    if workload.name == _FLIGHTS:
        batch = build_batch(workload.name, Months(1, 12))
        for file in batch.files:
            (folder / file.key).write_bytes(file.content)
        (folder / BATCH_FILE).write_text(json.dumps(batch.document()), encoding="utf-8")
        return _of_batch(folder)
    raise UserError(
        f"workload {workload.name} has no batch.py that writes its data; give the data by --data: a folder with one "
        f"file for each of {', '.join(workload.sources)}"
    )


def _of_batch(folder: Path) -> Data:
    document: dict[str, Any] = json.loads((folder / BATCH_FILE).read_text(encoding="utf-8"))
    as_of = document.get("as_of", AFTER_EVERYTHING)
    try:
        parse_instant(as_of)
    except ValueError as error:
        raise UserError(f"as_of of {folder / BATCH_FILE} is {as_of!r} (allowed: ISO 8601 with an offset)") from error
    return Data(folder, as_of)


def _run_batch_script(workload_dir: Path, folder: Path) -> None:
    log = folder.with_suffix(".log")
    env = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "LANG": "C.UTF-8"}
    with (
        log.open("wb") as output,
        child(
            [sys.executable, str(workload_dir / "batch.py"), str(folder)],
            env=env,
            cwd=CHECKOUT,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        status = process.wait()
    if status or not (folder / BATCH_FILE).is_file():
        last = log.read_text(errors="replace").strip().rpartition("\n")[2]
        raise Failure(f"{workload_dir / 'batch.py'} wrote no batch (exit code {status}): {last}")


def _given(workload: WorkloadFile, given: Path, folder: Path) -> Data:
    if (given / BATCH_FILE).is_file():
        return _of_batch(given)
    if not given.exists():
        raise UserError(f"--data {given} does not exist")
    files = []
    for source, declared in workload.sources.items():
        for number, path in enumerate(_files_of(workload, source, declared.format, given)):
            content, suffix = _content(path, declared.format)
            key = f"{source}/{number:04}{suffix}"
            target = folder / key
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            files.append({"source": source, "key": key, "bytes": len(content), "sha256": digest})
    document = {"workload": workload.name, "as_of": AFTER_EVERYTHING, "files": files}
    (folder / BATCH_FILE).write_text(json.dumps(document, indent=1), encoding="utf-8")
    return Data(folder, AFTER_EVERYTHING)


def _files_of(workload: WorkloadFile, source: str, kind: str, given: Path) -> list[Path]:
    suffixes = _SUFFIXES[kind]
    if given.is_file():
        found = [given] if len(workload.sources) == 1 and given.name.endswith(suffixes) else []
    elif (given / source).is_dir():
        found = sorted(path for path in (given / source).iterdir() if path.name.endswith(suffixes))
    else:
        found = [path for path in (given / f"{source}{suffix}" for suffix in suffixes) if path.is_file()]
        found = found or (_only(given, suffixes) if len(workload.sources) == 1 else [])
        if len(found) > 1:
            raise UserError(f"--data {given} has {' and '.join(path.name for path in found)}; one of them is enough")
    if not found:
        there = ", ".join(sorted(path.name for path in given.iterdir())) if given.is_dir() else given.name
        allowed = ", ".join(f"{source}{suffix}" for suffix in suffixes)
        raise UserError(
            f"--data {given} has no file of source {source}: there is {there or 'nothing'} (allowed: {allowed})"
        )
    return found


def _only(given: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return sorted(path for path in given.iterdir() if path.is_file() and path.name.endswith(suffixes))


def _content(path: Path, kind: str) -> tuple[bytes, str]:
    """The bytes of a file and the end of its name; a table in Parquet becomes CSV where the workload takes CSV."""
    suffix = next(end for end in _SUFFIXES[kind] if path.name.endswith(end))
    if kind == "csv" and suffix == ".parquet":
        buffer, packed = io.BytesIO(), io.BytesIO()
        pa_csv.write_csv(pq.read_table(path), buffer)
        with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=1, mtime=0) as file:
            file.write(buffer.getvalue())
        return packed.getvalue(), ".csv.gz"
    return path.read_bytes(), suffix
