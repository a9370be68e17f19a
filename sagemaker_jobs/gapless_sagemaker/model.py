"""A model loaded through the code of its own archive, as the serving image loads it."""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gapless_sagemaker.artefact import LIMITS, Artefact, Limits, archive_in, open_artefact

JSON = "application/json"
TREES = "model.ubj"
"""Trees of XGBoost in an archive."""


class Refused(Exception):
    """A request that the model's code refuses with a ValueError; the message is the code's own."""


class LoadedModel:
    """A model and the functions of its ``code/inference.py``."""

    def __init__(self, artefact: Artefact) -> None:
        self.artefact = artefact
        self.directory = artefact.directory
        described = json.loads((artefact.directory / "features.json").read_text(encoding="utf-8"))
        self.described: list[dict[str, Any]] = described["features"]
        self.features: tuple[str, ...] = tuple(feature["name"] for feature in self.described)
        self._code = _import(artefact.directory / "code" / "inference.py", f"inference_{artefact.sha256}")
        self._model = self._code.model_fn(str(artefact.directory))

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Predict typed rows, each with exactly the model's features, None for missing values."""
        predictions: list[dict[str, Any]] = self._code.predict_fn(rows, self._model)
        return predictions

    def answer(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Answer a request the way the endpoint does, from JSON text to JSON text.

        Raises:
            Refused: The model's code refuses the request.
        """
        try:
            data = self._code.input_fn(json.dumps(request), JSON)
            predictions = self._code.predict_fn(data, self._model)
        except ValueError as error:
            raise Refused(str(error)) from error
        answer: list[dict[str, Any]] = json.loads(self._code.output_fn(predictions, JSON))["predictions"]
        return answer

    def importance(self) -> dict[str, float]:
        """Give the mean gain of the splits on each feature that is used, the greatest first; none without trees."""
        if not (self.directory / TREES).is_file():
            return {}
        import xgboost as xgb  # images of other frameworks have none

        booster = xgb.Booster(model_file=self.directory / TREES)
        gains = {name: float(np.mean(gain)) for name, gain in booster.get_score(importance_type="gain").items()}
        return dict(sorted(gains.items(), key=lambda item: -item[1]))


def load(folder: Path, scratch: Path, limits: Limits = LIMITS) -> LoadedModel:
    """Open the one archive in a folder and load its model.

    Args:
        folder: Where SageMaker put ``model.tar.gz``.
        scratch: Where to unpack it; must not exist yet.
        limits: What it may hold.

    Raises:
        UnsafeArtefact: There is not exactly one archive, or it is refused; nothing of it has been loaded then.
    """
    return LoadedModel(open_artefact(archive_in(folder), scratch, limits))


def _import(path: Path, name: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"not a Python module: {path.name}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module
