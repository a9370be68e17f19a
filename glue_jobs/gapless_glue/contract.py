"""The data contract of a workload, as its JSON file says: sources, columns, types, features, split."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from constructs_lib.names.batch import contract_digest
from gapless_glue import store


@dataclass(frozen=True)
class Column:
    """A column and its Spark SQL type."""

    name: str
    type: str


@dataclass(frozen=True)
class Source:
    """One kind of file in a batch."""

    name: str
    time_zone: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    known_later: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The names of the columns, in the contract's order."""
        return [column.name for column in self.columns]

    def type_of(self, name: str) -> str:
        """Returns a column's type; raises ``KeyError`` for a name that is not a column."""
        return {column.name: column.type for column in self.columns}[name]


@dataclass(frozen=True)
class Contract:
    """What the data job must know of a workload.

    Attributes:
        accumulates: Whether a batch holds only what is new, and a dataset what earlier batches brought as well.
        repeats_within_days: How many days the events of two rows with one key may lie apart for the later batch's row
            to take the place of the other.
    """

    name: str
    target: str
    event_time: str
    primary: str
    sources: Mapping[str, Source]
    derived: tuple[Column, ...]
    features: tuple[Column, ...]
    window_days: int | None
    validation_share: float
    test_share: float
    max_quarantined_share: float
    accumulates: bool
    repeats_within_days: int
    digest: str

    @property
    def primary_source(self) -> Source:
        return self.sources[self.primary]


def load_contract(uri: str) -> Contract:
    """Reads the contract's JSON file."""
    return parse_contract(json.loads(store.read(uri)))


def parse_contract(content: Mapping[str, Any]) -> Contract:
    """Makes a contract from its JSON form."""
    dataset = content.get("dataset", {"accumulate": False, "repeats_within_days": 0})
    return Contract(
        name=content["name"],
        target=content["target"],
        event_time=content["event_time"],
        primary=content["primary"],
        sources={name: _source(name, source) for name, source in content["sources"].items()},
        derived=_columns(content["derived"]),
        features=_columns(content["features"]),
        window_days=content["window_days"],
        validation_share=content["split"]["validation"],
        test_share=content["split"]["test"],
        max_quarantined_share=content["quality"]["max_quarantined_share"],
        accumulates=dataset["accumulate"],
        repeats_within_days=dataset["repeats_within_days"],
        digest=contract_digest(content),
    )


def _source(name: str, content: Mapping[str, Any]) -> Source:
    return Source(
        name=name,
        time_zone=content["time_zone"],
        key=tuple(content["key"]),
        columns=_columns(content["columns"]),
        known_later=tuple(content["known_later"]),
        missing=tuple(content["missing"]),
    )


def _columns(content: Iterable[Mapping[str, str]]) -> tuple[Column, ...]:
    return tuple(Column(column["name"], column["type"]) for column in content)
