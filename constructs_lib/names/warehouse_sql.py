"""The statements by which a data warehouse sees the lake and holds a copy of a workload's features.

Redshift runs what these functions return; they are texts without state, so that a test can read them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from constructs_lib.names.governance import PERSONAS, READ

SCHEMA: Final = "loaded"
VERSION: Final = "version"

_TYPES: Final[Mapping[str, str]] = {
    "string": "varchar(65535)",
    "int": "integer",
    "bigint": "bigint",
    "double": "double precision",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
}
_INCOMING: Final = "incoming"


def prepare_statements(databases: Mapping[str, str], account: str, region: str) -> list[str]:
    """Returns the statements that every warehouse needs once; each may be run again.

    A schema over the catalogue asks Lake Formation with the identity of whoever queries (``IAM_ROLE 'SESSION'``), so
    people see through the warehouse exactly what they may see in the lake.

    Args:
        databases: Lake zone to catalogue database.
        account, region: Where the catalogue is; may be tokens.
    """
    schemas = [f"lake_{zone}" for zone in databases]
    readers = [persona.name for persona in PERSONAS if persona.permission == READ]
    return [
        *(f"CREATE ROLE {reader}" for reader in readers),
        *(
            f"CREATE EXTERNAL SCHEMA IF NOT EXISTS {schema} FROM DATA CATALOG DATABASE '{database}' "
            f"IAM_ROLE 'SESSION' CATALOG_ID '{account}' REGION '{region}'"
            for schema, database in zip(schemas, databases.values(), strict=True)
        ),
        f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
        *(f"GRANT USAGE ON SCHEMA {schema} TO ROLE {reader}" for schema in (*schemas, SCHEMA) for reader in readers),
    ]


def load_statements(
    table: str, columns: Mapping[str, str], sensitive: Sequence[str], *, location: str, version: str, role_arn: str
) -> list[str]:
    """Returns the statements that load one version of a table; in one transaction, loading it twice is loading it once.

    The rows lie in a table that is named after its columns, and a view of the plain name shows the newest such table:
    when a workload's features change, the old rows stay in the old table.

    Args:
        table: Name of the view.
        columns: Name to Hive type, in the order of the files.
        sensitive: Those that only a persona with restricted data may read.
        location: Folder of the Parquet files, ``s3://…/``; may be a token, as ``version`` and ``role_arn``.
        version: The dataset's version.
        role_arn: What the warehouse reads the files with.
    """
    own = f"{SCHEMA}.{table}_{_digest(columns)}"
    view = f"{SCHEMA}.{table}"
    definitions = ", ".join(f"{_quoted(name)} {_TYPES[kind]}" for name, kind in columns.items())
    names = ", ".join(map(_quoted, columns))
    return [
        f"CREATE TABLE IF NOT EXISTS {own} ({definitions}, {VERSION} varchar(32)) SORTKEY ({VERSION})",
        f"CREATE TEMP TABLE {_INCOMING} ({definitions})",
        f"COPY {_INCOMING} FROM '{location}' IAM_ROLE '{role_arn}' FORMAT AS PARQUET",
        f"DELETE FROM {own} WHERE {VERSION} = '{version}'",  # noqa: S608 - checked names only
        f"INSERT INTO {own} SELECT {names}, '{version}' FROM {_INCOMING}",  # noqa: S608 - checked names only
        f"DROP VIEW IF EXISTS {view}",
        f"CREATE VIEW {view} AS SELECT {names}, {VERSION} FROM {own}",  # noqa: S608 - checked names only
        *_grants(view, columns, sensitive),
    ]


def unload_statement(query: str, *, location: str, role_arn: str, key_arn: str) -> str:
    """Returns the statement that writes the result of a query as encrypted Parquet in place of what was there.

    Args:
        query: A query of the workload's file.
        location: Folder for the files, ``s3://…/``; may be a token, as the ARNs.
        role_arn: What the warehouse writes the files with.
        key_arn: What they are encrypted with.
    """
    text = query.strip().rstrip("; \n").replace("'", "''")
    return (
        f"UNLOAD ('{text}') TO '{location}' IAM_ROLE '{role_arn}' "
        f"FORMAT AS PARQUET CLEANPATH KMS_KEY_ID '{key_arn}' ENCRYPTED"
    )


def _grants(view: str, columns: Mapping[str, str], sensitive: Sequence[str]) -> list[str]:
    statements = []
    for persona in PERSONAS:
        if persona.permission != READ or "curated" not in persona.zones:
            continue
        open_columns = [name for name in columns if name not in sensitive]
        if "restricted" in persona.sensitivities or len(open_columns) == len(columns):
            statements.append(f"GRANT SELECT ON {view} TO ROLE {persona.name}")
        else:
            allowed = ", ".join([*map(_quoted, open_columns), VERSION])
            statements.append(f"GRANT SELECT ({allowed}) ON {view} TO ROLE {persona.name}")
    return statements


def _digest(columns: Mapping[str, str]) -> str:
    text = ",".join(f"{name} {kind}" for name, kind in columns.items())
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _quoted(name: str) -> str:
    return f'"{name}"'
