"""What ``workload.yaml`` says of the model itself: which of the ways to make one, and with what."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, field_validator

from constructs_lib.names.automl_file import AutoMLModel
from constructs_lib.names.built_in_file import BuiltInModel
from constructs_lib.names.compute_file import WITHOUT_CHECKPOINTS_MINUTES, TrainingCompute
from constructs_lib.names.container_file import ContainerModel
from constructs_lib.names.file_parts import AllowPickle, Part, shown
from constructs_lib.names.frameworks import (
    DISTRIBUTIONS,
    IMAGES,
    IN_PROCESS,
    JOBS_IMAGE,
    Processor,
    can_transform,
    processor_of,
    processors,
)


def _known_image(image: str) -> str:
    if image not in IMAGES:
        raise ValueError(f"must be one of {', '.join(IMAGES)}, was {shown(image)}")
    return image


FrameworkImage = Annotated[str, AfterValidator(_known_image), WithJsonSchema({"type": "string", "enum": list(IMAGES)})]


class ScriptModel(Part):
    """The workload's own ``train.py`` and ``inference.py``, run in AWS's images of a framework.

    Attributes:
        allow_pickle: That the model's archive may hold pickles, and why. Default: it may not.
    """

    kind: Literal["script"] = "script"
    image: FrameworkImage = "xgboost:3.2-0"
    allow_pickle: AllowPickle | None = None

    @property
    def evaluated_in_process(self) -> bool:
        """Whether jobs load the model; otherwise its containers answer them by batch transforms."""
        return self.image.partition(":")[0] in IN_PROCESS

    @property
    def jobs_image(self) -> str:
        """What evaluation and golden requests run in."""
        return self.image if self.evaluated_in_process else JOBS_IMAGE


class PipelineModel(ScriptModel):
    """As ``script``, but training and evaluation are the steps of a SageMaker pipeline, to be seen in Studio."""

    kind: Literal["pipeline"]  # type: ignore[assignment]

    @field_validator("image")
    @classmethod
    def _is_evaluated_in_process(cls, image: str) -> str:
        allowed = [each for each in IMAGES if each.partition(":")[0] in IN_PROCESS]
        if image not in allowed:
            raise ValueError(
                f"a pipeline evaluates in the image that trains; allowed: {', '.join(allowed)}, was {image!r}"
            )
        return image


def _script_by_default(value: Any) -> Any:
    return {"kind": "script", **value} if isinstance(value, dict) else value


MODELS: Final[dict[str, type[Part]]] = {
    "script": ScriptModel,
    "pipeline": PipelineModel,
    "built_in": BuiltInModel,
    "container": ContainerModel,
    "automl": AutoMLModel,
}
"""Kind to the part of the file that describes it."""

Model = Annotated[
    Annotated[ScriptModel | PipelineModel | BuiltInModel | ContainerModel | AutoMLModel, Field(discriminator="kind")],
    BeforeValidator(_script_by_default),
]


def check_machines(model: Model, *, training: str, evaluation: str | None, serving: str) -> None:
    """Looks whether there are images for the machines, and whether these can do what is asked of them.

    Args:
        model: How the model is made.
        training, evaluation, serving: The machines; none for the evaluation: the one that trains.

    Raises:
        ValueError: There is no image, or models of this kind cannot be scored on the machine that serves.
    """
    if isinstance(model, ScriptModel):
        _check_processor("training.instance_type", training, processors(model.image, "training"), model.image)
        _check_processor("serving.instance_type", serving, processors(model.image, "inference"), model.image)
    if evaluation is not None and processor_of(evaluation) is None:
        raise ValueError(
            f"evaluation.instance_type: there is an image of {model.jobs_image} for machines with x86 processors or "
            f"GPUs only, was {evaluation}"
        )
    if not model.evaluated_in_process and not can_transform(serving):
        raise ValueError(
            f"serving.instance_type: a model of this kind is scored by a batch transform on it, which {serving} cannot "
            f"run; allowed are machines such as ml.m5.large, ml.c6i.xlarge and ml.g5.xlarge"
        )


def check_multi_model(model: Model, serving: str) -> None:
    """Looks whether an endpoint of several models can serve models of this kind.

    Args:
        model: How the model is made.
        serving: The machine that serves.

    Raises:
        ValueError: It cannot.
    """
    if model.kind != "script":
        raise ValueError(
            f"serving.mode: multi_model serves a set that a training script makes, was model.kind: {model.kind} "
            "(allowed: script)"
        )
    if model.image.partition(":")[0] not in IN_PROCESS:
        allowed = ", ".join(each for each in IMAGES if each.partition(":")[0] in IN_PROCESS)
        raise ValueError(
            f"serving.mode: multi_model packs its models for servers that take one script for all of them, was "
            f"model.image: {model.image} (allowed: {allowed})"
        )
    if processor_of(serving) != "cpu":
        raise ValueError(
            f"serving.instance_type: several models on machines with GPUs are served by Triton alone, was {serving} "
            "(allowed with mode multi_model: machines without)"
        )


def check_compute(model: Model, training: TrainingCompute) -> None:
    """Looks whether a model can be trained on the machines as they are asked for: several, spare or kept ones.

    Args:
        model: How the model is made.
        training: The machines.

    Raises:
        ValueError: It cannot; the message starts with the key that it is about.
    """
    if isinstance(model, AutoMLModel):
        default = TrainingCompute()
        for key in ("instance_count", "distribution", "volume_gb", "spot", "warm_pool_minutes"):
            if getattr(training, key) != getattr(default, key):
                raise ValueError(f"training.{key}: automl chooses the machines of its trainings itself; leave it out")
    elif isinstance(model, BuiltInModel):
        _check_algorithm(model, training)
    elif isinstance(model, ContainerModel):
        if training.distribution is not None:
            raise ValueError(
                "training.distribution: a container starts itself on every machine and finds the others in "
                "/opt/ml/input/config/resourceconfig.json; leave it out"
            )
    else:
        _check_distribution(model.image, training)


def _check_algorithm(model: BuiltInModel, training: TrainingCompute) -> None:
    name, traits = model.algorithm, model.traits
    if training.distribution is not None:
        raise ValueError(f"training.distribution: {name} spreads itself over its machines; leave it out")
    if training.instance_count > 1 and not traits.parallel:
        raise ValueError(f"training.instance_count: {name} trains on one machine, was {training.instance_count}")
    spot = training.spot
    if spot is not None and not traits.checkpoints and spot.max_wait_minutes > WITHOUT_CHECKPOINTS_MINUTES:
        raise ValueError(
            f"training.spot.max_wait_minutes: {name} keeps no checkpoints, so SageMaker allows at most "
            f"{WITHOUT_CHECKPOINTS_MINUTES}, was {spot.max_wait_minutes}"
        )


def _check_distribution(image: str, training: TrainingCompute) -> None:
    framework, chosen = image.partition(":")[0], training.distribution
    allowed = DISTRIBUTIONS[framework]
    if training.instance_count > 1 and not allowed:
        raise ValueError(
            f"training.instance_count: {framework} trains on one machine, was {training.instance_count}; frameworks "
            f"that train on several: {', '.join(name for name, ways in DISTRIBUTIONS.items() if ways)}"
        )
    if chosen is not None and chosen not in allowed:
        raise ValueError(
            f"training.distribution: {framework} is not started by {chosen} (allowed: {', '.join(allowed) or 'none'})"
        )
    if training.instance_count > 1 and chosen is None:
        raise ValueError(
            f"training.distribution: says how the script is started on {training.instance_count} machines "
            f"(allowed: {', '.join(allowed)})"
        )


def _check_processor(key: str, instance_type: str, made_for: tuple[Processor, ...], image: str) -> None:
    processor = processor_of(instance_type)
    if processor is None or processor not in made_for:
        kinds = {"cpu": "x86 processors", "gpu": "GPUs"}
        raise ValueError(
            f"{key}: there is an image of {image} for machines with {' or '.join(kinds[each] for each in made_for)} "
            f"only, was {instance_type}"
        )


def allows_pickle(model: Model) -> bool:
    """Says whether the archive of a model may hold pickles."""
    return isinstance(model, ScriptModel | AutoMLModel | BuiltInModel) and model.allow_pickle is not None
