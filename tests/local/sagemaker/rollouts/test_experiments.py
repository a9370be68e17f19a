"""A deployed machine lets champion and challenger serve side by side, and ends with one of them whatever happens."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from serve_prediction.assigning import assign, unit_of, weights
from tests.local.conftest import start_server
from tests.local.sagemaker.conftest import wait_for
from tests.local.sagemaker.rollouts.clients import Client
from tests.local.sagemaker.rollouts.plan import Workload
from tests.local.sagemaker.rollouts.scenarios import (
    ANSWERS_OTHERWISE,
    FAILS,
    FAILS_LATER,
    NEVER_STARTS,
    WISH,
)
from tests.local.sagemaker.rollouts.stand import Stand, deploy_stand

SCALES = ("--wait-scale", "0.01", "--alarm-scale", "0.01")
JUDGED = {"min_outcomes": 40, "smallest_share": 0.3, "error_margin": 0.5, "slow_margin": 0.5}
TESTED = Workload(
    "tested",
    "all_at_once",
    0.5,
    1,
    serving={"rollout": {"strategy": "ab", "max_hours": 1, "bake_minutes": 1}, "experiment": JUDGED},
)
SHADOWED = Workload(
    "shadowed", "all_at_once", 1.0, 1, serving={"rollout": {"strategy": "shadow", "max_hours": 1, "bake_minutes": 1}}
)
BOTH = (TESTED, SHADOWED)
VARIANTS = ("ProductionVariants", "ShadowProductionVariants")


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """The stand with an A/B test and a shadow."""
    server = start_server(tmp_path_factory.mktemp("experiments"), *SCALES)
    try:
        yield deploy_stand(server, tmp_path_factory.mktemp("stand"), BOTH)
    finally:
        server.stop()


def ask_as(stand: Stand, workload: Workload, user: str, inference_id: str) -> tuple[str, str]:
    """Ask as the API does for somebody; returns the variant that was drawn and the version that answered."""
    found = stand.endpoint(workload)
    assert found is not None
    shares = weights(found)
    unit = unit_of(user, found["EndpointConfigName"])
    variant = assign(unit, shares)
    answer = stand.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=workload.endpoint,
        ContentType="application/json",
        Body=json.dumps({"instances": [1]}),
        TargetVariant=variant,
        InferenceId=inference_id,
        CustomAttributes=f"unit={unit};shares={','.join(f'{name}:{share}' for name, share in shares.items())}",
    )
    return variant, str(json.loads(answer["Body"].read())["version"])


def tell_outcomes(stand: Stand, workload: Workload, ids: list[str], came: str = "true") -> None:
    """Tell that all came true, or all false."""
    lines = [
        json.dumps(
            {
                "groundTruthData": {"data": came, "encoding": "CSV"},
                "eventMetadata": {"eventId": each},
                "eventVersion": "0",
            }
        )
        for each in ids
    ]
    key = f"{workload.name}/outcomes/{ids[0]}.jsonl"
    stand.client("s3").put_object(Bucket=stand.outputs["Artefacts"], Key=key, Body="\n".join(lines).encode())


def test_who_is_right_more_often_is_promoted_and_everybody_meets_one_model_until_then(stand: Stand) -> None:
    assert stand.deploy(TESTED, stand.package(TESTED, "v1", probability=0.0)).status == "SUCCEEDED"
    execution = stand.start(TESTED, stand.package(TESTED, "v2", probability=1.0))
    stand.await_state(execution, "WaitToJudge")
    users = [f"user-{number}" for number in range(240)]
    met = {user: ask_as(stand, TESTED, user, f"id-{user}") for user in users}
    assert {each: list(met.values()).count(each) > 80 for each in met.values()} == {
        ("primary", "v1"): True,
        ("challenger", "v2"): True,
    }
    assert all(ask_as(stand, TESTED, user, f"again-{user}") == met[user] for user in users[:20])
    tell_outcomes(stand, TESTED, [f"id-{user}" for user in users])
    done = stand.end_of(execution)
    assert done.status == "SUCCEEDED", done.cause
    assert {"GoldenChallenger", "LeaveTurn", "RecordPromoted"} <= set(done.states)
    assert done.states.count("TakeTurn") == 2
    assert stand.answered_by(TESTED) == "v2"
    found = stand.endpoint(TESTED)
    assert found is not None and [each["VariantName"] for each in found["ProductionVariants"]] == ["primary"]
    record = stand.item("Runs", {"run": f"experiment#{TESTED.name}"})
    assert record["status"] == "promoted" and json.loads(record["verdict"])["decision"] == "promote"


def judgements(stand: Stand, workload: Workload) -> list[dict[str, Any]]:
    """What was judged until now, the oldest first."""
    s3, bucket = stand.client("s3"), stand.outputs["Artefacts"]
    found = s3.list_objects_v2(Bucket=bucket, Prefix=f"{workload.name}/judgements/").get("Contents", [])
    keys = sorted(each["Key"] for each in found)
    return [json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys]


def test_a_shadow_is_compared_answers_nobody_and_is_stopped_when_it_fails(stand: Stand) -> None:
    assert stand.deploy(SHADOWED, stand.package(SHADOWED, "v1", probability=0.5)).status == "SUCCEEDED"
    package = stand.package(SHADOWED, "v2", FAILS_LATER, probability=0.75)
    with stand.traffic(SHADOWED) as client:
        execution = stand.start(SHADOWED, package)
        wait_for(lambda: any(each["figures"]["instances"] for each in judgements(stand, SHADOWED)), 120)
        client.request["late"] = True
        done = stand.end_of(execution)
    assert (done.status, done.error) == ("FAILED", "ChallengerStopped"), done.cause
    assert f"{SHADOWED.endpoint}-challenger-errors" in done.cause
    assert set(client.answers) == {"v1"} and client.failures == {}
    figures = next(each["figures"] for each in judgements(stand, SHADOWED) if each["figures"]["instances"])
    assert (figures["mean_distance"], figures["kolmogorov_smirnov"]) == (0.25, 1.0)
    assert stand.status_of(package)[0] == "Rejected"
    assert stand.answered_by(SHADOWED) == "v1"
    found = stand.endpoint(SHADOWED)
    assert found is not None and "ShadowProductionVariants" not in found


@contextmanager
def changed(stand: Stand, workload: Workload, state: str, old: str, new: str) -> Iterator[None]:
    """Let deployments that begin meanwhile have another text in one state of their machine."""
    client, machine = stand.client("stepfunctions"), stand.outputs[f"{workload.name.title()}MachineArn"]
    given = client.describe_state_machine(stateMachineArn=machine)["definition"]
    definition = json.loads(given)
    before = json.dumps(definition["States"][state])
    assert old in before
    definition["States"][state] = json.loads(before.replace(old, new))
    client.update_state_machine(stateMachineArn=machine, definition=json.dumps(definition))
    try:
        yield
    finally:
        client.update_state_machine(stateMachineArn=machine, definition=given)


@contextmanager
def ending_at_the_next_look(stand: Stand, *workloads: Workload) -> Iterator[None]:
    """Let the hour that a comparison may take be over when it is judged first: of times, only waits are scaled."""
    with ExitStack() as all_of_them:
        for workload in workloads:
            all_of_them.enter_context(changed(stand, workload, "BeginExperiment", " + 3600", " + 1"))
        yield


@contextmanager
def baking_long(stand: Stand, workload: Workload, state: str) -> Iterator[None]:
    """Let an update bake for so long that nothing but an alarm ends it in time."""
    bake = 'TerminationWaitInSeconds": '
    if state == "UpdateEndpoint":  # there it is a part of an expression
        bake = bake.replace('"', '\\"')
    with changed(stand, workload, state, f"{bake}60", f"{bake}3600"):
        yield


def variants_of(stand: Stand, workload: Workload) -> list[str]:
    """The variants of the endpoint, shadows included."""
    found = stand.endpoint(workload)
    assert found is not None and found["EndpointStatus"] == "InService"
    return [each["VariantName"] for of in VARIANTS for each in found.get(of, [])]


def test_who_is_wrong_more_often_is_stopped_while_a_shadow_whose_time_is_up_takes_over(stand: Stand) -> None:
    """Side by side: the champion of the one is right always, the model of the other harms nobody."""
    shadow, loser = stand.package(SHADOWED, "v3", probability=0.5), stand.package(TESTED, "v3", probability=0.0)
    with stand.traffic(SHADOWED) as copied, stand.traffic(TESTED) as asked:
        with ending_at_the_next_look(stand, SHADOWED):
            executions = stand.start(SHADOWED, shadow), stand.start(TESTED, loser)
        stand.await_state(executions[1], "WaitToJudge")
        ids = [f"worse-{number}" for number in range(120)]
        assert {ask_as(stand, TESTED, each, each) for each in ids} == {("primary", "v2"), ("challenger", "v3")}
        tell_outcomes(stand, TESTED, ids)
        promoted, stopped = (stand.end_of(each) for each in executions)
        copied.await_answer("v3", 3)
    assert promoted.status == "SUCCEEDED", promoted.cause
    assert (stopped.status, stopped.error) == ("FAILED", "ChallengerStopped"), stopped.cause
    assert (copied.failures, asked.failures) == ({}, {})
    assert (set(copied.answers), set(asked.answers)) == ({"v1", "v3"}, {"v2", "v3"})
    assert (stand.answered_by(SHADOWED), stand.answered_by(TESTED)) == ("v3", "v2")
    assert (stand.status_of(shadow)[0], stand.status_of(loser)[0]) == ("Approved", "Rejected")
    record = stand.item("Runs", {"run": f"experiment#{TESTED.name}"})
    assert record["status"] == "stopped" and json.loads(record["verdict"])["decision"] == "stop"
    for workload in (SHADOWED, TESTED):
        found = stand.endpoint(workload)
        assert found is not None and "ShadowProductionVariants" not in found
        assert [each["VariantName"] for each in found["ProductionVariants"]] == ["primary"]


def test_a_test_that_nobody_wins_in_time_leaves_the_champion(stand: Stand) -> None:
    """Nothing is known of any answer."""
    package = stand.package(TESTED, "v4", probability=1.0)
    with stand.traffic(TESTED) as client:
        with ending_at_the_next_look(stand, TESTED):
            execution = stand.start(TESTED, package)
        stand.await_state(execution, "WaitToJudge")
        client.await_answer("v4")
        done = stand.end_of(execution)
    assert (done.status, done.error) == ("FAILED", "ChallengerStopped"), done.cause
    assert "0 outcomes of one arm" in done.cause
    assert client.failures == {} and set(client.answers) == {"v2", "v4"}
    assert stand.answered_by(TESTED) == "v2"
    assert stand.status_of(package)[0] == "Rejected"
    assert stand.item("Runs", {"run": f"experiment#{TESTED.name}"})["status"] == "stopped"


# --- what comes in between: an A/B test and a shadow side by side -------------------------------------------------


@pytest.fixture
def champions(stand: Stand) -> dict[Workload, str]:
    """Who answers before; nothing is captured yet, since whoever judges reads all that was captured in an hour."""
    for each in BOTH:
        if stand.endpoint(each) is None:
            assert stand.deploy(each, stand.package(each, "v1", probability=0.0)).status == "SUCCEEDED"
    s3, bucket = stand.client("s3"), stand.outputs["Artefacts"]
    for each in BOTH:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{each.name}/capture/")
        for page in pages:
            keys = [{"Key": found["Key"]} for found in page.get("Contents", [])]
            if keys:
                s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})
    return {each: stand.answered_by(each) for each in BOTH}


def check_alone(stand: Stand, workload: Workload, client: Client, *answered: str, serves: str) -> None:
    """See that one variant serves alone, which is written down, and that requests were answered by these only."""
    assert variants_of(stand, workload) == ["primary"]
    found = stand.endpoint(workload)
    assert found is not None and found["EndpointConfigName"] == stand.live(workload)["config"]
    assert stand.answered_by(workload) == serves
    assert set(client.answers) == {serves, *answered}


@pytest.mark.parametrize("by", ["another version", "one that never starts", "somebody who goes back"])
def test_an_experiment_that_is_overtaken_touches_nothing_more(
    stand: Stand, champions: dict[Workload, str], by: str
) -> None:
    live = {each: stand.live(each) for each in BOTH}
    packages = {each: stand.package(each, f"before {by}") for each in BOTH}
    code = NEVER_STARTS if by == "one that never starts" else ""
    others = {each: stand.package(each, by, code) for each in BOTH}
    with stand.traffic(TESTED) as asked, stand.traffic(SHADOWED) as copied:
        overtaken = {each: stand.start(each, packages[each]) for each in BOTH}
        for each in BOTH:
            stand.await_state(overtaken[each], "WaitToJudge")
        asked.await_answer(f"before {by}")
        with ending_at_the_next_look(stand, *BOTH):
            wish = WISH if by == "somebody who goes back" else {}
            overtaking = {each: stand.start(each, "" if wish else others[each], **wish) for each in BOTH}
        ended = {each: stand.end_of(overtaken[each]) for each in BOTH}
        after = {each: stand.end_of(overtaking[each]) for each in BOTH}
    assert (asked.failures, copied.failures) == ({}, {})
    for each in BOTH:
        assert (ended[each].status, ended[each].error) == ("FAILED", "ChallengerStopped"), ended[each].cause
        assert ended[each].cause == "another deployment has taken over while the experiment ran"
        assert not {"UpdateEndpoint", "RestorePrevious", "RecordStopped"} & set(ended[each].states)
        assert stand.status_of(packages[each])[0] == "Rejected"
        assert variants_of(stand, each) == ["primary"]
    serves = {each: stand.answered_by(each) for each in BOTH}
    match by:
        case "another version":
            assert serves == {TESTED: champions[TESTED], SHADOWED: by}
            assert (after[TESTED].error, after[SHADOWED].status) == ("ChallengerStopped", "SUCCEEDED")
            assert set(asked.answers) == {champions[TESTED], f"before {by}", by}
        case "one that never starts":
            assert serves == champions
            assert {each.error for each in after.values()} == {"SilentRollback"}
            assert all("RestorePrevious" in each.states for each in after.values())
        case _:
            assert {each.status for each in after.values()} == {"SUCCEEDED"}
            assert all(serves[each] != champions[each] for each in BOTH)
            for each in BOTH:
                assert stand.live(each)["model_package_arn"] == live[each]["previous_package_arn"]
                assert stand.status_of(live[each]["model_package_arn"])[1].startswith("RolledBack: ")


@pytest.mark.parametrize(
    ("code", "says"), [(NEVER_STARTS, "ping"), (FAILS, "-challenger-errors")], ids=["ping", "alarm"]
)
def test_a_challenger_that_fails_at_once_is_compared_with_nobody(
    stand: Stand, champions: dict[Workload, str], code: str, says: str
) -> None:
    packages = {each: stand.package(each, says, code) for each in BOTH}
    with ExitStack() as running:
        clients = {each: running.enter_context(stand.traffic(each)) for each in BOTH}
        for each in BOTH:
            running.enter_context(baking_long(stand, each, "StartExperiment"))
        executions = {each: stand.start(each, packages[each]) for each in BOTH}
        ended = {each: stand.end_of(executions[each]) for each in BOTH}
    for each in BOTH:
        assert (ended[each].status, ended[each].error) == ("FAILED", "SilentRollback"), ended[each].cause
        assert says in ended[each].cause
        assert not {"BeginExperiment", "RestorePrevious"} & set(ended[each].states)
        assert stand.status_of(packages[each])[0] == "Rejected"
        check_alone(stand, each, clients[each], serves=champions[each])
    assert clients[SHADOWED].failures == {}, "a shadow harms nobody"
    assert set(clients[TESTED].failures) == ({"ModelError 500"} if code == FAILS else set())
    for each in BOTH:
        stand.await_quiet(each)


def test_an_alarm_ends_a_test_while_both_answer_and_a_winner_while_it_bakes(
    stand: Stand, champions: dict[Workload, str]
) -> None:
    """The A/B test's challenger fails before anything is decided, the shadow when it has taken over."""
    packages = {each: stand.package(each, "fails later", FAILS_LATER) for each in BOTH}
    with stand.traffic(TESTED) as asked, stand.traffic(SHADOWED) as copied:
        with ending_at_the_next_look(stand, SHADOWED), baking_long(stand, SHADOWED, "UpdateEndpoint"):
            executions = {each: stand.start(each, packages[each]) for each in BOTH}
            stand.await_state(executions[TESTED], "WaitToJudge")
            asked.await_answer("fails later")
            asked.request["late"] = True
            copied.await_answer("fails later")
            copied.request["late"] = True
        stopped, taken_back = (stand.end_of(executions[each]) for each in BOTH)
        copied.request["late"] = False
        copied.await_answer(champions[SHADOWED])
    assert (stopped.status, stopped.error) == ("FAILED", "ChallengerStopped"), stopped.cause
    assert f"{TESTED.endpoint}-challenger-errors" in stopped.cause
    assert "AlarmMeanwhile" in stopped.states and "UpdateEndpoint" not in stopped.states
    assert (taken_back.status, taken_back.error) == ("FAILED", "SilentRollback"), taken_back.cause
    assert SHADOWED.alarm("errors") in taken_back.cause
    for each, client, ended in ((TESTED, asked, stopped), (SHADOWED, copied, taken_back)):
        assert "RestorePrevious" in ended.states
        assert stand.status_of(packages[each])[0] == "Rejected"
        assert set(client.failures) == {"ModelError 500"}
        check_alone(stand, each, client, "fails later", serves=champions[each])
        stand.await_quiet(each)


