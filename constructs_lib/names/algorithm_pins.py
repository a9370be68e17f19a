"""Where the algorithms are that AWS ships as scripts: images, scripts, pretrained models and what they are told.

Such an algorithm is a *model* of SageMaker JumpStart: a framework image, an archive with a training script, an archive
to begin with, and, for versions whose training does not bring it, an archive with the script that serves. Which
belong together, only AWS's public list says, online. ``algorithm_pins.json`` holds what that list said, like a lock
file, so that synthesis needs no network and runs of the same commit take the same scripts; ``python -m
gate.algorithms`` writes it. An archive goes by its SHA-256, and is copied for a run only if it has it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter

from constructs_lib.names.algorithms import ALGORITHMS
from constructs_lib.names.file_parts import Part, shown, unknown
from constructs_lib.names.frameworks import PROCESSORS, Processor, processor_of
from constructs_lib.names.hyperparameters import text_of
from constructs_lib.names.problems import BINARY, MULTICLASS, REGRESSION

FILE: Final = Path(__file__).with_name("algorithm_pins.json")

Task = Literal["classification", "regression", "any"]
TASKS: Final[Mapping[str, Task]] = {BINARY: "classification", MULTICLASS: "classification", REGRESSION: "regression"}
"""Problem to what AWS calls it where an algorithm has a model for each; of all others there is one for any."""

MODEL_IDS: Final[Mapping[str, Mapping[Task, str]]] = {
    "autogluon": {
        "classification": "autogluon-classification-ensemble",
        "regression": "autogluon-regression-ensemble",
    },
    "catboost": {"classification": "catboost-classification-model", "regression": "catboost-regression-model"},
    "lightgbm": {"classification": "lightgbm-classification-model", "regression": "lightgbm-regression-model"},
    "tabtransformer": {
        "classification": "pytorch-tabtransformerclassification-model",
        "regression": "pytorch-tabtransformerregression-model",
    },
    "image-classification-tensorflow": {"any": "tensorflow-ic-imagenet-mobilenet-v2-100-224-classification-4"},
    "object-detection-tensorflow": {"any": "tensorflow-od1-ssd-resnet50-v1-fpn-640x640-coco17-tpu-8"},
    "text-classification-tensorflow": {"any": "tensorflow-tc-bert-en-uncased-L-12-H-768-A-12-2"},
}
"""Algorithm to the models that its page in the SageMaker developer guide trains."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Archive(Part):
    """An archive in AWS's bucket.

    Attributes:
        key: Its key, the same in every region.
        sha256: Its digest. Default: whoever wrote the pin has not seen the archive.
    """

    key: str
    sha256: Sha256 | None = None


class Images(Part):
    """The images of a framework for one use.

    Attributes:
        repository: Name of the repository.
        tags: Processor to tag.
    """

    repository: str
    tags: dict[Processor, str] = Field(min_length=1)


class Training(Part):
    """What trains.

    Attributes:
        images: The images.
        script: The script, ``sourcedir.tar.gz``.
        model: What the training begins with.
        instance_types: What AWS has tried it on. Default: the list does not say.
    """

    images: Images
    script: Archive
    model: Archive
    instance_types: tuple[str, ...] = ()


class Serving(Part):
    """What serves.

    Attributes:
        images: The images.
        script: The script, where the training does not put it into the model's archive. Default: it does.
        environment: What the container is told.
        instance_types: What AWS has tried it on. Default: the list does not say.
    """

    images: Images
    script: Archive | None = None
    environment: dict[str, str] = Field(default={})
    instance_types: tuple[str, ...] = ()


class Hyperparameter(Part):
    """A hyperparameter of the script.

    Attributes:
        name, type: Its name and what it is.
        default: What it is unless a workload says otherwise, as text.
        min, max: Its limits. Default: there is none.
        options: The texts that are allowed. Default: all.
    """

    name: str
    type: Literal["int", "float", "text", "bool"]
    default: str
    min: float | None = None
    max: float | None = None
    options: tuple[str, ...] = ()

    def refusal(self, value: Any) -> str | None:
        """Says why a value is not allowed; nothing when it is."""
        if self.options and text_of(value) not in self.options:
            return f"must be one of {', '.join(self.options)}, was {shown(value)}"
        if self.type not in ("int", "float"):
            return None
        if isinstance(value, bool) or not isinstance(value, int if self.type == "int" else int | float):
            return f"must be a{'n integer' if self.type == 'int' else ' number'}, was {shown(value)}"
        if (self.min is not None and value < self.min) or (self.max is not None and value > self.max):
            limits = [f"at least {self.min:g}"] if self.min is not None else []
            limits += [f"at most {self.max:g}"] if self.max is not None else []
            return f"must be {' and '.join(limits)}, was {shown(value)}"
        return None


