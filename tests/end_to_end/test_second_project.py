"""A workload of somebody else goes the whole way, with every option switched on."""

import datetime as dt

from tests.end_to_end.live import Live
from tests.end_to_end.second_project import land
from tests.everything.orders import order_batch


def test_another_workload_gets_from_landed_files_to_a_served_model(everything: Live) -> None:
    batch = order_batch(dt.date(2024, 3, 1), 10)
    chain = everything.chain_of(land(everything, batch, "march"))
    assert chain.outcome() == "deployed", chain
