"""Answers requests by the logistic regression; packed into the model archive as ``code/inference.py``.

A request is ``{"instances": [{feature: value}]}`` with every feature of the model, ``null`` where a value is not known.
The answer is ``{"predictions": [{"probability": p, "label": bool}]}`` in the same order. Needs Python alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

try:  # the serving image's own error, by which it gives a client the status
    from sagemaker_inference.errors import BaseInferenceToolkitError as _Base  # type: ignore[import-not-found]
except ImportError:

    class _Base(Exception):  # type: ignore[no-redef]
        """Stands for it elsewhere."""


JSON = "application/json"
_ALLOWED = {
    "boolean": "true, false or null",
    "integer": "a whole number or null",
    "number": "a finite number or null",
    "category": "a text or null",
}


class WrongRequest(_Base, ValueError):  # type: ignore[misc]
    """A request that cannot be answered: the client's fault."""

    def __init__(self, message: str) -> None:
        ValueError.__init__(self, message)
        self.status_code, self.phrase, self.message = 400, "Bad Request", message


def model_fn(model_dir: str) -> dict[str, Any]:
    """Load the model: what its features are, and the terms of the regression."""
    folder = Path(model_dir)
    described = json.loads((folder / "features.json").read_text(encoding="utf-8"))
    regression = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    kinds = {feature["name"]: feature["type"] for feature in described["features"]}
    return {**regression, "kinds": kinds, "threshold": described["threshold"]}


def input_fn(body: str | bytes, content_type: str) -> list[Any]:
    """Read the instances of a request.

    Raises:
        WrongRequest: It is not JSON, or not an object of a list of instances.
    """
    if content_type.split(";")[0].strip().lower() != JSON:
        raise WrongRequest(f"content type {content_type!r}; allowed is {JSON}")
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WrongRequest(f"the body is not JSON: {error}") from error
    instances = request.get("instances") if isinstance(request, dict) else None
    if not isinstance(instances, list) or not instances or len(request) > 1:
        raise WrongRequest('allowed is {"instances": [...]} with at least one instance and nothing else')
    return instances


def predict_fn(instances: Sequence[Any], model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Predict each instance: the probability of an approval, and whether it reaches the threshold.

    Raises:
        WrongRequest: An instance has not exactly the model's features, or a value of another type.
    """
    for place, instance in enumerate(instances):
        _check(f"instances[{place}]", instance, model["kinds"])
    probabilities = [_probability(instance, model) for instance in instances]
    return [{"probability": p, "label": p >= model["threshold"]} for p in probabilities]


def output_fn(predictions: Sequence[Mapping[str, Any]], accept: str) -> str:
    """Write the answer as JSON."""
    if not any(kind.split(";")[0].strip().lower() in (JSON, "application/*", "*/*") for kind in accept.split(",")):
        raise WrongRequest(f"accept {accept!r}; allowed is {JSON}")
    return json.dumps({"predictions": list(predictions)})


def _probability(instance: Mapping[str, Any], model: Mapping[str, Any]) -> float:
    score = model["intercept"]
    for term in model["terms"]:
        value = instance[term["feature"]]
        if term["category"] is not None:
            score += term["weight"] * (value == term["category"])
        elif value is not None and not math.isnan(value):
            score += term["weight"] * (value - term["centre"]) / term["scale"]
    return 1 / (1 + math.exp(-score)) if score > -700 else 0.0


def _check(where: str, instance: Any, kinds: Mapping[str, str]) -> None:
    if not isinstance(instance, dict):
        raise WrongRequest(f"{where} is no object of features")
    missing, unknown = sorted(kinds.keys() - instance.keys()), sorted(instance.keys() - kinds.keys())
    if missing:
        raise WrongRequest(f"{where}: feature {missing[0]} is missing; null says that it is not known")
    if unknown:
        raise WrongRequest(f"{where}: unknown feature {unknown[0]!r}; allowed are {', '.join(sorted(kinds))}")
    for name, value in instance.items():
        if value is not None and not _fits(value, kinds[name]):
            raise WrongRequest(f"{where}.{name} is {value!r:.80}; allowed is {_ALLOWED[kinds[name]]}")


def _fits(value: Any, kind: str) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "category":
        return isinstance(value, str)
    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
    return number and (kind == "number" or float(value).is_integer())
