"""What ``feature_groups`` of a workload file must say."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from constructs_lib.names.governance import governed_tables
from constructs_lib.names.workload_file import WorkloadFile, WorkloadFileError

SHOP: dict[str, Any] = {
    "name": "shop",
    "owner": "shop@example.com",
    "target": "returned",
    "event_time": "placed",
    "sources": {
        "orders": {
            "key": ["order"],
            "known_later": ["returned"],
            "columns": {
                "order": "bigint",
                "customer": "int",
                "placed": "timestamp",
                "amount": "double",
                "returned": "boolean",
            },
        },
        "visits": {"columns": {"person": "int", "seen_at": "timestamp", "pages": "int", "mood": "string"}},
    },
}
GROUP: dict[str, Any] = {
    "source": "visits",
    "key": "person",
    "joined_on": "customer",
    "event_time": "seen_at",
    "features": {"pages": "int", "mood": "string"},
}


def shop(group: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    content = copy.deepcopy(SHOP)
    content["feature_groups"] = {"visits_of": {**GROUP, **(group or {})}}
    return {**content, **changes}


def parsed(group: dict[str, Any] | None = None, **changes: Any) -> WorkloadFile:
    return WorkloadFile.parse(shop(group, **changes))


def test_a_file_without_groups_has_the_contract_that_it_had() -> None:
    assert "feature_groups" not in WorkloadFile.parse(SHOP).contract()


def test_the_features_of_groups_are_features_by_default() -> None:
    assert parsed().feature_types == {"customer": "int", "amount": "double", "pages": "int", "mood": "string"}


def test_the_contract_says_how_rows_find_their_record_and_not_how_long_the_store_keeps_it() -> None:
    contract = parsed({"max_age_minutes": 60, "keep_days": 7}).contract()
    assert contract["feature_groups"] == [
        {
            "name": "visits_of",
            "source": "visits",
            "key": {"name": "person", "type": "int"},
            "event_time": "seen_at",
            "joined_on": "customer",
            "features": [{"name": "pages", "type": "int"}, {"name": "mood", "type": "string"}],
            "max_age_minutes": 60,
            "fallback": "missing",
            "defaults": {},
        }
    ]
    assert parsed({"keep_days": 7}).contract() == parsed().contract()


def test_the_history_has_the_stores_types_and_its_own_columns() -> None:
    assert parsed().history_columns("visits_of") == {
        "person": "bigint",
        "seen_at": "string",
        "pages": "bigint",
        "mood": "string",
        "write_time": "timestamp",
        "api_invocation_time": "timestamp",
        "is_deleted": "boolean",
    }


def test_the_history_is_a_governed_table_whose_key_is_as_sensitive_as_the_column_it_is_joined_on() -> None:
    content = shop()
    content["sources"]["orders"]["sensitive"] = ["customer"]
    content["sources"]["visits"]["sensitive"] = ["mood"]
    history = governed_tables(WorkloadFile.parse(content))[-1]
    assert (history.zone, history.name) == ("curated", "shop_visits_of")
    assert history.sensitive == ("person", "mood")


@pytest.mark.parametrize(
    ("group", "changes", "told"),
    [
        ({"source": "visit"}, {}, "feature_groups.visits_of.source: 'visit' is not a source; did you mean 'visits'?"),
        ({"key": "people"}, {}, "feature_groups.visits_of.key: 'people' is not a column of source visits"),
        (
            {"event_time": "mood", "features": {"pages": "int"}},
            {},
            "feature_groups.visits_of.event_time: column 'mood' must be of type timestamp, was string",
        ),
        (
            {"features": {"pages": "double"}},
            {},
            "feature_groups.visits_of.features.pages: column 'pages' must be of type double, was int",
        ),
        ({"joined_on": "placed"}, {}, "column 'placed' must be one of string, int, bigint, was timestamp"),
        ({"joined_on": "person"}, {}, "'person' is not a column of the primary source or of derived"),
        ({"source": None, "features": {"amount": "double"}}, {}, "amount: is the name of a column of the primary"),
        ({}, {"features": {"pages": "double"}}, "features.pages: is of type int in group visits_of, was double"),
        ({"features": {"person": "int"}}, {}, "must have different names, got 'person' twice"),
        ({"source": None, "features": {"is_deleted": "int"}}, {}, "'is_deleted' is a column of the store's own"),
        ({"source": None, "features": {"mood_": "int"}}, {}, "names of features must not end in '_', was 'mood_'"),
        ({"fallback": "default"}, {}, "feature_groups.visits_of.defaults.pages: is required for fallback: default"),
        (
            {"fallback": "default", "defaults": {"pages": 1.5, "mood": "calm"}},
            {},
            "feature_groups.visits_of.defaults.pages: must be of type int, was 1.5",
        ),
        ({"defaults": {"pages": 1}}, {}, "defaults: only for fallback: default, was fallback: missing"),
        ({"fallback": "guess"}, {}, "allowed: 'missing', 'default' or 'refuse'"),
        ({"max_age": 3}, {}, "'max_age' is not a known key; did you mean 'max_age_minutes'?"),
    ],
)
def test_refuses_a_group_that_cannot_be(group: dict[str, Any], changes: dict[str, Any], told: str) -> None:
    with pytest.raises(WorkloadFileError) as error:
        parsed(group, **changes)
    assert told in str(error.value)


@pytest.mark.parametrize("name", ["features", "With_Capitals", "much_too_long_a_name_of_it", "a__b"])
def test_refuses_a_name_that_cannot_name_a_table_and_a_group(name: str) -> None:
    content = shop()
    content["feature_groups"] = {name: GROUP}
    with pytest.raises(WorkloadFileError):
        WorkloadFile.parse(content)


def test_two_groups_cannot_have_a_feature_of_one_name() -> None:
    content = shop()
    content["feature_groups"]["again"] = GROUP
    with pytest.raises(WorkloadFileError, match="is the name of a feature of group visits_of"):
        WorkloadFile.parse(content)
