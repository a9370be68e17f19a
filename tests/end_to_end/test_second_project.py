"""A workload of somebody else goes the whole way, with every option switched on."""

import datetime as dt
from collections.abc import Iterator

import pytest

from tests.end_to_end.live import Live
from tests.end_to_end.second_project import EVERYTHING, data_input, deployed_project, land, make_project
from tests.everything.orders import order_batch
from tests.everything.platform import LOCAL_STAGE


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The workload ``orders`` with every option, deployed."""
    folder = tmp_path_factory.mktemp("second")
    text = (EVERYTHING / "workload.yaml").read_text()
    with deployed_project(
        make_project(folder / "project", stage=LOCAL_STAGE, workload_yaml=text), folder / "state"
    ) as live:
        yield live


def test_another_workload_gets_from_landed_files_to_a_served_model(everything: Live) -> None:
    batch = order_batch(dt.date(2024, 3, 1), 10)
    chain = everything.chain_of(land(everything, batch, "march"))
    assert chain.outcome() == "deployed", chain


def test_a_batch_is_held_against_the_datasets_before_it(everything: Live) -> None:
    usual = [order_batch(dt.date(2023, month, 1), 10) for month in (1, 2)]
    first, second = (everything.run("data", data_input(everything, batch, batch.as_of)) for batch in usual)
    reports = [everything.read_json(run.output["dataset"]["report_uri"]) for run in (first, second)]
    assert [report["phases"]["validation"]["compared_with"] for report in reports] == [[], [reports[0]["version"]]]
    assert all(rule["passed"] for rule in reports[1]["phases"]["validation"]["rules"])
    many = order_batch(dt.date(2023, 3, 1), 10, per_day=400)
    third = everything.run("data", data_input(everything, many, many.as_of))
    assert (third.status, third.error) == ("FAILED", "RuleFailed")
    assert "RowCount between 0.01 * avg(last(5)) and 9 * avg(last(5))" in str(third.cause)


def test_the_rules_of_each_source_are_on_its_table(everything: Live) -> None:
    listed = everything.client("glue").list_data_quality_rulesets()["Rulesets"]
    tables = {each["Name"]: each["TargetTable"]["TableName"] for each in listed}
    assert tables == {"every-orders-rules-orders": "orders_orders", "every-orders-rules-customers": "orders_customers"}
    ruleset = everything.client("glue").get_data_quality_ruleset(Name="every-orders-rules-orders")["Ruleset"]
    assert 'ReferentialIntegrity "customer" "customers.customer" > 0.9' in ruleset
    assert "last(" not in ruleset
