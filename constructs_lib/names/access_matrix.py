"""The access matrix of every workload as a page for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from constructs_lib.names.governance import (
    PERSONAS,
    READ,
    SEE,
    GovernedTable,
    database_tags,
    governed_tables,
    matches,
    permission_on,
    table_expression,
)
from constructs_lib.names.workload_file import WorkloadFile

_WORDS = {READ: "read", SEE: "see", "": "no"}
_ANY_STAGE = "stage"
_INTRODUCTION = """# Who may see what

Written by `python -m gate.matrix`, from the functions that the templates come from; a test holds it against the
templates. `read`: rows of the column; `see`: that the table and the column exist; `no`: not even that. It is the same
in every stage, and each stage's people have it for the tables of their own stage only.

People hold no S3 permission on the lake: Lake Formation hands out what a query needs, column by column. Tables over raw
files, which a crawler makes in the landing database, are restricted as a whole.
"""
_PIPELINES = """## Pipelines

Pipelines read and write files with S3 permissions of their own, under their workload's prefix only, and hold grants on
the tables besides. What they may do with a table, they may do with every column of it.

| role | files (S3) | tables (Lake Formation) |
|---|---|---|
| Glue job | reads landing; reads, writes and deletes in the zones after it | `DESCRIBE`, `SELECT`, `INSERT` |
| crawler | reads landing | of the landing database: `CREATE_TABLE`, `DESCRIBE`, `ALTER`, `INSERT` |
| data machine | reads and writes datasets | `DESCRIBE`, `ALTER`, `INSERT`: partitions, no rows |
| everything else | its own prefixes of datasets and artefacts; jobs: of features, where datasets accumulate | none |
"""


def render_matrix(workloads: Iterable[WorkloadFile]) -> str:
    """Returns the text of ``docs/access-matrix.md``."""
    return "\n".join([_INTRODUCTION, *(line for each in workloads for line in _table(each)), _PIPELINES])


def _table(workload: WorkloadFile) -> Iterator[str]:
    yield f"## {workload.name}"
    yield ""
    yield f"| table | column | {' | '.join(persona.title for persona in PERSONAS)} |"
    yield f"|---|---|{'---|' * len(PERSONAS)}"
    landing = database_tags(_ANY_STAGE, "landing")
    raw = (
        _WORDS[persona.permission if matches(table_expression(persona, _ANY_STAGE, []), landing) else ""]
        for persona in PERSONAS
    )
    yield f"| landing.{workload.name}_* | every column | {' | '.join(raw)} |"
    for table in governed_tables(workload):
        yield from _rows(workload, table)
    yield ""


def _rows(workload: WorkloadFile, table: GovernedTable) -> Iterator[str]:
    """One row for the columns on which everybody has the same permission, and one for each sensitive column."""
    plain = [column for column in table.columns if column not in table.sensitive]
    for columns in filter(None, [plain, *([column] for column in table.sensitive)]):
        allowed = (_WORDS[permission_on(each, _ANY_STAGE, workload.name, table, columns[0])] for each in PERSONAS)
        mark = " (sensitive)" if columns[0] in table.sensitive else ""
        shown = ", ".join(f"`{column}`" for column in columns) + mark
        yield f"| {table.zone}.{table.name} | {shown} | {' | '.join(allowed)} |"
