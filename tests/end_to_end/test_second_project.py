"""A workload of somebody else goes the whole way, with every option switched on."""

import datetime as dt
from collections.abc import Iterator

import pytest

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