def test_a_challenger_that_answers_otherwise_and_a_judge_that_fails_leave_the_champion(
    stand: Stand, champions: dict[Workload, str]
) -> None:
    """What the challenger was to answer is what the champion does answer: it is the challenger that is asked."""
    like_champion = ANSWERS_OTHERWISE.replace("else 0.5", f"else {1.0 - right_of(stand, TESTED)}")
    liar, good = stand.package(TESTED, "liar", like_champion), stand.package(SHADOWED, "unjudged")
    with stand.traffic(TESTED) as asked, stand.traffic(SHADOWED) as copied:
        with changed(stand, SHADOWED, "Judge", '"mode": "shadow"', '"mode": "none"'):
            executions = stand.start(TESTED, liar), stand.start(SHADOWED, good)
        mismatch, unjudged = (stand.end_of(each) for each in executions)
    assert (mismatch.status, mismatch.error) == ("FAILED", "GoldenMismatch"), mismatch.cause
    assert "GoldenChallenger" in mismatch.states
    assert unjudged.status == "FAILED" and "BadExperiment" in unjudged.cause
    assert (stand.status_of(liar)[0], stand.status_of(good)[0]) == ("Rejected", "Approved")
    assert (asked.failures, copied.failures) == ({}, {})
    check_alone(stand, TESTED, asked, "liar", serves=champions[TESTED])
    check_alone(stand, SHADOWED, copied, serves=champions[SHADOWED])
    assert all("RestorePrevious" in each.states for each in (mismatch, unjudged))


