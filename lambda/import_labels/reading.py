"""Reads a file of answers: CSV with a header, JSON lines, or the output manifest of a labelling job."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from constructs_lib.names.relabelled import ATTRIBUTE, INFERENCE_ID, LABEL, POSITION, RUN

CSV, JSON_LINES, MANIFEST = ".csv", ".jsonl", ".manifest"
_NEEDED = (RUN, INFERENCE_ID, LABEL)


class BadFile(Exception):
    """The file as a whole is none of answers: somebody has to look at it."""


@dataclass(frozen=True)
class Given:
    """One row of the file.

    Attributes:
        line: Its number; the header of CSV is number one.
        content: What it says.
    """

    line: int
    content: Mapping[str, Any]


def read(key: str, content: bytes) -> list[Given]:
    """Give the rows of a file.

    Raises:
        BadFile: It is not UTF-8, of another kind, or has no column for what tells the rows apart.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadFile(f"{key} is not UTF-8: {error}") from error
    if key.endswith(CSV):
        return list(_rows_of_csv(key, text))
    if key.endswith(JSON_LINES):
        return [Given(line, _object(each)) for line, each in _lines(text)]
    if key.endswith(MANIFEST):
        return [Given(line, _of_job(_object(each))) for line, each in _lines(text)]
    raise BadFile(f"{key}: the name must end in {CSV}, {JSON_LINES} or {MANIFEST}")


def _rows_of_csv(key: str, text: str) -> Iterator[Given]:
    reader = csv.DictReader(io.StringIO(text), restkey="_more", restval="")
    try:
        missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
        if missing:
            raise BadFile(f"{key} has no column {', '.join(missing)} (are cells separated by commas?)")
        for row in reader:
            yield Given(reader.line_num, row)
    except csv.Error as error:
        raise BadFile(f"{key}:{reader.line_num}: {error}") from error


def _lines(text: str) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())


def _object(line: str) -> Mapping[str, Any]:
    """Give what a line says; one that is no object says only what it is."""
    try:
        found = json.loads(line)
    except ValueError:
        return {"_line": line}
    return found if isinstance(found, dict) else {"_line": line}


def _of_job(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give what a labelling job says of a row in the words of our own files."""
    about = row.get(f"{ATTRIBUTE}-metadata")
    return {
        RUN: row.get("run"),
        INFERENCE_ID: row.get("inference-id"),
        POSITION: row.get("position"),
        LABEL: about.get("class-name") if isinstance(about, dict) else None,
    }
