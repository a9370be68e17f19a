"""What ``workload.yaml`` says of other stores: the warehouse, and tables and views in Iceberg's format."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from constructs_lib.names.file_parts import ColumnName, Part


def check_query(query: str) -> str:
    """Returns a query unchanged that may be unloaded or become a view.

    Raises:
        ValueError: It is not one single SELECT (or WITH … SELECT) without comments.
    """
    text = query.strip().rstrip("; \n")
    if not re.match(r"(select|with)\b", text, re.IGNORECASE):
        raise ValueError(f"must be one SELECT, was {query[:60]!r}")
    if ";" in text or "--" in text or "/*" in text:
        raise ValueError("must be one SELECT without comments and without ;")
    return query


Query = Annotated[str, AfterValidator(check_query)]


class WarehouseUse(Part):
    """What a workload does with the stage's data warehouse.

    Attributes:
        exports: Name → query. After each load its result is written as Parquet to ``<workload>/exports/<name>/`` of the
            curated zone.
    """

    exports: dict[ColumnName, Query] = Field(default={})


class View(Part):
    """A materialised view over the workload's curated features.

    Attributes:
        sql: One SELECT; ``{features}`` stands for the table.
        refresh_hours: How often the catalogue refreshes it between batches.
    """

    sql: Query
    refresh_hours: Annotated[int, Field(ge=1, le=24 * 7)] = 24


class Iceberg(Part):
    """Keeps curated features of all versions in one Iceberg table, with materialised views over it.

    Attributes:
        views: Name → view.
    """

    views: dict[ColumnName, View] = Field(default={})
