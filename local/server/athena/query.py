"""One query: parsed, its tables fetched with the caller's rights, run by DuckDB over copies."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
from botocore.exceptions import BotoCoreError, ClientError

from local.server.athena.relations import BadData, Relation
from local.server.athena.results import as_text, athena_type
from local.server.athena.syntax import NotSupported, Reference, column_names, references
from local.server.host import Denied
from local.server.lake_formation.guard import Handed

Result = tuple[list[str], list[str], list[list[str | None]]]

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": 2,
    "memory_limit": "1GB",
    "autoinstall_known_extensions": False,
}
_CATALOGUE = "awsdatacatalog"


class QueryFailed(Exception):
    """A query that did not succeed; the text is its reason."""

    def __init__(self, reason: str, state: str = "FAILED") -> None:
        super().__init__(reason)
        self.state = state


class Query:
    """One query.

    Args:
        execution: Its record.
        glue, s3: Clients with the caller's rights.
        folder: Where the objects that it reads are copied to.
        most_bytes: How much it may read.
        hand_out: What Lake Formation lets it have of a table, or nothing for a table that is left to IAM.

    Attributes:
        scanned_bytes: How much it has read.
    """

    def __init__(
        self,
        execution: dict[str, Any],
        glue: Any,
        s3: Any,
        folder: Path,
        most_bytes: int | None,
        hand_out: Callable[[dict[str, Any]], Handed | None],
    ) -> None:
        self._text = execution["Query"].strip().rstrip(";")
        self._parameters = execution["ExecutionParameters"]
        self._database = execution["QueryExecutionContext"]["Database"]
        self._glue = glue
        self._s3 = s3
        self._folder = folder
        self._most_bytes = most_bytes
        self._hand_out = hand_out
        self._cancelled = threading.Event()
        # casts of instants to timestamps are to UTC, which is the time zone of the server's process
        self._connection = duckdb.connect(":memory:", config=_CONFIG)
        self.scanned_bytes = 0

    def cancel(self) -> None:
        """End the query as soon as possible."""
        self._cancelled.set()
        self._connection.interrupt()

    def run(self) -> Result:
        """Run it; returns the names and the types of the columns, and the rows as text.

        Raises:
            QueryFailed: It cannot be run, was cancelled or reads too much.
        """
        with self._connection:
            try:
                return self._run()
            except NotSupported as error:
                raise QueryFailed(f"NOT_SUPPORTED: {error}") from error
            except BadData as error:
                raise QueryFailed(str(error)) from error
            except (ClientError, BotoCoreError) as error:
                raise QueryFailed(f"PERMISSION_DENIED: {error}") from error
            except Denied as error:
                raise QueryFailed(f"PERMISSION_DENIED: {error}") from error
            except duckdb.InterruptException as error:
                raise QueryFailed("Query cancelled by user", "CANCELLED") from error
            except duckdb.Error as error:
                raise QueryFailed(f"SYNTAX_ERROR: {error}") from error

    def _run(self) -> Result:
        run = self._connection.execute
        run(f"ATTACH ':memory:' AS {_CATALOGUE}")
        tree = self._parse()
        for reference in references(tree, self._database):
            self._define(reference)
        run(f"CREATE SCHEMA IF NOT EXISTS {_CATALOGUE}.{quoted(self._database)}")
        run(f"USE {_CATALOGUE}.{quoted(self._database)}")
        run(f"SET allowed_directories = ['{self._folder}']")
        run("SET enable_external_access = false")
        run("SET lock_configuration = true")
        if self._cancelled.is_set():
            raise QueryFailed("Query cancelled by user", "CANCELLED")
        cursor = run(self._text, _literals(self._parameters)) if self._parameters else run(self._text)
        described = cursor.description or []
        rows = [[as_text(value) for value in row] for row in cursor.fetchall()]
        names = column_names(tree) or [column[0] for column in described]
        return names, [athena_type(column[1]) for column in described], rows

    def _parse(self) -> dict[str, Any]:
        row = self._connection.execute("SELECT json_serialize_sql(?)", [self._text]).fetchone()
        assert row is not None  # noqa: S101 - a scalar function gives one row
        tree: dict[str, Any] = json.loads(row[0])
        return tree

    def _define(self, reference: Reference) -> None:
        """Make a view of a table over copies of the objects that the query needs of it."""
        try:
            table = self._glue.get_table(DatabaseName=reference.database, Name=reference.table)["Table"]
        except self._glue.exceptions.EntityNotFoundException as error:
            raise QueryFailed(
                f"TABLE_NOT_FOUND: Table '{_CATALOGUE}.{reference.database}.{reference.table}' does not exist"
            ) from error
        handed = self._hand_out(table)
        s3 = self._s3 if handed is None else handed.s3
        relation = Relation(self._connection, self._glue, s3, table, self._folder)
        selection = relation.define(reference.filter_on(relation.partition_keys))
        if handed is not None:
            columns = ", ".join(quoted(column.lower()) for column in handed.columns)
            selection = f"SELECT {columns} FROM ({selection})"  # noqa: S608 - built from quoted parts
        self.scanned_bytes += relation.bytes
        if self._most_bytes is not None and self.scanned_bytes > self._most_bytes:
            raise QueryFailed("Query cancelled! : Bytes scanned limit was exceeded", "CANCELLED")
        run = self._connection.execute
        run(f"CREATE SCHEMA IF NOT EXISTS {_CATALOGUE}.{quoted(reference.database)}")
        run(f"CREATE VIEW {_CATALOGUE}.{quoted(reference.database)}.{quoted(reference.table)} AS {selection}")


def _literals(parameters: Sequence[str]) -> list[str]:
    """Execution parameters are SQL literals: text comes in single quotes."""
    return [
        text[1:-1].replace("''", "'") if text.startswith("'") and text.endswith("'") else text for text in parameters
    ]


def quoted(name: str) -> str:
    """An identifier in double quotes."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
