"""Answers requests by the numbers of one region's logistic regression."""

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


def predict_fn(instances: Sequence[Mapping[str, Any]], model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Predict each instance."""
    return [_prediction(instance, model) for instance in instances]


def _prediction(instance: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    score = model["intercept"] + sum(weight * (instance[name] or 0.0) for name, weight in model["weights"].items())
    probability = 1 / (1 + math.exp(-score))
    return {"probability": probability, "label": probability >= 0.5}
