"""A model for each segment goes the whole way on a deployed platform: trained by one job, asked through the API.

Two sets of models are then compared on real requests, and the set that lost comes back as a whole.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from local.chain import Chain, ChainReader
from local.executions import Execution
from local.redrive import run_id_of
from serve_prediction.handler import WEIGHTS_SECONDS
from tests.end_to_end.live import ROOT, Live, eventually
from tests.end_to_end.second_project import deployed_project, land, make_project, of_workload
from tests.end_to_end.served import tell
from tests.end_to_end.test_prediction_api import post
from tests.end_to_end.test_score_rollback import model_of, package_of, status
from tests.everything.orders import ORDERS, REGIONS, OrderBatch, csv_gz, order_batch, order_rows

WORKLOAD = "regional_orders"
STAGE = {"zones": ["us-east-1a", "us-east-1b"], "log_retention_days": 30, "removable": True}
ORDER = {"amount": 100.0, "items": 8, "channel": "web"}
ANSWERING = {"north": "north", "south": "south", "east": "_fallback", "west": "_fallback"}
"""Region to the model that answers for it: no order comes from the east, and the west is not named in the file."""

Numbers = Mapping[str, Any]


def batch(first_day: dt.date, *, many_are_late: bool) -> OrderBatch:
    """Ten days of orders; what delays an order in the south is what hastens it elsewhere.

    Args:
        many_are_late: Whether orders of five items and more are late in north and west, or those of fewer.
    """
    rows = []
    for *order, items, channel, _ in order_rows(first_day, 10, per_day=60):
        region = REGIONS[int(order[1][1:]) % len(REGIONS)]
        late = ((items >= 5) == many_are_late) != (region == "south")
        rows.append((*order, items, channel, str(late).lower()))
    whole = order_batch(first_day, 10)
    return replace(whole, files={**whole.files, "orders.csv.gz": csv_gz(ORDERS, rows)})


@pytest.fixture(scope="module")
def regional(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A platform of its own with the one workload."""
    folder = tmp_path_factory.mktemp("segments")
    project = make_project(folder / "project", stage=STAGE, workloads=ROOT / "tests" / "several_models", added=())
    with deployed_project(project, folder / "state", WORKLOAD) as deployed:
        yield of_workload(deployed, WORKLOAD)


@pytest.fixture(scope="module")
def first(regional: Live) -> Chain:
    """What the first batch set off."""
    return regional.chain_of(land(regional, batch(dt.date(2024, 3, 1), many_are_late=True), "march"))


def numbers_of(live: Live, chain: Chain, folder: Path) -> dict[str, Numbers]:
    """The models of the set that a batch ended in, by name."""
    model_of(live, package_of(chain), folder)
    return {file.parent.name: json.loads(file.read_text()) for file in folder.rglob("segments/*/model.json")}


@pytest.fixture(scope="module")
def first_set(regional: Live, first: Chain, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Numbers]:
    """The models of the first set."""
    return numbers_of(regional, first, tmp_path_factory.mktemp("sets") / "first")


def said_by(numbers: Numbers, order: Mapping[str, Any]) -> float:
    """What a model says of an order."""
    score = numbers["intercept"] + sum(weight * order[name] for name, weight in numbers["weights"].items())
    return 1 / (1 + math.exp(-score))


def ask(live: Live, *orders: Mapping[str, Any], customer: str = "ada", name: str = "") -> tuple[int, dict[str, Any]]:
    """Ask the API; returns status and body."""
    headers = {"x-customer": customer, "x-inference-id": name or uuid.uuid4().hex}
    return post(live, {"instances": orders}, headers)


def answered(live: Live, region: str) -> float:
    """What the API answers for an order of a region."""
    code, said = ask(live, {**ORDER, "region": region})
    assert code == 200, said
    return float(said["predictions"][0]["probability"])


def check_answers(live: Live, models: Mapping[str, Numbers]) -> None:
    """The model of each region answers, of one set."""
    expected = {region: said_by(models[name], ORDER) for region, name in ANSWERING.items()}
    assert {region: answered(live, region) for region in ANSWERING} == pytest.approx(expected)


def captured(live: Live, names: set[str]) -> dict[str, dict[str, Any]]:
    """What was captured under these inference ids, as soon as it is all there."""

    def look() -> dict[str, dict[str, Any]] | None:
        folder = f"{live.zone('artefacts')}capture/{live.outputs.endpoint_name}/"
        lines = [json.loads(line) for uri in live.uris(folder) for line in live.read(uri).splitlines()]
        found = {line["eventMetadata"].get("inferenceId"): line for line in lines}
        return {name: found[name] for name in names} if names <= set(found) else None

    return eventually(look, "the capture of all requests")


