"""What ``workload.yaml`` says of a model that one of SageMaker's built-in algorithms makes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from constructs_lib.names.algorithms import ALGORITHMS, COMPUTED, Algorithm
from constructs_lib.names.file_parts import AllowPickle, Part, shown, unknown
from constructs_lib.names.frameworks import JOBS_IMAGE

_GPU: Final = re.compile(r"ml\.(p|g)\d")
_COUNTED: Final = ("int", "bigint", "double", "boolean", "string")


def _known_algorithm(name: str) -> str:
    if name not in ALGORITHMS:
        raise ValueError(unknown(name, ALGORITHMS, "built-in algorithm"))
    return name


AlgorithmName = Annotated[
    str, AfterValidator(_known_algorithm), WithJsonSchema({"type": "string", "enum": list(ALGORITHMS)})
]
ChannelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
ContentType = Annotated[str, Field(min_length=1, max_length=256)]


class BuiltInModel(Part):
    """One of SageMaker's built-in algorithms, trained on the splits of the dataset.

    Attributes:
        algorithm: The algorithm, as SageMaker names it.
        channels: Only for algorithms that the platform has no encoder for: channel to content type, as the function
            ``encode`` of the workload's ``adapters.py`` writes them.
        allow_pickle: That the model's archive may hold pickles, and why: only for algorithms whose models are pickles,
            which have to say it.
    """

    kind: Literal["built_in"]
    algorithm: AlgorithmName
    channels: dict[ChannelName, ContentType] = Field(default={})
    allow_pickle: AllowPickle | None = None

    @model_validator(mode="after")
    def _has_its_channels(self) -> Self:
        if self.traits.encoded and self.channels:
            raise ValueError(f"channels: {self.algorithm} is encoded by the platform; leave channels out")
        if not self.traits.encoded and self.traits.main_channel not in self.channels:
            raise ValueError(
                f"channels: {self.algorithm} has no encoder of the platform; name the channels that adapters.py "
                f"writes, {self.traits.main_channel} among them, with their content types"
            )
        return self

    @model_validator(mode="after")
    def _says_what_its_models_are(self) -> Self:
        if self.traits.pickled and self.allow_pickle is None:
            raise ValueError(
                f"allow_pickle: models of {self.algorithm} are pickles, which run what their author likes when they "
                "are loaded; say in allow_pickle.reason why this one may be used"
            )
        if not self.traits.pickled and self.allow_pickle is not None:
            raise ValueError(f"allow_pickle: models of {self.algorithm} are no pickles; leave it out")
        return self

    @property
    def jobs_image(self) -> str:
        """What jobs around the algorithm run in."""
        return JOBS_IMAGE

    @property
    def evaluated_in_process(self) -> bool:
        """Whether jobs load the model; AWS's own containers alone know how to load theirs."""
        return False

    @property
    def traits(self) -> Algorithm:
        """What is known of the algorithm."""
        return ALGORITHMS[self.algorithm]


def check_built_in(
    model: BuiltInModel,
    *,
    problem: str,
    hyperparameters: Mapping[str, Any],
    features: Mapping[str, str],
    instance_type: str,
    searched: Iterable[str] = (),
) -> None:
    """Checks that an algorithm can do what the rest of the file asks of it.

    Args:
        problem: The workload's.
        hyperparameters: Of the training.
        features: Columns that the model sees, name to type.
        instance_type: What it is trained on.
        searched: Hyperparameters that a tuning gives values to. Default: there is none.

    Raises:
        ValueError: It cannot; the message starts with the key that is about.
    """
    name, traits = model.algorithm, model.traits
    if traits.encoded and problem not in traits.problems:
        raise ValueError(f"model.algorithm: {name} does not solve {problem} (allowed: {', '.join(traits.problems)})")
    missing = [each for each in traits.required if each not in {*hyperparameters, *searched}]
    if missing:
        raise ValueError(
            f"training.hyperparameters: {name} needs {', '.join(missing)} (required: {', '.join(traits.required)})"
        )
    _check_values(name, traits, problem, hyperparameters)
    _check_features(name, traits, features)
    if traits.gpu and not _GPU.match(instance_type):
        raise ValueError(
            f"training.instance_type: {name} trains on GPUs only, was {instance_type} (allowed: ml.g… and ml.p…)"
        )


def _check_values(name: str, traits: Algorithm, problem: str, hyperparameters: Mapping[str, Any]) -> None:
    choices = traits.choices.get(problem, {})
    for key, value in traits.given_by(problem).items():
        if key in hyperparameters and key not in (*choices, *_MAY_CHANGE):
            given = "the encoded split" if value == COMPUTED else f"problem: {problem}, which makes it {value}"
            raise ValueError(f"training.hyperparameters.{key}: {name} gets it from {given}; leave it out")
    for key, values in choices.items():
        if key in hyperparameters and hyperparameters[key] not in values:
            raise ValueError(
                f"training.hyperparameters.{key}: must be one of {', '.join(values)}, was {shown(hyperparameters[key])}"
            )


_MAY_CHANGE: Final = ("sample_size", "mini_batch_size")
"""Hyperparameters that the platform only chooses when the workload does not."""


def _check_features(name: str, traits: Algorithm, features: Mapping[str, str]) -> None:
    if traits.features == "text":
        if list(features.values()) != ["string"]:
            raise ValueError(
                f"features: {name} learns from one text, a single column of type string, was {shown(dict(features))}"
            )
        return
    for column, kind in features.items():
        if kind not in _COUNTED:
            raise ValueError(
                f"features.{column}: a {kind} has no encoding for {name}; make numbers of it in features.py "
                f"(allowed: {', '.join(_COUNTED)})"
            )
