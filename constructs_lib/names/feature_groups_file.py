"""``feature_groups`` of ``workload.yaml``: features of things that change over time, kept for training and serving."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from constructs_lib.names.file_parts import ColumnName, ColumnType, Part, shown, unknown

FeatureType = Literal["string", "int", "bigint", "double", "boolean"]
GroupName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", min_length=3, max_length=20)]

STORE_TYPES: Final[Mapping[str, str]] = {
    "string": "String",
    "int": "Integral",
    "bigint": "Integral",
    "double": "Fractional",
    "boolean": "Integral",
}
"""Type of a feature to the Feature Store's; a boolean is kept as 1 or 0."""

HISTORY_TYPES: Final[Mapping[str, str]] = {"String": "string", "Integral": "bigint", "Fractional": "double"}
"""The Feature Store's type to the column type of its history."""

HISTORY_COLUMNS: Final[Mapping[str, str]] = {
    "write_time": "timestamp",
    "api_invocation_time": "timestamp",
    "is_deleted": "boolean",
}
"""What the Feature Store adds to each record of the history."""

KEY_TYPES: Final = ("string", "int", "bigint")
_FITS: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "int": (int,),
    "bigint": (int,),
    "double": (int, float),
    "boolean": (bool,),
}
_RESERVED_GROUPS: Final = ("features",)


class FeatureGroup(Part):
    """Features of one kind of thing, as they change over time.

    A record says what is known of a thing from a moment on. A row of the dataset gets the newest record that is not
    after the row's own event time; a request for a prediction gets the newest record there is.

    Attributes:
        source: The source whose valid rows are the records. Default: ``features.py`` makes them by its function
            ``<group>_records(tables)``.
        key: The record's column that names the thing.
        event_time: The record's column that says from when on its values were known.
        features: The columns that a record adds to a row, name → type.
        joined_on: The column of the primary source, or of ``derived``, that names the thing. Default: the key's name.
        max_age_minutes: An older record counts as none. Default: no record is too old.
        fallback: What a row without a record gets: missing values, the defaults, or no prediction (and no place in
            the dataset).
        defaults: Feature → value for the fallback ``default``.
        keep_days: The online store forgets a record so many days after its event time. Default: it never does.
    """

    source: ColumnName | None = None
    key: ColumnName
    event_time: ColumnName
    features: dict[ColumnName, FeatureType] = Field(min_length=1)
    joined_on: ColumnName | None = None
    max_age_minutes: Annotated[int, Field(ge=1, le=5_256_000)] | None = None
    fallback: Literal["missing", "default", "refuse"] = "missing"
    defaults: dict[ColumnName, Any] = Field(default={})
    keep_days: Annotated[int, Field(ge=1, le=3660)] | None = None

    @model_validator(mode="after")
    def _has_names_that_the_store_takes(self) -> Self:
        for name in (self.key, self.event_time, *self.features):
            if name in HISTORY_COLUMNS:
                raise ValueError(f"{name!r} is a column of the store's own; choose another name")
            if not re.fullmatch(r"[a-z0-9](_*[a-z0-9])*", name):
                raise ValueError(f"names of features must not end in '_', was {name!r}")
        names = (self.key, self.event_time, *self.features)
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"key, event_time and features must have different names, got {twice[0]!r} twice")
        return self

    @model_validator(mode="after")
    def _has_defaults_where_they_count(self) -> Self:
        if self.fallback != "default":
            if self.defaults:
                raise ValueError(f"defaults: only for fallback: default, was fallback: {self.fallback}")
            return self
        for name in self.defaults:
            if name not in self.features:
                raise ValueError(f"defaults: {unknown(name, self.features, 'feature of the group')}")
        for name, kind in self.features.items():
            if name not in self.defaults:
                raise ValueError(f"defaults.{name}: is required for fallback: default")
            value = self.defaults[name]
            if not isinstance(value, _FITS[kind]) or (isinstance(value, bool) and kind != "boolean"):
                raise ValueError(f"defaults.{name}: must be of type {kind}, was {shown(value)}")
        return self

    @property
    def row_key(self) -> str:
        """The column of the primary source by which rows find their record."""
        return self.joined_on if self.joined_on is not None else self.key

    def definitions(self, key_type: str) -> dict[str, str]:
        """The features of the group as the Feature Store knows them: name → its type; the event time is a text."""
        kinds = {name: STORE_TYPES[kind] for name, kind in self.features.items()}
        return {self.key: STORE_TYPES[key_type], self.event_time: "String", **kinds}

    def history_columns(self, key_type: str) -> dict[str, str]:
        """The columns of the group's history: name → Hive type."""
        own = {name: HISTORY_TYPES[kind] for name, kind in self.definitions(key_type).items()}
        return {**own, **HISTORY_COLUMNS}

    def contract(self, name: str, key_type: str) -> dict[str, Any]:
        """What the data job and the serving function must know of the group, as JSON types."""
        return {
            "name": name,
            "source": self.source,
            "key": {"name": self.key, "type": key_type},
            "event_time": self.event_time,
            "joined_on": self.row_key,
            "features": [{"name": feature, "type": kind} for feature, kind in self.features.items()],
            "max_age_minutes": self.max_age_minutes,
            "fallback": self.fallback,
            "defaults": dict(self.defaults),
        }


