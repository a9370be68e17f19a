"""Names of what exists at run time: one spelling for templates, policies and code.

Run-time things are named ``<stage>-<workload>-<part>-…``. The prefix ``<stage>-<workload>-`` is also the
only wildcard that a policy may use, so nothing else may build such a name by hand.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

STAGE_PATTERN = r"^[a-z][a-z0-9]{1,7}$"
WORKLOAD_PATTERN = r"^[a-z][a-z0-9_]{2,19}$"
RUNTIME_PATTERN = r"^[a-zA-Z0-9](-*[a-zA-Z0-9])*$"
MAX_LENGTH = 63
"""Longest name that every service takes (SageMaker's limit, in characters)."""

ZONES = ("landing", "validated", "quarantine", "curated")
"""Lake zones that have a catalogue database, in the order in which data passes through them."""

INDEX = "index"
"""Folder of the index of published datasets, in a workload's folder of datasets."""

INDEX_COLUMNS = ("version", "as_of", "manifest_uri", "report_uri", "profile_uri")
"""What an entry of the index says of a dataset, each a text."""


def check_stage(stage: str) -> str:
    """Returns the stage's name unchanged.

    Raises:
        ValueError: The name does not match ``STAGE_PATTERN``.
    """
    if not re.fullmatch(STAGE_PATTERN, stage):
        raise ValueError(f"stage name must match {STAGE_PATTERN}, got: {stage!r}")
    return stage


def check_workload(workload: str) -> str:
    """Returns the workload's name unchanged.

    Raises:
        ValueError: The name does not match ``WORKLOAD_PATTERN``.
    """
    if not re.fullmatch(WORKLOAD_PATTERN, workload):
        raise ValueError(f"workload name must match {WORKLOAD_PATTERN}, got: {workload!r}")
    return workload


def runtime_prefix(stage: str, workload: str) -> str:
    """Returns what the names of one workload's run-time things start with, such as ``dev-flight-delays-``.

    Raises:
        ValueError: Stage or workload is no valid name.
    """
    return f"{check_stage(stage)}-{check_workload(workload).replace('_', '-')}-"


def runtime_name(stage: str, workload: str, *parts: str) -> str:
    """Returns the name of one run-time thing: the prefix, then the parts joined by ``-``.

    Raises:
        ValueError: There is no part, the name holds a character that some service refuses, or it is longer
            than ``MAX_LENGTH``.
    """
    if not parts:
        raise ValueError("runtime_name needs at least one part after stage and workload")
    name = runtime_prefix(stage, workload) + "-".join(parts)
    if not re.fullmatch(RUNTIME_PATTERN, name):
        raise ValueError(f"name of parts {parts!r} must match {RUNTIME_PATTERN}, got: {name!r}")
    if len(name) > MAX_LENGTH:
        raise ValueError(
            f"name of parts {parts!r} must have at most {MAX_LENGTH} characters, got {len(name)}: {name!r}"
        )
    return name


def api_name(stage: str, workload: str) -> str:
    """Returns the name of a workload's API and of its access log, such as ``dev-flight-delays-api``."""
    return runtime_name(stage, workload, "api")


def incident_name(stage: str, workload: str | None, what: str) -> str:
    """Returns the name of the alarm that tells of an incident, such as ``dev-flight-delays-incident-serving``.

    Args:
        workload: Whose incident it is. None: the platform's, which has no workload.
    """
    if workload is None:
        return f"gapless-{check_stage(stage)}-incident-{what}"
    return runtime_name(stage, workload, "incident", what)


def database_name(stage: str, zone: str) -> str:
    """Returns the catalogue database of a lake zone, such as ``dev_curated``.

    Raises:
        ValueError: The zone has no database.
    """
    if zone not in ZONES:
        raise ValueError(f"zone must be one of {', '.join(ZONES)}, got: {zone!r}")
    return f"{check_stage(stage)}_{zone}"


def table_name(workload: str, table: str) -> str:
    """Returns the catalogue table of a workload's source or of its features, such as ``flight_delays_flights``."""
    return f"{check_workload(workload)}_{table}"


def history_table(workload: str, columns: Mapping[str, str]) -> str:
    """Returns a workload's Iceberg table, such as ``flight_delays_history_1f2e3d4c``; the digits stand for its columns.

    CloudFormation cannot give a table other columns without replacing it, and what replaces it needs another name; the
    old one keeps its rows.

    Args:
        columns: Name to Hive type, in order.
    """
    text = ",".join(f"{column} {kind}" for column, kind in columns.items())
    return f"{table_name(workload, 'history')}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def pascal_case(workload: str) -> str:
    """Returns a workload's name as the ids of its stacks spell it, such as ``FlightDelays``."""
    return "".join(word.capitalize() for word in check_workload(workload).split("_"))
