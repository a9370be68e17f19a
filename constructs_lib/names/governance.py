"""Who may see what in the lake: tags on databases, tables and columns, and what each persona may do with which tags.

Templates, the access matrix in ``docs/`` and tests all come from these functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from constructs_lib.names.batch_scoring_file import INPUT
from constructs_lib.names.naming import INDEX_COLUMNS, ZONES, check_stage, history_table, runtime_prefix, table_name
from constructs_lib.names.workload_file import REASONS_COLUMN, WorkloadFile

Sensitivity = Literal["internal", "restricted"]
Expression = Mapping[str, tuple[str, ...]]
"""Tag key to the values of which a resource must have one; every key must agree."""

TAG_KEYS: Final = ("domain", "zone", "sensitivity")
SENSITIVITIES: Final[tuple[Sensitivity, ...]] = ("internal", "restricted")
MOST_VALUES: Final = 50
"""How many values Lake Formation takes of one tag key in one call."""

READ: Final = "SELECT"
SEE: Final = "DESCRIBE"


@dataclass(frozen=True)
class Persona:
    """A kind of person who works with the lake.

    Attributes:
        name: Key in the stage's configuration, such as ``data_engineer``.
        title: As people say it.
        zones: The lake zones whose tables the person gets anything of.
        sensitivities: What the columns may be tagged with.
        permission: ``SELECT`` to read rows, ``DESCRIBE`` to see that tables and columns exist.
    """

    name: str
    title: str
    zones: tuple[str, ...]
    sensitivities: tuple[Sensitivity, ...]
    permission: Literal["SELECT", "DESCRIBE"]


PERSONAS: Final[tuple[Persona, ...]] = (
    Persona("data_engineer", "Data engineer", ZONES, SENSITIVITIES, READ),
    Persona("data_scientist", "Data scientist", ("validated", "curated"), ("internal",), READ),
    Persona("ml_engineer", "ML engineer", ("curated",), ("internal",), READ),
    Persona("auditor", "Auditor", ZONES, SENSITIVITIES, SEE),
)
"""Who works with the lake. Raw files and sensitive columns are for those who mend them; an auditor sees what there is
and who may read it, never a row."""


def people_workgroup(stage: str) -> str:
    """Returns the Athena workgroup in which a stage's people query, such as ``dev-people``."""
    return f"{check_stage(stage)}-people"


def domain(stage: str, workload: str) -> str:
    """Returns the tag value of one workload's tables in one stage, such as ``dev-flight-delays``.

    The stage is in it, since tags belong to the account and an account may hold several stages.
    """
    return runtime_prefix(stage, workload).rstrip("-")


def domains(stage: str, workloads: Iterable[str]) -> tuple[str, ...]:
    """Returns every domain of a stage: the stage's own, which its databases have, and one per workload."""
    return (check_stage(stage), *(domain(stage, workload) for workload in workloads))


