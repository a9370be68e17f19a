"""Answers requests with the trained trees: ``{"instances": [{feature: value}]}`` with one value each."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

Model = tuple[xgb.Booster, list[dict[str, Any]]]


def model_fn(model_dir: str) -> Model:
    """Load the model from the unpacked archive."""
    described = json.loads((Path(model_dir) / "features.json").read_text(encoding="utf-8"))
    return xgb.Booster(model_file=Path(model_dir) / "model.ubj"), described["features"]


def input_fn(body: str | bytes, content_type: str) -> list[dict[str, Any]]:  # noqa: ARG001
    """Read the instances of a request."""
    instances: list[dict[str, Any]] = json.loads(body)["instances"]
    return instances


def predict_fn(instances: Sequence[Mapping[str, Any]], model: Model) -> list[dict[str, float]]:
    """Predict each instance; a value that the training did not have counts as missing."""
    booster, features = model
    cells = [[_number(instance[feature["name"]], feature) for feature in features] for instance in instances]
    return [{"value": float(value)} for value in booster.inplace_predict(np.array(cells, dtype=np.float32))]


def output_fn(predictions: Sequence[Mapping[str, float]], accept: str) -> str:  # noqa: ARG001
    """Write the answer as JSON."""
    return json.dumps({"predictions": list(predictions)})


def _number(value: Any, feature: Mapping[str, Any]) -> float:
    if value is None:
        return math.nan
    if "categories" not in feature:
        return float(value)
    values: list[str] = feature["categories"]
    return float(values.index(value)) if value in values else math.nan
