"""What happens to deployments once in a long while, on a deployed machine, while requests keep coming."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.local.conftest import start_server
from tests.local.sagemaker.rollouts.plan import CANARY, ROLLING
from tests.local.sagemaker.rollouts.rare_scenarios import LAST, SCENARIOS, TELLERS
from tests.local.sagemaker.rollouts.scenarios import ANSWERED_WRONGLY, NOBODY_YET, Outcome, Telling, check_served
from tests.local.sagemaker.rollouts.stand import SCALES, deploy_stand


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Telling]:
    """All scenarios, which go on while the first of them are looked at."""
    server = start_server(tmp_path_factory.mktemp("rare"), *SCALES)
    try:
        yield Telling(deploy_stand(server, tmp_path_factory.mktemp("stand"), (CANARY, ROLLING)), TELLERS, LAST)
    finally:
        server.stop()


@pytest.fixture
def outcome(telling: Telling, request: pytest.FixtureRequest) -> Outcome:
    return telling.outcome(*request.param)


def told(*scenarios: tuple[str, str]) -> pytest.MarkDecorator:
    """Look at these scenarios."""
    assert set(scenarios) <= set(SCENARIOS)
    return pytest.mark.parametrize("outcome", scenarios, indirect=True, ids=str)


@told(*SCENARIOS)
def test_somebody_serves_all_the_while_and_who_is_written_down_answers_at_the_end(outcome: Outcome) -> None:
    check_served(outcome, NOBODY_YET if outcome.name.startswith("first deployment") else ANSWERED_WRONGLY)


@told(
    ("canary", "no capacity until it is redriven"),
    ("canary", "answers otherwise, no capacity to go back"),
    ("rolling", "no capacity for a later batch"),
)
def test_a_lack_of_machines_costs_no_request(outcome: Outcome) -> None:
    assert outcome.client.failures == {}
    assert outcome.client.asked > 0


@told(("canary", "first deployment, after two that failed"))
def test_an_endpoint_that_never_served_is_cleared_away(outcome: Outcome) -> None:
    failed = outcome.more["failed"]
    assert failed.error == "EndpointFailed"
    assert {"DeleteFailedEndpoint", "RemoveEndpoint"} <= set(failed.states)
    assert outcome.deployment.status == "SUCCEEDED", outcome.deployment.cause
    assert "DeleteFailedEndpoint" not in outcome.deployment.states


@told(("canary", "no capacity until it is redriven"))
def test_a_lack_of_machines_is_not_blamed_on_the_model_and_a_redrive_goes_on(outcome: Outcome) -> None:
    lacking = outcome.more["lacking"]
    assert lacking.status == "FAILED" and "failed: NoCapacity: " in lacking.cause
    assert outcome.more["status of the lacking"] == "Approved"
    assert lacking.arn == outcome.deployment.arn
    assert outcome.deployment.status == "SUCCEEDED", outcome.deployment.cause


@told(("canary", "answers otherwise, no capacity to go back"))
def test_what_answers_otherwise_serves_until_there_are_machines_to_go_back(outcome: Outcome) -> None:
    assert outcome.deployment.error == "GoldenMismatch", outcome.deployment.cause
    assert outcome.deployment.states.count("RestorePrevious") >= 2
    assert outcome.status[0] == "Rejected"


@told(("canary", "answers otherwise, going back is refused"))
def test_what_answers_otherwise_is_replaced_as_soon_as_aws_takes_requests(outcome: Outcome) -> None:
    assert outcome.deployment.error == "GoldenMismatch", outcome.deployment.cause
    assert {"RestoreRefused", "LookToRestore"} <= set(outcome.deployment.states)
    assert outcome.status[0] == "Rejected"
    assert outcome.client.failures == {} and outcome.client.answers["liar"] > 0


@told(("rolling", "alarm after the last batch"))
def test_an_alarm_after_the_last_batch_brings_old_instances_back_though_none_is_left(outcome: Outcome) -> None:
    assert outcome.more["new machines"] == ROLLING.instances
    assert outcome.deployment.error == "SilentRollback"
    assert ROLLING.alarm("errors") in outcome.deployment.cause
    assert outcome.status[0] == "Rejected"
    assert 0 < outcome.client.failed < outcome.client.asked


@told(("rolling", "no capacity for a later batch"))
def test_without_machines_for_a_later_batch_those_before_it_go_again(outcome: Outcome) -> None:
    assert outcome.deployment.status == "FAILED"
    assert "failed: NoCapacity: " in outcome.deployment.cause
    assert outcome.status[0] == "Approved"
    assert outcome.client.answers["scarce"] > 0


@told(
    ("rolling", "cancelled as a mixture, somebody goes back"),
    ("rolling", "cancelled as a mixture, the next takes over"),
)
def test_from_a_mixture_the_next_goes_on_by_a_second_fleet(outcome: Outcome) -> None:
    """Who goes back because of the alarm that the mixture has set off is not taken back by it."""
    assert outcome.more["mixed"]["EndpointStatus"] == "UpdateRollbackFailed"
    assert outcome.deployment.status == "SUCCEEDED", outcome.deployment.cause
    assert outcome.live["model_package_arn"] == outcome.package
    assert outcome.client.failures.keys() == {"ModelError 500"}


@told(("rolling", "its turn never comes"))
def test_nobody_waits_for_a_turn_for_more_than_two_hours(outcome: Outcome) -> None:
    """Who had it was given up by SageMaker as soon as AWS could do anything."""
    before = outcome.more["before"]
    assert outcome.deployment.error == "EndpointBusy"
    assert outcome.deployment.cause == f"another deployment has not ended: {before.arn}"
    assert not {"TakeTurn", "UpdateEndpoint"} & set(outcome.deployment.states)
    assert before.error == "SilentRollback"
    assert "The deployment took longer than 6000 seconds." in before.cause
    assert (outcome.status[0], outcome.more["status of the one before"]) == ("Approved", "Rejected")
    assert outcome.client.failures == {} and set(outcome.client.answers) == {"v3"}


@told(("rolling", "an update never ends"))
def test_an_update_that_never_ends_is_left_alone_and_so_is_its_endpoint(outcome: Outcome) -> None:
    """Both serve until AWS goes back."""
    busy = outcome.more["busy"]
    assert outcome.deployment.error == "RolloutStuck"
    assert outcome.deployment.cause == "the endpoint is still Updating after the deadline"
    assert busy.error == "EndpointBusy"
    assert busy.cause == "the endpoint is Updating; it has to be InService"
    assert "TakeTurn" in busy.states, "who is stuck has ended"
    for each in (outcome.deployment, busy):
        assert "RestorePrevious" not in each.states
    assert (outcome.status[0], outcome.more["status of the following"][0]) == ("Approved", "Approved")
    assert outcome.client.failures == {} and set(outcome.client.answers) == {"v3", "stuck"}


@told(("canary", "first deployment, after one that never ended"))
def test_an_endpoint_that_comes_too_late_is_taken_over_by_the_next(outcome: Outcome) -> None:
    stuck = outcome.more["stuck"]
    assert stuck.error == "RolloutStuck"
    assert stuck.cause == "the endpoint is still Creating after the deadline"
    assert "RemoveEndpoint" in stuck.states
    assert outcome.more["status of the stuck"] == "Approved"
    assert outcome.deployment.status == "SUCCEEDED", outcome.deployment.cause
    assert not {"CreateEndpoint", "DeleteFailedEndpoint"} & set(outcome.deployment.states)
    assert outcome.live["model_package_arn"] == outcome.package


def test_there_are_the_scenarios_that_are_listed(telling: Telling) -> None:
    assert [(each.strategy, each.name) for each in telling.all()] == SCENARIOS
