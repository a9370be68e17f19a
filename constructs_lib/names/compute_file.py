"""What ``workload.yaml`` says of machines: of which size, how many, with what disk, and how a training gets them."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from constructs_lib.names.file_parts import Part

MlInstance = Annotated[str, Field(pattern=r"^ml\.[a-z][a-z0-9-]*\.[a-z0-9]+$")]
VolumeGb = Annotated[int, Field(ge=1, le=16_384)]
Minutes = Annotated[int, Field(ge=1, le=7200)]

VOLUME_GB: Final = 30
WITHOUT_CHECKPOINTS_MINUTES: Final = 60
"""How long SageMaker waits at most for spot machines of an algorithm that keeps no checkpoints."""

Distribution = Literal["hosts", "mpi", "torch_distributed"]
SWITCHES: Final[dict[Distribution, dict[str, str]]] = {
    "hosts": {},
    "mpi": {"sagemaker_mpi_enabled": "true"},
    "torch_distributed": {"sagemaker_torch_distributed_enabled": "true"},
}
"""How a script is started on several machines, and the hyperparameters that tell the framework's image so."""


class Spot(Part):
    """Spare machines at a lower price, which AWS may take back: the job then goes on from its last checkpoint.

    Attributes:
        max_wait_minutes: How long the job may take from its start to its end, waiting for machines included.
    """

    max_wait_minutes: Annotated[int, Field(ge=1, le=40_320)]


class TrainingCompute(Part):
    """The machines of one training job, and how long it may have them.

    Attributes:
        instance_type: SageMaker's name for the machine.
        instance_count: How many of them train together.
        distribution: How a script is started on several machines: ``hosts``, as it is, on each of them; ``mpi``, by
            ``mpirun``; ``torch_distributed``, by ``torchrun``. Default: it is not; algorithms and containers need none.
        volume_gb: The size of each machine's disk; machines with disks of their own have those.
        max_runtime_minutes: How long the job may run.
        spot: Trains on spare machines, with checkpoints. Default: on machines that are kept.
        warm_pool_minutes: For how long the machines are kept, and paid for, after a job for the next one. Default: they
            are not.
    """

    instance_type: MlInstance = "ml.m5.large"
    instance_count: Annotated[int, Field(ge=1, le=100)] = 1
    distribution: Distribution | None = None
    volume_gb: VolumeGb = VOLUME_GB
    max_runtime_minutes: Minutes = 60
    spot: Spot | None = None
    warm_pool_minutes: Annotated[int, Field(ge=1, le=60)] | None = None

    @model_validator(mode="after")
    def _can_be_had(self) -> Self:
        if self.spot is not None and self.spot.max_wait_minutes < self.max_runtime_minutes:
            raise ValueError(
                f"spot.max_wait_minutes: includes the time that the job runs, so it must be at least "
                f"max_runtime_minutes, {self.max_runtime_minutes}, was {self.spot.max_wait_minutes}"
            )
        if self.spot is not None and self.warm_pool_minutes is not None:
            raise ValueError("warm_pool_minutes: does not go together with spot; spare machines cannot be kept")
        if self.distribution == "hosts" and self.instance_count == 1:
            raise ValueError("distribution: hosts needs an instance_count of at least 2, was 1")
        return self

    @property
    def most_minutes(self) -> int:
        """How long the job takes at most, waiting for spare machines included."""
        return self.max_runtime_minutes if self.spot is None else self.spot.max_wait_minutes


class TrialCompute(Part):
    """In what the machines of a tuning's trials differ from those of ``training``. Default of each key: in nothing.

    Attributes:
        instance_type, instance_count, volume_gb, max_runtime_minutes: As in ``training``.
    """

    instance_type: MlInstance | None = None
    instance_count: Annotated[int, Field(ge=1, le=100)] | None = None
    volume_gb: VolumeGb | None = None
    max_runtime_minutes: Minutes | None = None


class JobCompute(Part):
    """The machine of processing jobs; each of them runs on one.

    Attributes:
        instance_type: SageMaker's name for the machine. Default: the one that trains.
        volume_gb: The size of its disk.
        max_runtime_minutes: How long the evaluation may take.
    """

    instance_type: MlInstance | None = None
    volume_gb: VolumeGb = VOLUME_GB
    max_runtime_minutes: Minutes = 60