def attributes_of(record: Mapping[str, Any]) -> dict[str, str]:
    """What a captured exchange says of who was to answer."""
    (text,) = record["eventMetadata"]["customAttributes"]
    return dict(part.split("=", 1) for part in text.split(";"))


def test_the_api_answers_each_region_by_its_model(
    regional: Live, first: Chain, first_set: Mapping[str, Numbers]
) -> None:
    assert set(first_set) == set(ANSWERING.values())
    assert len({said_by(numbers, ORDER) for numbers in first_set.values()}) == 3
    check_answers(regional, first_set)
    code, said = ask(regional, *({**ORDER, "items": items, "region": "south"} for items in (8, 1)))
    expected = [said_by(first_set["south"], {**ORDER, "items": items}) for items in (8, 1)]
    assert code == 200, said
    assert [each["probability"] for each in said["predictions"]] == pytest.approx(expected)


def test_a_region_that_is_not_allowed_and_several_in_one_request_are_refused(regional: Live, first: Chain) -> None:
    assert first.outcome() == "deployed", first
    code, said = ask(regional, {**ORDER, "region": "moon"})
    assert (code, said["field"], said["given"]) == (400, "instances[0].region", "moon")
    assert said["allowed"] == ["north", "south", "east", "west", None]
    code, said = ask(regional, {**ORDER, "region": "north"}, {**ORDER, "region": "south"})
    assert (code, said["field"], said["given"]) == (400, "region", ['"north"', '"south"'])


def test_the_evaluation_tells_the_regions_apart(regional: Live, first: Chain) -> None:
    evaluation = regional.read_json(regional.record(f"model#{first.run_id}")["evaluation_uri"])
    judged = {each["slice"]: each for each in evaluation["slices"] if each["column"] == "region" and each["enough"]}
    assert set(judged) == {"north", "south", "(others)"}
    assert all(each["metrics"]["auc"] > 0.9 for each in judged.values())


def test_the_capture_names_the_model_that_answered(regional: Live, first: Chain) -> None:
    assert first.outcome() == "deployed", first
    names = {region: uuid.uuid4().hex for region in ANSWERING}
    for region, name in names.items():
        assert ask(regional, {**ORDER, "region": region}, name=name)[0] == 200
    found = captured(regional, set(names.values()))
    asked = {region: attributes_of(found[name])["model"] for region, name in names.items()}
    assert asked == {"north": "north", "south": "south", "east": "east", "west": "_fallback"}  # the east has a copy


# --- two sets side by side --------------------------------------------------------------------------------------------


@dataclass
class Traffic:
    """Requests for two regions that keep coming, and are counted by status and error."""

    live: Live
    seen: Counter[tuple[int, str]] = field(default_factory=Counter)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def coming(self) -> Iterator[None]:
        """Ask on until the context ends."""
        threads = [threading.Thread(target=self._ask_on, args=(region,), daemon=True) for region in ("north", "south")]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(60)

    def _ask_on(self, region: str) -> None:
        number = 0
        while not self._stop.wait(0.5):
            number += 1
            code, said = ask(self.live, {**ORDER, "region": region}, customer=f"{region}-{number % 10}")
            self.seen[(code, str(said.get("error", "")))] += 1


@dataclass(frozen=True)
class Compared:
    """Two sets that were compared.

    Attributes:
        chain: What the second batch set off.
        met: Customer to the variant, the region and the answer that were met.
        again: Of some of the customers, what they met later.
        records: What was captured of each customer's request.
        traffic: What became of the requests that kept coming all the while.
    """

    chain: Chain
    met: Mapping[str, tuple[str, str, float]]
    again: Mapping[str, tuple[str, str, float]]
    records: Mapping[str, Mapping[str, Any]]
    traffic: Counter[tuple[int, str]]


def comparison(live: Live, key: str) -> Execution:
    """The deployment that a batch set off, as soon as both sets answer."""
    reader = ChainReader(live.platform.aws, live.outputs, run_id_of(live.platform.aws, live.outputs, key))

    def look() -> Execution | None:
        chain = reader.read()
        assert not chain.finished, chain
        found = chain.of("deployment")
        return found if found is not None and any(each.name == "WaitToJudge" for each in found.states) else None

    return eventually(look, "both sets side by side")


def order_of(number: int) -> dict[str, Any]:
    """The order of a customer."""
    return {**ORDER, "items": 1 if number % 4 < 2 else 8, "region": ("north", "south")[number % 2]}