def test_an_experiment_that_is_cancelled_is_in_nobodys_way(stand: Stand, champions: dict[Workload, str]) -> None:
    """Both serve on until somebody deploys."""
    with stand.traffic(TESTED) as asked, stand.traffic(SHADOWED) as copied:
        executions = {each: stand.start(each, stand.package(each, "cancelled")) for each in BOTH}
        for each in BOTH:
            stand.await_state(executions[each], "WaitToJudge")
            stand.cancel(executions[each])
            assert variants_of(stand, each) == ["primary", "challenger"]
        asked.await_answer("cancelled")
        with ending_at_the_next_look(stand, *BOTH):
            executions = {each: stand.start(each, stand.package(each, "following")) for each in BOTH}
        stopped, promoted = (stand.end_of(executions[each]) for each in BOTH)
    assert (stopped.error, promoted.status) == ("ChallengerStopped", "SUCCEEDED"), (stopped.cause, promoted.cause)
    assert (asked.failures, copied.failures) == ({}, {})
    check_alone(stand, TESTED, asked, "cancelled", "following", serves=champions[TESTED])
    check_alone(stand, SHADOWED, copied, champions[SHADOWED], serves="following")


# --- between the verdict and the winner's own update ---------------------------------------------------------------


def right_of(stand: Stand, workload: Workload) -> float:
    """What the champion of an A/B test does not say: who says it is right whenever the champion is wrong."""
    answer = stand.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=workload.endpoint, ContentType="application/json", Body=json.dumps({"instances": [1]})
    )
    [row] = json.loads(answer["Body"].read())["predictions"]
    assert row["probability"] in (0.0, 1.0)
    return 1.0 - float(row["probability"])


