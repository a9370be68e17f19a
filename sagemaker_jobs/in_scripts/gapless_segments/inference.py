"""Answers requests by the model of the segment; packed into the model archive as ``code/inference.py``.

It is loaded in two ways. Of the whole archive, as the evaluation and the golden requests do, it asks the model of each
instance's segment. Of the archive of one model, as an endpoint of several models does, it asks that one, and refuses
instances of another segment (``segment.json`` says which this is): so a request that was sent to the wrong model is an
error, and no wrong prediction. The fallback model answers for everybody: whoever asks for it may go by a file that is
newer than the set. Needs Python alone; the models may need more (``code/own.py``).
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

try:  # the serving image's own error, by which it gives a client the status
    from sagemaker_inference.errors import BaseInferenceToolkitError as _Base  # type: ignore[import-not-found]
except ImportError:

    class _Base(Exception):  # type: ignore[no-redef]
        """Stands for it elsewhere."""


JSON = "application/json"


class WrongRequest(_Base, ValueError):  # type: ignore[misc]
    """A request that cannot be answered: the client's fault."""

    def __init__(self, message: str) -> None:
        ValueError.__init__(self, message)
        self.status_code, self.phrase, self.message = 400, "Bad Request", message


@dataclass(frozen=True)
class Models:
    """Loaded models.

    Attributes:
        own: The workload's code.
        segment: The feature that says which of them is asked.
        loaded: Folder to model.
        answering: Value to folder, of all values that are told apart.
        fallback: The folder of the model for all others; None where there is none.
    """

    own: ModuleType
    segment: str
    loaded: Mapping[str, Any]
    answering: Mapping[str, str]
    fallback: str | None

    def folder_of(self, value: Any) -> str:
        """Gives the folder of the model that answers for a value.

        Raises:
            WrongRequest: Another archive has it.
        """
        folder = self.answering.get(value, self.fallback) if isinstance(value, str) else self.fallback
        if folder is None:
            raise WrongRequest(f"{self.segment} is {value!r:.80}; this model answers for {', '.join(self.answering)}")
        return folder


def model_fn(model_dir: str) -> Models:
    """Load the models of an archive: all of a version, or the one."""
    folder = Path(model_dir)
    own, index = _import(folder / "code" / "own.py"), _read(folder / "segments.json")
    if not (folder / "segment.json").is_file():
        places = {name: folder / "segments" / name for name in {*index["models"].values(), index["fallback"]}}
        loaded = {name: own.model_fn(str(place)) for name, place in places.items()}
        return Models(own, index["segment"], loaded, index["models"], index["fallback"])
    value, loaded = _read(folder / "segment.json")["value"], {"": own.model_fn(model_dir)}
    if value is None:
        return Models(own, index["segment"], loaded, {}, "")
    return Models(own, index["segment"], loaded, {value: ""}, None)


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


def predict_fn(instances: Sequence[Any], models: Models) -> list[dict[str, Any]]:
    """Predict each instance by the model of its segment.

    Raises:
        WrongRequest: An instance is no object, or another archive has its model.
    """
    places: dict[str, list[int]] = {}
    for place, instance in enumerate(instances):
        if not isinstance(instance, Mapping):
            raise WrongRequest(f"instances[{place}] is no object of features")
        places.setdefault(models.folder_of(instance.get(models.segment)), []).append(place)
    answers: dict[int, dict[str, Any]] = {}
    for folder, chosen in places.items():
        predictions = models.own.predict_fn([instances[place] for place in chosen], models.loaded[folder])
        answers.update(zip(chosen, predictions, strict=True))
    return [answers[place] for place in range(len(instances))]


def output_fn(predictions: Sequence[Mapping[str, Any]], accept: str) -> str:
    """Write the answer as JSON."""
    if not any(kind.split(";")[0].strip().lower() in (JSON, "application/*", "*/*") for kind in accept.split(",")):
        raise WrongRequest(f"accept {accept!r}; allowed is {JSON}")
    return json.dumps({"predictions": list(predictions)})


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _import(path: Path) -> ModuleType:
    name = f"own_of_{path.parent.parent.name}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"not a Python module: {path.name}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module
