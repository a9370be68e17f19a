"""What can happen to a deployment, told one after the other for each strategy; each ends with somebody who serves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.local.sagemaker.rollouts.clients import Client, wait_for
from tests.local.sagemaker.rollouts.plan import CANARY, LINEAR, PATIENT, RARE, ROLLING, WHOLE, Workload
from tests.local.sagemaker.rollouts.stand import PERIOD_SECONDS, Deployment, Stand

FAILS = "def of_clients(data): raise RuntimeError('no')"
SLOW = "def of_clients(data): time.sleep(0.5)"
PREDICTS_OTHERWISE = """
def predict_fn(data, model):
    return [{"probability": 0.9 if data.get("client") else 0.5} for _ in data["instances"]]
"""
BREAKS_OFF = "def of_clients(data): os._exit(9)"
REFUSES_TWO_OF_FIVE = """
def of_clients(data):
    if SEEN[0] % 5 < 2:
        raise ValueError('not like this')
"""
NEVER_STARTS = """
def model_fn(folder):
    if SERVES:
        raise OSError('the model is in another country')
    return 'x'
"""
ANSWERS_OTHERWISE = """
def predict_fn(data, model):
    return [{"probability": 0.9 if SERVES else 0.5} for _ in data["instances"]]
"""
FAILS_GOLDEN = """
def predict_fn(data, model):
    return [{"probability": 2.0} for _ in data["instances"]]
"""
FAILS_LATER = """
def of_clients(data):
    if data.get("late"):
        raise RuntimeError('no')
"""
DIES_AFTER_AN_HOUR = """
def of_clients(data):
    if data.get("late"):
        os._exit(9)
"""
"""An hour's worth of traffic is not waited for: the clients say when it is over."""
WISH = {"action": "rollback", "actor": "ada", "reason": "it reads ages wrongly"}
LAST_STEP_ANSWERS = 20
"""So many answers in a row come from one version by chance once in a million, while half of the requests meet it."""

ANSWERED_WRONGLY = frozenset({"ModelError 400", "ModelError 500"})
BROKEN_OFF = frozenset({"ModelError 0", "ServiceUnavailable"})
"""What a request meets whose container dies over it, and what others meet until one is started again."""
NOBODY_YET = frozenset({"ValidationError"})
"""What a request meets before the first deployment."""


@dataclass
class Outcome:
    """What became of one scenario.

    Attributes:
        serves: The version that answered at the end.
        client: Who asked all the while.
        package: The version that was deployed, with its status and the reason.
        endpoint: What SageMaker said of the endpoint at the end.
        live: What the record said.
        more: What only this scenario looks at.
    """

    name: str
    strategy: str
    deployment: Deployment
    serves: str
    client: Client
    package: str
    status: tuple[str, str]
    endpoint: dict[str, Any]
    live: dict[str, str]
    more: dict[str, Any] = field(default_factory=dict)


def check_served(outcome: Outcome, failures: Set[str] = ANSWERED_WRONGLY) -> None:
    """See that a variant has served all the while, and that at the end it is the one that is written down.

    Args:
        failures: What requests may meet. By default none finds no endpoint, no variant or no instance: what fails,
            fails inside of a model.
    """
    assert set(outcome.client.failures) <= failures
    assert outcome.endpoint["EndpointStatus"] == "InService"
    assert outcome.client.answers[outcome.serves] >= 3
    [variant] = outcome.endpoint["ProductionVariants"]
    assert variant["VariantName"] == "primary" and variant["CurrentInstanceCount"] >= 1
    assert outcome.live["config"] == outcome.endpoint["EndpointConfigName"]


