"""What one run of a workload's pipelines costs, by assumed times and at the limits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from constructs_lib.names.algorithm_pins import pin_of
from constructs_lib.names.automl_file import AutoMLModel
from constructs_lib.names.built_in_file import BuiltInModel
from constructs_lib.names.prices import Component, estimated_hour, price_of
from constructs_lib.names.workload_file import WorkloadFile

MINUTES_PER_HOUR: Final = 60
ASSUMED_MINUTES: Final = 5
"""How long each job is assumed to work. No run on AWS has been measured; the record of a run says what it took."""

GOLDEN_MINUTES: Final = 30
ENCODING_MINUTES: Final = 120
PACKING_MINUTES: Final = 60
REQUEST_MINUTES: Final = 60
"""Limits of jobs that the workload file says nothing of."""

_DPU: Final = {"G.1X": 1, "G.2X": 2, "G.4X": 4, "G.8X": 8}


@dataclass(frozen=True)
class Job:
    """One job of a run.

    Args:
        name: What it is.
        machines: What it runs on.
        usd_per_hour: What all its machines cost in an hour; None where no source gives a price.
        most_minutes: Its time limit.
        assumption: What its price assumes. Default: nothing.
    """

    name: str
    machines: str
    usd_per_hour: float | None
    most_minutes: int
    assumption: str | None = None

    @property
    def assumed_usd(self) -> float | None:
        """What it costs by the assumed time."""
        return self._usd(min(ASSUMED_MINUTES, self.most_minutes))

    @property
    def most_usd(self) -> float | None:
        """What it costs at its limit."""
        return self._usd(self.most_minutes)

    def _usd(self, minutes: float) -> float | None:
        return None if self.usd_per_hour is None else self.usd_per_hour * minutes / MINUTES_PER_HOUR


def jobs_of_run(workload: WorkloadFile, region: str) -> list[Job]:
    """Returns the jobs from a landed batch to a deployed model, in order.

    Crawls are left out, since AWS does not tell beforehand on how much they run; so are requests, transitions and
    calls, of which a run has some hundreds.

    Args:
        workload: As it is in the stage.
    """
    preparation, training = workload.preparation, workload.training
    dpu = price_of(region, "glue DPU hour")
    units = preparation.workers * _DPU[preparation.worker_type]
    glue = Job(
        "data job",
        f"{preparation.workers} x {preparation.worker_type}",
        None if dpu is None else dpu.usd * units,
        preparation.timeout_minutes,
    )
    scored = not workload.model.evaluated_in_process
    jobs = workload.job_machine

    def processing(name: str, minutes: int) -> Job:
        return _sagemaker(name, "Processing", jobs, 1, minutes, region)

    def transform(name: str) -> Job:
        return _sagemaker(name, "Transform", workload.serving.instance_type, 1, training.max_runtime_minutes, region)

    return [
        glue,
        *([processing("encoding", ENCODING_MINUTES)] if isinstance(workload.model, BuiltInModel | AutoMLModel) else []),
        _training(workload, region),
        *([processing("packing", PACKING_MINUTES)] if _packs(workload) else []),
        *([processing("requests", REQUEST_MINUTES), transform("scoring")] if scored else []),
        processing("evaluation", workload.evaluation.max_runtime_minutes),
        *([processing("golden requests", GOLDEN_MINUTES), transform("golden answers")] if scored else []),
        processing("golden check", GOLDEN_MINUTES),
    ]


def _packs(workload: WorkloadFile) -> bool:
    """Whether the script that serves is put into the model's archive by a job of its own."""
    model = workload.model
    if not isinstance(model, BuiltInModel) or not model.traits.pinned:
        return False
    pin = pin_of(model.algorithm, workload.problem)
    return pin is not None and pin.serving.script is not None


def _training(workload: WorkloadFile, region: str) -> Job:
    training = workload.training.compute
    if isinstance(workload.model, AutoMLModel):
        return Job("search", "chosen by Autopilot", None, workload.model.max_runtime_minutes)
    tuning = workload.training.tuning
    name, trials = ("training", 1) if tuning is None else ("trials", tuning.trials)
    count, minutes = trials * training.instance_count, training.max_runtime_minutes
    return _sagemaker(name, "Training", training.instance_type, count, minutes, region)


def _sagemaker(name: str, use: Component, machine: str, count: int, minutes: int, region: str) -> Job:
    found = estimated_hour(region, use, machine)
    if found is None:
        return Job(name, f"{count} x {machine}", None, minutes)
    return Job(name, f"{count} x {machine}", count * found.price.usd, minutes, found.assumption)


def sum_of(values: Iterable[float | None]) -> tuple[float, bool]:
    """Returns the sum of what is known, and whether all of it is."""
    found = list(values)
    return sum(value for value in found if value is not None), None not in found
