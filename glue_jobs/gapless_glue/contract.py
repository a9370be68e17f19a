"""The data contract of a workload, as its JSON file says: sources, columns, types, features, split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from constructs_lib.names.batch import contract_digest


@dataclass(frozen=True)
class Column:
    """A column and its Spark SQL type."""

    name: str
    type: str


@dataclass(frozen=True)
class DriftPolicy:
    """What becomes of a file whose columns are not the contract's.

    Attributes:
        added, dropped, reordered: ``accept``, ``quarantine`` (all rows of the file) or ``stop``.
        retyped: The same, or ``quarantine_rows``: only the rows whose value does not read as its type.
        retyped_share: A column is retyped when at least this share of its values in a file do not read as its type.
    """

    added: str = "stop"
    dropped: str = "stop"
    reordered: str = "accept"
    retyped: str = "quarantine_rows"
    retyped_share: float = 0.5


@dataclass(frozen=True)
class Settle:
    """Of rows with the same key the newest wins.

    Attributes:
        by: The column that says when a row was true.
        late_after_days: Rows older than so many days before ``as_of`` are refused. None: none is.
    """

    by: str
    late_after_days: int | None = None


@dataclass(frozen=True)
class Source:
    """One kind of file in a batch; ``never_null`` are the columns that no drift may empty."""

    name: str
    time_zone: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    known_later: tuple[str, ...]
    missing: tuple[str, ...]
    format: str = "csv"
    drift: DriftPolicy = DriftPolicy()
    settle: Settle | None = None
    never_null: frozenset[str] = frozenset()

    @property
    def names(self) -> list[str]:
        """The names of the columns, in the contract's order."""
        return [column.name for column in self.columns]

    @property
    def has_kinds(self) -> bool:
        """Whether values of its format have kinds of their own, so that the text of a value may hide its kind."""
        return self.format != "csv"

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
    """What the data job must know of a workload.

    Attributes:
        problem: One of ``constructs_lib.names.problems``.
        target: The column to predict; None for a problem without a target.
        accumulates: Whether a batch holds only what is new, and a dataset what earlier batches brought as well.
        repeats_within_days: How many days the events of two rows with one key may lie apart for the later batch's row
            to take the place of the other.
        features_by: What makes the features in place of ``features.py``: ``databrew_recipe``, ``data_wrangler_flow`` or
            None.
    """

    name: str
    problem: str
    target: str | None
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
    feature_groups: tuple[FeatureGroup, ...] = ()
    features_by: str | None = None

    @property
    def primary_source(self) -> Source:
        return self.sources[self.primary]

    @property
    def target_columns(self) -> tuple[Column, ...]:
        """The target with its type, or nothing."""
        columns = (*self.derived, *self.primary_source.columns)
        return tuple(column for column in columns if column.name == self.target)


def parse_contract(content: Mapping[str, Any]) -> Contract:
    """Makes a contract from its JSON form."""
    dataset = content.get("dataset", {"accumulate": False, "repeats_within_days": 0})
    return Contract(
        name=content["name"],
        problem=content["problem"],
        target=content["target"],
        event_time=content["event_time"],
        primary=content["primary"],
        sources={name: _source(name, content) for name in content["sources"]},
        derived=_columns(content["derived"]),
        features=_columns(content["features"]),
        window_days=content["window_days"],
        validation_share=content["split"]["validation"],
        test_share=content["split"]["test"],
        max_quarantined_share=content["quality"]["max_quarantined_share"],
        accumulates=dataset["accumulate"],
        repeats_within_days=dataset["repeats_within_days"],
        digest=contract_digest(content),
        feature_groups=tuple(_feature_group(group) for group in content.get("feature_groups", ())),
        features_by=content["features_by"]["kind"] if "features_by" in content else None,
    )


def _source(name: str, contract: Mapping[str, Any]) -> Source:
    content = contract["sources"][name]
    settle = Settle(**content["settle"]) if "settle" in content else None
    own = {contract["event_time"], contract["target"]} if name == contract["primary"] else set()
    needed = {*content["key"], *own, *([settle.by] if settle is not None else [])}
    columns = _columns(content["columns"])
    return Source(
        name=name,
        time_zone=content["time_zone"],
        key=tuple(content["key"]),
        columns=columns,
        known_later=tuple(content["known_later"]),
        missing=tuple(content["missing"]),
        format=content["format"],
        drift=DriftPolicy(**content.get("drift", {})),
        settle=settle,
        never_null=frozenset(needed & {column.name for column in columns}),
    )


def _feature_group(content: Mapping[str, Any]) -> FeatureGroup:
    key = Column(content["key"]["name"], content["key"]["type"])
    return FeatureGroup(**{**content, "key": key, "features": _columns(content["features"])})


def _columns(content: Iterable[Mapping[str, str]]) -> tuple[Column, ...]:
    return tuple(Column(column["name"], column["type"]) for column in content)
