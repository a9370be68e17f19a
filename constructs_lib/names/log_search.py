"""Names of the log search, and what each persona may do in it.

Every workload has an index per day, ``<stage>-<workload>-logs-2026-11-30``; Firehose adds the day.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from constructs_lib.names.governance import PERSONAS, READ
from constructs_lib.names.naming import check_stage, runtime_name

Access = Literal["search", "see"]
ACCESS: Final[Mapping[str, Access]] = {
    persona.name: "search" if persona.permission == READ else "see" for persona in PERSONAS
}
"""Persona to whether it searches logs or only sees which indices there are; an auditor reads none, as in the lake."""


def domain_name(stage: str) -> str:
    """Returns the name of a stage's domain, such as ``gapless-dev-logs``."""
    return f"gapless-{check_stage(stage)}-logs"


def access_role_name(stage: str) -> str:
    """Returns the role of the function that sets who may do what, which the domain is told as its master."""
    return f"{domain_name(stage)}-access"


def index_name(stage: str, workload: str) -> str:
    """Returns the start of the names of a workload's indices, and the name of its stream."""
    return runtime_name(stage, workload, "logs")


def delivery_role_name(stage: str, workload: str) -> str:
    """Returns the role of a workload's stream; the function that sets access knows it by the name of the stream."""
    return f"{index_name(stage, workload)}-delivery"
