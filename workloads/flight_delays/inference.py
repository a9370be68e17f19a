"""Answers requests with the trained model; packed into the model archive as ``code/inference.py``.

The request is ``application/json``: ``{"instances": [{feature: value, …}, …]}``, each instance with every feature of
the model. ``null`` says that a value is missing, and a category that the model was not trained with is treated as
missing. The answer is ``{"predictions": [{"probability": p, "label": bool}, …]}`` in the same order. A request that
says anything else is refused with a :class:`BadRequest` that names the field, what was given and what is allowed.

The same functions serve the endpoint, the evaluation and the golden requests.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import xgboost as xgb

try:  # inside the serving image: its server gives the status of such an error to the client
    from sagemaker_inference.errors import BaseInferenceToolkitError as _ServingError  # type: ignore[import-not-found]
except ImportError:

    class _ServingError(Exception):  # type: ignore[no-redef]
        """Stands for the serving image's own error class elsewhere."""


JSON = "application/json"
_LARGEST = float(np.finfo(np.float32).max)
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


class BadRequest(_ServingError, ValueError):  # type: ignore[misc]
    """A request that this model cannot answer; the client's fault, status 400."""

    def __init__(self, message: str) -> None:
        ValueError.__init__(self, message)
        self.status_code = 400
        self.phrase = "Bad Request"
        self.message = message


@dataclass(frozen=True)
class Feature:
    """One feature of the model: how to write a request's value as a number."""

    name: str
    allowed: str
    encode: Callable[[Any], float | None]


@dataclass(frozen=True)
class Model:
    """A loaded model: trees, features in the order of the matrix, and the probability from which on it says yes."""

    booster: xgb.Booster
    features: tuple[Feature, ...]
    threshold: float

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in the order of the matrix."""
        return tuple(feature.name for feature in self.features)


# Encoders: a float for a value of the right type, None for any other; null never gets here.


def _encode_boolean(value: Any) -> float | None:
    return float(value) if isinstance(value, bool) else None


def _encode_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) <= _LARGEST else None  # NaN is not: every comparison with it is false


def _encode_integer(value: Any) -> float | None:
    number = _encode_number(value)
    return number if number is not None and number.is_integer() else None


def _category_encoder(categories: Sequence[str]) -> Callable[[Any], float | None]:
    codes = {category: float(code) for code, category in enumerate(categories)}

    def encode(value: Any) -> float | None:
        return codes.get(value, math.nan) if isinstance(value, str) else None

    return encode


def _feature(description: Mapping[str, Any]) -> Feature:
    name, kind = description["name"], description["type"]
    match kind:
        case "boolean":
            return Feature(name, "true, false or null", _encode_boolean)
        case "integer":
            return Feature(name, "a whole number or null", _encode_integer)
        case "number":
            return Feature(name, "a finite number of 32 bits or null", _encode_number)
        case "category":
            return Feature(name, "a string or null", _category_encoder(description["categories"]))
        case _:
            raise ValueError(
                f"type of feature {name} unknown: {kind!r}; allowed are boolean, integer, number, category"
            )


def model_fn(model_dir: str) -> Model:
    """Load the model from the unpacked archive.

    Raises:
        ValueError: The features on file are not those of the trees.
    """
    described = json.loads((Path(model_dir) / "features.json").read_text(encoding="utf-8"))
    booster = xgb.Booster(model_file=Path(model_dir) / "model.ubj")
    booster.set_param({"nthread": 1})  # one request is a row or a few: starting threads would cost more than it gains
    model = Model(booster, tuple(map(_feature, described["features"])), float(described["threshold"]))
    if booster.num_features() != len(model.features):
        raise ValueError(f"features.json has {len(model.features)} features; the model has {booster.num_features()}")
    return model


def input_fn(body: str | bytes, content_type: str) -> list[Any]:
    """Read the instances of a request; what they hold is judged by :func:`predict_fn`, which knows the model.

    Raises:
        BadRequest: It is not JSON, or not an object with nothing but a non-empty list ``instances``.
    """
    if content_type.partition(";")[0].strip().lower() != JSON:
        raise BadRequest(f"content type: given {_short(content_type)}; allowed is {JSON}")
    try:
        request = json.loads(body, parse_constant=_refuse_constant)
    except BadRequest:
        raise
    except (ValueError, RecursionError) as error:
        raise BadRequest(f'body: not JSON ({error}); allowed is {{"instances": [...]}}') from error
    if not isinstance(request, dict) or set(request) != {"instances"}:
        given = sorted(request) if isinstance(request, dict) else type(request).__name__
        raise BadRequest(f"body: given {_short(given)}; allowed is an object with the one member instances")
    instances = request["instances"]
    if not isinstance(instances, list) or not instances:
        raise BadRequest(f"instances: given {_short(instances)}; allowed is a list of at least one instance")
    return instances


def predict_fn(instances: Sequence[Any], model: Model) -> list[dict[str, float | bool]]:
    """Predict each instance: the probability (0 to 1) and whether it reaches the model's threshold.

    Args:
        instances: Mappings from each feature's name to its value, None for a missing one.
        model: What :func:`model_fn` gave.

    Raises:
        BadRequest: An instance lacks a feature, has an unknown one, or a value of the wrong type.
    """
    probabilities = model.booster.inplace_predict(_matrix(instances, model))
    return [{"probability": float(p), "label": bool(p >= model.threshold)} for p in probabilities]


def output_fn(predictions: Sequence[Mapping[str, float | bool]], accept: str) -> str:
    """Write the answer as JSON.

    Raises:
        BadRequest: The client accepts no JSON.
    """
    accepted = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if not accepted & {JSON, "application/*", "*/*"}:
        raise BadRequest(f"accept: given {_short(accept)}; allowed is {JSON}")
    return json.dumps({"predictions": list(predictions)})


def _matrix(instances: Sequence[Any], model: Model) -> npt.NDArray[np.float32]:
    names = set(model.names)
    matrix = np.empty((len(instances), len(model.features)), dtype=np.float32)
    for row, instance in enumerate(instances):
        if not isinstance(instance, Mapping):
            raise BadRequest(f"instances[{row}]: given {_short(instance)}; allowed is an object of features")
        if instance.keys() != names:
            _refuse_names(row, instance, model)
        matrix[row] = [_number(row, feature, instance[feature.name]) for feature in model.features]
    return matrix


def _number(row: int, feature: Feature, value: Any) -> float:
    if value is None:
        return math.nan
    number = feature.encode(value)
    if number is None:
        raise BadRequest(f"instances[{row}].{feature.name}: given {_short(value)}; allowed is {feature.allowed}")
    return number


def _refuse_names(row: int, instance: Mapping[str, Any], model: Model) -> NoReturn:
    allowed = ", ".join(model.names)
    unknown = sorted(instance.keys() - set(model.names))
    if unknown:
        raise BadRequest(f"instances[{row}]: unknown feature {_short(unknown[0])}; allowed are {allowed}")
    missing = next(name for name in model.names if name not in instance)
    raise BadRequest(
        f"instances[{row}]: feature {missing} is missing; give null if it is not known; needed are {allowed}"
    )


def _refuse_constant(constant: str) -> NoReturn:
    raise BadRequest(f"body: given the number {constant}; allowed are finite numbers and null")


def _short(value: Any) -> str:
    return _SHORT.repr(value)
