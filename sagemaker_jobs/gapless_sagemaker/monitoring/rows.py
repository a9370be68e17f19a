"""What an endpoint was asked and what it answered, read from data capture line by line; and what turned out to be true.

A line of data capture (Amazon SageMaker AI Developer Guide, "Capture data from real-time endpoint") holds one request
and its answer: ``{"captureData": {"endpointInput": {"data", "encoding"}, "endpointOutput": {…}}, "eventMetadata":
{"inferenceId" or "eventId", "inferenceTime"}}``. A request holds ``{"instances": [{feature: value}]}``, an answer
``{"predictions": [{…}]}`` with one prediction per instance. Every instance is a row; a line that is none of this is
counted with the reason, so lines = read + refused.

A label is told in the format of Model Monitor's ground truth, ``{"groundTruthData": {"data", "encoding"},
"eventMetadata": {"eventId": "<inference id>"}, "eventVersion": "0"}``: ``data`` is what came true, or for a request of
several instances a JSON list in their order (``encoding`` JSON). Of two labels of one row the first one counts.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import gzip
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

AT_ONCE = 5_000
LabelKey = tuple[str, int]
RELABELLED = "relabelling"
"""What a label says in ``eventMetadata.source`` when people have answered it of a row that was chosen for them."""

_UNKNOWN = dt.datetime.min.replace(tzinfo=dt.UTC)
"""When a label came that does not say it: before every answer."""


class BadCapture(Exception):
    """There is nothing to look at: no capture at all, or no line of it can be read."""


@dataclass(frozen=True)
class Served:
    """One row: what was asked, what was answered, and when.

    Args:
        inference_id: Of the request.
        position: Of the row in it.
        at: When, in UTC; None where the line does not say.
        asked: Feature → value.
        answered: The prediction; None where answers were not captured.
    """

    inference_id: str
    position: int
    at: dt.datetime | None
    asked: Mapping[str, Any]
    answered: Mapping[str, Any] | None


@dataclass
class Read:
    """How many lines there were.

    Args:
        lines: All of them.
        refused: Reason → lines that hold nothing to look at.
    """

    lines: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def read_capture(folder: Path, read: Read) -> Iterator[list[Served]]:
    """Give the rows of every ``*.jsonl`` file (``.gz`` as well) below a folder, in the order of their paths.

    Args:
        folder: Where they are.
        read: Is counted up.
    """
    packed: list[Served] = []
    for path in files_of(folder):
        with _open(path) as lines:
            for line in lines:
                if not line.strip():
                    continue
                read.lines += 1
                try:
                    packed += served(json.loads(line))
                except Refused as refusal:
                    read.refused[str(refusal)] += 1
                except ValueError:
                    read.refused["the line is no JSON"] += 1
                if len(packed) >= AT_ONCE:
                    yield packed
                    packed = []
    if packed:
        yield packed


class Refused(Exception):
    """A line holds nothing to look at; the text is the reason, and the same for all such lines."""


def served(line: Any) -> list[Served]:
    """Give the rows of one line.

    Raises:
        Refused: It is none of data capture, or holds no instances.
    """
    match line:
        case {"captureData": {"endpointInput": dict() as given, **more}, "eventMetadata": dict() as about}:
            asked = _list(_decoded(given), "instances")
            answer = more.get("endpointOutput")
        case _:
            raise Refused("the line is not of data capture")
    answered: list[Any] = [None] * len(asked)
    if isinstance(answer, dict):
        answered = _list(_decoded(answer), "predictions")
        if len(answered) != len(asked):
            raise Refused("there is not one prediction per instance")
    name = str(about.get("inferenceId") or about.get("eventId") or "")
    at = _time(about.get("inferenceTime"))
    return [Served(name, place, at, row, said) for place, (row, said) in enumerate(zip(asked, answered, strict=True))]


def _decoded(side: Mapping[str, Any]) -> Any:
    text, encoding = side.get("data"), side.get("encoding")
    if not isinstance(text, str):
        raise Refused("a side has no data")
    try:
        if encoding == "BASE64":
            text = base64.b64decode(text, validate=True).decode("utf-8")
        return json.loads(text)
    except (ValueError, binascii.Error) as error:
        raise Refused(f"data of encoding {encoding} is no JSON") from error


def _list(body: Any, name: str) -> list[Any]:
    rows = body.get(name) if isinstance(body, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Refused(f"there is no list of {name}")
    return rows


def _time(text: Any) -> dt.datetime | None:
    if not isinstance(text, str):
        return None
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)


def read_labels(folder: Path | None) -> dict[LabelKey, Any]:
    """Read every label below a folder: ``(inference_id, position)`` → label; of several the first one counts.

    What people have answered of rows that were chosen for them takes the place of a label that came otherwise, unless
    that says in ``labelledAt`` that it is later; of several answers the latest counts. A row that has an answer only is
    left out: it was chosen because the model was unsure of it, and would make the model look worse than it is.

    Raises:
        BadLabels: A line is no label.
    """
    labels: dict[LabelKey, tuple[dt.datetime, Any]] = {}
    answers: dict[LabelKey, tuple[dt.datetime, Any]] = {}
    for path in files_of(folder) if folder is not None else ():
        with _open(path) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    _read_label(line, f"{path.name}:{number}", labels, answers)
    return {key: max(label, answers.get(key, label), key=lambda each: each[0])[1] for key, label in labels.items()}


def _read_label(
    line: str,
    where: str,
    labels: dict[LabelKey, tuple[dt.datetime, Any]],
    answers: dict[LabelKey, tuple[dt.datetime, Any]],
) -> None:
    """Add what a line says to the labels, or to what people have answered."""
    name, values, about = _labels(line, where)
    at = _time(about.get("labelledAt"))
    if about.get("source") != RELABELLED:
        for place, value in enumerate(values):
            labels.setdefault((name, place), (at or _UNKNOWN, value))
        return
    position = about.get("position")
    if at is None or not isinstance(position, int):
        raise BadLabels(f"{where}: an answer of people needs a position and labelledAt, given {dict(about)!r:.80}")
    key = (name, position)
    answers[key] = max(answers.get(key, (at, values[0])), (at, values[0]), key=lambda each: each[0])


class BadLabels(Exception):
    """A line among the labels is none."""


def _labels(line: str, where: str) -> tuple[str, list[Any], Mapping[Any, Any]]:
    try:
        match json.loads(line):
            case {"groundTruthData": {"data": data, **more}, "eventMetadata": {"eventId": str() as name, **about}}:
                coded = more.get("encoding", "CSV") == "JSON" and isinstance(data, str)
                found = json.loads(data) if coded else data
                values = found if isinstance(found, list) else [found]
                if all(isinstance(value, bool | int | float | str) for value in values):
                    return name, values, about
    except ValueError as error:
        raise BadLabels(f"{where}: no JSON ({error}): {line.strip()[:80]!r}") from error
    raise BadLabels(
        f'{where}: given {line.strip()[:80]!r}; allowed is {{"groundTruthData": {{"data": value or list, "encoding": '
        '"CSV" or "JSON"}}, "eventMetadata": {{"eventId": text}}}}'
    )


def files_of(folder: Path) -> list[Path]:
    """Give the files of JSON lines below a folder, in the order of their paths."""
    return sorted(path for path in folder.rglob("*.jsonl*") if path.is_file() and path.suffix in (".jsonl", ".gz"))


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="replace")
    return path.open(encoding="utf-8", errors="replace")
