"""Rules that judge a row by other rows: CustomSql that selects rows, and ReferentialIntegrity."""

from __future__ import annotations

from typing import Any

import pytest

from constructs_lib.names.workload_file import WorkloadFile
from gapless_glue.contract import Contract, parse_contract
from gapless_glue.errors import BadRules
from gapless_glue.rules import judging_order, parse_rules

Shop = Any  # the class of the fixture; conftest.py has it


def run(shop: Shop, rules: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Runs the job with rules; gives the report, and what it says of every rule by its text."""
    shop.scripts["rules.dqdl"] = rules.encode()
    report = shop.run()
    return report, {rule["rule"]: rule for rule in report["phases"]["validation"]["rules"]}


def refused(shop: Shop, report: dict[str, Any], source: str = "orders", key: str = "order") -> dict[str, str]:
    return {row[key]: row["_reasons"] for row in shop.rows("quarantine", source, report)}


def test_quarantines_the_rows_that_a_statement_does_not_give_back(shop: Shop) -> None:
    rule = 'CustomSql "select order from primary where amount < 56"'
    report, rules = run(shop, f"Rules = [ {rule} ]")
    assert refused(shop, report) == {"46": f"rule {rule}", "47": f"rule {rule}"}
    assert rules[rule] == {
        "rule": rule,
        "source": "orders",
        "blocking": False,
        "passed": False,
        "value": pytest.approx(46 / 48),
        "refused_rows": 2,
        "note": "2 of 48 rows break the rule",
    }
    assert (shop.dataset(report) / "manifest.json").exists()


def test_a_statement_s_threshold_blocks_beyond(shop: Shop) -> None:
    rule = 'CustomSql "select order from primary where amount < 56" with threshold > {}'
    for share, passed in (("0.95", True), ("0.96", False)):
        report, rules = run(shop, f"Rules = [ {rule.format(share)} ]")
        (found,) = rules.values()
        assert (found["blocking"], found["passed"], found["refused_rows"]) == (True, passed, 2)
        assert (shop.dataset(report) / "manifest.json").exists() is passed


def test_a_statement_sees_the_rows_that_are_valid_otherwise_and_other_sources(shop: Shop) -> None:
    rows = shop.orders()
    rows[3] = shop.order(3, amount="x")
    rows[5] = shop.order(5, amount="-1")
    rows.append(shop.order(47))
    shop.land_orders(rows)
    statement = (
        "select o.order from primary o join customers c on o.customer = c.customer "
        "where c.premium and o.amount > (select min(amount) from primary)"
    )
    report, rules = run(shop, f'Rules = [ ColumnValues "amount" > 0, CustomSql "{statement}" ]')
    # premium are customers 1 and 3; the smallest valid amount is that of order 0, of customer 1
    wanted = {str(number) for number in range(48) if number % 3 == 1} | {"0"}
    found = refused(shop, report)
    assert {key for key, reason in found.items() if "CustomSql" in reason} == wanted
    assert found["3"] == "column amount is not double"
    assert found["5"] == 'rule ColumnValues "amount" > 0'
    assert len(shop.rows("quarantine", "orders", report)) == len(wanted) + 3
    assert rules[f'CustomSql "{statement}"']["refused_rows"] == len(wanted)


def test_missing_values_of_selected_columns_are_equal_and_rows_are_not_multiplied(shop: Shop) -> None:
    rows = [shop.order(number, country="NA" if number % 2 else "FR") for number in range(48)]
    shop.land_orders(rows)
    report, _ = run(shop, 'Rules = [ CustomSql "select country from primary where country is null" ]')
    assert set(refused(shop, report)) == {str(number) for number in range(0, 48, 2)}
    assert len(shop.rows("validated", "orders", report)) == 24


def test_quarantines_rows_that_refer_to_nothing(shop: Shop) -> None:
    rows = shop.orders()
    rows[1] = shop.order(1, customer="9")
    rows[2] = shop.order(2, customer="")
    shop.land_orders(rows)
    rule = 'ReferentialIntegrity "customer" "customers.customer" > {}'
    report, rules = run(shop, f"Rules = [ {rule.format('0.9')} ]")
    assert set(refused(shop, report)) == {"1", "2"}
    (found,) = rules.values()
    assert (found["passed"], found["blocking"], found["value"]) == (True, True, pytest.approx(46 / 48))
    assert (shop.dataset(report) / "manifest.json").exists()
    report, rules = run(shop, f"Rules = [ {rule.format('0.99')} ]")
    assert not next(iter(rules.values()))["passed"]
    assert not (shop.dataset(report) / "manifest.json").exists()


def test_a_reference_is_the_valid_rows_of_the_other_source(shop: Shop) -> None:
    rule = 'ReferentialIntegrity "customer" "customers.{customer}" > 0.5'
    report, _ = run(shop, f'Rules = [ {rule} ] Rules customers = [ ColumnValues "premium" = "true" ]')
    assert refused(shop, report, "customers", "customer") == {"2": 'rule ColumnValues "premium" = "true"'}
    assert set(refused(shop, report)) == {str(number) for number in range(48) if number % 3 == 1}
    report, _ = run(shop, f'Rules = [ {rule} ] Rules customers = [ ColumnValues "customer" > 9 ]')
    assert len(refused(shop, report)) == 48


def test_a_source_may_refer_to_itself_and_a_missing_value_to_nothing(shop: Shop) -> None:
    report, _ = run(shop, 'Rules = [ ReferentialIntegrity "customer" "primary.order" > 0.1 ]')
    assert refused(shop, report) == {}
    shop.land_orders([shop.order(number, country="NA" if number > 45 else "FR") for number in range(48)])
    report, _ = run(shop, 'Rules = [ ReferentialIntegrity "country" "primary.country" > 0.1 ]')
    assert set(refused(shop, report)) == {"46", "47"}


def test_a_row_has_the_reasons_of_all_rules_that_look_around(shop: Shop) -> None:
    shop.land_orders([*shop.orders(47), shop.order(47, customer="9")])
    first = 'ReferentialIntegrity "customer" "customers.customer" > 0.9'
    second = 'CustomSql "select order, placed from primary where amount < 57"'
    report, _ = run(shop, f"Rules = [ {first}, {second} ]")
    assert refused(shop, report) == {"47": f"rule {first}; rule {second}"}


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("select shoe from primary", "source orders: CustomSql \"select shoe from primary\": "),
        ("select count(*) from primary", "does not exist in the rule's own source"),
        ("select order from nowhere", "source orders: CustomSql"),
    ],
)  # fmt: skip
def test_says_which_statement_cannot_be_used(shop: Shop, statement: str, message: str) -> None:
    with pytest.raises(BadRules) as error:
        run(shop, f'Rules = [ CustomSql "{statement}" ]')
    assert message in str(error.value)


@pytest.fixture
def contract(shop: Shop) -> Contract:
    columns = {"id": "int", "at": "timestamp", "late": "boolean"}
    sources = {name: {"key": ["id"], "known_later": ["late"], "columns": columns} for name in ("a", "b", "c")}
    file = {"name": "three", "owner": "x", "target": "late", "event_time": "at", "sources": sources}
    return parse_contract(WorkloadFile.parse(file).contract())


def test_sources_are_judged_after_those_that_they_are_held_against(contract: Contract) -> None:
    rules = parse_rules(
        'Rules a = [ ReferentialIntegrity "id" "b.id" = 1.0 ] '
        'Rules b = [ CustomSql "select id from primary where id in (select id from c)" ] '
        'Rules c = [ RowCountMatch "a" = 1.0, CustomSql "select count(*) from a" > 0 ]',
        contract,
    )
    assert judging_order(contract.sources, rules) == ["c", "b", "a"]
    assert judging_order(contract.sources, []) == ["a", "b", "c"]


def test_refuses_sources_that_are_held_against_each_other(contract: Contract) -> None:
    text = 'Rules a = [ ReferentialIntegrity "id" "b.id" = 1.0 ]\nRules b = [ ReferentialIntegrity "id" "a.id" = 1.0 ]'
    with pytest.raises(BadRules, match=r"line 1, column 13: .* rows of a are held against b, and rows of b in turn"):
        parse_rules(text, contract)
