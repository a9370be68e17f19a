"""What happens to a deployment once in a long while, told one after the other for each strategy."""

from __future__ import annotations

from typing import Any

from tests.local.sagemaker.rollouts.clients import Client, wait_for
from tests.local.sagemaker.rollouts.plan import CANARY, LARGER, OTHER, PATIENT, ROLLING
from tests.local.sagemaker.rollouts.scenarios import (
    ANSWERS_OTHERWISE,
    FAILS_LATER,
    NEVER_STARTS,
    WISH,
    Last,
    Outcome,
    Teller,
    at_a_batch,
)
from tests.local.sagemaker.rollouts.stand import Deployment, Stand


def tell_canary(stand: Stand) -> list[Outcome]:
    """First deployments that fail, and a lack of machines."""
    teller = Teller(stand, CANARY)
    _first_after_two_that_failed(teller, teller.new("dead", NEVER_STARTS), teller.new("v1"))
    _redriven(teller, teller.new("v2"))
    _no_machines_to_restore(teller, teller.new("liar", ANSWERS_OTHERWISE))
    return teller.told


def _first_after_two_that_failed(teller: Teller, dead: str, package: str) -> None:
    """One was cancelled while its endpoint was made, so that it is the second that clears away what came of it."""
    stand, workload = teller.stand, teller.workload

    def act(_: Client) -> tuple[Deployment, dict[str, Any]]:
        execution = stand.start(workload, dead)
        stand.await_state(execution, "WaitForRollout")
        stand.cancel(execution)
        failed = stand.deploy(workload, dead)
        return stand.deploy(workload, package), {"failed": failed}

    teller.tell("first deployment, after two that failed", package, act, "v1")


def _redriven(teller: Teller, package: str) -> None:
    stand, workload = teller.stand, teller.workload

    def act(_: Client) -> tuple[Deployment, dict[str, Any]]:
        with stand.faults(no_capacity=[LARGER]):
            lacking = stand.deploy(workload, package, machine="Larger")
        return stand.redrive(lacking.arn), {"lacking": lacking, "status of the lacking": stand.status_of(package)[0]}

    teller.tell("no capacity until it is redriven", package, act, "v2")


def _no_machines_to_restore(teller: Teller, package: str) -> None:
    """What serves answers otherwise than it should, and of the machines of what served before there are none."""
    stand, workload = teller.stand, teller.workload

    def act(_: Client) -> Deployment:
        with stand.faults(no_capacity=[LARGER]):
            execution = stand.start(workload, package)
            stand.await_state(execution, "WaitToRestore")
        return stand.end_of(execution)

    teller.tell("answers otherwise, no capacity to go back", package, act, "v2")


def tell_rolling(stand: Stand) -> list[Outcome]:
    """The last batch, and mixtures that are left as they are."""
    teller = Teller(stand, ROLLING)
    teller.deploy("first deployment", teller.new("v1"), "v1")
    teller.deploy("a good model", teller.new("v2"), "v2")
    at_a_batch(teller, "alarm after the last batch", 3)
    _no_more_machines(teller, teller.new("scarce"))
    _mixture_left_on_purpose(teller)
    _mixture_replaced(teller, teller.new("v3"))
    return teller.told


def _no_more_machines(teller: Teller, package: str) -> None:
    """There is a machine for the first batch, and none for the second."""
    stand, workload = teller.stand, teller.workload

    def act(client: Client) -> Deployment:
        execution = stand.start(workload, package, machine=PATIENT)
        client.await_answer("scarce")
        with stand.faults(no_capacity=[OTHER]):
            return stand.end_of(execution)

    teller.tell("no capacity for a later batch", package, act, "v2")


def _leave_a_mixture(teller: Teller, client: Client) -> dict[str, Any]:
    """Cancel a rolling deployment that could go neither on nor back; returns the endpoint with both."""
    stand, workload = teller.stand, teller.workload
    with stand.faults(no_capacity=[workload.instance_type]):
        execution = stand.start(workload, teller.new("worse", FAILS_LATER), machine=PATIENT)
        client.await_answer("worse")
        client.request["late"] = True
        stand.await_state(execution, "WaitToRestore")
        stand.cancel(execution)
    return stand.await_endpoint(workload, "UpdateRollbackFailed")


def _mixture_left_on_purpose(teller: Teller) -> None:
    """Half of the instances fail on, so that the alarm is on when somebody goes back."""
    stand, workload = teller.stand, teller.workload
    before = stand.live(workload)["previous_package_arn"]

    def act(client: Client) -> tuple[Deployment, dict[str, Any]]:
        mixed = _leave_a_mixture(teller, client)
        wait_for(teller.alarm_on)
        return stand.deploy(workload, **WISH), {"mixed": mixed}

    teller.tell("cancelled as a mixture, somebody goes back", before, act, "v1")


