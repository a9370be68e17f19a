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
            stand.await_state(execution, "WaitForCapacity")
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
        stand.await_state(execution, "WaitForCapacity")
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
]
"""Strategy and name of each scenario, in the order in which they are told."""
