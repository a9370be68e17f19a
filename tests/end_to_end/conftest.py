"""One deployed platform for all end-to-end tests, and the runs that most of them look at."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local.chain import Chain
from local.flights import Batch
from local.landing import batch_key, last_landed
from local.server_process import StartOptions, start, stop
from local.settings import Settings
from local.steps import platform
from tests.end_to_end.batches import flights_of
from tests.end_to_end.live import WORKLOAD, Live, OnCall, type_command
from tests.end_to_end.second_project import deployed_project, land, make_project, of_workload
from tests.everything.orders import order_batch
from tests.everything.platform import LOCAL_STAGE
from tests.http_source import HttpSource, serving

FIRST_MONTH, SECOND_MONTH, SAMPLE = 6, 7, 4000


@dataclass(frozen=True)
class Demo:
    """Two batches that were landed one right after the other, and what they set off.

    The model of July knows July better than that of June does: the gate lets both pass.

    The months are chosen for that: models of samples this small of January to April stay close to the gate's floor or
    below it, so these tests show what happens when a model passes, not how good models of this workload are.

    Args:
        first, second: Everything that a batch set off.
        batches: What landed.
        keys: The idempotency keys of the batches.
        watched: What the command line printed while it watched the second one.
        endpoint: What SageMaker said of the endpoint after both.
        live: What the runs table said of the endpoint after both.
    """

    first: Chain
    second: Chain
    batches: tuple[Batch, Batch]
    keys: tuple[str, str]
    watched: str
    endpoint: dict[str, Any]
    live: dict[str, Any]


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The platform, deployed by the command line; it ends with the tests, however they end."""
    settings = Settings(tmp_path_factory.mktemp("end-to-end") / "state")
    start(settings, StartOptions(tied=True, spot_interruptions=1), lambda _: None)
    try:
        deployed = type_command(settings, "deploy")
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        target = platform(settings)
        yield Live(target, OnCall.subscribe(target))
    finally:
        stop(settings)


@pytest.fixture(scope="session")
def demo(live: Live) -> Demo:
    """Land a batch and, while it is being worked on, another one; both end with a new model behind the endpoint."""
    keys = []
    for month in (FIRST_MONTH, SECOND_MONTH):
        live.command("land", "--months", str(month), "--sample", str(SAMPLE))
        keys.append(last_landed(live.settings).key)
    watched = live.command("run")
    batches = (flights_of(FIRST_MONTH, SAMPLE), flights_of(SECOND_MONTH, SAMPLE))
    assert [batch_key(batch.document()) for batch in batches] == keys
    first, second = live.chain_of(keys[0]), live.chain_of(keys[1])
    endpoint = live.client("sagemaker").describe_endpoint(EndpointName=live.outputs.endpoint_name)
    return Demo(first, second, batches, (keys[0], keys[1]), watched, endpoint, live.record(f"live#{WORKLOAD}"))


@pytest.fixture(scope="session")
def orders_api() -> Iterator[HttpSource]:
    """The API that the workload ``orders`` pulls, empty; it wants a token."""
    source = HttpSource(watermark="ordered_at", page_size=100, token=uuid.uuid4().hex)
    with serving(source) as served:
        yield served


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory, orders_api: HttpSource) -> Iterator[Live]:
    """A project whose workloads have every option between them, deployed; seen from the workload ``orders``."""
    folder = tmp_path_factory.mktemp("second")
    replaced = {"https://orders.example.com/v1/orders": f"{orders_api.url}/cursor"}
    project = make_project(folder / "project", stage=LOCAL_STAGE, replaced=replaced)
    with deployed_project(project, folder / "state") as live:
        yield live


@pytest.fixture(scope="session")
def march(everything: Live) -> Chain:
    """What the first ten days of March set off."""
    return everything.chain_of(land(everything, order_batch(dt.date(2024, 3, 1), 10), "march"))


@pytest.fixture(scope="session")
def daily(everything: Live) -> Live:
    """The workload whose datasets accumulate."""
    return of_workload(everything, "daily_orders")


@pytest.fixture(scope="session")
def kept(everything: Live) -> Live:
    """The workload whose datasets are retired."""
    return of_workload(everything, "kept_orders")


@pytest.fixture(scope="session")
def kept_twice(kept: Live) -> tuple[Chain, Chain]:
    """What ten days of March and the ten after them set off there: two datasets, and two models that were deployed."""
    batches = ((1, "march"), (11, "later"))
    first, second = (
        kept.chain_of(land(kept, order_batch(dt.date(2024, 3, day), 10), folder)) for day, folder in batches
    )
    return first, second


@pytest.fixture(scope="session")
def loans(everything: Live) -> Live:
    """The workload whose folder was added to the project, and nothing else for it."""
    return of_workload(everything, "loan_approval")


@pytest.fixture(scope="session")
def signed(everything: Live) -> Live:
    """The workload whose models are retired."""
    return of_workload(everything, "signed_orders")


@pytest.fixture(scope="session")
def pulled(everything: Live) -> Live:
    """The workload whose sources come in by themselves."""
    return of_workload(everything, "pulled_orders")


@pytest.fixture(scope="session")
def piped(everything: Live) -> Live:
    """The workload whose models are made by a SageMaker pipeline."""
    return of_workload(everything, "piped_orders")


@pytest.fixture(scope="session")
def found(everything: Live) -> Live:
    """The workload whose models are searched for."""
    return of_workload(everything, "found_orders")


@pytest.fixture(scope="session")
def boxed(everything: Live) -> Live:
    """The workload with a container of its own, whose datasets accumulate and take answers of people."""
    return of_workload(everything, "boxed_orders")


@pytest.fixture(scope="session")
def linear(everything: Live) -> Live:
    """The workload whose hyperparameter is tuned."""
    return of_workload(everything, "linear_orders")


@pytest.fixture(scope="session")
def tuned(linear: Live) -> Chain:
    """What the first ten days of March set off there."""
    return linear.chain_of(land(linear, order_batch(dt.date(2024, 3, 1), 10), "march"))
