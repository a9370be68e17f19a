"""What a training is asked for, whatever makes the model; the one job that trains; where the last tuning is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from constructs_lib.asl import JSON, State, expression
from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.jobs import JobPlace, training_job
from constructs_lib.machines.makers.parts import ModelParts


@dataclass(frozen=True)
class Made:
    """What a training is asked for, and what is remembered of it.

    Args:
        place: Where it runs, with its image.
        channels: ``InputDataConfig`` of the request.
        hyperparameters: As texts, all that the training is told.
        kept: Those that the run's record keeps.
        assign: Variables to set from the finished job, all but ``hyperparameters``.
        more: Other members of the request. Default: none.
        own_image: Whether the image holds the code that trains. Default: scripts or an algorithm do.
    """

    place: JobPlace
    channels: Sequence[JSON]
    hyperparameters: Mapping[str, str]
    kept: Mapping[str, str]
    assign: Mapping[str, JSON]
    more: Mapping[str, JSON] | None = None
    own_image: bool = False


def train_once(s: Surroundings, p: ModelParts, made: Made) -> State:
    """Trains by one job."""
    return training_job(
        s,
        made.place,
        p.training,
        role_arn=p.training_role_arn,
        channels=made.channels,
        hyperparameters=made.hyperparameters,
        assign={**made.assign, "hyperparameters": dict(made.kept)},
        more=made.more,
    )


def last_tuning(s: Surroundings) -> str:
    """The key of the item that says which tuning of a workload was the last."""
    return f"last-tuning#{s.workload}"


def made_with(made: Made) -> dict[str, str]:
    """What two tunings must share to have the same data and algorithm: attribute to the JSONata of this run's value."""
    return {
        "dataset_version": "$states.input.dataset.version",
        "bundle": "$states.input.bundle.bundle",
        "image": expression(made.place.image_uri),
    }
