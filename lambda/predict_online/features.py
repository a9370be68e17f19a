"""What a request still needs to be one for the model: features from the Feature Store, or what stands for them.

Pure: a record is judged by its own time and the instant that stands for now, just as the data job's join judges it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

Instance = Mapping[str, Any]
Values = Mapping[str, str]
"""Feature to its value as text, as the Feature Store gives it; a missing value has no entry."""

NO_RECORD = "no record"
NOT_READ = "not read"


class BadRequest(Exception):
    """A request that cannot be answered; the client's fault."""


class NoFeatures(Exception):
    """A record is missing whose group allows no prediction without it."""


@dataclass(frozen=True)
class Group:
    """A feature group, as the contract has it.

    Attributes:
        kinds: Feature → its type in ``workload.yaml``.
    """

    name: str
    key_type: str
    event_time: str
    joined_on: str
    kinds: Mapping[str, str]
    max_age: timedelta | None
    fallback: str
    defaults: Mapping[str, Any]


@dataclass(frozen=True)
class Fallback:
    """An instance that got no record of a group, and why."""

    instance: int
    group: str
    reason: str


@dataclass(frozen=True)
class Found:
    """What was read of one group: key → values, and the keys that could not be read."""

    records: Mapping[str, Values]
    unread: frozenset[str] = frozenset()


def parse_groups(contract: Mapping[str, Any]) -> tuple[Group, ...]:
    """The groups of a contract's JSON."""
    return tuple(_group(content) for content in contract.get("feature_groups", ()))


def _group(content: Mapping[str, Any]) -> Group:
    minutes = content["max_age_minutes"]
    return Group(
        name=content["name"],
        key_type=content["key"]["type"],
        event_time=content["event_time"],
        joined_on=content["joined_on"],
        kinds={feature["name"]: feature["type"] for feature in content["features"]},
        max_age=None if minutes is None else timedelta(minutes=minutes),
        fallback=content["fallback"],
        defaults=content["defaults"],
    )


def parse_request(event: Any, groups: Iterable[Group]) -> tuple[list[Instance], datetime | None]:
    """Gives the instances of a request, and the instant that stands for now if it names one.

    Raises:
        BadRequest: It is not ``{"instances": [{…}, …]}``, an instance has no key of a group or a feature of one, or
            ``as_of`` is not an instant.
    """
    if not isinstance(event, Mapping) or not {"instances"} <= event.keys() <= {"instances", "as_of"}:
        given = sorted(event) if isinstance(event, Mapping) else type(event).__name__
        raise BadRequest(f"body: given {given!r:.200}; allowed is an object with instances and, if need be, as_of")
    instances = event["instances"]
    if not isinstance(instances, list) or not instances:
        raise BadRequest(f"instances: given {instances!r:.200}; allowed is a list of at least one instance")
    groups = tuple(groups)
    for position, instance in enumerate(instances):
        if not isinstance(instance, Mapping):
            raise BadRequest(f"instances[{position}]: given {instance!r:.200}; allowed is an object of features")
        for group in groups:
            _check_instance(position, instance, group)
    return list(instances), None if "as_of" not in event else _instant(event["as_of"])


def _check_instance(position: int, instance: Instance, group: Group) -> None:
    given = sorted(instance.keys() & group.kinds.keys())
    if given:
        raise BadRequest(f"instances[{position}].{given[0]}: comes from feature group {group.name}; leave it out")
    if group.joined_on not in instance:
        raise BadRequest(
            f"instances[{position}]: {group.joined_on} is missing, by which feature group {group.name} is read; "
            "give null if it is not known"
        )
    key, wanted = instance[group.joined_on], str if group.key_type == "string" else int
    if key is not None and (not isinstance(key, wanted) or isinstance(key, bool)):
        what = "a text" if wanted is str else "a whole number"
        raise BadRequest(f"instances[{position}].{group.joined_on}: given {key!r:.200}; allowed is {what} or null")


def _instant(text: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadRequest(f"as_of: given {text!r:.200}; allowed is an instant such as 2013-05-01T00:00:00Z")
    return moment.astimezone(UTC)


def keys_of(group: Group, instances: Iterable[Instance]) -> list[str]:
    """The keys of a group that instances name, as texts, each once, in order."""
    return list(dict.fromkeys(key for instance in instances if (key := _key(group, instance)) is not None))


def _key(group: Group, instance: Instance) -> str | None:
    value = instance[group.joined_on]
    return None if value is None or value == "" else str(value)


def enrich(
    instances: Sequence[Instance],
    groups: Sequence[Group],
    found: Mapping[str, Found],
    model_features: Iterable[str],
    now: datetime,
) -> tuple[list[dict[str, Any]], list[Fallback]]:
    """Gives the instances as the model takes them, and which of them had to do without a record.

    Args:
        found: Group → what was read of it.
        model_features: The features of the model; keys that are none of them are taken away.
        now: The instant at which the prediction is asked for.

    Raises:
        NoFeatures: A record is missing whose group has the fallback ``refuse``.
    """
    wanted, fallbacks = set(model_features), []
    keys = {group.joined_on for group in groups}
    enriched = []
    for position, instance in enumerate(instances):
        features = {name: value for name, value in instance.items() if name not in keys or name in wanted}
        for group in groups:
            record, reason = _record(group, instance, found[group.name], now)
            if reason is not None:
                fallbacks.append(Fallback(position, group.name, reason))
            values = _values(group, record)
            features |= {name: value for name, value in values.items() if name in wanted}
        enriched.append(features)
    refused = {group.name for group in groups if group.fallback == "refuse"}
    for fallback in fallbacks:
        if fallback.group in refused:
            raise NoFeatures(
                f"instances[{fallback.instance}]: {fallback.reason} of feature group {fallback.group}, without which "
                "there is no prediction"
            )
    return enriched, fallbacks


def _record(group: Group, instance: Instance, found: Found, now: datetime) -> tuple[Values | None, str | None]:
    """The record of an instance; or none, and why."""
    key = _key(group, instance)
    if key in found.unread:
        return None, NOT_READ
    record = None if key is None else found.records.get(key)
    if record is None:
        return None, NO_RECORD
    age = now - _instant(record[group.event_time])
    if age < timedelta(0):
        return None, "newer than as_of"
    if group.max_age is not None and age > group.max_age:
        return None, f"older than {group.max_age // timedelta(minutes=1)} minutes"
    return record, None


def _values(group: Group, record: Values | None) -> dict[str, Any]:
    if record is None:
        return dict(group.defaults) if group.fallback == "default" else dict.fromkeys(group.kinds)
    return {name: _value(kind, record.get(name)) for name, kind in group.kinds.items()}


def _value(kind: str, text: str | None) -> Any:
    """A value as the dataset has it."""
    if text is None or kind == "string":
        return text
    if kind == "boolean":
        return text == "1"
    if kind == "double":
        number = float(text)
        return number if math.isfinite(number) else None
    return int(text)
