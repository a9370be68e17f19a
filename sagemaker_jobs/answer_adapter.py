"""Stands behind an algorithm: makes ``{"predictions": [...]}`` of what it answers, one object per instance.

By problem: ``{"probability", "label"}``, ``{"probabilities": {class: p}, "label"}``, ``{"value"}``, ``{"cluster",
"distance"}`` or ``{"projection", "error"}``. Packed beside the model by the ``encode`` job. For an algorithm without an
encoder, the function ``answer`` of the workload's ``adapters.py`` does the same.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gapless_encoding
from gapless_encoding import JSON, Encoding

Prediction = dict[str, Any]
_BETWEEN = re.compile(r"[\s,\[\]]+")


class BadAnswer(Exception):
    """The algorithm answers something else than its documentation says."""


def model_fn(model_dir: str) -> Encoding:
    """Load the encoding."""
    return gapless_encoding.load(model_dir)


def transform_fn(encoding: Encoding, body: str | bytes, content_type: str, accept: str) -> Any:
    """Turn the algorithm's answer into predictions, as JSON."""
    del accept  # there is JSON and nothing else
    predictions = predictions_of(encoding, body, content_type)
    return json.dumps({"predictions": predictions}), JSON


def predictions_of(encoding: Encoding, body: str | bytes, content_type: str) -> list[Prediction]:
    """Read the algorithm's answer.

    Raises:
        BadAnswer: It is not of the form that the algorithm's documentation gives.
    """
    text = body.decode("utf-8") if isinstance(body, bytes) else body
    try:
        return READERS[encoding["answer"]](encoding, text, content_type.partition(";")[0].strip().lower())
    except (KeyError, IndexError, SyntaxError, TypeError, ValueError) as error:
        shown = gapless_encoding.short(text)
        raise BadAnswer(f"answer of {encoding['algorithm']}: {shown} ({type(error).__name__}: {error})") from error


def predicted(encoding: Encoding, scores: Sequence[float]) -> Prediction:
    """Give one prediction: of the probability of yes, the probability of each class, or the value."""
    problem = encoding["problem"]
    if problem == "binary_classification":
        return {"probability": float(scores[-1]), "label": bool(scores[-1] >= 0.5)}
    if problem == "multiclass_classification":
        likely = max(range(len(scores)), key=scores.__getitem__)
        classes = encoding["classes"]
        return {"probabilities": dict(zip(map(str, classes), scores, strict=True)), "label": classes[likely]}
    return {"value": float(scores[0])}


def _numbers(encoding: Encoding, text: str, content_type: str) -> list[Prediction]:
    """Scores alone, row by row, as XGBoost writes them: joined by commas or line ends, or as objects with a score."""
    if content_type == JSON:
        numbers = _flat([each["score"] for each in json.loads(text)["predictions"]])
    else:
        numbers = [float(number) for number in _BETWEEN.split(text) if number]
    each = len(encoding["classes"]) if encoding["problem"] == "multiclass_classification" else 1
    if len(numbers) % each:
        raise ValueError(f"{len(numbers)} scores are no rows of {each}")
    return [predicted(encoding, numbers[at : at + each]) for at in range(0, len(numbers), each)]


def _flat(found: Any) -> list[float]:
    if isinstance(found, list):
        return [number for each in found for number in _flat(each)]
    return [float(found)]


def _scores(encoding: Encoding, text: str, _content_type: str) -> list[Prediction]:
    return [predicted(encoding, _flat(each["score"])) for each in json.loads(text)["predictions"]]


def _votes(encoding: Encoding, text: str, _content_type: str) -> list[Prediction]:
    """Nearest neighbours: each class has the share of the votes; without the votes, the label has all of them."""
    return [predicted(encoding, _shares(encoding, each)) for each in json.loads(text)["predictions"]]


def _shares(encoding: Encoding, neighbours: Mapping[str, Any]) -> list[float]:
    if encoding["problem"] == "regression":
        return [float(neighbours["predicted_label"])]
    votes = [int(vote) for vote in neighbours.get("labels", [neighbours["predicted_label"]])]
    return [votes.count(code) / len(votes) for code in range(len(encoding["classes"]))]


def _clusters(_encoding: Encoding, text: str, _content_type: str) -> list[Prediction]:
    return [
        {"cluster": int(each["closest_cluster"]), "distance": float(each["distance_to_cluster"])}
        for each in json.loads(text)["predictions"]
    ]


def _components(encoding: Encoding, text: str, _content_type: str) -> list[Prediction]:
    """All components, the one with the greatest variance last: those kept, in order, and what the others amount to.

    Components are orthonormal, so the squared error of a reconstruction from some of them is the sum of the squares
    of the others.
    """
    kept = encoding["kept"]
    return [
        {"projection": values[::-1][:kept], "error": sum(value * value for value in values[::-1][kept:])}
        for values in (_flat(each["projection"]) for each in json.loads(text)["projections"])
    ]


def _probabilities(encoding: Encoding, text: str, _content_type: str) -> list[Prediction]:
    """What AWS's scripts for tables answer: values, or the probabilities of all classes, in the order of their codes
    unless they are named beside them."""
    answer = json.loads(text)
    if encoding["problem"] == "regression":
        return [predicted(encoding, _flat(each)) for each in answer["prediction"]]
    codes = range(len(encoding["classes"]))
    named = answer.get("labels", codes)
    return [predicted(encoding, _by_class(encoding, shares, named)) for shares in answer["probabilities"]]


def _labels(encoding: Encoding, text: str, _content_type: str) -> list[Prediction]:
    return [predicted(encoding, _named(encoding, each)) for each in json.loads(text)]


def _named(encoding: Encoding, found: Mapping[str, Any]) -> list[float]:
    by_label = dict(zip(found["label"], found["prob"], strict=True))
    return [float(by_label.get(f"__label__{code}", 0.0)) for code in range(len(encoding["classes"]))]


def _cells(encoding: Encoding, text: str, _content_type: str) -> list[Prediction]:
    """Lines of CSV: a value, or the probabilities of classes and beside them, as lists, which classes these are."""
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    if encoding["problem"] == "regression":
        return [predicted(encoding, [float(row[0])]) for row in rows]
    return [predicted(encoding, _by_class(encoding, *map(ast.literal_eval, row))) for row in rows]


def _by_class(encoding: Encoding, probabilities: Sequence[float], classes: Sequence[Any]) -> list[float]:
    found = {int(float(code)): float(share) for code, share in zip(classes, probabilities, strict=True)}
    return [found.get(code, 0.0) for code in range(len(encoding["classes"]))]


def _own(_encoding: Encoding, text: str, content_type: str) -> list[Prediction]:
    import adapters  # type: ignore[import-not-found]  # the workload's

    predictions: list[Prediction] = adapters.answer(text, content_type)
    return predictions


READERS: Mapping[str, Callable[[Encoding, str, str], list[Prediction]]] = {
    "numbers": _numbers,
    "scores": _scores,
    "votes": _votes,
    "clusters": _clusters,
    "components": _components,
    "labels": _labels,
    "probabilities": _probabilities,
    "cells": _cells,
    "own": _own,
}
"""What an encoding calls ``answer`` to what reads such answers."""