def let_win(stand: Stand, workload: Workload, right: float) -> None:
    """Have everybody answered, and tell that whoever said this was right.

    Requests are captured with whole seconds; those of the second in which the comparison began are from before it.
    """
    time.sleep(1)
    ids = [f"{uuid.uuid4().hex}-{number}" for number in range(160)]
    for number, each in enumerate(ids):
        ask_as(stand, workload, f"somebody-{number}", each)
    tell_outcomes(stand, workload, ids, "true" if right else "false")


def test_a_winner_of_a_test_that_fails_while_it_bakes_leaves_the_champion_alone(
    stand: Stand, champions: dict[Workload, str]
) -> None:
    """SageMaker goes back to both, and the deployment machine to the champion."""
    right = right_of(stand, TESTED)
    package = stand.package(TESTED, "winner", FAILS_LATER, probability=right)
    with stand.traffic(TESTED) as client:
        with baking_long(stand, TESTED, "UpdateEndpoint"):
            execution = stand.start(TESTED, package)
        stand.await_state(execution, "WaitToJudge")
        let_win(stand, TESTED, right)
        stand.await_state(execution, "WaitForRollout")
        client.await_alone("winner", 20)
        client.request["late"] = True
        taken_back = stand.end_of(execution)
        client.request["late"] = False
        client.await_answer(champions[TESTED], 3)
    assert (taken_back.status, taken_back.error) == ("FAILED", "SilentRollback"), taken_back.cause
    assert TESTED.alarm("errors") in taken_back.cause
    assert "RestorePrevious" in taken_back.states
    assert stand.status_of(package)[0] == "Rejected"
    assert set(client.failures) == {"ModelError 500"}
    check_alone(stand, TESTED, client, "winner", serves=champions[TESTED])
    stand.await_quiet(TESTED)


