"""What a record may look like, and what of it is the newest; nothing here reads or writes."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.server.host import ServiceError
from local.server.sagemaker.store import Document

_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
_WHOLE = re.compile(r"[+-]?\d{1,19}")
_SECONDS = {"Seconds": 1, "Minutes": 60, "Hours": 3_600, "Days": 86_400, "Weeks": 604_800}

Value = str | int | float | None


@dataclass(frozen=True)
class Entry:
    """One record, checked.

    Attributes:
        identifier: The value of the record identifier.
        event_time: Seconds since 1970.
        values: Every feature that has a value, as text.
    """

    identifier: str
    event_time: float
    values: Mapping[str, str]


def refused(message: str) -> ServiceError:
    """A request of the runtime that is not valid."""
    return ServiceError("ValidationError", message)


def feature_types(group: Document) -> dict[str, str]:
    """The features of a group: name to ``Integral``, ``Fractional`` or ``String``."""
    return {definition["FeatureName"]: definition["FeatureType"] for definition in group["FeatureDefinitions"]}


def parse_record(group: Document, record: Sequence[Document]) -> Entry:
    """Check a record of PutRecord.

    Raises:
        ServiceError: A feature is unknown, given twice, of another type, or identifier or event time is missing.
    """
    types, values = feature_types(group), {}
    for item in record:
        name = item["FeatureName"]
        if name not in types:
            raise refused(f"Validation Error: FeatureName: [{name}] does not exist in FeatureGroup")
        if name in values:
            raise refused(f"Validation Error: FeatureName: [{name}] is given more than once")
        if "ValueAsStringList" in item:
            raise refused(f"collections, such as {name}, are not available on the local server")
        if "ValueAsString" in item:
            typed(types[name], name, item["ValueAsString"])
            values[name] = item["ValueAsString"]
    for role in ("RecordIdentifierFeatureName", "EventTimeFeatureName"):
        if not values.get(group[role]):
            raise refused(f"Validation Error: missing {role} feature [{group[role]}] in the record")
    moment = parse_event_time(group, values[group["EventTimeFeatureName"]])
    return Entry(values[group["RecordIdentifierFeatureName"]], moment, values)


def typed(kind: str, name: str, text: str) -> Value:
    """A value's text in the type of its feature.

    Raises:
        ServiceError: It is not of that type.
    """
    if kind == "String":
        return text
    if kind == "Integral":
        if not _WHOLE.fullmatch(text) or not -(2**63) <= int(text) < 2**63:
            raise refused(f"Validation Error: value [{text}] of feature [{name}] is not Integral")
        return int(text)
    try:
        number = float(text)
    except ValueError as error:
        raise refused(f"Validation Error: value [{text}] of feature [{name}] is not Fractional") from error
    if not math.isfinite(number):
        raise refused(f"Validation Error: value [{text}] of feature [{name}] is not a finite number")
    return number


def parse_event_time(group: Document, text: str) -> float:
    """An event time in seconds since 1970.

    Raises:
        ServiceError: It is in none of the formats that the service takes.
    """
    name = group["EventTimeFeatureName"]
    if feature_types(group)[name] == "Fractional":
        return float(typed("Fractional", name, text) or 0)
    try:
        if not _ISO.fullmatch(text):
            raise ValueError(text)
        return dt.datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        formats = "yyyy-MM-dd'T'HH:mm:ssZ, yyyy-MM-dd'T'HH:mm:ss.SSSZ"
        raise refused(
            f"Validation Error: event time [{text}] of feature [{name}] is not in a format of: {formats}"
        ) from error


def expiry(group: Document, params: Document, event_time: float) -> float | None:
    """When a record goes, in seconds since 1970: its own time to live counts before the group's."""
    duration: Mapping[str, Any] | None = params.get("TtlDuration") or group.get("OnlineStoreConfig", {}).get(
        "TtlDuration"
    )
    return None if not duration else event_time + duration["Value"] * _SECONDS[duration["Unit"]]


def shown(entry: Entry, group: Document, wanted: Sequence[str] | None) -> list[Document]:
    """A record as answers give it: features that have a value, in the order of their definition.

    Raises:
        ServiceError: A wanted feature is unknown.
    """
    types = feature_types(group)
    for name in wanted or ():
        if name not in types:
            raise refused(f"Validation Error: FeatureName: [{name}] does not exist in FeatureGroup")
    return [
        {"FeatureName": name, "ValueAsString": entry.values[name]}
        for name in types
        if name in entry.values and (not wanted or name in wanted)
    ]
