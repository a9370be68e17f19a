"""Which saved queries a workload has, and what they ask for."""

from __future__ import annotations

import re

import pytest

from constructs_lib.names.lake_queries import LakeQuery, lake_queries
from constructs_lib.names.workload_file import WorkloadFile


def workload(problem: str = "binary_classification", target: str | None = "returned", **others: object) -> WorkloadFile:
    return WorkloadFile.parse(
        {
            "name": "shop",
            "owner": "shop@example.com",
            "problem": problem,
            "target": target,
            "event_time": "placed",
            "sources": {
                "orders": {
                    "key": ["order"],
                    "columns": {"order": "int", "placed": "timestamp", "amount": "double", "returned": "boolean"},
                    **others,
                },
                "customers": {"key": ["customer"], "columns": {"customer": "int"}},
            },
        }
    )


def query(name: str, of: WorkloadFile) -> LakeQuery:
    return next(each for each in lake_queries("dev", of) if each.name == name)


def test_every_table_is_one_of_the_workload_in_a_database_of_the_stage() -> None:
    for each in lake_queries("dev", workload()):
        named = re.findall(r'(?:FROM|JOIN) ("[a-z_"]+\."[a-z_]+")', each.text)
        assert named and len(named) == len(re.findall(r"FROM ", each.text)), each.text
        assert all(re.fullmatch(r'"dev_(validated|quarantine|curated)"\."shop_[a-z]+"', table) for table in named)


def test_every_source_is_counted_and_asked_for_its_reasons() -> None:
    for name, zone in (("rows-per-version", "validated"), ("quarantine-by-reason", "quarantine")):
        text = query(name, workload()).text
        assert f'"dev_{zone}"."shop_orders"' in text
        assert f'"dev_{zone}"."shop_customers"' in text


@pytest.mark.parametrize("name", ["newest-features", "missing-values"])
def test_leaves_out_features_that_are_sensitive(name: str) -> None:
    assert '"amount"' in query(name, workload()).text
    assert '"amount"' not in query(name, workload(sensitive=["amount"])).text


@pytest.mark.parametrize(
    ("problem", "target", "told"),
    [
        ("binary_classification", "returned", "AS positive_share"),
        ("multiclass_classification", "order", 'GROUP BY version, "order"'),
        ("regression", "amount", 'stddev_samp(CAST("amount" AS double)) AS deviation'),
    ],
)
def test_asks_what_the_target_is_like(problem: str, target: str, told: str) -> None:
    assert told in query("target-balance", workload(problem, target)).text


def test_a_target_that_is_not_there_or_sensitive_is_not_asked_for() -> None:
    for of in (workload("clustering", None), workload("regression", "amount", sensitive=["amount"])):
        assert not {"target-balance", "target-by-day"} & {each.name for each in lake_queries("dev", of)}


def test_no_query_asks_for_every_column() -> None:
    assert not [each.name for each in lake_queries("dev", workload()) if "*" in each.text.replace("count(*)", "")]


def test_shares_are_averages_of_doubles() -> None:
    averages = [part for each in lake_queries("dev", workload()) for part in re.findall(r"avg\(.{5}", each.text)]
    assert averages and set(averages) == {"avg(CAST("}