class Region(Part):
    """Where it is in a region.

    Attributes:
        bucket: AWS's bucket with the archives.
        training_registry, serving_registry: The accounts whose registries hold the images.
    """

    bucket: str
    training_registry: str
    serving_registry: str


class Source(Part):
    """Where a pin was read.

    Attributes:
        date: When, ``YYYY-MM-DD``.
        text: What was read.
        sha256: The digest of what was read. Default: it was quoted by somebody else.
    """

    date: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]
    text: str
    sha256: Sha256 | None = None


class Pin(Part):
    """One version of one model of AWS's list.

    Attributes:
        model_id, version: Its name and version there.
        source: Where this was read.
        training, serving: What trains and what serves.
        hyperparameters: Those of the script.
        settings: Hyperparameters that tell the image how to start the script.
        regions: Region to where it is there.
    """

    model_id: str
    version: str
    source: Source
    training: Training
    serving: Serving
    hyperparameters: tuple[Hyperparameter, ...]
    settings: dict[str, str]
    regions: dict[str, Region] = Field(min_length=1)

    @property
    def archives(self) -> tuple[Archive, ...]:
        """All archives."""
        serving = (self.serving.script,) if self.serving.script is not None else ()
        return (self.training.script, self.training.model, *serving)


Pins = dict[str, dict[Task, Pin]]
_PINS: Final = TypeAdapter(Pins)


@cache
def pins(path: Path = FILE) -> Pins:
    """Returns all pins: algorithm and task to pin.

    Raises:
        ValueError: The file is not of the form that ``python -m gate.algorithms`` writes.
    """
    return _PINS.validate_python(json.loads(path.read_text(encoding="utf-8")))


def task_of(algorithm: str, problem: str) -> Task:
    """Returns which of an algorithm's models a problem is for."""
    return TASKS[problem] if "any" not in MODEL_IDS[algorithm] else "any"


def pin_of(algorithm: str, problem: str, path: Path = FILE) -> Pin | None:
    """Returns the pin of an algorithm for a problem, or nothing where there is none."""
    return pins(path).get(algorithm, {}).get(task_of(algorithm, problem))


def command(algorithm: str, region: str | None) -> str:
    """Returns what pins an algorithm where AWS can be reached."""
    return f"python -m gate.algorithms {algorithm} --region {region or '<region>'}"


def check_pinned(
    algorithm: str,
    *,
    problem: str,
    region: str | None,
    hyperparameters: Mapping[str, Any],
    training: str,
    serving: str,
    path: Path = FILE,
) -> None:
    """Checks that an algorithm which AWS ships as scripts can be trained and served by what is pinned.

    Args:
        algorithm, problem: What is to solve what.
        region: Where. Default: the templates are for any region, and fail where there is no pin.
        hyperparameters: What the workload gives.
        training, serving: The machines.

    Raises:
        ValueError: It cannot; the message starts with the key that it is about.
    """
    if not ALGORITHMS[algorithm].pinned:
        return
    pin = pin_of(algorithm, problem, path)
    if pin is None or (region is not None and region not in pin.regions):
        where = f" in {region}" if region is not None else ""
        there = f" (pinned in: {', '.join(sorted(pin.regions))})" if pin is not None else ""
        raise ValueError(
            f"model.algorithm: {algorithm} is not pinned for {problem}{where}{there}; pin it where AWS can be reached: "
            f"{command(algorithm, region)}"
        )
    _check_machine("training", pin.training, training, algorithm)
    _check_machine("serving", pin.serving, serving, algorithm)
    known = {each.name: each for each in pin.hyperparameters}
    for name, value in hyperparameters.items():
        if name not in known:
            what = f"hyperparameter of {pin.model_id} {pin.version}"
            raise ValueError(f"training.hyperparameters: {unknown(name, known, what)}")
        refusal = known[name].refusal(value)
        if refusal is not None:
            raise ValueError(f"training.hyperparameters.{name}: {refusal}")


def _check_machine(use: str, pinned: Training | Serving, machine: str, algorithm: str) -> None:
    if pinned.instance_types and machine not in pinned.instance_types:
        raise ValueError(
            f"{use}.instance_type: AWS has not tried {algorithm} on {machine} (allowed: "
            f"{', '.join(pinned.instance_types)})"
        )
    if processor_of(machine) not in pinned.images.tags:
        kinds = {"cpu": "x86 processors", "gpu": "GPUs"}
        made_for = " or ".join(kinds[each] for each in PROCESSORS if each in pinned.images.tags)
        raise ValueError(
            f"{use}.instance_type: there is an image of {algorithm} for machines with {made_for} only, was {machine}"
        )
