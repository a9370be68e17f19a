"""What ``workload.yaml`` says of training: machine, hyperparameters, seed and limits, whatever makes the model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationError

from constructs_lib.names.compute_file import SWITCHES, TrainingCompute, TrialCompute
from constructs_lib.names.guard_file import Guard
from constructs_lib.names.hyperparameters import Hyperparameter, HyperparameterName, text_of
from constructs_lib.names.tuning_file import Tuning
from constructs_lib.names.window_file import TrainingWindow


class Training(TrainingCompute):
    """One training run: its machines, hyperparameters, seed and time limit.

    Attributes:
        read_from: Where the splits are read from: ``s3``, or ``lustre``, the file system that the stage must have.
        guard: Watches every training. Default: nothing does.
        tuning: Searches for better hyperparameters by many trainings. Default: there is one training.
        window: Which rows of the train split the script learns from. Default: all, one as much as the other.
    """

    hyperparameters: dict[HyperparameterName, Hyperparameter] = Field(default={})
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    read_from: Literal["s3", "lustre"] = "s3"
    guard: Guard | None = None
    tuning: Tuning | None = None
    window: TrainingWindow | None = None

    @property
    def compute(self) -> TrainingCompute:
        """The machines of a training as the run starts it: of a tuning those of its trials.

        Raises:
            ValueError: They do not fit together; the message starts with the key that it is about.
        """
        own = {name: getattr(self, name) for name in TrainingCompute.model_fields}
        trial = self.tuning.trial if self.tuning is not None else TrialCompute()
        try:
            return TrainingCompute.model_validate({**own, **trial.model_dump(exclude_none=True)})
        except ValidationError as error:
            raise ValueError(f"training.tuning.trial: {error.errors()[0]['ctx']['error']}") from error

    def texts(self) -> dict[str, str]:
        """The hyperparameters as a training job takes them, the seed among them."""
        return {**{name: text_of(value) for name, value in self.hyperparameters.items()}, "seed": str(self.seed)}

    def switches(self) -> dict[str, str]:
        """The hyperparameters that tell a framework's image how to start the script; they are no script's own."""
        if self.distribution is None:
            return {}
        machine = (
            {"sagemaker_instance_type": self.compute.instance_type} if self.distribution == "torch_distributed" else {}
        )
        return {**SWITCHES[self.distribution], **machine}
