"""Everything of a workload that has a size."""

from __future__ import annotations

from local.sizing.functions import functions
from local.sizing.machines import endpoint, jobs
from local.sizing.things import Place, Thing
from local.sizing.workers import glue_jobs


def things_of(place: Place) -> list[Thing]:
    """Jobs, endpoint and functions, with what was used of them and what to try."""
    return [*jobs(place), *glue_jobs(place), *endpoint(place), *functions(place)]
