"""Pulling a table of a database by a column that grows: which rows are new, and how they are handed over once."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from gapless_glue import store

Read = Callable[[str], DataFrame]
"""Runs a query in the database."""

TEXTS: Mapping[str, str] = {
    "postgresql": "VARCHAR(64)",
    "redshift": "VARCHAR(64)",
    "mysql": "CHAR(64)",
    "sqlserver": "VARCHAR(64)",
}
"""Database to the type that any value can be written as."""

KEYS: Mapping[str, Mapping[str, str]] = {
    "postgresql": {"int": "BIGINT", "bigint": "BIGINT", "date": "DATE", "timestamp": "TIMESTAMP"},
    "redshift": {"int": "BIGINT", "bigint": "BIGINT", "date": "DATE", "timestamp": "TIMESTAMP"},
    "mysql": {"int": "SIGNED", "bigint": "SIGNED", "date": "DATE", "timestamp": "DATETIME(6)"},
    "sqlserver": {"int": "BIGINT", "bigint": "BIGINT", "date": "DATE", "timestamp": "DATETIME2"},
}
"""Database, and the declared type of the key, to the type that a text is read as; a string stays one."""

ENCRYPTED: Mapping[str, Mapping[str, str]] = {
    "postgresql": {"sslmode": "require"},
    "redshift": {"ssl": "true"},
    "mysql": {"sslMode": "REQUIRED"},
    "sqlserver": {"encrypt": "true", "trustServerCertificate": "true"},
}
"""Database to the options of its driver under which nothing crosses the network in the clear."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,2}")
_CHUNK = 1 << 20


class Overtaken(Exception):
    """Another run has gone on from the same position."""


@dataclass(frozen=True)
class Table:
    """What is pulled.

    Attributes:
        kind: Of the database, such as ``postgresql``.
        name: ``schema.table``.
        key: The column that grows.
        columns: Declared columns, name to type, in order.
    """

    kind: str
    name: str
    key: str
    columns: Mapping[str, str]

    def __post_init__(self) -> None:
        for name in (self.name, self.key, *self.columns):
            if not _IDENTIFIER.fullmatch(name):
                raise ValueError(f"not the name of a table or column: {name!r}")

    def highest(self, low: str | None) -> str:
        """Returns the query of the greatest key above ``low``, as the database itself writes it."""
        where = "" if low is None else f" WHERE {self.key} > {self._literal(low)}"
        highest = f"CAST(MAX({self.key}) AS {TEXTS[self.kind]}) AS high"
        return f"SELECT {highest} FROM {self.name}{where}"  # noqa: S608 - names are checked, values are quoted

    def between(self, low: str | None, high: str) -> str:
        """Returns the query of the rows above ``low``, up to and with ``high``."""
        above = "" if low is None else f"{self.key} > {self._literal(low)} AND "
        where = f"{above}{self.key} <= {self._literal(high)}"
        return f"SELECT {', '.join(self.columns)} FROM {self.name} WHERE {where}"  # noqa: S608 - as above

    def _literal(self, text: str) -> str:
        quoted = "'" + text.replace("'", "''") + "'"
        kind = KEYS[self.kind].get(self.columns[self.key])
        return quoted if kind is None else f"CAST({quoted} AS {kind})"


@dataclass(frozen=True)
class Done:
    """How far the table has been pulled.

    Attributes:
        sequence: Number of pulls so far.
        high: The greatest key that has been pulled; None before the first pull.
        unpublished: The folder of the last pull's files, while they may not all have been handed over.
    """

    sequence: int = 0
    high: str | None = None
    unpublished: str = ""


class Record:
    """The item of the runs table that says how far a table has been pulled; changed by conditional writes only."""

    def __init__(self, dynamodb: Any, table: str, item: str) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._key = {"run": {"S": item}}

    def read(self) -> Done:
        """Returns what is on record."""
        item = self._dynamodb.get_item(TableName=self._table, Key=self._key, ConsistentRead=True).get("Item")
        if item is None:
            return Done()
        return Done(int(item["sequence"]["N"]), item["high"]["S"], item["unpublished"]["S"])

    def write(self, before: Done, after: Done) -> None:
        """Records a step.

        Raises:
            Overtaken: Another run has recorded one since ``before`` was read.
        """
        item = {
            **self._key,
            "sequence": {"N": str(after.sequence)},
            "high": {"S": after.high or ""},
            "unpublished": {"S": after.unpublished},
        }
        condition = "attribute_not_exists(run)"
        given: dict[str, Any] = {}
        if before.sequence:
            condition = "#sequence = :sequence AND unpublished = :unpublished"
            values = {":sequence": {"N": str(before.sequence)}, ":unpublished": {"S": before.unpublished}}
            given = {"ExpressionAttributeNames": {"#sequence": "sequence"}, "ExpressionAttributeValues": values}
        try:
            self._dynamodb.put_item(TableName=self._table, Item=item, ConditionExpression=condition, **given)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                raise Overtaken(f"another run pulls {self._key['run']['S']}") from error
            raise


