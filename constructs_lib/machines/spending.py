"""What the jobs of a run took and cost, as its record tells it: an estimate from a dated table of prices.

Every job of which the run keeps a result leaves its machines and seconds in ``$spent``; when the record is written,
they are multiplied by the price of an hour of the machine in the execution's region. Where another price stands in for
one that has no source, the record says so beside the sum. When a job has no price there is no estimate, and the record
tells which job it is. Tries that failed are not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from constructs_lib.asl import JSON, jsonata
from constructs_lib.machines.common import text
from constructs_lib.names.prices import MACHINE_HOURS, SOURCES, Component, Estimate, estimated_hour

NOTHING: Mapping[str, JSON] = {"spent": {}}
"""What an execution begins with."""

SECONDS_PER_HOUR = 3600
_RESULT = "$states.result"


def training_spent(described: str = _RESULT) -> dict[str, JSON]:
    """The variable, with a training job in it: machines that AWS bills by its own count of seconds.

    On spare machines that count is lower than the time that was taken, by as much as their price is.

    Args:
        described: The JSONata of what describing the job gave.
    """
    machines = f"{described}.ResourceConfig"
    return _and("training", "Training", machines, f"{described}.BillableTimeInSeconds")


def trials_spent(best: str, trials: str) -> dict[str, JSON]:
    """The variable, with all trials of a tuning in it but the best, which counts as the training.

    Args:
        best: The JSONata of the name of the best one, whose description this state's result is.
        trials: The JSONata of all of them: ``[{"name", "seconds"?}]``, seconds as they were taken.
    """
    others = f"$sum([{trials}[name != {best}].seconds])"
    return _and("other trials", "Training", f"{_RESULT}.ResourceConfig", others)


def processing_spent(job: str) -> dict[str, JSON]:
    """The variable, with the processing job of this state in it.

    Args:
        job: What the job is called in the record.
    """
    return _and(job, "Processing", f"{_RESULT}.ProcessingResources.ClusterConfig", _between("Processing"))


def transform_spent() -> str:
    """The JSONata of the entry of the batch transform of this state."""
    return _entry("Transform", f"{_RESULT}.TransformResources", _between("Transform"))


def with_transforms(entries: str) -> str:
    """The JSONata of the variable with the entries of batch transforms in it.

    Args:
        entries: The JSONata of a list of them.
    """
    named = f"$merge([$map({entries}, function($e, $i) {{{{'scoring ' & ($i + 1): $e}}}})])"
    return f"$merge([$spent, {named}])"


def step_spent(job: str, machine: str, seconds: str) -> str:
    """The JSONata of the variable with a processing job in it that a pipeline ran as a step.

    Args:
        job: What the job is called in the record.
        machine: SageMaker's name for the machine.
        seconds: The JSONata of how long the step took.
    """
    entry = f"{{'use': 'Processing', 'instance_type': '{machine}', 'instance_count': 1, 'seconds': {seconds}}}"
    return f"$merge([$spent, {{{text(job)}: {entry}}}])"


def unknown_spent(job: str) -> dict[str, JSON]:
    """The variable, with a job in it of which nobody says where and for how long it ran."""
    return {"spent": jsonata(f"$merge([$spent, {{{text(job)}: {{'use': 'Training'}}}}])")}


def estimate(machines: Iterable[tuple[Component, str]]) -> str:
    """The JSONata of ``{"usd", "assumption", "basis"}``: the estimate, or ``none``, what it assumes, or ``none``, and
    job by job what it is made of.

    Args:
        machines: What jobs run on: use and SageMaker's name for the machine.
    """
    found = "$lookup($lookup($prices, $region), $e.use & ' ' & $e.instance_type)"
    usd = f"$round($e.seconds * $e.instance_count * $p.usd_per_hour / {SECONDS_PER_HOUR}, 6)"
    job = (
        f"($e := $lookup($spent, $n); $p := {found}; "
        f"$merge([{{'job': $n}}, $e, $exists($p) and $exists($e.seconds) ? "
        f"$merge([$p, {{'usd': {usd}}}]) : {{}}]))"
    )
    known = "$count($jobs) > 0 and $count($jobs[$not($exists(usd))]) = 0"
    return (
        f"($prices := {_table(machines)}; $region := $split($states.context.Execution.Id, ':')[3]; "
        f"$jobs := [$map($keys($spent), function($n) {{{job}}})]; "
        f"{{'usd': {known} ? $round($sum($jobs.usd), 6) : 'none', "
        "'assumption': $exists($jobs.assumption) ? $join($distinct($jobs.assumption), '; ') : 'none', "
        "'basis': {'region': $region, 'jobs': $jobs}})"
    )


def _and(job: str, use: Component, machines: str, seconds: str) -> dict[str, JSON]:
    return {"spent": jsonata(f"$merge([$spent, {{{text(job)}: {_entry(use, machines, seconds)}}}])")}


def _entry(use: Component, machines: str, seconds: str) -> str:
    return (
        f"{{'use': '{use}', 'instance_type': {machines}.InstanceType, 'instance_count': {machines}.InstanceCount, "
        f"'seconds': {seconds}}}"
    )


def _between(kind: str) -> str:
    """The JSONata of the seconds from the start to the end of this state's job."""
    return seconds_between(f"{_RESULT}.{kind}StartTime", f"{_RESULT}.{kind}EndTime")


def seconds_between(start: str, end: str) -> str:
    """The JSONata of the seconds between two times, which come as milliseconds or as text."""
    millis = "function($t) {$type($t) = 'string' ? $toMillis($t) : $t}"
    return f"($millis := {millis}; $round(($millis({end}) - $millis({start})) / 1000))"


def _table(machines: Iterable[tuple[Component, str]]) -> str:
    """The JSONata of the prices of machines: region to use and machine to price."""
    machines, regions = tuple(machines), []
    for region in MACHINE_HOURS:
        found = [(use, machine, estimated_hour(region, use, machine)) for use, machine in machines]
        entries = [f"'{use} {machine}': {_priced(each)}" for use, machine, each in found if each is not None]
        regions.append(f"'{region}': {{{', '.join(entries)}}}")
    return f"{{{', '.join(regions)}}}"


def _priced(estimate: Estimate) -> str:
    """The JSONata of what a job's entry says of its price."""
    price, assumption = estimate.price, estimate.assumption
    assumed = f", 'assumption': {text(assumption)}" if assumption is not None else ""
    return f"{{'usd_per_hour': {price.usd}, 'price_of': '{SOURCES[price.source].date}'{assumed}}}"
