"""Training and evaluation as the steps of a SageMaker pipeline: the machine's own requests, written another way.

A state's request holds JSONata, a step's request holds references. Each expression has one counterpart: a parameter
that the machine hands over when it starts the pipeline, a result of an earlier step, or a text that is known at
synthesis. An expression without a counterpart is refused, so what the pipeline asks for cannot come to differ from what
the machine would ask for.

The format is described at https://aws-sagemaker-mlops.github.io/sagemaker-model-building-pipeline-definition-JSON-schema/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from constructs_lib.asl import JSON, State, attempt, inner
from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.jobs import checkpoints_uri, job_name, result_uri
from constructs_lib.machines.makers.parts import ModelParts
from constructs_lib.machines.makers.script import split_channel, split_uri, train
from constructs_lib.machines.model import evaluate

TRAIN, COMPARE, EVALUATE, EVALUATE_ALONE = "train", "compare", "evaluate", "evaluate-alone"
"""Names of the steps, in lower case as they come back in the ARNs of jobs."""

VERSION = "2020-12-01"
NO_CHAMPION = "none"

_RESULTS = "evaluations"
_RETRIES = {"IntervalSeconds": 2, "BackoffRate": 2, "MaxAttempts": 5}
_RETRIED = (["Step.SERVICE_FAULT", "Step.THROTTLING"], ["SageMaker.RESOURCE_LIMIT"])


class NoCounterpart(ValueError):
    """A request of the machine holds an expression that the pipeline has nothing for."""


@dataclass(frozen=True)
class Parameter:
    """A value that the machine hands over.

    Args:
        name: As people in Studio see it.
        expression: The JSONata that it stands for in the machine's requests.
        value: The JSONata of what is handed over. Default: the same.
    """

    name: str
    expression: str
    value: str | None = None

    @property
    def reference(self) -> dict[str, JSON]:
        """How a step refers to it."""
        return {"Get": f"Parameters.{self.name}"}


def pipeline_definition(s: Surroundings, p: ModelParts, image_uri: str) -> dict[str, JSON]:
    """Returns the pipeline: it trains, then evaluates, against a champion where there is one.

    Args:
        image_uri: The framework image that trains; may be a token.

    Raises:
        NoCounterpart: A request holds something that the pipeline cannot know.
    """
    handed_over = parameters(s, p, attempt())
    known: dict[str, JSON] = {
        **{each.expression: each.reference for each in handed_over},
        **{job_name(s, kind): s.name_of(kind) for kind in ("train", "eval")},
        "$model_uri": {"Get": f"Steps.{TRAIN}.ModelArtifacts.S3ModelArtifacts"},
    }
    champion = next(each for each in handed_over if each.name == "Champion").reference
    return {
        "Version": VERSION,
        "Metadata": {},
        "Parameters": [{"Name": each.name, "Type": "String"} for each in handed_over],
        "Steps": [
            step(TRAIN, "Training", train(s, p, image_uri, image_uri), known),
            {
                "Name": COMPARE,
                "Type": "Condition",
                "Arguments": {
                    "Conditions": [{"Type": "Equals", "LeftValue": champion, "RightValue": NO_CHAMPION}],
                    "IfSteps": [step(EVALUATE_ALONE, "Processing", evaluate(s, p, alone), known)],
                    "ElseSteps": [step(EVALUATE, "Processing", evaluate(s, p, against), known)],
                },
            },
        ],
    }


def parameters(s: Surroundings, p: ModelParts, results: str) -> tuple[Parameter, ...]:
    """Returns what the machine hands over to a run of the pipeline.

    Args:
        results: The JSONata of the folder that the evaluation's results go to, below those of all runs.
    """
    everything = f"'{result_uri(s, p.place, _RESULTS)}' & "
    folders = ("train", "validation") if p.lustre is not None else ()
    return (
        *(Parameter(f"{name.capitalize()}Data", split_uri(name)) for name in ("train", "validation", "test")),
        *(Parameter(f"{name.capitalize()}Folder", _folder(p, name)) for name in folders),
        *(Parameter("Image", image) for image in [inner(p.place.image_uri)] if image is not None),
        Parameter("DatasetVersion", "$states.input.dataset.version"),
        Parameter("Code", p.place.bundle_uri(s, "$states.input.bundle.bundle")),
        *([Parameter("Checkpoints", checkpoints_uri(s, p.place))] if p.training.spot_minutes is not None else []),
        Parameter("Champion", "$champion_uri"),
        Parameter("Results", everything + attempt(), everything + results),
    )


def step(name: str, kind: Literal["Training", "Processing"], state: State, known: Mapping[str, JSON]) -> JSON:
    """Returns the step that asks for the same job as a state of the machine, and tries again after the same faults.

    Args:
        name: Name of the step.
        kind: What the job is.
        state: The state.
        known: JSONata to its counterpart.

    Raises:
        NoCounterpart: The state's request holds an expression that is not known.
    """
    return {
        "Name": name,
        "Type": kind,
        "Arguments": translated(state["Arguments"], known),
        "RetryPolicies": [{"ExceptionType": errors, **_RETRIES} for errors in _RETRIED],
    }


def translated(value: JSON, known: Mapping[str, JSON]) -> JSON:
    """Returns a request in which counterparts stand for expressions.

    Raises:
        NoCounterpart: An expression is not known.
    """
    if isinstance(value, Mapping):
        return {name: translated(each, known) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [translated(each, known) for each in value]
    text = inner(value)
    if text is None:
        return value
    if text not in known:
        raise NoCounterpart(f"expression {text!r} has no counterpart in a pipeline; known: {', '.join(known)}")
    return known[text]


def alone(always: list[JSON], _champion: list[JSON]) -> JSON:
    """What an evaluation is given where there is no champion."""
    return always


def against(always: list[JSON], champion: list[JSON]) -> JSON:
    """What an evaluation is given where there is a champion."""
    return [*always, *champion]


def _folder(p: ModelParts, name: str) -> str:
    """The JSONata by which training finds a split on a file system."""
    [text] = _expressions(split_channel(p, name, split_uri(name)))
    return text


def _expressions(value: JSON) -> Iterator[str]:
    text = inner(value)
    if text is not None:
        yield text
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _expressions(each)
