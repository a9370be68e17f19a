"""One of SageMaker's built-in algorithms, between two adapters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from constructs_lib.asl import JSON, State, jsonata
from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.makers.adapters import adapted, encode, encoded_channels, read_encoded
from constructs_lib.machines.makers.made import Made
from constructs_lib.machines.makers.parts import ModelParts
from constructs_lib.machines.makers.pinned_scripts import PinnedScripts, copy_scripts
from constructs_lib.machines.makers.tuning import training_states
from constructs_lib.names.algorithms import COMPUTED, CSV, PARQUET, RECORDS, SCRIPTS_CHANNEL, TEXT, UNLABELLED
from constructs_lib.names.built_in_file import BuiltInModel

_FORMATS: Final[Mapping[str, str]] = {
    CSV: "csv",
    UNLABELLED: "csv",
    PARQUET: "parquet",
    RECORDS: "records",
    TEXT: "text",
}
_ANSWERS: Final[Mapping[str, str]] = {
    "xgboost": "numbers",
    "linear-learner": "scores",
    "factorization-machines": "scores",
    "knn": "votes",
    "kmeans": "clusters",
    "pca": "components",
    "blazingtext": "labels",
    **dict.fromkeys(("autogluon", "catboost", "lightgbm", "tabtransformer"), "probabilities"),
}
_REQUESTS: Final[Mapping[str, str]] = {"factorization-machines": "vectors", "blazingtext": "texts"}
_VERBOSE: Final = {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "application/json; verbose=true"}
"""Makes nearest neighbours tell their votes and not only who won."""

_SEED: Final = "seed"
_KEPT: Final = "num_components"


@dataclass(frozen=True)
class BuiltInMaker:
    """Encodes the splits, trains the algorithm on them, and serves it between adapters.

    Args:
        model: The algorithm.
        image_uri: The algorithm's image; may be a token.
        adapter_image_uri: The framework image that the adapters run in; may be a token.
        serving_image_uri: The image that serves; may be a token. Default: the same.
        scripts: What an algorithm is trained and served by that AWS ships as scripts. Default: it is an image.
    """

    model: BuiltInModel
    image_uri: str
    adapter_image_uri: str
    serving_image_uri: str | None = None
    scripts: PinnedScripts | None = None

    def states(self, s: Surroundings, p: ModelParts) -> dict[str, State]:
        """Returns the states that copy scripts, encode, look what follows from the encoded split, and train."""
        return {
            **({"CopyScripts": copy_scripts(s, p.place, self.scripts)} if self.scripts is not None else {}),
            "Encode": encode(s, p, self._options(p), own=not self.model.traits.encoded),
            "ReadEncoded": read_encoded(s, p),
            **training_states(s, p, self._asked(s, p)),
        }

    def _asked(self, s: Surroundings, p: ModelParts) -> Made:
        hyperparameters, measured_on = self._hyperparameters(p), self.model.traits.measured_on
        tried: dict[str, str] = {measured_on: "validation"} if p.tuning is not None and measured_on is not None else {}
        types = {**self._content_types(), **dict.fromkeys(tried, self.model.traits.content_type)}
        artefact = jsonata("$states.result.ModelArtifacts.S3ModelArtifacts")
        return Made(
            replace(p.place, image_uri=self.image_uri),
            channels=[*encoded_channels(s, p, types, tried), *self._script_channels(s, p)],
            hyperparameters={**hyperparameters, **(self.scripts.settings if self.scripts is not None else {})},
            kept=hyperparameters,
            assign={
                "model_uri": artefact,
                "training_job": jsonata("$states.result.TrainingJobName"),
                "training_image": self.image_uri,
                "containers": adapted(s, p, self.adapter_image_uri, [self._container(artefact)]),
            },
        )

    def _script_channels(self, s: Surroundings, p: ModelParts) -> list[JSON]:
        return self.scripts.channels(s, p.place) if self.scripts is not None else []

    def _container(self, artefact: str) -> JSON:
        told = _VERBOSE if self.model.algorithm == "knn" else {}
        if self.scripts is not None:
            told = dict(self.scripts.environment)
        return {
            "Image": self.serving_image_uri or self.image_uri,
            "ModelDataUrl": artefact,
            **({"Environment": told} if told else {}),
        }

    def _options(self, p: ModelParts) -> dict[str, str]:
        """The arguments of the job that encodes."""
        name, traits = self.model.algorithm, self.model.traits
        common = {"algorithm": name, "problem": p.problem, **({"target": p.target} if p.target else {})}
        if not traits.encoded:
            return {**common, "request": "own", "answer": "own"}
        return {
            **common,
            "request": _REQUESTS.get(name, "csv"),
            "answer": _ANSWERS[name],
            "format": _FORMATS[traits.content_type],
            "missing": "nan" if traits.content_type == PARQUET else "mean",
            **({"keep": p.hyperparameters[_KEPT]} if name == "pca" else {}),
            **({"below": SCRIPTS_CHANNEL, "categories": traits.categories} if traits.pinned else {}),
        }

    def _hyperparameters(self, p: ModelParts) -> dict[str, str]:
        """What the algorithm is told, as texts: what follows from problem and split, and what the workload gives."""
        traits = self.model.traits
        follows = {
            name: jsonata(f"$encoded.{name}") if value == COMPUTED else value
            for name, value in traits.given_by(p.problem).items()
        }
        given = {name: value for name, value in p.hyperparameters.items() if name != _SEED or traits.seeded}
        every_component = {_KEPT: jsonata(f"$encoded.{_KEPT}")} if self.model.algorithm == "pca" else {}
        defaults = self.scripts.hyperparameters if self.scripts is not None else {}
        return {**defaults, **follows, **given, **every_component}

    def _content_types(self) -> Mapping[str, str]:
        traits = self.model.traits
        return dict.fromkeys(traits.channels, traits.content_type) if traits.encoded else self.model.channels