def check_feature_groups(
    groups: Mapping[str, FeatureGroup],
    *,
    sources: Mapping[str, Mapping[str, ColumnType]],
    primary: Mapping[str, ColumnType],
    known_later: Iterable[str],
    features: Mapping[str, ColumnType],
) -> None:
    """Checks groups against the rest of the file.

    Args:
        sources: Source → its columns.
        primary: The columns of the primary source after ``derive``.
        known_later: Columns of the primary source that are known only after the event.
        features: The file's ``features``.

    Raises:
        ValueError: A group names a source or column that is not there, or of another type, or a feature's name is
            taken; the message starts with the path of the key.
    """
    taken: dict[str, str] = dict.fromkeys(primary, "a column of the primary source")
    for name, group in groups.items():
        path = f"feature_groups.{name}"
        if name in _RESERVED_GROUPS:
            raise ValueError(f"{path}: the name is taken by the table of all features; choose another one")
        key_type = _check_row_key(path, group, primary, set(known_later))
        if group.source is not None:
            _check_source(path, group, group.source, sources, key_type)
        for feature, kind in group.features.items():
            if feature in taken:
                raise ValueError(f"{path}.features.{feature}: is the name of {taken[feature]}; choose another name")
            taken[feature] = f"a feature of group {name}"
            if features.get(feature, kind) != kind:
                raise ValueError(f"features.{feature}: is of type {kind} in group {name}, was {features[feature]}")


def _check_row_key(path: str, group: FeatureGroup, primary: Mapping[str, ColumnType], known_later: set[str]) -> str:
    column, field = group.row_key, "key" if group.joined_on is None else "joined_on"
    if column not in primary:
        what = "column of the primary source or of derived"
        raise ValueError(f"{path}.{field}: {unknown(column, primary, what)}")
    if column in known_later:
        raise ValueError(f"{path}.{field}: column {column!r} is known only after the event")
    if primary[column] not in KEY_TYPES:
        raise ValueError(
            f"{path}.{field}: column {column!r} must be one of {', '.join(KEY_TYPES)}, was {primary[column]}"
        )
    return primary[column]


def _check_source(
    path: str, group: FeatureGroup, source: str, sources: Mapping[str, Mapping[str, ColumnType]], key_type: str
) -> None:
    if source not in sources:
        raise ValueError(f"{path}.source: {unknown(source, sources, 'source')}")
    columns = sources[source]
    wanted = {group.key: key_type, group.event_time: "timestamp", **group.features}
    fields = {group.key: "key", group.event_time: "event_time"}
    for name, kind in wanted.items():
        field = fields.get(name, f"features.{name}")
        if name not in columns:
            raise ValueError(f"{path}.{field}: {unknown(name, columns, f'column of source {source}')}")
        if columns[name] != kind:
            raise ValueError(f"{path}.{field}: column {name!r} must be of type {kind}, was {columns[name]}")
