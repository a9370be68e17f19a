"""Every path of every strategy, on a deployed machine, while requests keep coming."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.local.conftest import start_server
from tests.local.sagemaker.rollouts.plan import CANARY, LINEAR, ROLLING, WHOLE
from tests.local.sagemaker.rollouts.scenarios import (
    ANSWERED_WRONGLY,
    BROKEN_OFF,
    LAST_STEP_ANSWERS,
    NOBODY_YET,
    SCENARIOS,
    Outcome,
    Telling,
    check_served,
)
from tests.local.sagemaker.rollouts.stand import SCALES, Stand, deploy_stand


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """The stand, on a server whose waits, bakes and alarms are fifty times as fast."""
    server = start_server(tmp_path_factory.mktemp("rollouts"), *SCALES)
    try:
        yield deploy_stand(server, tmp_path_factory.mktemp("stand"))
    finally:
        server.stop()


@pytest.fixture(scope="module")
def telling(stand: Stand) -> Telling:
    """All scenarios, which go on while the first of them are looked at."""
    return Telling(stand)


@pytest.fixture
def outcome(telling: Telling, request: pytest.FixtureRequest) -> Outcome:
    return telling.outcome(*request.param)


def only(*names: str) -> list[tuple[str, str]]:
    """The scenarios of these names, of every strategy that has them."""
    found = [each for each in SCENARIOS if each[1] in names]
    assert {name for _, name in found} == set(names)
    return found


MAY_MEET = {
    "first deployment": NOBODY_YET,
    "container breaks off at the first step": BROKEN_OFF,
    "containers die at the last step": BROKEN_OFF,
    "container dies after an hour's worth of traffic": BROKEN_OFF,
}


@pytest.mark.parametrize("outcome", SCENARIOS, indirect=True, ids=str)
def test_somebody_serves_all_the_while_and_who_is_written_down_answers_at_the_end(outcome: Outcome) -> None:
    """That the right version answered was waited for when the scenario was told."""
    check_served(outcome, MAY_MEET.get(outcome.name, ANSWERED_WRONGLY))


NO_REQUEST_IS_LOST = (
    "a good model",
    "container never starts",
    "alarm on before the start",
    "alarm comes on before the update",
    "rollback on purpose",
    "rollback of the rollback",
    "rollback by nobody",
    "rollback to what never served",
    "cancelled half way, the next takes over",
    "two deployments at once",
    "answers otherwise than before",
    "only the canary is slow",
    "only the canary predicts otherwise",
    "instance type changes under scaling",
    "declared number of instances changes",
    "golden requests fail",
    "not approved",
    "the same version again",
    "cancelled half way, the next is taken back",
    "no capacity",
    "throttled",
)


@pytest.mark.parametrize("outcome", only(*NO_REQUEST_IS_LOST), indirect=True, ids=str)
def test_no_request_fails_unless_a_model_that_fails_was_let_in(outcome: Outcome) -> None:
    assert outcome.client.failures == {}
    assert outcome.client.asked > 0


FAILED_UNTIL_TAKEN_BACK = (
    "alarm during the bake",
    "alarm during the second bake",
    "alarm during a rollback on purpose",
    "alarm after the first batch",
    "alarm after the second batch",
    "container breaks off at the first step",
    "containers die at the last step",
    "only the canary refuses",
)


@pytest.mark.parametrize("outcome", only(*FAILED_UNTIL_TAKEN_BACK), indirect=True, ids=str)
def test_a_model_that_fails_fails_some_requests_and_is_taken_back(outcome: Outcome) -> None:
    assert 0 < outcome.client.failed < outcome.client.asked


ROLLED_BACK = (
    "alarm during the bake",
    "alarm during the second bake",
    "alarm during a rollback on purpose",
    "alarm after the first batch",
    "alarm after the second batch",
    "cancelled half way, the next is taken back",
    "container breaks off at the first step",
    "containers die at the last step",
    "container never starts",
    "only the canary refuses",
    "only the canary is slow",
    "only the canary predicts otherwise",
)


@pytest.mark.parametrize("outcome", only(*ROLLED_BACK), indirect=True, ids=str)
def test_a_silent_rollback_is_noticed_recorded_told_and_the_version_rejected(outcome: Outcome, stand: Stand) -> None:
    deployment = outcome.deployment
    assert (deployment.status, deployment.error) == ("FAILED", "SilentRollback"), deployment.cause
    status, reason = outcome.status
    assert status == "Rejected" and reason.startswith("SilentRollback: ")
    told = stand.told_of(deployment)
    assert (told["machine"], told["error"]) == ("deployment", "SilentRollback")
    assert told["input"]["model_package_arn"] == outcome.package
    record = stand.item("Runs", {"run": f"deployment#{deployment.run_id}"})
    assert (record["status"], record["error"]) == ("failed", "SilentRollback")


@pytest.mark.parametrize(
    ("outcome", "alarm"),
    [
        (("all_at_once", "alarm during the bake"), WHOLE.alarm("errors")),
        (("rolling", "alarm after the first batch"), ROLLING.alarm("errors")),
        (("rolling", "alarm after the second batch"), ROLLING.alarm("errors")),
        (("linear", "alarm during a rollback on purpose"), LINEAR.alarm("errors")),
        (("canary", "alarm during the second bake"), CANARY.alarm("errors")),
        (("linear", "containers die at the last step"), LINEAR.alarm("errors")),
        (("canary", "only the canary refuses"), CANARY.alarm("refused")),
        (("canary", "only the canary is slow"), CANARY.alarm("latency")),
        (("canary", "only the canary predicts otherwise"), CANARY.alarm("predictions")),
    ],
    indirect=["outcome"],
    ids=str,
)
def test_the_alarm_that_takes_it_back_is_the_one_that_is_meant(outcome: Outcome, alarm: str) -> None:
    """The canary refuses a fifth of all requests, which a whole fleet may: the threshold is scaled to its share."""
    assert alarm in outcome.deployment.cause


@pytest.mark.parametrize(
    "outcome", only("containers die at the last step", "alarm during the second bake"), indirect=True, ids=str
)
def test_the_last_step_comes_after_both_have_answered_for_a_bake(outcome: Outcome) -> None:
    assert outcome.more["answers of v2 while both served"] > LAST_STEP_ANSWERS


@pytest.mark.parametrize("outcome", only("alarm after the second batch"), indirect=True, ids=str)
def test_a_batch_is_one_instance_and_the_one_before_was_good(outcome: Outcome) -> None:
    assert outcome.more["new machines"] == 2


@pytest.mark.parametrize("outcome", only("cancelled half way, the next is taken back"), indirect=True, ids=str)
def test_what_is_gone_back_to_is_what_was_verified_not_what_was_left(outcome: Outcome) -> None:
    """SageMaker goes back to what was left; the machine does not leave it at that."""
    assert outcome.more["answers of what was left"] > 0
    assert "RestorePrevious" in outcome.deployment.states


@pytest.mark.parametrize(
    "outcome", only("alarm on before the start", "alarm comes on before the update"), indirect=True, ids=str
)
def test_nothing_is_begun_while_an_alarm_is_on_and_the_model_is_not_blamed(outcome: Outcome) -> None:
    assert outcome.deployment.error == "AlarmAlreadyOn"
    assert "UpdateEndpoint" not in outcome.deployment.states
    assert outcome.status[0] == "Approved"


@pytest.mark.parametrize(
    "outcome",
    only(
        "first deployment",
        "a good model",
        "two deployments at once",
        "cancelled half way, the next takes over",
    ),
    indirect=True,
    ids=str,
)
def test_a_good_model_takes_over(outcome: Outcome) -> None:
    assert outcome.deployment.status == "SUCCEEDED", outcome.deployment.cause
    assert outcome.live["model_package_arn"] == outcome.package


@pytest.mark.parametrize(
    ("outcome", "error", "status"),
    [
        (("linear", "golden requests fail"), "GoldenFailed", "Rejected"),
        (("linear", "not approved"), "NotApproved", "Rejected"),
    ],
    indirect=["outcome"],
    ids=str,
)
def test_what_is_refused_before_touches_no_endpoint(outcome: Outcome, error: str, status: str) -> None:
    assert (outcome.deployment.error, outcome.status[0]) == (error, status)
    assert not {"CreateModel", "CreateEndpointConfig", "UpdateEndpoint"} & set(outcome.deployment.states)


@pytest.mark.parametrize("outcome", only("the same version again"), indirect=True, ids=str)
def test_a_version_that_serves_already_is_only_checked(outcome: Outcome) -> None:
    assert outcome.deployment.status == "SUCCEEDED", outcome.deployment.cause
    assert "GoldenAfter" in outcome.deployment.states and "UpdateEndpoint" not in outcome.deployment.states
    assert outcome.live["previous_package_arn"] not in ("none", outcome.package)


@pytest.mark.parametrize("outcome", only("answers otherwise than before"), indirect=True, ids=str)
def test_a_model_that_answers_otherwise_is_taken_back(outcome: Outcome) -> None:
    assert outcome.deployment.error == "GoldenMismatch"
    assert "RestorePrevious" in outcome.deployment.states
    assert outcome.status[0] == "Rejected"


@pytest.mark.parametrize("outcome", only("rollback on purpose", "rollback of the rollback"), indirect=True, ids=str)
def test_who_went_back_and_why_is_kept_and_told(outcome: Outcome, stand: Stand) -> None:
    deployment = outcome.deployment
    assert deployment.status == "SUCCEEDED", deployment.cause
    assert "GoldenBefore" not in deployment.states and "GoldenAfter" in deployment.states
    assert (outcome.live["cause"], outcome.live["actor"]) == ("rollback", "ada")
    run_id = deployment.input.get("run_id", deployment.run_id)
    entry = stand.item("Audit", {"workload": WHOLE.name, "event": f"model-rolled-back#{run_id}"})
    assert (entry["actor"], entry["reason"]) == ("ada", deployment.input["reason"])
    assert entry["model_package_arn"] == outcome.package
    assert stand.told_of(deployment)["event"] == "rolled back"
    assert stand.status_of(entry["rolled_back_from"])[1].startswith("RolledBack: rollback by ada")


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (("all_at_once", "rollback by nobody"), "BadRequest"),
        (("all_at_once", "rollback to what never served"), "NeverServed"),
    ],
    indirect=["outcome"],
    ids=str,
)
def test_a_rollback_that_may_not_be_changes_nothing(outcome: Outcome, error: str) -> None:
    assert outcome.deployment.error == error
    assert not {"UpdateEndpoint", "RejectPackage"} & set(outcome.deployment.states)


@pytest.mark.parametrize("outcome", only("two deployments at once"), indirect=True, ids=str)
def test_the_second_of_two_begins_when_the_first_is_written_down(outcome: Outcome) -> None:
    """Both serve, one after the other: none is taken back, blamed or written down over the other."""
    first, second = outcome.more["first"], outcome.deployment
    assert (first.status, second.status) == ("SUCCEEDED", "SUCCEEDED"), (first.cause, second.cause)
    assert first.output is not None
    assert outcome.live["model_package_arn"] == outcome.package
    assert outcome.live["previous_package_arn"] == first.output["model_package_arn"]
    assert outcome.live["previous_config"] == first.output["config"]
    assert (outcome.more["status of the first"], outcome.status[0]) == ("Approved", "Approved")


@pytest.mark.parametrize("outcome", only("container dies after an hour's worth of traffic"), indirect=True, ids=str)
def test_what_dies_after_the_bake_is_gone_back_from_although_the_alarm_is_on(outcome: Outcome) -> None:
    assert outcome.more["deployed"].status == "SUCCEEDED"
    assert outcome.deployment.status == "SUCCEEDED", outcome.deployment.cause
    assert outcome.client.failed > 0, "the container died before anybody went back"


@pytest.mark.parametrize(
    ("outcome", "count"),
    [
        (("canary", "instance type changes under scaling"), 3),
        (("canary", "declared number of instances changes"), 4),
    ],
    indirect=["outcome"],
    ids=str,
)
def test_scaling_decides_on_the_number_of_instances_until_another_is_declared(outcome: Outcome, count: int) -> None:
    assert outcome.deployment.status == "SUCCEEDED", outcome.deployment.cause
    assert outcome.endpoint["ProductionVariants"][0]["CurrentInstanceCount"] == count


@pytest.mark.parametrize("outcome", only("no capacity"), indirect=True, ids=str)
def test_a_lack_of_machines_is_not_blamed_on_the_model(outcome: Outcome) -> None:
    assert outcome.deployment.status == "FAILED"
    assert "failed: NoCapacity: " in outcome.deployment.cause
    assert "InsufficientInstanceCapacity" in outcome.deployment.cause
    assert outcome.status[0] == "Approved"


@pytest.mark.parametrize("outcome", only("throttled"), indirect=True, ids=str)
def test_too_many_requests_are_made_again(outcome: Outcome) -> None:
    assert outcome.deployment.status == "SUCCEEDED", outcome.deployment.cause
    states = outcome.deployment.states
    assert states.count("WaitToMake") == 2, "one for the model, one for the configuration"
    assert "UpdateRefused" in states


@pytest.mark.parametrize("outcome", only("rollback finds no capacity"), indirect=True, ids=str)
def test_a_mixture_that_a_failed_rollback_leaves_serves_until_there_are_machines_to_go_back(outcome: Outcome) -> None:
    assert outcome.more["mixed"]["EndpointStatus"] == "UpdateRollbackFailed"
    assert outcome.deployment.error == "RollbackFailed", outcome.deployment.cause
    assert outcome.deployment.states.count("RestorePrevious") >= 2
    assert outcome.status[0] == "Rejected"
    assert outcome.client.answers["v2"] > 0 and set(outcome.client.failures) <= {"ModelError 500"}


def test_there_are_the_scenarios_that_are_listed(telling: Telling) -> None:
    assert [(each.strategy, each.name) for each in telling.all()] == SCENARIOS
    assert len(SCENARIOS) >= 35
