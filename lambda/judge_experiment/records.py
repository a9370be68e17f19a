"""Reads lines of SageMaker's data capture, and lines that tell outcomes, in the format of its ground truth.

An outcome is ``{"groundTruthData": {"data": "true", "encoding": "CSV"}, "eventMetadata": {"eventId": "<inference id>"},
"eventVersion": "0"}``. ``data`` is the value that came true, or for a request of several instances a JSON list of them
(``encoding`` JSON), in the order of the instances. What people have answered of rows that were chosen because a model
was unsure of them (``eventMetadata.source`` ``relabelling``) is no outcome: such rows are no sample of the requests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from constructs_lib.names.relabelled import SOURCE
from gapless_lambda.captures import predictions_of


class BadRecord(Exception):
    """A line that is no record."""


@dataclass(frozen=True)
class Exposure:
    """A request that a variant answered.

    Attributes:
        unit: Whom it was assigned by; none if each request was drawn by itself.
        shares: Variant → its weight when the request was assigned; empty if nobody wrote it down.
        at: When it was answered.
        latency_ms: How long the answer took; none if nobody measured it.
    """

    inference_id: str
    predictions: Sequence[Mapping[str, Any]]
    unit: str | None
    shares: Mapping[str, float]
    at: datetime
    latency_ms: float | None


@dataclass(frozen=True)
class Outcome:
    """What came true of a request's instances, in their order."""

    inference_id: str
    values: Sequence[Any]


def parse_exposure(line: str) -> Exposure:
    """Reads a captured exchange.

    Raises:
        BadRecord: It is none, or has no inference id: nobody can tell its outcome.
    """
    try:
        content = json.loads(line)
        metadata = content["eventMetadata"]
        predictions = predictions_of(content)
        said = _said(metadata.get("customAttributes") or [])
        shares = {name: float(weight) for name, weight in _pairs(said.get("shares", ""), ",", ":")}
        latency = metadata.get("latencyMs")
        return Exposure(
            inference_id=str(metadata["inferenceId"]),
            predictions=predictions,
            unit=said.get("unit"),
            shares=shares,
            at=datetime.fromisoformat(metadata["inferenceTime"]),
            latency_ms=None if latency is None else float(latency),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadRecord(f"{type(error).__name__}: {error}") from error


def parse_outcome(line: str) -> Outcome | None:
    """Reads an outcome; None for an answer to a row that was chosen for people.

    Raises:
        BadRecord: It is none.
    """
    try:
        content = json.loads(line)
        if content["eventMetadata"].get("source") == SOURCE:
            return None
        truth = content["groundTruthData"]
        data, encoding = truth["data"], truth.get("encoding", "CSV")
        if encoding not in ("CSV", "JSON"):
            raise ValueError(f"encoding {encoding}; allowed are CSV and JSON")
        found = json.loads(data) if encoding == "JSON" and isinstance(data, str) else data
        return Outcome(str(content["eventMetadata"]["eventId"]), found if isinstance(found, list) else [found])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadRecord(f"{type(error).__name__}: {error}") from error


def _said(attributes: Sequence[str]) -> dict[str, str]:
    return dict(pair for text in attributes for pair in _pairs(text, ";", "="))


def _pairs(text: str, between: str, inside: str) -> list[tuple[str, str]]:
    parts = [part.partition(inside) for part in text.split(between) if part]
    return [(name.strip(), value.strip()) for name, _, value in parts]
