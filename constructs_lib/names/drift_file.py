"""What ``workload.yaml`` says of files whose columns are not the declared ones, and of rows that come again."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from constructs_lib.names.file_parts import ColumnName, Part

Policy = Literal["accept", "quarantine", "stop"]


class SchemaDrift(Part):
    """What becomes of a file whose columns are not those that its source declares; every finding is recorded.

    ``accept`` reads the file by the names of its columns, ``quarantine`` sets all rows of the file aside, and ``stop``
    makes no dataset of the batch.

    Attributes:
        added: A column that is not declared. Accepted, it is left out.
        dropped: A declared column that is not there. Accepted, its values are missing; columns of the key, the event
            time, the target and the time to settle by are never accepted like that: they stop the batch.
        reordered: The declared columns in another order. JSON has none.
        retyped: A column whose values do not read as its type. Accepted, those values are missing, except in the
            columns named above, where their rows are quarantined. ``quarantine_rows``: only their rows are quarantined.
        retyped_share: A column is retyped when at least this share of its values in a file do not read as its type;
            when fewer do not, their rows are quarantined.
    """

    added: Policy = "stop"
    dropped: Policy = "stop"
    reordered: Policy = "accept"
    retyped: Literal["accept", "quarantine_rows", "quarantine", "stop"] = "quarantine_rows"
    retyped_share: Annotated[float, Field(gt=0, le=1)] = 0.5

    def over(self, general: SchemaDrift) -> SchemaDrift:
        """Returns the general policy with what this one says explicitly."""
        return general.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})

    def contract(self) -> dict[str, Any]:
        """Returns what differs from the defaults, as JSON types."""
        return self.model_dump(mode="json", exclude_defaults=True)


class Settle(Part):
    """Rows with the same key are versions of one thing: the newest one stays, the others are quarantined.

    Attributes:
        by: The timestamp column that says how new a row is. A row without it is older than any other.
        late_after_days: A row that is older than so many days before ``as_of`` is quarantined. Default: no row is.
    """

    by: ColumnName
    late_after_days: Annotated[int, Field(ge=1, le=36_600)] | None = None
