"""Requests for a batch transform, and its answers.

Each request is a file, ``00000000.json``, ``00000001.json`` … with ``{"instances": [{feature: value}, …]}``. A
transform that does not split its input sends each file as one request and writes the answer,
``{"predictions": […]}``, to a file of the same name with ``.out`` behind it. So an answer is told to a request by its
name, and the order within an answer is what every container has to keep.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

MOST_ROWS = 250
MOST_BYTES = 1 << 20
_ANSWER = re.compile(r"(\d{8})\.json\.out")


class BadPredictions(Exception):
    """A model's answers are missing, are no JSON, or are not one prediction per row."""


def write_requests(folder: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows as requests of at most :data:`MOST_ROWS` rows and about :data:`MOST_BYTES` bytes each.

    Args:
        folder: Where to; there are no other files in it.
        rows: Features by name, None or NaN where a value is missing; times are written in ISO 8601.

    Returns:
        How many requests there are.
    """
    number = 0
    for number, texts in enumerate(_packed(json.dumps(_plain(row), ensure_ascii=False) for row in rows), start=1):
        write_request(folder, number - 1, f'{{"instances": [{", ".join(texts)}]}}')
    return number


def write_request(folder: Path, number: int, text: str) -> None:
    """Write one request as it is sent."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{number:08}.json").write_text(text, encoding="utf-8")


def read_predictions(folder: Path, rows: int) -> list[dict[str, Any]]:
    """Read the predictions for rows that :func:`write_requests` wrote, in the order of the rows.

    Raises:
        BadPredictions: There is not exactly one prediction per row.
    """
    answers = read_answers(folder)
    if sorted(answers) != list(range(len(answers))):
        raise BadPredictions(f"answers are missing: there are {len(answers)}, the last one is for {max(answers)}")
    predictions = [prediction for number in sorted(answers) for prediction in answers[number]]
    if len(predictions) != rows:
        raise BadPredictions(f"{len(predictions)} predictions for {rows} rows; allowed is one per row")
    return predictions


def read_answers(folder: Path) -> dict[int, list[dict[str, Any]]]:
    """Read what a transform answered: number of the request → predictions.

    Raises:
        BadPredictions: There is none, or one is not ``{"predictions": [{…}, …]}``.
    """
    found = {path: _ANSWER.fullmatch(path.name) for path in sorted(folder.rglob("*")) if path.is_file()}
    answers = {int(match[1]): _predictions(path) for path, match in found.items() if match is not None}
    if not answers:
        raise BadPredictions("there are no answers; needed is one per request, such as 00000000.json.out")
    return answers


def _predictions(path: Path) -> list[dict[str, Any]]:
    text = path.read_bytes()
    try:
        answer = json.loads(text)
    except ValueError as error:
        raise BadPredictions(f"{path.name}: no JSON ({error}): {text[:80]!r}") from error
    match answer:
        case {"predictions": [*predictions]} if all(isinstance(each, dict) for each in predictions):
            return predictions
    raise BadPredictions(f'{path.name}: given {text[:80]!r}; allowed is {{"predictions": [{{…}}, …]}}')


def _packed(texts: Iterable[str]) -> Iterator[list[str]]:
    packed: list[str] = []
    size = 0
    for text in texts:
        if packed and (len(packed) == MOST_ROWS or size + len(text) > MOST_BYTES):
            yield packed
            packed, size = [], 0
        packed.append(text)
        size += len(text)
    if packed:
        yield packed


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return None
    return value.isoformat() if isinstance(value, dt.date | dt.datetime) else value


def features_of(columns: Sequence[str], target: str | None) -> list[str]:
    """Give the columns of a split that a model is asked with: all but the target and those that start with ``_``."""
    return [name for name in columns if name != target and not name.startswith("_")]