def tag_values(stages: Iterable[str], workloads: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Returns the values of each tag key in an account.

    Raises:
        ValueError: There are more domains than Lake Formation takes.
    """
    workloads = tuple(workloads)
    every = tuple(value for stage in stages for value in domains(stage, workloads))
    if len(every) > MOST_VALUES:
        raise ValueError(
            f"an account may hold at most {MOST_VALUES} domains (one per stage, and one per workload in each), "
            f"got: {len(every)}"
        )
    return {"domain": every, "zone": ZONES, "sensitivity": SENSITIVITIES}


def database_tags(stage: str, zone: str) -> dict[str, str]:
    """Returns the tags of a zone's database, which tables inherit. Raw files are restricted as a whole."""
    return {
        "domain": check_stage(stage),
        "zone": zone,
        "sensitivity": "restricted" if zone == "landing" else "internal",
    }


def table_tags(stage: str, workload: str) -> dict[str, str]:
    """Returns the tags of a workload's own table; the zone and the sensitivity are its database's."""
    return {"domain": domain(stage, workload)}


@dataclass(frozen=True)
class GovernedTable:
    """A table of a workload as grants see it.

    Attributes:
        zone: Its lake zone.
        name: Its name in the zone's database.
        columns: Its columns, without the partition key.
        sensitive: Those of them that are restricted whatever the table is.
    """

    zone: str
    name: str
    columns: tuple[str, ...]
    sensitive: tuple[str, ...]


def governed_tables(workload: WorkloadFile) -> tuple[GovernedTable, ...]:
    """Returns the tables that a workload's stack defines, in order.

    A sensitive column stays sensitive when it is a feature of the same name. The reasons of a refused row may quote its
    values, so they are sensitive with them.
    """
    tables = []
    for name, source in workload.sources.items():
        validated, quarantine = tuple(workload.validated_columns(name)), tuple(workload.quarantine_columns(name))
        reasons = (REASONS_COLUMN,) if source.sensitive else ()
        table = table_name(workload.name, name)
        tables.append(GovernedTable("validated", table, validated, source.sensitive))
        tables.append(GovernedTable("quarantine", table, quarantine, (*source.sensitive, *reasons)))
    curated = tuple(workload.curated_columns())
    sensitive = tuple(column for column in curated if column in workload.sensitive_features)
    tables.append(GovernedTable("curated", table_name(workload.name, "features"), curated, sensitive))
    tables.append(GovernedTable("curated", table_name(workload.name, "datasets"), tuple(INDEX_COLUMNS), ()))
    tables.extend(_group_history(workload, group) for group in workload.feature_groups)
    if workload.iceberg is not None:
        history = history_table(workload.name, workload.curated_columns())
        tables.append(GovernedTable("curated", history, curated, sensitive))
    if workload.batch_scoring is not None:
        tables.append(_predictions(workload))
    return tuple(tables)


def _predictions(workload: WorkloadFile) -> GovernedTable:
    """Scored rows; what was asked is sensitive when any of its columns is."""
    assert workload.batch_scoring is not None  # noqa: S101 - the caller has looked
    carried = workload.batch_scoring.carried(workload.row_key, workload.feature_types)
    sensitive = (INPUT,) if workload.sensitive_among(carried) else ()
    columns = tuple(workload.prediction_columns())
    return GovernedTable("curated", table_name(workload.name, "predictions"), columns, sensitive)


def _group_history(workload: WorkloadFile, group: str) -> GovernedTable:
    """The history of a feature group; its key is sensitive when the column is that rows are joined on."""
    columns, definition = tuple(workload.history_columns(group)), workload.feature_groups[group]
    joined = (definition.key,) if workload.sensitive_among([definition.row_key]) else ()
    sensitive = tuple(column for column in columns if column in (*workload.sensitive_among(columns), *joined))
    return GovernedTable("curated", table_name(workload.name, group), columns, sensitive)


def database_expression(persona: Persona, stage: str) -> Expression:
    """Returns which databases a persona sees."""
    return {"domain": (check_stage(stage),), "zone": persona.zones}


def table_expression(persona: Persona, stage: str, workloads: Iterable[str]) -> Expression:
    """Returns of which tables and columns a persona has its permission."""
    return {"domain": domains(stage, workloads), "zone": persona.zones, "sensitivity": persona.sensitivities}


def matches(expression: Expression, tags: Mapping[str, str]) -> bool:
    """Says whether a resource with these tags is one that the expression means."""
    return all(tags.get(key) in values for key, values in expression.items())


def column_tags(stage: str, workload: str, table: GovernedTable, column: str) -> dict[str, str]:
    """Returns the tags that a column has in the end: the database's, over them the table's, over them its own."""
    own: dict[str, str] = {"sensitivity": "restricted"} if column in table.sensitive else {}
    return {**database_tags(stage, table.zone), **table_tags(stage, workload), **own}


def permission_on(persona: Persona, stage: str, workload: str, table: GovernedTable, column: str) -> str:
    """Returns ``SELECT``, ``DESCRIBE`` or an empty text: what a persona may do with a column."""
    tags = column_tags(stage, workload, table, column)
    return persona.permission if matches(table_expression(persona, stage, [workload]), tags) else ""
