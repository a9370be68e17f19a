"""What the rules of a workload do to its rows and its dataset, beyond the simple ones."""

from __future__ import annotations

from typing import Any

import pytest

from gapless_glue.errors import BadRules

Shop = Any  # the class of the fixture; conftest.py has it


def run(shop: Shop, rules: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Runs the job with rules; gives the report of validation, and of every rule by its text."""
    shop.scripts["rules.dqdl"] = rules.encode()
    report = shop.run()
    validation = report["phases"]["validation"]
    return report, {rule["rule"]: rule for rule in validation["rules"]}


def refused(shop: Shop, report: dict[str, Any]) -> dict[str, str]:
    return {row["order"]: row["_reasons"] for row in shop.rows("quarantine", "orders", report)}


def test_quarantines_by_where_clauses_on_typed_values(shop: Shop) -> None:
    rule = 'ColumnValues "amount" < 50 where "returned and placed < timestamp \'2024-02-02 12:00:00\'"'
    report, rules = run(shop, f"Rules = [ {rule} ]")
    # every fourth order is returned; order 40 is the first from 50 on, placed at 15:30 UTC
    assert refused(shop, report) == {}
    assert rules[rule]["passed"]
    report, rules = run(shop, f"Rules = [ {rule.replace('50', '46')} ]")
    assert refused(shop, report) == {"36": f"rule {rule.replace('50', '46')}"}


def test_decides_composites_row_by_row(shop: Shop) -> None:
    rule = '(ColumnValues "amount" > 11) or (ColumnValues "country" = "DE")'
    report, rules = run(shop, f"Rules = [ {rule} ]")
    assert refused(shop, report) == {"0": f"rule {rule}"}
    assert rules[rule] == {
        "rule": rule, "source": "orders", "blocking": False, "passed": False, "value": pytest.approx(47 / 48),
        "refused_rows": 1, "note": "1 of 48 rows break the rule",
    }  # fmt: skip


def test_a_primary_key_refuses_missing_and_repeated_values(shop: Shop) -> None:
    rows = shop.orders()
    rows[5] = shop.order(5, customer="")
    rows[7] = shop.order(7, placed="2024-02-01T06:30:00", customer="1")
    shop.land_orders(rows)
    report, _ = run(shop, 'Rules = [ IsPrimaryKey "customer" "placed" ]')
    rule = 'rule IsPrimaryKey "customer" "placed"'
    assert refused(shop, report) == {"5": rule, "7": rule}


def test_values_must_be_unique_only_among_the_chosen_rows(shop: Shop) -> None:
    report, _ = run(shop, 'Rules = [ IsUnique "customer" where "order < 6 and country = \'FR\'" ]')
    # orders 0, 2 and 4 are from FR, of customers 1, 3 and 2
    assert refused(shop, report) == {}
    report, _ = run(shop, 'Rules = [ IsUnique "customer" where "order < 7 and country = \'FR\'" ]')
    assert set(refused(shop, report)) == {"6"}


def test_a_threshold_lets_some_rows_go_and_blocks_beyond(shop: Shop) -> None:
    report, rules = run(shop, 'Rules = [ ColumnValues "amount" > 11 with threshold > 0.9 ]')
    (rule,) = rules.values()
    assert (rule["blocking"], rule["passed"], rule["refused_rows"]) == (True, True, 1)
    assert (shop.dataset(report) / "manifest.json").exists()
    report, rules = run(shop, 'Rules = [ ColumnValues "amount" > 11 with threshold > 0.99 ]')
    (rule,) = rules.values()
    assert (rule["blocking"], rule["passed"]) == (True, False)
    assert not (shop.dataset(report) / "manifest.json").exists()


def test_compares_the_valid_rows_of_sources(shop: Shop) -> None:
    report, rules = run(
        shop,
        'Rules = [ ReferentialIntegrity "customer" "customers.customer" = 1.0, '
        'CustomSql "select max(amount) from primary" < 60, Mean "amount" > 0 ] '
        'Rules customers = [ RowCountMatch "orders" < 0.1 ] '
        'Analyzers = [ Entropy "country" ]',
    )
    assert {text.split()[0]: (rule["passed"], rule["blocking"]) for text, rule in rules.items()} == {
        "ReferentialIntegrity": (True, True), "CustomSql": (True, True), "Mean": (True, True),
        "RowCountMatch": (True, True),
    }  # fmt: skip
    metrics = report["phases"]["validation"]["metrics"]
    assert metrics["orders"]["Column.amount.Mean"] == 34
    assert metrics["orders"]["Column.country.Entropy"] == pytest.approx(0.6931, abs=1e-4)
    assert metrics["customers"]["Dataset.*.RowCount"] == 3


def test_now_is_the_run_s_as_of(shop: Shop) -> None:
    report, _ = run(shop, 'Rules = [ ColumnValues "placed" > (now() - 28 days) ]')
    # as of 2024-03-01 00:00 UTC: 28 days before is 2024-02-02 00:00, 01:00 in Berlin
    assert set(refused(shop, report)) == {str(number) for number in range(25)}


def test_says_which_where_clause_cannot_be_read(shop: Shop) -> None:
    with pytest.raises(BadRules, match="source orders: one of where shoe > 1: "):
        run(shop, 'Rules = [ IsComplete "amount" where "shoe > 1" ]')