def meet(live: Live, number: int, name: str) -> tuple[str, str, float]:
    """Ask for a customer; returns variant, region and answer."""
    order = order_of(number)
    code, said = ask(live, order, customer=f"customer-{number}", name=name)
    assert code == 200, said
    return said["variant"], order["region"], said["predictions"][0]["probability"]


@pytest.fixture(scope="module")
def compared(regional: Live, first: Chain) -> Compared:
    """A second set, of a world that has changed, compared with the first one until it is known to be better."""
    assert first.outcome() == "deployed", first
    traffic, customers, mark = Traffic(regional), range(160), uuid.uuid4().hex
    with traffic.coming():
        key = land(regional, batch(dt.date(2024, 3, 11), many_are_late=False), "later")
        comparison(regional, key)

        def drawn() -> bool:
            name = uuid.uuid4().hex
            meet(regional, 0, name)
            return "challenger" in attributes_of(captured(regional, {name})[name]).get("shares", "")

        eventually(drawn, "requests that are assigned to one of two sets")
        time.sleep(WEIGHTS_SECONDS)  # another instance of the function may not have looked yet who answers
        met = {f"{mark}-{number}": meet(regional, number, f"{mark}-{number}") for number in customers}
        again = {f"{mark}-{number}": meet(regional, number, f"again-{mark}-{number}") for number in customers[:20]}
        records = captured(regional, set(met))
        many = {name: (order_of(number)["items"] >= 5) for number, name in zip(customers, met, strict=True)}
        tell(regional, {name: many[name] == (region == "south") for name, (_, region, _) in met.items()})
        chain = regional.chain_of(key)
        eventually(lambda: meet(regional, 0, uuid.uuid4().hex)[0] == "primary", "requests of one set")
    return Compared(chain, met, again, records, traffic.seen)


@pytest.fixture(scope="module")
def second_set(regional: Live, compared: Compared, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Numbers]:
    """The models of the second set."""
    return numbers_of(regional, compared.chain, tmp_path_factory.mktemp("sets") / "second")


def test_a_customer_meets_one_set_and_of_it_the_model_of_the_region(
    compared: Compared, first_set: Mapping[str, Numbers], second_set: Mapping[str, Numbers]
) -> None:
    assert all([each[0] for each in compared.met.values()].count(arm) > 50 for arm in ("primary", "challenger"))
    assert compared.again == {name: compared.met[name] for name in compared.again}
    sets = {"primary": first_set, "challenger": second_set}
    expected = {
        name: said_by(sets[arm][region], order_of(int(name.partition("-")[2])))
        for name, (arm, region, _) in compared.met.items()
    }
    assert {name: answer for name, (_, _, answer) in compared.met.items()} == pytest.approx(expected)
    told = {name: attributes_of(record) for name, record in compared.records.items()}
    assert {name: each["model"] for name, each in told.items()} == {
        name: region for name, (_, region, _) in compared.met.items()
    }
    assert all(each["unit"] and each["shares"] == "challenger:0.5,primary:0.5" for each in told.values())


def test_the_better_set_takes_over_as_a_whole_and_no_request_fails(
    regional: Live, compared: Compared, second_set: Mapping[str, Numbers]
) -> None:
    deployment = compared.chain.of("deployment")
    assert compared.chain.outcome() == "deployed" and deployment is not None, compared.chain
    assert {"GoldenChallenger", "RecordPromoted"} <= {each.name for each in deployment.states}
    record = regional.record(f"experiment#{WORKLOAD}")
    assert record["status"] == "promoted" and json.loads(record["verdict"])["decision"] == "promote"
    endpoint = regional.client("sagemaker").describe_endpoint(EndpointName=regional.outputs.endpoint_name)
    assert [each["VariantName"] for each in endpoint["ProductionVariants"]] == ["primary"]
    check_answers(regional, second_set)
    assert set(compared.traffic) == {(200, "")}


def test_the_set_before_comes_back_as_a_whole_on_purpose(
    regional: Live, first: Chain, compared: Compared, first_set: Mapping[str, Numbers]
) -> None:
    left, traffic = package_of(compared.chain), Traffic(regional)
    with traffic.coming():
        regional.command("rollback", "--reason", "the world is as it was", "--actor", "ada")
        check_answers(regional, first_set)
    record = regional.record(f"live#{WORKLOAD}")
    assert record["model_package_arn"] == package_of(first)
    assert (record["cause"], record["actor"], record["reason"]) == ("rollback", "ada", "the world is as it was")
    assert record["previous_package_arn"] == left
    assert status(regional, left) == "Rejected"
    assert set(traffic.seen) == {(200, "")}
