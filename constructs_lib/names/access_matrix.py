"""The access matrix of every workload as a page for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from constructs_lib.names.governance import PERSONAS, READ, SEE, GovernedTable, governed_tables, permission_on
from constructs_lib.names.workload_file import WorkloadFile

_WORDS = {READ: "read", SEE: "see", "": "–"}
_ANY_STAGE = "stage"
_PIPELINES = (
    (
        "Glue job",
        "landing: read; validated, quarantine, curated, datasets: read, write, delete",
        "see, read and add rows",
    ),
    ("Crawler", "landing: read", "makes and changes tables of the landing database"),
    ("Data machine", "datasets: read, write", "sees and changes tables, adds partitions; reads no row"),
    ("Everything else", "its own prefixes of datasets and artefacts", "nothing"),
)


def render_matrix(workloads: Iterable[WorkloadFile]) -> str:
    """Returns the text of ``docs/access-matrix.md``."""
    return "\n".join(_lines(workloads)) + "\n"


def _lines(workloads: Iterable[WorkloadFile]) -> Iterator[str]:
    yield "# Who may see what"
    yield ""
    yield "Made by `python -m gate matrix` from `constructs_lib/names/governance.py`; a test holds it against the templates."
    yield "`read`: rows of the column; `see`: that the table and the column exist; `–`: nothing, not even that. It is the same"
    yield "in every stage, and only ever for the tables of the persona's own stage."
    yield ""
    yield "People hold no S3 permission on the lake: Lake Formation hands out what a query needs, column by column. Tables of the"
    yield "landing zone, which a crawler makes, are restricted as a whole: "
    yield from (f"{persona.title}: {_landing(persona.name)}{_end(persona.name)}" for persona in PERSONAS)
    for workload in workloads:
        yield ""
        yield f"## {workload.name}"
        yield ""
        yield f"| table | column | {' | '.join(persona.title for persona in PERSONAS)} |"
        yield f"|---|---|{'---|' * len(PERSONAS)}"
        for table in governed_tables(workload):
            yield from _rows(workload, table)
    yield ""
    yield "## Pipelines"
    yield ""
    yield "Pipelines read and write files with S3 permissions of their own, each under its workload's prefix only, and need"
    yield "Lake Formation for the catalogue. What they may do, they may do with every column of their workload's tables."
    yield ""
    yield "| role | files (S3) | tables (Lake Formation) |"
    yield "|---|---|---|"
    yield from (f"| {role} | {files} | {tables} |" for role, files, tables in _PIPELINES)


def _landing(name: str) -> str:
    persona = next(each for each in PERSONAS if each.name == name)
    allowed = "landing" in persona.zones and "restricted" in persona.sensitivities
    return _WORDS[persona.permission if allowed else ""]


def _end(name: str) -> str:
    return "." if name == PERSONAS[-1].name else ","


def _rows(workload: WorkloadFile, table: GovernedTable) -> Iterator[str]:
    """One row for the columns that everybody has the same permission on, and one for each sensitive column."""
    plain = [column for column in table.columns if column not in table.sensitive]
    for columns in ([*plain], *([column] for column in table.sensitive)):
        allowed = (_WORDS[permission_on(each, _ANY_STAGE, workload.name, table, columns[0])] for each in PERSONAS)
        shown = f"`{columns[0]}` (sensitive)" if columns[0] in table.sensitive else ", ".join(f"`{c}`" for c in columns)
        yield f"| {table.zone}.{table.name} | {shown} | {' | '.join(allowed)} |"