class Teller:
    """Tells scenarios of one workload."""

    def __init__(self, stand: Stand, workload: Workload) -> None:
        self.stand, self.workload = stand, workload
        self.told: list[Outcome] = []

    def new(self, version: str, more: str = "") -> str:
        """Make a model."""
        return self.stand.package(self.workload, version, more)

    def tell(
        self,
        name: str,
        package: str,
        act: Callable[[Client], Deployment | tuple[Deployment, dict[str, Any]]],
        serves: str,
    ) -> Outcome:
        """Do something while requests keep coming, until the version that is to serve answers again."""
        stand, workload = self.stand, self.workload
        with stand.traffic(workload) as client:
            done = act(client)
            deployment, more = done if isinstance(done, tuple) else (done, {})
            try:
                client.await_answer(serves, 3)
            except AssertionError as error:
                told = f"{deployment.status} {deployment.error} {deployment.cause}; answers: {client.answers}"
                raise AssertionError(f"{name}: {serves} does not serve after it: {told}") from error
        endpoint = stand.endpoint(workload)
        assert endpoint is not None
        outcome = Outcome(
            name,
            workload.strategy,
            deployment,
            serves,
            client,
            package,
            stand.status_of(package),
            endpoint,
            stand.live(workload),
            more,
        )
        self.told.append(outcome)
        stand.told[(workload.strategy, name)] = outcome
        if client.failed:  # an alarm would judge the next scenario's requests together with these
            time.sleep(PERIOD_SECONDS)
        stand.await_quiet(workload)
        return outcome

    def deploy(self, name: str, package: str, serves: str, *, machine: str = "Machine") -> Outcome:
        """Deploy a version while requests keep coming."""
        return self.tell(name, package, lambda _: self.stand.deploy(self.workload, package, machine=machine), serves)

    @contextmanager
    def noise(self) -> Iterator[None]:
        """Let the alarm on errors be on, whatever the endpoint does."""
        stop = threading.Event()
        dimensions = [
            {"Name": "EndpointName", "Value": self.workload.endpoint},
            {"Name": "VariantName", "Value": "primary"},
        ]
        datum = {"MetricName": "Invocation5XXErrors", "Value": 1000.0, "Dimensions": dimensions}
        watch = self.stand.client("cloudwatch")

        def publish() -> None:
            while not stop.wait(0.1):
                watch.put_metric_data(Namespace="AWS/SageMaker", MetricData=[datum])

        thread = threading.Thread(target=publish, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(5)

    def alarm_on(self) -> bool:
        """Whether the alarm on errors is on."""
        asked = {"AlarmNames": [self.workload.alarm("errors")], "StateValue": "ALARM"}
        return bool(self.stand.client("cloudwatch").describe_alarms(**asked)["MetricAlarms"])


def tell_whole(stand: Stand) -> list[Outcome]:
    """All at once."""
    teller = Teller(stand, WHOLE)
    one, two = teller.new("v1"), teller.new("v2")
    teller.deploy("first deployment", one, "v1")
    teller.deploy("a good model", two, "v2")
    teller.deploy("alarm during the bake", teller.new("errors", FAILS), "v2", machine=PATIENT)
    teller.deploy("container never starts", teller.new("dead", NEVER_STARTS), "v2")
    teller.deploy("answers otherwise than before", teller.new("liar", ANSWERS_OTHERWISE), "v2")
    _alarm_before(teller, one)
    _alarm_comes_in_between(teller, teller.new("unlucky"))
    _on_purpose(teller, one, two)
    _cancelled(teller, teller.new("half"), teller.new("v3"))
    _two_at_once(teller, teller.new("v4"), teller.new("v5"))
    _dies_later(teller, teller.new("v6", DIES_AFTER_AN_HOUR))
    return teller.told


def _alarm_before(teller: Teller, package: str) -> None:
    def act(_: Client) -> Deployment:
        with teller.noise():
            wait_for(teller.alarm_on)
            return teller.stand.deploy(teller.workload, package)

    teller.tell("alarm on before the start", package, act, "v2")


def _alarm_comes_in_between(teller: Teller, package: str) -> None:
    def act(_: Client) -> Deployment:
        execution = teller.stand.start(teller.workload, package)
        teller.stand.await_state(execution, "GoldenBefore")
        with teller.noise():
            return teller.stand.end_of(execution)

    teller.tell("alarm comes on before the update", package, act, "v2")


def _on_purpose(teller: Teller, one: str, two: str) -> None:
    stand, workload = teller.stand, teller.workload
    teller.tell("rollback on purpose", one, lambda _: stand.deploy(workload, **WISH), "v1")
    again = {**WISH, "model_package_arn": two, "reason": "the ages were right"}
    teller.tell("rollback of the rollback", two, lambda _: stand.deploy(workload, **again), "v2")
    nameless = {"action": "rollback", "reason": "because"}
    teller.tell("rollback by nobody", two, lambda _: stand.deploy(workload, **nameless), "v2")
    never = {**WISH, "model_package_arn": teller.new("never")}
    teller.tell("rollback to what never served", two, lambda _: stand.deploy(workload, **never), "v2")


def _cancelled(teller: Teller, package: str, following: str) -> None:
    stand, workload = teller.stand, teller.workload

    def act(_: Client) -> Deployment:
        execution = stand.start(workload, package)
        stand.await_state(execution, "WaitForRollout")
        stand.cancel(execution)
        return stand.deploy(workload, following)

    teller.tell("cancelled half way, the next takes over", following, act, "v3")


def _two_at_once(teller: Teller, one: str, other: str) -> None:
    stand, workload = teller.stand, teller.workload

    def act(_: Client) -> tuple[Deployment, dict[str, Any]]:
        first = stand.start(workload, one)
        stand.await_state(first, "UpdateEndpoint")
        second = stand.deploy(workload, other)
        return second, {"first": stand.end_of(first), "status of the first": stand.status_of(one)[0]}

    teller.tell("two deployments at once", other, act, "v5")


def _dies_later(teller: Teller, package: str) -> None:
    """The bake is over when the container starts to die; a person goes back although the alarm is on."""
    stand, workload = teller.stand, teller.workload

    def act(client: Client) -> tuple[Deployment, dict[str, Any]]:
        deployed = stand.deploy(workload, package)
        client.request["late"] = True
        wait_for(teller.alarm_on)
        return stand.deploy(workload, **{**WISH, "reason": "containers die"}), {"deployed": deployed}

    teller.tell("container dies after an hour's worth of traffic", package, act, "v5")


def tell_canary(stand: Stand) -> list[Outcome]:
    """A share first."""
    teller = Teller(stand, CANARY)
    one, two = teller.new("v1"), teller.new("v2")
    teller.deploy("first deployment", one, "v1")
    teller.deploy("a good model", two, "v2")
    teller.deploy(
        "only the canary refuses",
        teller.new("strict", REFUSES_TWO_OF_FIVE),
        "v2",
        machine=PATIENT,
    )
    teller.deploy("only the canary is slow", teller.new("slow", SLOW), "v2", machine=PATIENT)
    teller.deploy("only the canary predicts otherwise", teller.new("odd", PREDICTS_OTHERWISE), "v2", machine=PATIENT)
    when_alone(teller, "alarm during the second bake", teller.new("errors", FAILS_LATER), "errors")
    _under_scaling(teller)
    return teller.told


def _under_scaling(teller: Teller) -> None:
    stand, workload = teller.stand, teller.workload
    stand.resize(workload, 3)
    larger, more = teller.new("v3"), teller.new("v4")
    teller.deploy("instance type changes under scaling", larger, "v3", machine="Larger")
    teller.deploy("declared number of instances changes", more, "v4", machine="More")


def tell_linear(stand: Stand) -> list[Outcome]:
    """Step by step."""
    teller = Teller(stand, LINEAR)
    one, two = teller.new("v1", FAILS_LATER), teller.new("v2")
    teller.deploy("first deployment", one, "v1")
    teller.deploy("a good model", two, "v2")
    teller.deploy("container breaks off at the first step", teller.new("broken", BREAKS_OFF), "v2", machine=PATIENT)
    when_alone(teller, "containers die at the last step", teller.new("v3", DIES_AFTER_AN_HOUR), "v3")
    teller.deploy("golden requests fail", teller.new("wrong", FAILS_GOLDEN), "v2")
    _not_approved(teller, teller.new("unwanted"))
    teller.deploy("the same version again", two, "v2")
    _alarm_on_the_way_back(teller, one)
    _cancelled_and_taken_back(teller, teller.new("half"), teller.new("dead", NEVER_STARTS))
    return teller.told


def when_alone(teller: Teller, name: str, package: str, version: str) -> None:
    """All but the last bake is over, and nobody meets the old model any more when the new one begins to fail."""

    def act(client: Client) -> tuple[Deployment, dict[str, Any]]:
        execution = teller.stand.start(teller.workload, package, machine=PATIENT)
        client.await_answer(version)
        mixed = client.answers["v2"]
        client.await_alone(version, LAST_STEP_ANSWERS)
        shared = client.answers["v2"] - mixed
        client.request["late"] = True
        return teller.stand.end_of(execution), {"answers of v2 while both served": shared}

    teller.tell(name, package, act, "v2")


def _not_approved(teller: Teller, package: str) -> None:
    rejected = {"ModelApprovalStatus": "Rejected", "ApprovalDescription": "a person said so"}
    teller.stand.client("sagemaker").update_model_package(ModelPackageArn=package, **rejected)
    teller.deploy("not approved", package, "v2")


def _alarm_on_the_way_back(teller: Teller, package: str) -> None:
    """Somebody goes back on purpose, and the version before fails by now: the one that serves is kept."""
    stand, workload = teller.stand, teller.workload

    def act(client: Client) -> Deployment:
        execution = stand.start(workload, machine=PATIENT, **WISH)
        client.await_answer("v1")
        client.request["late"] = True
        return stand.end_of(execution)

    teller.tell("alarm during a rollback on purpose", package, act, "v2")


def _cancelled_and_taken_back(teller: Teller, half: str, package: str) -> None:
    """What was cancelled half way serves although nobody has verified it; the next one fails."""
    stand, workload = teller.stand, teller.workload

    def act(client: Client) -> tuple[Deployment, dict[str, Any]]:
        execution = stand.start(workload, half)
        stand.await_state(execution, "WaitForRollout")
        stand.cancel(execution)
        deployment = stand.deploy(workload, package)
        return deployment, {"answers of what was left": client.answers["half"]}

    teller.tell("cancelled half way, the next is taken back", package, act, "v2")


def tell_rolling(stand: Stand) -> list[Outcome]:
    """Batch by batch."""
    teller = Teller(stand, ROLLING)
    teller.deploy("first deployment", teller.new("v1"), "v1")
    teller.deploy("a good model", teller.new("v2"), "v2")
    teller.deploy("alarm after the first batch", teller.new("errors", FAILS), "v2", machine=PATIENT)
    at_a_batch(teller, "alarm after the second batch", 2)
    teller.deploy("container never starts", teller.new("dead", NEVER_STARTS), "v2")
    _half_back(teller)
    return teller.told


def at_a_batch(teller: Teller, name: str, batch: int) -> None:
    """So many instances were replaced, one in each batch, when the new ones begin to fail."""
    version = f"batch-{batch}"
    package = teller.new(version, FAILS_LATER)

    def act(client: Client) -> tuple[Deployment, dict[str, Any]]:
        execution = teller.stand.start(teller.workload, package, machine=PATIENT)
        client.await_machines(version, batch)
        if batch == teller.workload.instances:
            client.await_alone(version, LAST_STEP_ANSWERS)
        client.request["late"] = True
        deployment = teller.stand.end_of(execution)
        return deployment, {"new machines": len(client.machines[version])}

    teller.tell(name, package, act, "v2")


def _half_back(teller: Teller) -> None:
    """A rolling deployment on other machines fails, and for the way back there are none, until a little later."""
    stand, workload = teller.stand, teller.workload
    package = teller.new("worse", FAILS)

    def act(_: Client) -> tuple[Deployment, dict[str, Any]]:
        with stand.faults(no_capacity=[workload.instance_type]):
            execution = stand.start(workload, package, machine=PATIENT)
            mixed = stand.await_endpoint(workload, "UpdateRollbackFailed")
            stand.await_state(execution, "WaitToRestore")
        return stand.end_of(execution), {"mixed": mixed}

    teller.tell("rollback finds no capacity", package, act, "v2")


def tell_faults(stand: Stand) -> list[Outcome]:
    """What AWS itself gets wrong; after the others, since it would hit them too."""
    whole = Teller(stand, WHOLE)
    _no_capacity(whole)
    _throttled(whole)
    return whole.told


def _no_capacity(teller: Teller) -> None:
    package = teller.new("v7")
    with teller.stand.faults(no_capacity=[RARE]):
        teller.deploy("no capacity", package, "v5", machine=PATIENT)


def _throttled(teller: Teller) -> None:
    """Each call is refused twice: once for the client, which tries again by itself, and once for the machine to see."""
    package = teller.new("v8")
    with teller.stand.faults(throttle={"CreateModel": 2, "CreateEndpointConfig": 2, "UpdateEndpoint": 2}):
        teller.deploy("throttled", package, "v8")


SCENARIOS = [
    *(
        ("all_at_once", name)
        for name in (
            "first deployment",
            "a good model",
            "alarm during the bake",
            "container never starts",
            "answers otherwise than before",
            "alarm on before the start",
            "alarm comes on before the update",
            "rollback on purpose",
            "rollback of the rollback",
            "rollback by nobody",
            "rollback to what never served",
            "cancelled half way, the next takes over",
            "two deployments at once",
            "container dies after an hour's worth of traffic",
        )
    ),
    *(
        ("canary", name)
        for name in (
            "first deployment",
            "a good model",
            "only the canary refuses",
            "only the canary is slow",
            "only the canary predicts otherwise",
            "alarm during the second bake",
            "instance type changes under scaling",
            "declared number of instances changes",
        )
    ),
    *(
        ("linear", name)
        for name in (
            "first deployment",
            "a good model",
            "container breaks off at the first step",
            "containers die at the last step",
            "golden requests fail",
            "not approved",
            "the same version again",
            "alarm during a rollback on purpose",
            "cancelled half way, the next is taken back",
        )
    ),
    *(
        ("rolling", name)
        for name in (
            "first deployment",
            "a good model",
            "alarm after the first batch",
            "alarm after the second batch",
            "container never starts",
            "rollback finds no capacity",
        )
    ),
    ("all_at_once", "no capacity"),
    ("all_at_once", "throttled"),
]
"""Strategy and name of each scenario, in the order in which they are told."""

_LONGEST_SECONDS = 590.0
TELLERS = {"all_at_once": tell_whole, "canary": tell_canary, "linear": tell_linear, "rolling": tell_rolling}


@dataclass(frozen=True)
class Last:
    """What is told when all else was, since it would hit the others too.

    Attributes:
        scenarios: Strategy and name of each, in order.
    """

    tell: Callable[[Stand], list[Outcome]]
    scenarios: Sequence[tuple[str, str]]


FAULTS = Last(tell_faults, SCENARIOS[-2:])


class Telling:
    """Tells everything, the strategies side by side, what hits all of them last; who asks for a scenario waits for it.

    Args:
        tellers: Who tells of a strategy.
        last: What is told after them.
    """

    def __init__(
        self,
        stand: Stand,
        tellers: Mapping[str, Callable[[Stand], list[Outcome]]] = TELLERS,
        last: Last = FAULTS,
    ) -> None:
        self._stand, self._last = stand, last
        pool = ThreadPoolExecutor(len(tellers) + 1)
        self._told = {strategy: pool.submit(tell, stand) for strategy, tell in tellers.items()}
        self._told["last"] = pool.submit(self._tell_last, tuple(self._told.values()))
        pool.shutdown(wait=False)

    def _tell_last(self, before: Sequence[Future[list[Outcome]]]) -> list[Outcome]:
        wait(before)
        return self._last.tell(self._stand)

    def outcome(self, strategy: str, name: str) -> Outcome:
        """How a scenario ended."""
        group = self._told["last" if (strategy, name) in self._last.scenarios else strategy]
        told: dict[tuple[str, str], Outcome] = self._stand.told
        wait_for(lambda: (strategy, name) in told or group.done(), _LONGEST_SECONDS)
        if (strategy, name) not in told:
            group.result()
        return told[(strategy, name)]

    def all(self) -> list[Outcome]:
        """How all ended, in order."""
        return [outcome for each in self._told.values() for outcome in each.result()]
