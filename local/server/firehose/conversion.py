"""JSON records become the rows of one Parquet file, by the columns of a table."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from local.server import hooks
from local.server.hive_types import to_duckdb

Row = list[Any]


class Conversion:
    """The conversion of one delivery.

    Args:
        columns: The table's columns.
        settings: ``DataFormatConversionConfiguration``.
    """

    def __init__(self, columns: Sequence[Mapping[str, str]], settings: Mapping[str, Any]) -> None:
        if not columns:
            raise self.error("table")
        serializer = settings["OutputFormatConfiguration"]["Serializer"]
        if "ParquetSerDe" not in serializer:
            raise self.error("unsupported")
        self._names = [column["Name"] for column in columns]
        self._types = [to_duckdb(column.get("Type", "string")) for column in columns]
        self._compression = str(serializer["ParquetSerDe"].get("Compression") or "SNAPPY").lower()

    @staticmethod
    def error(kind: str) -> Exception:
        """What AWS says of a record that is no row: ``mismatch``, ``malformed``, ``table`` …"""
        found: Exception = hooks.get("services.firehose:_conversion_error")(kind)
        return found

    def rows(self, record: bytes) -> list[Row]:
        """The rows of a record, which may hold several JSON objects; names are compared without case.

        Raises:
            _DeliveryError: The record is not JSON.
        """
        found = []
        for document in hooks.get("services.firehose:_json_documents")(record):
            fields = {str(name).lower(): value for name, value in document.items()}
            found.append([fields.get(name.lower()) for name in self._names])
        return found

    def fits(self, rows: Sequence[Row]) -> bool:
        """Whether every value is one of its column."""
        with duckdb.connect() as connection:
            try:
                self._insert(connection, rows)
            except duckdb.Error:
                return False
        return True

    def parquet(self, rows: Sequence[Row]) -> bytes:
        """One file with all rows."""
        with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
            path = Path(folder, "rows.parquet")
            self._insert(connection, rows)
            connection.execute(f"COPY records TO '{path}' (FORMAT PARQUET, COMPRESSION {self._compression})")
            return path.read_bytes()

    def _insert(self, connection: Any, rows: Sequence[Row]) -> None:
        columns = ", ".join(f'"{name}" {kind}' for name, kind in zip(self._names, self._types, strict=True))
        connection.execute(f"CREATE TABLE records ({columns})")
        places = ", ".join("?" for _ in self._names)
        connection.executemany(f"INSERT INTO records VALUES ({places})", rows)  # noqa: S608 - question marks only
