"""One of SageMaker's built-in algorithms, between two adapters."""

from __future__ import annotations

from dataclasses import dataclass, replace

from constructs_lib.asl import JSON, State, jsonata
from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.makers.adapters import adapted, encode, encoded_channels, read_encoded
from constructs_lib.machines.makers.made import Made
from constructs_lib.machines.makers.parts import ModelParts
from constructs_lib.machines.makers.pinned_scripts import PinnedScripts, copy_scripts
from constructs_lib.machines.makers.tuning import training_states
from constructs_lib.names.built_in_file import BuiltInModel
from constructs_lib.names.encoding import (
    algorithm_environment,
    algorithm_hyperparameters,
    encoded_content_types,
    encoding_options,
)


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
        types = {**encoded_content_types(self.model), **dict.fromkeys(tried, self.model.traits.content_type)}
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
        told = algorithm_environment(self.model) if self.scripts is None else dict(self.scripts.environment)
        return {
            "Image": self.serving_image_uri or self.image_uri,
            "ModelDataUrl": artefact,
            **({"Environment": told} if told else {}),
        }

    def _options(self, p: ModelParts) -> dict[str, str]:
        """The arguments of the job that encodes."""
        return encoding_options(self.model, problem=p.problem, target=p.target, hyperparameters=p.hyperparameters)

    def _hyperparameters(self, p: ModelParts) -> dict[str, str]:
        """What the algorithm is told, as texts."""
        told = algorithm_hyperparameters(
            self.model,
            problem=p.problem,
            hyperparameters=p.hyperparameters,
            encoded=lambda name: jsonata(f"$encoded.{name}"),
        )
        return {**(self.scripts.hyperparameters if self.scripts is not None else {}), **told}
