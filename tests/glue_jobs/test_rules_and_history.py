"""Rules that compare a batch with the datasets that were published before it."""

from __future__ import annotations

from typing import Any

import pytest

Shop = Any  # the class of the fixture; conftest.py has it


def run(shop: Shop, rules: str, day: int, orders: int = 48, *, publish: bool = True) -> dict[str, Any]:
    """Runs the job on so many orders as of a day of March; returns its report, whose dataset is published if made."""
    shop.scripts["rules.dqdl"] = rules.encode()
    shop.land_orders(shop.orders(orders))
    shop.as_of = f"2024-03-{day:02}T00:00:00Z"
    report: dict[str, Any] = shop.run()
    if publish and made(shop, report):
        shop.publish(report)
    return report


def made(shop: Shop, report: dict[str, Any]) -> bool:
    """Whether a run made a dataset."""
    exists: bool = (shop.dataset(report) / "manifest.json").exists()
    return exists


def results(report: dict[str, Any]) -> list[tuple[bool, bool, str | None]]:
    """Of each rule: whether it passed, whether it blocks, and what is noted."""
    return [(rule["passed"], rule["blocking"], rule["note"]) for rule in report["phases"]["validation"]["rules"]]


def compared_with(report: dict[str, Any]) -> list[str]:
    versions: list[str] = report["phases"]["validation"]["compared_with"]
    return versions


def test_a_rule_is_held_against_the_datasets_published_before(shop: Shop) -> None:
    rules = "Rules = [ RowCount between 0.9 * avg(last(5)) and 1.1 * avg(last(5)) ]"
    first = run(shop, rules, 1)
    assert results(first) == [
        (
            False,
            False,
            "Dataset.*.RowCount is 48, which the rule does not allow; "
            "blocks nothing yet, Dataset.*.RowCount: 0 earlier results, 1 are needed",
        )
    ]
    assert (made(shop, first), compared_with(first)) == (True, [])
    second = run(shop, rules, 2, 50)
    assert (results(second), made(shop, second)) == ([(True, True, None)], True)
    assert compared_with(second) == [first["version"]]
    third = run(shop, rules, 3, 40)
    assert results(third) == [(False, True, "Dataset.*.RowCount is 40, which the rule does not allow")]
    assert compared_with(third) == [first["version"], second["version"]]
    assert not made(shop, third)


def test_without_earlier_datasets_last_is_zero_as_published(shop: Shop) -> None:
    report = run(shop, "Rules = [ RowCount > avg(last(5)), RowCount = last() ]", 1)
    assert [passed for passed, _, _ in results(report)] == [True, False]
    assert made(shop, report)


def test_only_what_was_published_for_an_earlier_instant_is_history(shop: Shop) -> None:
    rules = "Rules = [ RowCount >= last() ]"
    run(shop, rules, 2, 60, publish=False)
    run(shop, rules, 2, 70)
    later = run(shop, rules, 2, 48)
    assert (compared_with(later), results(later)[0][:2]) == ([], (True, False))


def test_looks_at_as_many_of_the_newest_datasets_as_a_rule_asks_for(shop: Shop) -> None:
    versions = [run(shop, "Rules = [ RowCount > 0 ]", day, 48 + day)["version"] for day in (1, 2, 3)]
    report = run(shop, "Rules = [ RowCount = min(last(2)), RowCount = last() - 1 ]", 4, 50)
    assert compared_with(report) == versions[1:]
    assert [passed for passed, _, _ in results(report)] == [True, True]


