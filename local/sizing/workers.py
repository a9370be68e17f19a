"""The workers of the Glue jobs of a workload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from constructs_lib.names.prices import price_of
from local.machine_sizes import GLUE_WORKERS
from local.settings import REGION
from local.sizing.figures import Question, ask, largest
from local.sizing.hints import Workers, of_workers
from local.sizing.things import Cost, Place, Thing

MOST_RUNS: Final = 100
"""How many of the newest runs of a job are looked at."""

_GROUP: Final = {"ObservabilityGroup": "resource_utilization"}
_GIB_OF_DPU: Final = 16
"""A data processing unit is four processors and 16 GB (AWS Glue's page of prices)."""


def glue_jobs(place: Place) -> Iterator[Thing]:
    """The jobs of the workload's stack."""
    client = place.client("glue")
    for name in place.resources("AWS::Glue::Job").values():
        runs = client.get_job_runs(JobName=name, MaxResults=MOST_RUNS)["JobRuns"]
        newest = [str(each["Id"]) for each in runs if each["StartedOn"] >= place.since]
        yield _job(place, name, client.get_job(JobName=name)["Job"], newest)


def _job(place: Place, name: str, job: Mapping[str, Any], runs: Sequence[str]) -> Thing:
    auto = job.get("DefaultArguments", {}).get("--enable-auto-scaling") == "true"
    workers = Workers(job["WorkerType"], job["NumberOfWorkers"], auto)
    _, gib = GLUE_WORKERS.get(workers.kind, (0, 0))
    used = _of_runs(place, name, runs, "glue.driver.memory.total.used", _GROUP)
    memory = used / (gib << 30) if used is not None and gib else None
    busy = as_share(_of_runs(place, name, runs, "glue.driver.workerUtilization", _GROUP))
    load = _of_runs(place, name, runs, "glue.driver.system.cpuSystemLoad", {})
    price = price_of(REGION, "glue DPU hour")
    usd = price.usd * workers.count * gib / _GIB_OF_DPU if price is not None and gib else None
    size = f"{'up to ' if auto else ''}{workers.count} x {workers.kind}"
    hint = of_workers(workers, memory, busy)
    return Thing(
        "Glue job", name.removeprefix(place.prefix), size, len(runs), load, memory, hint, Cost(usd, None, "hour")
    )


def as_share(value: float | None) -> float | None:
    """Glue's documentation calls the figure a percentage, its examples have shares; above 1 it is one of the former."""
    return value / 100 if value is not None and value > 1 else value


def _of_runs(place: Place, name: str, runs: Sequence[str], metric: str, more: Mapping[str, str]) -> float | None:
    where = [{"JobName": name, "JobRunId": run, "Type": "gauge", **more} for run in runs]
    return largest(ask(place.aws, [Question("Glue", metric, each) for each in where], place.now))
