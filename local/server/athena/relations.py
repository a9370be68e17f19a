"""A table of the catalogue as a SELECT that DuckDB runs over copies of its objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from local.server.hive_types import of_duckdb, to_duckdb

_WIDTHS = {"tinyint": 1, "smallint": 2, "int": 4, "bigint": 8}
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


class BadData(ValueError):
    """The objects do not hold what the table says; the text is Athena's kind of reason."""


@dataclass(frozen=True)
class _Place:
    """A location and the values of the partition keys of the rows in it."""

    location: str
    values: Mapping[str, str]


class Relation:
    """One table, as a query reads it.

    Args:
        connection: Reads the columns of Parquet files.
        glue, s3: Clients with the caller's rights.
        table: The table as GetTable gives it.
        folder: Where objects are copied to.

    Attributes:
        bytes: How much was copied.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, glue: Any, s3: Any, table: dict[str, Any], folder: Path
    ) -> None:
        self._connection = connection
        self._glue = glue
        self._s3 = s3
        self._table = table
        self._storage = table["StorageDescriptor"]
        self._folder = folder
        self._keys = {key["Name"].lower(): key.get("Type", "string") for key in table.get("PartitionKeys") or []}
        self._columns = {column["Name"].lower(): column["Type"] for column in self._storage["Columns"]}
        self.bytes = 0

    @property
    def partition_keys(self) -> list[str]:
        """The names of the partition keys."""
        return list(self._keys)

    def define(self, expression: str) -> str:
        """Copy what the query needs and return the SELECT over it.

        Args:
            expression: Which partitions, as GetPartitions takes it; empty for all.

        Raises:
            BadData: A file's column has another type than the table's, or the format is unknown.
            botocore.exceptions.ClientError: The caller may not read something.
        """
        selections = []
        for place in self._places(expression):
            files = self._copy(place.location)
            if files:
                columns = self._projection(files, place)
                selections.append(f"SELECT {columns} FROM {self._reader(files)}")  # noqa: S608 - built from quoted parts
        return " UNION ALL ".join(selections) or self._nothing()

    def _places(self, expression: str) -> Iterator[_Place]:
        if not self._keys:
            yield _Place(self._storage["Location"], {})
            return
        where = {"DatabaseName": self._table["DatabaseName"], "TableName": self._table["Name"]}
        options = {"Expression": expression} if expression else {}
        for page in self._glue.get_paginator("get_partitions").paginate(**where, **options):
            for partition in page["Partitions"]:
                values = dict(zip(self._keys, partition["Values"], strict=True))
                yield _Place(partition["StorageDescriptor"]["Location"], values)

    def _copy(self, location: str) -> list[Path]:
        bucket, _, key = location.partition("://")[2].partition("/")
        prefix = key if not key or key.endswith("/") else f"{key}/"
        found = [
            entry
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
            for entry in page.get("Contents", [])
            if entry["Size"] > 0 and (entry["Key"] == key or _is_read(entry["Key"], prefix))
        ]
        return [self._copy_one(bucket, entry["Key"], entry["Size"]) for entry in found]

    def _copy_one(self, bucket: str, key: str, size: int) -> Path:
        path = self._folder / f"{len(list(self._folder.iterdir())):06}-{key.rpartition('/')[2]}"
        with path.open("wb") as file:
            self._s3.download_fileobj(bucket, key, file)
        self.bytes += size
        return path

    # -- SQL

    @property
    def _serde(self) -> str:
        return str((self._storage.get("SerdeInfo") or {}).get("SerializationLibrary", ""))

    def _reader(self, files: Sequence[Path]) -> str:
        names = ", ".join(_text(str(file)) for file in files)
        if "parquet" in self._serde.lower():
            return f"read_parquet([{names}], union_by_name = true)"
        if self._serde.endswith("JsonSerDe"):
            kinds = {self._member(name): "JSON" if "<" in kind else "VARCHAR" for name, kind in self._columns.items()}
            columns = ", ".join(f"{_text(name)}: '{kind}'" for name, kind in kinds.items())
            return f"read_json([{names}], format = 'newline_delimited', columns = {{{columns}}})"
        parameters = self._storage["SerdeInfo"].get("Parameters") or {}
        if self._serde.endswith("OpenCSVSerde"):
            delimiter, quote = parameters.get("separatorChar", ","), parameters.get("quoteChar", '"')
        elif self._serde.endswith("LazySimpleSerDe"):
            delimiter, quote = parameters.get("field.delim", "\x01"), ""
        else:
            raise BadData(f"HIVE_UNSUPPORTED_FORMAT: {self._serde or 'no SerDe'}; read here are Parquet, CSV and JSON")
        skip = int((self._table.get("Parameters") or {}).get("skip.header.line.count", 0))
        columns = ", ".join(f"'c{position}': 'VARCHAR'" for position in range(len(self._columns)))
        return (
            f"read_csv([{names}], auto_detect = false, header = false, skip = {skip}, delim = {_text(delimiter)}, "
            f"quote = {_text(quote)}, escape = {_text(quote)}, columns = {{{columns}}}, null_padding = true, "
            "strict_mode = false)"
        )

    def _projection(self, files: Sequence[Path], place: _Place) -> str:
        columns = self._stored(files)
        constants = (
            f"CAST({'NULL' if value == _NO_VALUE else _text(value)} AS {to_duckdb(self._keys[key])}) AS {_quoted(key)}"
            for key, value in place.values.items()
        )
        return ", ".join([*columns, *constants])

    def _stored(self, files: Sequence[Path]) -> Iterator[str]:
        if "parquet" in self._serde.lower():
            return self._of_parquet(files)
        return self._of_json() if self._serde.endswith("JsonSerDe") else self._of_csv()

    def _of_json(self) -> Iterator[str]:
        for name, kind in self._columns.items():
            yield f"TRY_CAST({_quoted(self._member(name))} AS {to_duckdb(kind)}) AS {_quoted(name)}"

    def _member(self, column: str) -> str:
        """The member of a JSON object that is a column: the SerDe may be told that it is spelled otherwise."""
        parameters = self._storage["SerdeInfo"].get("Parameters") or {}
        return str(parameters.get(f"mapping.{column}", column))

    def _of_csv(self) -> Iterator[str]:
        for position, (name, kind) in enumerate(self._columns.items()):
            yield f"TRY_CAST(c{position} AS {to_duckdb(kind)}) AS {_quoted(name)}"

    def _of_parquet(self, files: Sequence[Path]) -> Iterator[str]:
        relation = self._connection.sql(f"SELECT * FROM {self._reader(files)} LIMIT 0")  # noqa: S608 - quoted parts
        types = dict(zip((name.lower() for name in relation.columns), relation.types, strict=True))
        for name, kind in self._columns.items():
            if name not in types:
                yield f"CAST(NULL AS {to_duckdb(kind)}) AS {_quoted(name)}"
                continue
            stored = of_duckdb(types[name])
            if not is_readable(stored, kind):
                raise BadData(
                    f"HIVE_BAD_DATA: Field {name}'s type {stored} in parquet file is incompatible with type {kind} "
                    f"defined in table schema of {self._table['DatabaseName']}.{self._table['Name']}"
                )
            yield f"CAST({_quoted(name)} AS {to_duckdb(kind)}) AS {_quoted(name)}"

    def _nothing(self) -> str:
        columns = {**self._columns, **self._keys}
        typed = ", ".join(f"CAST(NULL AS {to_duckdb(kind)}) AS {_quoted(name)}" for name, kind in columns.items())
        return f"SELECT {typed} WHERE false"


def is_readable(stored: str, declared: str) -> bool:
    """Whether Athena reads a Parquet column of one Hive type as another: the same, or a wider one of its family."""
    stored, declared = stored.lower(), declared.lower()
    if stored in _WIDTHS and declared in _WIDTHS:
        return _WIDTHS[stored] <= _WIDTHS[declared]
    base = declared.partition("(")[0].partition("<")[0]
    if base in ("varchar", "char", "string"):
        return stored == "string"
    return base == stored.partition("(")[0].partition("<")[0] or (stored, declared) == ("float", "double")


def _is_read(key: str, prefix: str) -> bool:
    """Whether Athena reads an object below a location: nothing hidden, no marker of a folder."""
    rest = key.removeprefix(prefix)
    return (
        key.startswith(prefix)
        and not key.endswith("/")
        and not any(part.startswith(("_", ".")) for part in rest.split("/"))
    )


def _text(value: str) -> str:
    escaped = value.replace("'", "''")
    return f"'{escaped}'"


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