def test_a_condition_on_rows_that_depends_on_history_quarantines_none(shop: Shop) -> None:
    rule = 'ColumnValues "amount" <= max(last(3))'
    first = run(shop, f"Rules = [ {rule} ]", 1, 48)
    assert made(shop, first)
    assert first["phases"]["validation"]["metrics"]["orders"]["Column.amount.Maximum"] == 57.5
    same = run(shop, f"Rules = [ {rule} ]", 2, 47)
    assert results(same) == [(True, True, None)]
    more = run(shop, f"Rules = [ {rule} ]", 3, 50)
    (found,) = more["phases"]["validation"]["rules"]
    assert (found["passed"], found["blocking"], found["refused_rows"]) == (False, True, 2)
    assert shop.rows("quarantine", "orders", more) == []
    assert not made(shop, more)


def test_a_composite_on_rows_that_depends_on_history_gets_one(shop: Shop) -> None:
    rules = 'Rules = [ (ColumnValues "amount" <= max(last(3))) or (ColumnValues "country" = "DE") ]'
    assert results(run(shop, rules, 1))[0][:2] == (False, False)
    assert results(run(shop, rules, 2))[0] == (True, True, None)


def test_a_threshold_may_depend_on_history_and_rows_do_not(shop: Shop) -> None:
    rule = 'ColumnValues "amount" > {} with threshold >= min(last(3))'
    bad = [run(shop, f"Rules = [ {rule.format(low)} ]", day) for day, low in ((1, 11), (2, 11), (3, 12))]
    # the share of one statement of the rule is not compared with that of another
    assert [results(report)[0][:2] for report in bad] == [(True, False), (True, True), (True, False)]
    shop.land_orders([*shop.orders(46), shop.order(46, amount="9"), shop.order(47, amount="9")])
    shop.scripts["rules.dqdl"] = f"Rules = [ {rule.format(11)} ]".encode()
    shop.as_of = "2024-03-04T00:00:00Z"
    report = shop.run()
    assert results(report) == [(False, True, "3 of 48 rows break the rule")]
    assert len(shop.rows("quarantine", "orders", report)) == 3


def test_anomalies_are_found_by_a_method_of_our_own_once_there_is_enough_history(shop: Shop) -> None:
    rules = 'Rules = [ DetectAnomalies "RowCount" ] Analyzers = [ Mean "amount" ]'
    own = "anomalies are found by a method of Gapless, not by that of AWS Glue"
    for day in range(1, 8):
        report = run(shop, rules, day, 46 + day % 3)
        lacking = f"blocks nothing yet, Dataset.*.RowCount: {day - 1} earlier results, 7 are needed"
        assert results(report) == [(True, False, f"{lacking}; {own}")]
    assert results(run(shop, rules, 8, 48)) == [(True, True, own)]
    report = run(shop, rules, 9, 96)
    ((passed, blocks, note),) = results(report)
    assert (passed, blocks) == (False, True)
    assert note is not None
    assert note.startswith("Dataset.*.RowCount is 96, expected between ")
    assert note.endswith(own)
    assert len(compared_with(report)) == 8
    assert report["phases"]["validation"]["metrics"]["orders"]["Column.amount.Mean"] == 58


def test_a_dataset_whose_report_is_gone_is_no_history(shop: Shop) -> None:
    rules = "Rules = [ RowCount = max(last(2)) + 1 ]"
    reports = [run(shop, "Rules = [ RowCount > 0 ]", day, orders) for day, orders in enumerate((60, 50, 49, 70), 1)]
    (shop.dataset(reports[3]) / "report.json").unlink()
    last = run(shop, rules, 5, 51)
    assert compared_with(last) == [report["version"] for report in reports[1:3]]
    assert results(last) == [(True, True, None)]


def test_reads_no_index_where_no_rule_looks_back(shop: Shop) -> None:
    first = run(shop, "Rules = [ RowCount > 0 ]", 1)
    (entry,) = (shop.root / "datasets" / "shop" / "index").iterdir()
    entry.write_text("damaged")
    assert compared_with(run(shop, "Rules = [ RowCount > 0 ]", 2, publish=False)) == []
    with pytest.raises(ValueError, match="Expecting value"):
        run(shop, "Rules = [ RowCount > last() ]", 3)
    assert made(shop, first)