def test_a_test_that_cannot_be_judged_leaves_the_champion(stand: Stand, champions: dict[Workload, str]) -> None:
    package = stand.package(TESTED, "unjudged")
    with stand.traffic(TESTED) as client:
        with changed(stand, TESTED, "Judge", '"mode": "test"', '"mode": "none"'):
            execution = stand.start(TESTED, package)
        client.await_answer("unjudged")
        unjudged = stand.end_of(execution)
    assert unjudged.status == "FAILED" and "BadExperiment" in unjudged.cause
    assert "RestorePrevious" in unjudged.states
    assert stand.status_of(package)[0] == "Approved"
    assert client.failures == {}
    check_alone(stand, TESTED, client, "unjudged", serves=champions[TESTED])


def start_winners(stand: Stand, code: str = "") -> tuple[dict[Workload, str], dict[Workload, str], float]:
    """Begin a comparison of each kind; returns versions, executions, and what is right in the A/B test.

    The shadow wins at the first look, the other when it is let win.
    """
    right = right_of(stand, TESTED)
    packages = {each: stand.package(each, "winner", code, probability=right) for each in BOTH}
    with ending_at_the_next_look(stand, SHADOWED):
        executions = {each: stand.start(each, packages[each]) for each in BOTH}
    for each in BOTH:
        stand.await_state(executions[each], "WaitToJudge")
    return packages, executions, right


