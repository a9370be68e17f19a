"""What a request gets from the online store, what stands for a record that is not there, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from predict_online.features import (
    NO_RECORD,
    NOT_READ,
    BadRequest,
    Fallback,
    Found,
    NoFeatures,
    enrich,
    keys_of,
    parse_groups,
    parse_request,
)

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
WEATHER: dict[str, Any] = {
    "name": "weather",
    "source": None,
    "key": {"name": "airport", "type": "string"},
    "event_time": "observed_at",
    "joined_on": "origin",
    "features": [
        {"name": "wind", "type": "double"},
        {"name": "gusts", "type": "int"},
        {"name": "fog", "type": "boolean"},
        {"name": "note", "type": "string"},
    ],
    "max_age_minutes": 60,
    "fallback": "missing",
    "defaults": {},
}
RECORD = {"airport": "JFK", "observed_at": "2024-03-01T11:30:00.000Z", "wind": "0.1", "gusts": "-3", "fog": "1"}
FEATURES = ["carrier", "wind", "gusts", "fog", "note"]
MISSING = {"wind": None, "gusts": None, "fog": None, "note": None}


def groups(**changes: Any) -> Any:
    return parse_groups({"feature_groups": [{**WEATHER, **changes}]})


def answered(instance: dict[str, Any], record: dict[str, str] | None = None, **changes: Any) -> Any:
    """The instance as the model takes it, and the fallbacks."""
    found = Found({} if record is None else {"JFK": record})
    enriched, fallbacks = enrich([instance], groups(**changes), {"weather": found}, FEATURES, NOW)
    return enriched[0], fallbacks


def test_an_instance_gets_the_values_of_its_record_in_the_types_of_the_dataset() -> None:
    instance, fallbacks = answered({"origin": "JFK", "carrier": "UA"}, RECORD)
    assert instance == {"carrier": "UA", "wind": 0.1, "gusts": -3, "fog": True, "note": None}
    assert type(instance["wind"]) is float
    assert fallbacks == []
    assert answered({"origin": "JFK"}, {**RECORD, "fog": "0"})[0]["fog"] is False


def test_a_key_that_is_a_feature_of_the_model_stays() -> None:
    found = {"weather": Found({"JFK": RECORD})}
    enriched, _ = enrich([{"origin": "JFK", "carrier": "UA"}], groups(), found, [*FEATURES, "origin"], NOW)
    assert enriched[0]["origin"] == "JFK"


def test_a_feature_that_the_model_does_not_have_stays_away() -> None:
    found = {"weather": Found({"JFK": RECORD})}
    enriched, _ = enrich([{"origin": "JFK"}], groups(), found, ["wind"], NOW)
    assert enriched == [{"wind": 0.1}]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, NO_RECORD),
        ({**RECORD, "observed_at": "2024-03-01T10:59:59.999Z"}, "older than 60 minutes"),
        ({**RECORD, "observed_at": "2024-03-01T12:00:00.001Z"}, "newer than as_of"),
    ],
)
def test_an_instance_without_a_record_that_counts_has_missing_values_and_the_reason(
    record: dict[str, str] | None, reason: str
) -> None:
    instance, fallbacks = answered({"origin": "JFK"}, record)
    assert instance == MISSING
    assert fallbacks == [Fallback(0, "weather", reason)]


@pytest.mark.parametrize("observed_at", ["2024-03-01T11:00:00.000Z", "2024-03-01T12:00:00Z"])
def test_both_ends_of_the_age_count(observed_at: str) -> None:
    assert answered({"origin": "JFK"}, {**RECORD, "observed_at": observed_at})[1] == []


def test_defaults_stand_for_a_record_and_not_for_a_value_that_a_record_lacks() -> None:
    defaults = {"wind": 5.0, "gusts": 9, "fog": False, "note": "calm"}
    assert answered({"origin": "JFK"}, None, fallback="default", defaults=defaults)[0] == defaults
    instance, _ = answered({"origin": "JFK"}, RECORD, fallback="default", defaults=defaults)
    assert instance["note"] is None


def test_no_prediction_without_a_record_where_the_group_says_so() -> None:
    with pytest.raises(NoFeatures, match=r"instances\[0\]: no record of feature group weather, without which"):
        answered({"origin": "JFK"}, None, fallback="refuse")


def test_a_key_that_could_not_be_read_is_told_from_one_that_is_not_there() -> None:
    found = {"weather": Found({}, frozenset({"JFK"}))}
    _, fallbacks = enrich([{"origin": "JFK"}, {"origin": "EWR"}], groups(), found, FEATURES, NOW)
    assert [fallback.reason for fallback in fallbacks] == [NOT_READ, NO_RECORD]


def test_each_key_is_read_once_and_an_unknown_one_never() -> None:
    instances = [{"origin": key} for key in ("JFK", None, "EWR", "JFK", "")]
    assert keys_of(groups()[0], instances) == ["JFK", "EWR"]
    numbers = groups(key={"name": "airport", "type": "int"})[0]
    assert keys_of(numbers, [{"origin": 7}]) == ["7"]


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"instances": []}, "instances: given []; allowed is a list of at least one instance"),
        ({"rows": [{}]}, "body: given ['rows']; allowed is an object with instances"),
        ({"instances": [{"origin": "JFK"}], "asof": "x"}, "body: given ['asof', 'instances']"),
        ([1], "body: given 'list'"),
        ({"instances": ["JFK"]}, "instances[0]: given 'JFK'; allowed is an object of features"),
        ({"instances": [{"carrier": "UA"}]}, "instances[0]: origin is missing, by which feature group weather is read"),
        ({"instances": [{"origin": 7}]}, "instances[0].origin: given 7; allowed is a text or null"),
        ({"instances": [{"origin": "JFK", "wind": 1}]}, "instances[0].wind: comes from feature group weather"),
        ({"instances": [{"origin": "JFK"}], "as_of": "2024-03-01T12:00:00"}, "as_of: given '2024-03-01T12:00:00'"),
        ({"instances": [{"origin": "JFK"}], "as_of": 5}, "as_of: given 5; allowed is an instant"),
    ],
)
def test_a_request_that_says_something_else_is_refused(event: Any, told: str) -> None:
    with pytest.raises(BadRequest) as error:
        parse_request(event, groups())
    assert told in str(error.value)


def test_the_instant_of_a_request_may_have_any_offset() -> None:
    event = {"instances": [{"origin": None}], "as_of": "2024-03-01T13:00:00+01:00"}
    assert parse_request(event, groups()) == ([{"origin": None}], NOW)
    assert parse_request({"instances": [{"origin": "JFK"}]}, groups())[1] is None


def test_a_group_without_an_age_takes_any_record() -> None:
    old = {**RECORD, "observed_at": (NOW - timedelta(days=4000)).isoformat()}
    assert answered({"origin": "JFK"}, old, max_age_minutes=None)[1] == []
