"""What to try where machines, workers or memory are too large or too small: pure decisions over what was measured.

Two limits, and one follows from the other. A fifth stays free at the most that was used, as AWS Compute Optimizer keeps
by default (``UtilizationPreference``: 20 % headroom of processors and of memory). What was never used to 40 % can be
halved within that, which is the rule of AWS's whitepaper "Right Sizing" (the maximum of processors and of memory below
40 % over four weeks). Burstable machines are left out, as that paper says. What nobody measured gives no hint.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from local.machine_sizes import BURSTABLE, WITH_GPU, MachineSize, family_of, glue_workers, size_of, sizes_of_family

LOW: Final = 0.4
HIGH: Final = 0.8
FEWEST_CALLS: Final = 50
"""Of a function, before its memory is judged: as many as Compute Optimizer wants (its user guide, requirements)."""

_LEAST_MEGABYTES: Final = 128
_MEGABYTES: Final = 64
_FEWEST_WORKERS: Final = 2

Verdict = Literal["fits", "larger", "smaller", "no figure"]


@dataclass(frozen=True)
class Hint:
    """What to try.

    Args:
        verdict: In one word.
        text: In a sentence.
        instead: The machine to try, where that is the hint.
    """

    verdict: Verdict
    text: str
    instead: str | None = None


@dataclass(frozen=True)
class Seen:
    """What was used of each machine, at the most.

    Args:
        processors, memory: Shares of all that it has; None where nobody measured.
    """

    processors: float | None
    memory: float | None


@dataclass(frozen=True)
class Bounds:
    """Between how many instances an endpoint scales, and how often one is to be asked in a minute, if that decides."""

    fewest: int
    most: int
    per_minute: float | None


@dataclass(frozen=True)
class Workers:
    """What a Glue job runs on."""

    kind: str
    count: int
    auto_scaling: bool


def of_machine(machine: str, count: int, seen: Seen, offered: Collection[str], *, serves: bool) -> Hint:
    """Judge the machines of a job or of an endpoint.

    Args:
        machine: Their type.
        count: How many there are.
        offered: The types that SageMaker has for this use.
        serves: Whether clients wait for it; a job's processors may be as busy as they can.
    """
    size, family = size_of(machine), family_of(machine)
    if size is None:
        return Hint("no figure", f"it is not known how large {machine} is")
    if family in BURSTABLE:
        return Hint("no figure", f"{family} is meant to idle: what it uses on average says nothing")
    sizes = [each for each in sizes_of_family(machine) if each.name in offered]
    if seen.memory is not None and seen.memory > HIGH:
        return _larger(size, sizes, f"memory is used to {_percent(seen.memory)}")
    if serves and seen.processors is not None and seen.processors > HIGH:
        return _larger(size, sizes, f"processors are busy to {_percent(seen.processors)}", "one instance more")
    if seen.memory is None or seen.processors is None:
        return Hint("no figure", f"nobody measured {_missing(seen)}")
    if seen.memory >= LOW or seen.processors >= LOW:
        return Hint("fits", "processors or memory are used to 40% or more")
    return _smaller(size, count, sizes, gpu=family in WITH_GPU)


def of_scaling(count: int, bounds: Bounds, most_per_minute: float | None) -> Hint:
    """Judge between how many instances an endpoint scales.

    Args:
        count: How many there are now.
        most_per_minute: What all of them together were asked in a minute, at the most.
    """
    if bounds.per_minute is None:
        return Hint("no figure", "it does not scale by requests; the figures of its machines tell")
    if most_per_minute is None:
        return Hint("no figure", "nobody has asked it anything")
    needed = max(1, math.ceil(most_per_minute / bounds.per_minute))
    asked = f"{most_per_minute:,.0f} requests in a minute want {needed} at {bounds.per_minute:,.0f} each"
    if needed > bounds.most:
        return Hint("larger", f"{asked}: raise max from {bounds.most} to {needed}")
    if needed < bounds.fewest:
        return Hint("smaller", f"{asked}: min {bounds.fewest} could be {needed}, unless its rollout needs more")
    return Hint("fits", f"{asked}; {count} are there, {bounds.fewest} to {bounds.most} are allowed")


def of_workers(workers: Workers, memory: float | None, busy: float | None) -> Hint:
    """Judge the workers of a Glue job.

    Args:
        memory: The share of its worker's memory that the driver used at the most.
        busy: The share of workers that were at work, at the most.
    """
    larger = next((each for each in glue_workers() if each.gib > _gib(workers.kind)), None)
    if memory is not None and memory > HIGH:
        told = f"the driver uses {_percent(memory)} of its worker's memory"
        return Hint("larger", f"{told}: try {larger.name}" if larger else f"{told}, and there is no larger worker")
    if busy is None:
        return Hint("no figure", "nobody measured how many workers were at work")
    if busy >= LOW:
        return Hint("fits", f"{_percent(busy)} of the workers were at work")
    fewer = max(_FEWEST_WORKERS, math.ceil(workers.count * busy / HIGH))
    told = f"only {_percent(busy)} of {workers.count} workers were at work"
    if fewer >= workers.count:
        return Hint("fits", f"{told}, and Glue takes no fewer")
    more = "" if workers.auto_scaling else ", or set auto_scaling"
    return Hint("smaller", f"{told}: try workers {fewer}{more}")


def of_function(megabytes: int, used: int | None, calls: int) -> Hint:
    """Judge the memory of a function, with which it gets processors.

    Args:
        used: What a call used at the most, in MB.
        calls: How many there were.
    """
    if used is None:
        return Hint("no figure", "nobody measured its calls" if calls else "it was not called")
    share = used / megabytes
    wanted = max(_LEAST_MEGABYTES, math.ceil(used / HIGH / _MEGABYTES) * _MEGABYTES)
    if share > HIGH:
        return Hint("larger", f"{_percent(share)} is used: try {wanted} MB")
    if share >= LOW or wanted >= megabytes:
        return Hint("fits", f"{_percent(share)} is used")
    if calls < FEWEST_CALLS:
        return Hint("no figure", f"{_percent(share)} is used in {calls} calls; to judge takes {FEWEST_CALLS}")
    return Hint("smaller", f"{_percent(share)} is used: try {wanted} MB, and see that calls take no longer")


def _larger(size: MachineSize, sizes: Sequence[MachineSize], why: str, otherwise: str = "") -> Hint:
    found = next((each for each in sizes if each.gib > size.gib), None)
    ways = [each for each in (found.name if found else "", otherwise) if each]
    if not ways:
        return Hint("larger", f"{why}; there is no larger one in its family")
    return Hint("larger", f"{why}: try {' or '.join(ways)}", found.name if found else None)


def _smaller(size: MachineSize, count: int, sizes: Sequence[MachineSize], *, gpu: bool) -> Hint:
    if gpu:
        return Hint("no figure", "nobody measured its GPU")
    used = "neither processors nor memory are used to 40%"
    below = [each for each in sizes if each.gib < size.gib]
    if below:
        return Hint("smaller", f"{used}: try {below[-1].name}", below[-1].name)
    if count > 1:
        return Hint(
            "smaller", f"{used}: there is none smaller in its family; fewer would do, unless its rollout needs them"
        )
    return Hint("fits", f"{used}, and there is none smaller in its family")


def _missing(seen: Seen) -> str:
    given = {"processors": seen.processors, "memory": seen.memory}
    return " and ".join(name for name, share in given.items() if share is None)


def _gib(kind: str) -> int:
    """Memory of a worker; of one that is not known, more than any, so that nothing larger is named."""
    return next((each.gib for each in glue_workers() if each.name == kind), 1 << 20)


def _percent(share: float) -> str:
    return f"{share:.0%}"
