"""What ``workload.yaml`` says of single stages: the values in which they differ from the rest of the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from constructs_lib.names.compute_file import Distribution, Minutes, MlInstance, Spot, VolumeGb
from constructs_lib.names.file_parts import Part

StageName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{1,7}$")]


class StagePreparation(Part):
    """Values of ``preparation`` that a stage has instead."""

    worker_type: Literal["G.1X", "G.2X", "G.4X", "G.8X"] | None = None
    workers: Annotated[int, Field(ge=2, le=100)] | None = None
    auto_scaling: bool | None = None
    timeout_minutes: Annotated[int, Field(ge=5, le=1440)] | None = None


class StageBudget(Part):
    """Values of ``training.tuning.budget`` that a stage has instead."""

    trials: Annotated[int, Field(ge=1)] | None = None
    parallel: Annotated[int, Field(ge=1)] | None = None
    minutes: Annotated[int, Field(ge=2)] | None = None


class StageTrial(Part):
    """Values of ``training.tuning.trial`` that a stage has instead."""

    instance_type: MlInstance | None = None
    instance_count: Annotated[int, Field(ge=1, le=100)] | None = None
    volume_gb: VolumeGb | None = None
    max_runtime_minutes: Minutes | None = None


class StageTuning(Part):
    """Values of ``training.tuning`` that a stage has instead."""

    budget: StageBudget = StageBudget()
    trial: StageTrial = StageTrial()


class StageTraining(Part):
    """Values of ``training`` that a stage has instead; ``tuning: null`` trains once there."""

    tuning: StageTuning | None = None

    instance_type: MlInstance | None = None
    instance_count: Annotated[int, Field(ge=1, le=100)] | None = None
    distribution: Distribution | None = None
    volume_gb: VolumeGb | None = None
    max_runtime_minutes: Minutes | None = None
    spot: Spot | None = None
    warm_pool_minutes: Annotated[int, Field(ge=1, le=60)] | None = None


class StageEvaluation(Part):
    """Values of ``evaluation`` that a stage has instead."""

    instance_type: MlInstance | None = None
    volume_gb: VolumeGb | None = None
    max_runtime_minutes: Minutes | None = None


class StageServing(Part):
    """Values of ``serving`` that a stage has instead."""

    instance_type: MlInstance | None = None
    instance_count: Annotated[int, Field(ge=1, le=50)] | None = None


class StageValues(Part):
    """The compute of one stage. A key that is given takes the place of the file's own; ``null`` is a value as well."""

    preparation: StagePreparation = StagePreparation()
    training: StageTraining = StageTraining()
    evaluation: StageEvaluation = StageEvaluation()
    serving: StageServing = StageServing()

    def given(self) -> Mapping[str, Mapping[str, Any]]:
        """What the stage says: section to key to value; parts of a stage are mappings themselves."""
        return {name: values for name, part in self if (values := _said(part))}


def _said(part: Part) -> dict[str, Any]:
    said = {key: getattr(part, key) for key in part.model_fields_set}
    return {key: _said(value) if isinstance(value, _NESTED) else value for key, value in said.items()}


_NESTED = (StageTuning, StageBudget, StageTrial)
"""Parts of which only what is said takes the place of the file's own."""