def _mixture_replaced(teller: Teller, package: str) -> None:
    stand, workload = teller.stand, teller.workload

    def act(client: Client) -> tuple[Deployment, dict[str, Any]]:
        mixed = _leave_a_mixture(teller, client)
        client.request["late"] = False
        stand.await_quiet(workload)
        return stand.deploy(workload, package), {"mixed": mixed}

    teller.tell("cancelled as a mixture, the next takes over", package, act, "v3")


def tell_of_whole_account(stand: Stand) -> list[Outcome]:
    """What hits all deployments of an account: hours that go by, and requests that are too many."""
    rolling, canary = Teller(stand, ROLLING), Teller(stand, CANARY)
    _turn_never_comes(rolling, rolling.new("held up"), rolling.new("late"))
    _update_never_ends(rolling, rolling.new("stuck"), rolling.new("following"))
    stand.remove_endpoint(CANARY)
    _creation_never_ends(canary, canary.new("stuck"), canary.new("v3"))
    _refused_to_restore(canary, canary.new("liar", ANSWERS_OTHERWISE))
    return [*rolling.told, *canary.told]


def _turn_never_comes(teller: Teller, held_up: str, package: str) -> None:
    """The deployment that has the turn is given no machine; SageMaker gives it up when it can."""
    stand, workload = teller.stand, teller.workload

    def act(_: Client) -> tuple[Deployment, dict[str, Any]]:
        with stand.faults(pending=[OTHER]):
            before = stand.start(workload, held_up, machine=PATIENT)
            stand.await_lack(workload, OTHER)
            execution = stand.start(workload, package)
            stand.await_state(execution, "WaitForTurn")
            stand.let_pass(hours=2)
            late = stand.end_of(execution)
        return late, {"before": stand.end_of(before), "status of the one before": stand.status_of(held_up)[0]}

    teller.tell("its turn never comes", package, act, "v3")


def _update_never_ends(teller: Teller, package: str, following: str) -> None:
    """There is a machine for the first batch; whoever comes next meets an endpoint that still changes."""
    stand, workload = teller.stand, teller.workload

    def act(client: Client) -> tuple[Deployment, dict[str, Any]]:
        execution = stand.start(workload, package, machine=PATIENT)
        client.await_answer("stuck")
        with stand.faults(pending=[OTHER]):
            stand.await_lack(workload, OTHER)
            stand.let_pass(hours=3)
            stuck = stand.end_of(execution)
            execution = stand.start(workload, following)
            stand.await_state(execution, "WaitForEndpoint")
            stand.let_pass(hours=2)
            busy = stand.end_of(execution)
            before = client.answers.copy()
            client.await_answer("v3")
            client.await_answer("stuck")
        stand.await_endpoint(workload, "InService")
        return stuck, {
            "busy": busy,
            "answers until then": before,
            "status of the following": stand.status_of(following),
        }

    teller.tell("an update never ends", package, act, "v3")


def _creation_never_ends(teller: Teller, package: str, following: str) -> None:
    """What is being made cannot be removed; it comes late, and the next deployment replaces it."""
    stand, workload = teller.stand, teller.workload

    def act(_: Client) -> tuple[Deployment, dict[str, Any]]:
        with stand.faults(pending=[LARGER]):
            execution = stand.start(workload, package, machine="Larger")
            stand.await_lack(workload, LARGER)
            stand.let_pass(hours=1)
            stuck = stand.end_of(execution)
        return stand.deploy(workload, following), {"stuck": stuck, "status of the stuck": stand.status_of(package)[0]}

    teller.tell("first deployment, after one that never ended", following, act, "v3")


def _refused_to_restore(teller: Teller, package: str) -> None:
    """What serves answers otherwise than it should, and AWS takes no requests to replace it for a while."""
    stand, workload = teller.stand, teller.workload

    def act(_: Client) -> Deployment:
        execution = stand.start(workload, package)
        stand.await_state(execution, "WaitForRollout")
        with stand.faults(throttle={"UpdateEndpoint": 1_000}):
            stand.await_state(execution, "LookToRestore")
        return stand.end_of(execution)

    teller.tell("answers otherwise, going back is refused", package, act, "v3")


TELLERS = {"canary": tell_canary, "rolling": tell_rolling}
SCENARIOS = [
    ("canary", "first deployment, after two that failed"),
    ("canary", "no capacity until it is redriven"),
    ("canary", "answers otherwise, no capacity to go back"),
    ("rolling", "first deployment"),
    ("rolling", "a good model"),
    ("rolling", "alarm after the last batch"),
    ("rolling", "no capacity for a later batch"),
    ("rolling", "cancelled as a mixture, somebody goes back"),
    ("rolling", "cancelled as a mixture, the next takes over"),
    ("rolling", "its turn never comes"),
    ("rolling", "an update never ends"),
    ("canary", "first deployment, after one that never ended"),
    ("canary", "answers otherwise, going back is refused"),
]
"""Strategy and name of each scenario, in the order in which they are told."""
LAST = Last(tell_of_whole_account, SCENARIOS[-4:])
