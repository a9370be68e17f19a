"""Answers requests by the numbers of a logistic regression."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def model_fn(model_dir: str) -> dict[str, Any]:
    """Load the numbers."""
    model: dict[str, Any] = json.loads(Path(model_dir, "model.json").read_text())
    return model


def input_fn(body: str, content_type: str) -> list[dict[str, Any]]:
    """Read ``{"instances": [{feature: value}]}``."""
    if content_type != "application/json":
        raise ValueError(f"content type: given {content_type}; allowed is application/json")
    instances = json.loads(body).get("instances")
    if not isinstance(instances, list) or not instances:
        raise ValueError("instances: allowed is a list of at least one instance")
    return instances


def predict_fn(instances: Sequence[Mapping[str, Any]], model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Predict each instance."""
    return [_prediction(instance, model) for instance in instances]


def _prediction(instance: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    score = model["intercept"]
    for name, value in instance.items():
        weights = model["weights"]
        score += weights.get(f"{name}={value}", 0.0) if isinstance(value, str) else weights[name] * (value or 0.0)
    probability = 1 / (1 + math.exp(-score))
    return {"probability": probability, "label": probability >= 0.5}


def output_fn(predictions: Sequence[Mapping[str, Any]], accept: str) -> str:
    """Write the answer."""
    return json.dumps({"predictions": list(predictions)})
