"""A workload of somebody else goes the whole way, with every option switched on."""

import datetime as dt
from collections.abc import Iterator

import pytest

from tests.end_to_end.habits import Habits
from tests.end_to_end.live import Live
from tests.end_to_end.second_project import EVERYTHING, deployed_project, land, make_project
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


def test_dataset_history_online_store_and_model_have_the_same_features(everything: Live) -> None:
    march = order_batch(dt.date(2024, 3, 1), 10)
    everything.chain_of(land(everything, march, "march"))
    habits = Habits(everything, "customer_habits")
    dataset = habits.of_dataset()
    assert len(dataset) == 400
    assert habits.of_rows_by(habits.history()) == dataset
    assert habits.online() == habits.newest(habits.history())
    assert habits.count_by_query("2024", "03") == sum(len(moments) for moments in habits.history().values())
    assert habits.count_by_query("2024", "02") == 0
    assert any(known["orders_before"] > 5 for known in dataset.values())
    for as_of in (march.as_of, "2024-03-15T12:00:00Z", "2024-06-01T00:00:00Z"):
        asked = habits.ask(as_of)
        assert asked.got == {customer: habits.known(customer, as_of) for customer in habits.customers}
        assert asked.fell_back == {customer for customer in habits.customers if habits.is_default(customer, as_of)}
