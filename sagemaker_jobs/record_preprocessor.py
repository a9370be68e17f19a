"""Turns what data capture keeps into rows with named columns, for SageMaker Model Monitor.

Model Monitor loads this file into its own container and calls ``preprocess_handler`` for every captured exchange; for
the quality of answers each is merged with what came true. Requests hold ``{"instances": [{feature: value}]}``, answers
``{"predictions": [{…}]}``, and what came true is one value, or a JSON list of one per instance.
"""

from __future__ import annotations

import base64
import json
from typing import Any

TRUTH = "groundTruthData_0"
ANSWER = "endpointOutput_"


def preprocess_handler(inference_record: Any) -> list[dict[str, Any]]:
    """Give the rows of an exchange: features, or where the truth is known, answers beside it."""
    truth = getattr(inference_record, "ground_truth", None)
    if truth is None:
        rows: list[dict[str, Any]] = json.loads(text_of(inference_record.endpoint_input))["instances"]
        return rows
    answers = json.loads(text_of(inference_record.endpoint_output))["predictions"]
    told = values_of(text_of(truth))
    return [row(answer, true) for answer, true in zip(answers, told, strict=True)]


def text_of(part: Any) -> str:
    """Give the text of a part of an exchange."""
    data = part.data
    return base64.b64decode(data).decode("utf-8") if part.encoding == "BASE64" else str(data)


def values_of(text: str) -> list[Any]:
    """Give what came true, row by row; what is no JSON is a text."""
    try:
        told = json.loads(text)
    except ValueError:
        told = text
    return told if isinstance(told, list) else [told]


def row(answer: dict[str, Any], true: Any) -> dict[str, Any]:
    """Give the figures of one answer beside what came true; yes and no are 1 and 0."""
    figures = {f"{ANSWER}{name}": number(value) for name, value in answer.items() if not isinstance(value, dict | list)}
    return {**figures, TRUTH: number(true)}


def number(value: Any) -> Any:
    """Give 1 or 0 for a truth value, anything else as it is."""
    return int(value) if isinstance(value, bool) else value
