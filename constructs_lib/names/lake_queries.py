"""Queries over a workload's tables that people start from.

They are SQL that Athena engine version 3 and the local AWS read alike. Each asks for what a persona may read: the
columns of the curated table that are sensitive are in none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from constructs_lib.names.naming import database_name, table_name
from constructs_lib.names.problems import BINARY, MULTICLASS, REGRESSION
from constructs_lib.names.workload_file import EVENT_TIME_COLUMN, REASONS_COLUMN, WorkloadFile

BETWEEN_REASONS: Final = "; "
"""What stands between the reasons of a refused row."""

NEWEST_ROWS: Final = 100

_TOLD: Final = {
    BINARY: "How many rows there are and in which share of them {target} holds",
    MULTICLASS: "How many rows there are of each class of {target}",
    REGRESSION: "How many rows there are, and mean, deviation and extremes of {target}",
}
_FIGURES: Final = {"mean": "avg", "deviation": "stddev_samp", "smallest": "min", "largest": "max"}


@dataclass(frozen=True)
class LakeQuery:
    """A query to save.

    Attributes:
        name: What it finds, words joined by ``-``.
        description: What its rows are.
        database: Where names without a database are looked up.
        text: The SQL.
    """

    name: str
    description: str
    database: str
    text: str


def lake_queries(stage: str, workload: WorkloadFile) -> tuple[LakeQuery, ...]:
    """Returns the queries of a workload in a stage, in order."""
    curated, quarantine = database_name(stage, "curated"), database_name(stage, "quarantine")
    return (
        LakeQuery(
            "rows-per-version",
            "Rows of every validated source and of the features, per dataset version",
            curated,
            _rows_per_version(stage, workload),
        ),
        LakeQuery(
            "quarantine-by-reason",
            "Why rows were refused, per dataset version and source; a row may have several reasons",
            quarantine,
            _quarantine_by_reason(stage, workload),
        ),
        LakeQuery(
            "newest-features",
            f"The {NEWEST_ROWS} newest rows of the dataset with the newest event",
            curated,
            _newest_features(stage, workload),
        ),
        *_target_queries(stage, workload),
        LakeQuery(
            "missing-values",
            "The share of rows in which each feature is missing, per dataset version",
            curated,
            _missing_values(stage, workload),
        ),
        LakeQuery(
            "datasets",
            "Every published dataset, the newest first, and where its manifest is",
            curated,
            f"SELECT version, as_of, manifest_uri\nFROM {_table(stage, 'curated', workload, 'datasets')}\n"
            "ORDER BY as_of DESC",
        ),
    )


def _target_queries(stage: str, workload: WorkloadFile) -> tuple[LakeQuery, ...]:
    """What the target is like; a workload without one, or with a sensitive one, has no such queries."""
    if workload.target is None or workload.target in workload.sensitive_features:
        return ()
    curated, told = database_name(stage, "curated"), _TOLD[workload.problem].format(target=workload.target)
    return (
        LakeQuery("target-balance", f"{told}, per dataset version", curated, _target_balance(stage, workload)),
        LakeQuery(
            "target-by-day",
            f"The same per day, for the dataset with the newest event: does {workload.target} drift?",
            curated,
            _target_by_day(stage, workload),
        ),
    )


def _rows_per_version(stage: str, workload: WorkloadFile) -> str:
    counted = [("validated", source) for source in workload.sources] + [("curated", "features")]
    parts = [
        f"SELECT '{zone}' AS zone, '{table}' AS table_of, version, count(*) AS row_count\n"
        f"FROM {_table(stage, zone, workload, table)}\nGROUP BY version"
        for zone, table in counted
    ]
    return _together(parts) + "\nORDER BY version, zone, table_of"


def _quarantine_by_reason(stage: str, workload: WorkloadFile) -> str:
    parts = [
        f"SELECT '{source}' AS source, version, reason, count(*) AS row_count\n"
        f"FROM {_table(stage, 'quarantine', workload, source)}\n"
        f"CROSS JOIN UNNEST(split({_quoted(REASONS_COLUMN)}, '{BETWEEN_REASONS}')) AS refused (reason)\n"
        "GROUP BY version, reason"
        for source in workload.sources
    ]
    return _together(parts) + "\nORDER BY version, row_count DESC, source, reason"


def _newest_features(stage: str, workload: WorkloadFile) -> str:
    columns = ", ".join(_quoted(column) for column in _shown(workload.curated_columns(), workload))
    table = _table(stage, "curated", workload, "features")
    return (
        f"SELECT version, {columns}\n"
        f"FROM {table}\n{_of_newest(table)}\n"
        f"ORDER BY {_quoted(EVENT_TIME_COLUMN)} DESC\nLIMIT {NEWEST_ROWS}"
    )


def _target_balance(stage: str, workload: WorkloadFile) -> str:
    time = _quoted(EVENT_TIME_COLUMN)
    told, by = _balance(workload)
    return (
        f"SELECT {', '.join(['version', *by])}, {told},\n"
        f"    min({time}) AS first_event, max({time}) AS last_event\n"
        f"FROM {_table(stage, 'curated', workload, 'features')}\nGROUP BY {', '.join(['version', *by])}\n"
        f"ORDER BY {', '.join(['last_event DESC', 'version', *by])}"
    )


def _target_by_day(stage: str, workload: WorkloadFile) -> str:
    table = _table(stage, "curated", workload, "features")
    told, by = _balance(workload)
    day = f"date_trunc('day', {_quoted(EVENT_TIME_COLUMN)}) AS event_day"
    groups = ", ".join(["1", *by])
    return (
        f"SELECT {', '.join([day, *by])}, {told}\n"
        f"FROM {table}\n{_of_newest(table)}\nGROUP BY {groups}\nORDER BY {groups}"
    )


def _missing_values(stage: str, workload: WorkloadFile) -> str:
    shares = [
        f"{_share(f'{_quoted(name)} IS NULL')} AS {_quoted(name)}" for name in _shown(workload.feature_types, workload)
    ]
    listed = ",\n    ".join(["count(*) AS row_count", *shares])
    table = _table(stage, "curated", workload, "features")
    return f"SELECT version, {listed}\nFROM {table}\nGROUP BY version\nORDER BY version"


def _balance(workload: WorkloadFile) -> tuple[str, list[str]]:
    """The figures of the target, and what they are told apart by besides."""
    target = _quoted(str(workload.target))
    rows = "count(*) AS row_count"
    if workload.problem == BINARY:
        positives = f"sum(CASE WHEN {target} THEN 1 ELSE 0 END)"
        return f"{rows}, {positives} AS positives, {_share(target)} AS positive_share", []
    if workload.problem == MULTICLASS:
        return rows, [target]
    figures = [f"{call}(CAST({target} AS double)) AS {name}" for name, call in _FIGURES.items()]
    return ", ".join([rows, *figures]), []


def _share(condition: str) -> str:
    """The share of rows that a condition holds for; of decimals, Athena's average has no more digits than they have."""
    return f"avg(CAST(CASE WHEN {condition} THEN 1 ELSE 0 END AS double))"


def _of_newest(table: str) -> str:
    newest = f"SELECT max_by(version, {_quoted(EVENT_TIME_COLUMN)}) FROM {table}"  # noqa: S608 - checked names
    return f"WHERE version = ({newest})"


def _shown(columns: Iterable[str], workload: WorkloadFile) -> list[str]:
    """The columns that are for everybody who reads the table."""
    return [column for column in columns if column not in workload.sensitive_features]


def _together(parts: Sequence[str]) -> str:
    return "\nUNION ALL\n".join(parts)


def _table(stage: str, zone: str, workload: WorkloadFile, table: str) -> str:
    return f"{_quoted(database_name(stage, zone))}.{_quoted(table_name(workload.name, table))}"


def _quoted(name: str) -> str:
    return f'"{name}"'
