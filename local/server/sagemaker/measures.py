"""The metrics of SageMaker that tell what jobs and endpoints use of their machines."""

from __future__ import annotations

from local.machine_sizes import size_of
from local.server.usage import Figure, Measure

_OF_JOBS = {"training": "/aws/sagemaker/TrainingJobs", "processing": "/aws/sagemaker/ProcessingJobs"}
_OF_ENDPOINTS = "/aws/sagemaker/Endpoints"


def of_job(kind: str, job: str, host: str, machine: str) -> Measure:
    """What is published of one machine of a job.

    Args:
        kind: ``training`` or ``processing``.
        job: Its name.
        host: The name of its machine, such as ``algo-1``.
        machine: The type of that.
    """
    return _measure(_OF_JOBS[kind], {"Host": f"{job}/{host}"}, machine)


def of_variant(endpoint: str, variant: str, machine: str) -> Measure:
    """What is published of one instance of a variant."""
    return _measure(_OF_ENDPOINTS, {"EndpointName": endpoint, "VariantName": variant}, machine, serves=True)


def _measure(namespace: str, dimensions: dict[str, str], machine: str, *, serves: bool = False) -> Measure:
    """Each processor counts up to 100, as SageMaker's documentation says."""
    size = size_of(machine)
    memory = Figure("MemoryUtilization", 100 / size.memory_bytes) if size is not None else None
    return Measure(namespace, dimensions, Figure("CPUUtilization", 100), memory, serves)