@pytest.mark.parametrize("waits_for", ["its turn", "its update"])
def test_an_alarm_between_the_verdict_and_the_winners_update_leaves_the_champion(
    stand: Stand, champions: dict[Workload, str], waits_for: str
) -> None:
    """AWS refuses updates for a while: those of another deployment, which has the turn, or the winner's own."""
    others = {each: stand.package(each, "another") for each in BOTH} if waits_for == "its turn" else {}
    with stand.traffic(TESTED) as asked, stand.traffic(SHADOWED) as copied:
        packages, executions, right = start_winners(stand, FAILS_LATER)
        with stand.faults(throttle={"UpdateEndpoint": 1_000}):
            before = {each: stand.start(each, package) for each, package in others.items()}
            for execution in before.values():
                stand.await_state(execution, "UpdateRefused")
            let_win(stand, TESTED, right)
            for each in BOTH:
                stand.await_state(executions[each], "WaitForTurn" if before else "UpdateRefused")
            asked.request["late"] = copied.request["late"] = True
            for each in BOTH:
                meets = "AlarmAlreadyOn" if before else "AlarmMeanwhile"
                stand.await_state((before or executions)[each], meets)
        ended = {each: stand.end_of(executions[each]) for each in BOTH}
        asked.request["late"] = copied.request["late"] = False
        asked.await_answer(champions[TESTED], 3)
    for each, client in ((TESTED, asked), (SHADOWED, copied)):
        assert (ended[each].status, ended[each].error) == ("FAILED", "ChallengerStopped"), ended[each].cause
        assert f"{each.endpoint}-challenger-errors" in ended[each].cause
        assert {"RecordPromoted", "AlarmMeanwhile", "RecordStopped", "RestorePrevious"} <= set(ended[each].states)
        assert ("UpdateEndpoint" in ended[each].states) == (waits_for == "its update")
        assert stand.item("Runs", {"run": f"experiment#{each.name}"})["status"] == "stopped"
        assert stand.status_of(packages[each])[0] == "Rejected"
        check_alone(stand, each, client, *(["winner"] if each is TESTED else []), serves=champions[each])
    assert (set(asked.failures), set(copied.failures)) == ({"ModelError 500"}, set())
    for each, package in others.items():
        refused = stand.end_of(before[each])
        assert (refused.status, refused.error) == ("FAILED", "AlarmAlreadyOn"), refused.cause
        assert "RestorePrevious" not in refused.states
        assert stand.status_of(package)[0] == "Approved"
    for each in BOTH:
        stand.await_quiet(each)


def test_a_winner_whose_update_is_refused_for_hours_leaves_the_champion(
    stand: Stand, champions: dict[Workload, str]
) -> None:
    with stand.traffic(TESTED) as asked, stand.traffic(SHADOWED) as copied:
        packages, executions, right = start_winners(stand)
        with stand.faults(throttle={"UpdateEndpoint": 1_000}):
            let_win(stand, TESTED, right)
            for each in BOTH:
                stand.await_state(executions[each], "UpdateRefused")
            stand.let_pass(hours=2)
            for each in BOTH:
                stand.await_state(executions[each], "RecordStopped")
        ended = {each: stand.end_of(executions[each]) for each in BOTH}
    for each, client in ((TESTED, asked), (SHADOWED, copied)):
        assert ended[each].status == "FAILED" and "Rate exceeded" in ended[each].cause
        assert "WaitForRollout" not in ended[each].states
        assert stand.item("Runs", {"run": f"experiment#{each.name}"})["status"] == "stopped"
        assert stand.status_of(packages[each])[0] == "Approved"
        check_alone(stand, each, client, *(["winner"] if each is TESTED else []), serves=champions[each])
        assert client.failures == {}
