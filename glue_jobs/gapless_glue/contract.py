"""The data contract of a workload, as its JSON file says: sources, columns, types, features, split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

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
class FeatureGroup:
    """Features of things as they change over time; attributes are those of ``feature_groups`` in ``workload.yaml``.

    Attributes:
        source: Whose valid rows are the records; None when ``features.py`` makes them.
        joined_on: The primary source's column that holds the key.
        fallback: ``missing``, ``default`` or ``refuse``.
    """

    name: str
    source: str | None
    key: Column
    event_time: str
    joined_on: str
    features: tuple[Column, ...]
    max_age_minutes: int | None
    fallback: str
    defaults: Mapping[str, Any]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of a record, in order."""
        return (self.key, Column(self.event_time, "timestamp"), *self.features)


@dataclass(frozen=True)
class Contract:
    """What the data job must know of a workload."""

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
    digest: str
    feature_groups: tuple[FeatureGroup, ...] = ()

    @property
    def primary_source(self) -> Source:
        return self.sources[self.primary]


def load_contract(uri: str) -> Contract:
    """Reads the contract's JSON file."""
    return parse_contract(json.loads(store.read(uri)))


def parse_contract(content: Mapping[str, Any]) -> Contract:
    """Makes a contract from its JSON form."""
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
        digest=hashlib.sha256(canonical_json(content)).hexdigest(),
        feature_groups=tuple(_feature_group(group) for group in content.get("feature_groups", ())),
    )


def canonical_json(content: Any) -> bytes:
    """Returns the one JSON text of a value: sorted keys, no spaces, UTF-8."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _source(name: str, content: Mapping[str, Any]) -> Source:
    return Source(
        name=name,
        time_zone=content["time_zone"],
        key=tuple(content["key"]),
        columns=_columns(content["columns"]),
        known_later=tuple(content["known_later"]),
        missing=tuple(content["missing"]),
    )


def _feature_group(content: Mapping[str, Any]) -> FeatureGroup:
    key = Column(content["key"]["name"], content["key"]["type"])
    return FeatureGroup(**{**content, "key": key, "features": _columns(content["features"])})


def _columns(content: Iterable[Mapping[str, str]]) -> tuple[Column, ...]:
    return tuple(Column(column["name"], column["type"]) for column in content)