@dataclass(frozen=True)
class Folders:
    """Where files go, as URIs that end in ``/``; see the ingestion paths."""

    pulled: str
    incoming: str
    files: str


def pull(read: Read, table: Table, record: Record, folders: Folders, attempt: str) -> int:
    """Pulls what is new and hands it over; returns the number of files.

    The rows are written to ``pulled``, one conditional write makes them count, then their files are copied to
    ``incoming``. A run that finds files of an earlier one hands those over first, but for what a batch has taken since.

    Args:
        attempt: Names the run; its files go where no other run writes.

    Raises:
        Overtaken: Another run has gone on from the same position.
    """
    done = record.read()
    count = 0
    if done.unpublished:
        count += publish(folders, done)
        after = Done(done.sequence, done.high)
        record.write(done, after)
        done = after
    high = read(table.highest(done.high)).collect()[0]["high"]
    if high is None:
        return count
    place = f"{folders.pulled}{done.sequence + 1:08}-{attempt}/"
    declared(read(table.between(done.high, high)), table.columns).write.mode("overwrite").parquet(place)
    after = Done(done.sequence + 1, high, place)
    record.write(done, after)
    count += publish(folders, after)
    record.write(after, Done(after.sequence, after.high))
    return count


def declared(rows: DataFrame, columns: Mapping[str, str]) -> DataFrame:
    """Returns the columns in the declared types; a value that does not fit stops the run (ANSI)."""
    names = {name.lower(): name for name in rows.columns}
    return rows.select(*(F.col(names[name]).cast(_TYPES[kind]).alias(name) for name, kind in columns.items()))


_TYPES: Mapping[str, T.DataType] = {
    "string": T.StringType(),
    "int": T.IntegerType(),
    "bigint": T.LongType(),
    "double": T.DoubleType(),
    "boolean": T.BooleanType(),
    "date": T.DateType(),
    "timestamp": T.TimestampType(),
}


def publish(folders: Folders, done: Done) -> int:
    """Copies the files of a pull to ``incoming``, but for those that a batch has taken; returns how many."""
    count = 0
    for uri in data_files(done.unpublished):
        name = f"{digest(uri)}.parquet"
        if exists(folders.files + name):
            continue
        with store.store_of(uri).open(uri) as source:
            target = f"{folders.incoming}{done.sequence:08}-{name}"
            store.store_of(target).upload(target, source)
        count += 1
    store.store_of(done.unpublished).remove(done.unpublished)
    return count


def data_files(folder_uri: str) -> Sequence[str]:
    """Returns the Parquet files of a folder, in order."""
    return [uri for uri in store.store_of(folder_uri).list(folder_uri) if uri.endswith(".parquet")]


def digest(uri: str) -> str:
    """Returns the SHA-256 of an object, in hex."""
    found = hashlib.sha256()
    with store.store_of(uri).open(uri) as stream:
        for chunk in iter(lambda: stream.read(_CHUNK), b""):
            found.update(chunk)
    return found.hexdigest()


def exists(uri: str) -> bool:
    """Says whether there is an object."""
    try:
        store.store_of(uri).open(uri).close()
    except FileNotFoundError:
        return False
    return True


def kind_of(url: str) -> str:
    """Returns the kind of database of a JDBC address.

    Raises:
        ValueError: It is none that is known.
    """
    kind = url.removeprefix("jdbc:").partition(":")[0]
    if not url.startswith("jdbc:") or kind not in TEXTS:
        raise ValueError(f"not the address of a known database: {url!r} (allowed: {', '.join(TEXTS)})")
    return kind


def credentials(secret: str) -> dict[str, str]:
    """Returns user and password from the text of a secret.

    Raises:
        ValueError: It is not a JSON object with ``username`` and ``password``; the message does not show it.
    """
    try:
        content = json.loads(secret)
        return {"user": str(content["username"]), "password": str(content["password"])}
    except (ValueError, KeyError, TypeError):
        raise ValueError("the secret must be a JSON object with username and password") from None
