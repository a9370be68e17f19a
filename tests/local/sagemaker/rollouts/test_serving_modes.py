"""A deployed machine puts models behind endpoints of each mode, and leaves their scaling alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from serve_prediction.assigning import assign, unit_of, weights
from tests.local.conftest import start_server
from tests.local.sagemaker.conftest import wait_for
from tests.local.sagemaker.rollouts.clients import Client
from tests.local.sagemaker.rollouts.plan import STAGE, Workload
from tests.local.sagemaker.rollouts.stand import Deployment, Stand, deploy_stand

SCALES = ("--wait-scale", "0.01", "--alarm-scale", "0.01")
SCALED = Workload(
    "scaled",
    "all_at_once",
    1.0,
    1,
    bake_minutes=1,
    serving={
        "scaling": {
            "max": 3,
            "requests_per_minute": 2,
            "scale_in_seconds": 3600,
            "set_times": {"spring": {"at": "at(2035-03-01T08:00:00)", "time_zone": "Europe/Berlin", "min": 2}},
        }
    },
)
ON_DEMAND = Workload(
    "demand",
    "all_at_once",
    1.0,
    1,
    bake_minutes=1,
    serving={"mode": {"kind": "serverless", "memory_mb": 1024, "max_concurrency": 2}, "probation_hours": 1},
)
LATER = Workload(
    "later",
    "all_at_once",
    1.0,
    1,
    bake_minutes=1,
    serving={"mode": "asynchronous", "scaling": {"min": 0, "max": 2, "waiting_requests": 5, "scale_in_seconds": 0}},
)
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
FAILS_LATER = """
def of_clients(data):
    if data.get("late"):
        raise RuntimeError("no")
"""


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """The stand with a workload per mode."""
    server = start_server(tmp_path_factory.mktemp("modes"), *SCALES)
    try:
        yield deploy_stand(server, tmp_path_factory.mktemp("stand"), (SCALED, ON_DEMAND, LATER, TESTED, SHADOWED))
    finally:
        server.stop()


def deployed(stand: Stand, workload: Workload, version: str) -> Deployment:
    done = stand.deploy(workload, stand.package(workload, version))
    assert done.status == "SUCCEEDED", (done.error, done.cause)
    return done


def answered_by(stand: Stand, workload: Workload) -> str:
    """The version that answers a request."""
    answer = stand.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=workload.endpoint, ContentType="application/json", Body=json.dumps({"instances": [1]})
    )
    return str(json.loads(answer["Body"].read())["version"])


def scaling_of(stand: Stand, workload: Workload) -> dict[str, Any]:
    """Bounds, policies and set times of an endpoint."""
    client = stand.client("application-autoscaling")
    resource = f"endpoint/{workload.endpoint}/variant/primary"
    found = client.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[resource])["ScalableTargets"]
    policies = client.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=resource)["ScalingPolicies"]
    actions = client.describe_scheduled_actions(ServiceNamespace="sagemaker", ResourceId=resource)["ScheduledActions"]
    return {
        "bounds": [(each["MinCapacity"], each["MaxCapacity"]) for each in found],
        "policies": sorted(each["PolicyName"] for each in policies),
        "set times": [(each["ScheduledActionName"], each["Schedule"], each["Timezone"]) for each in actions],
    }


def count_of(stand: Stand, workload: Workload) -> int:
    found = stand.endpoint(workload)
    assert found is not None
    return int(found["ProductionVariants"][0]["CurrentInstanceCount"])


def test_a_deployment_sets_back_neither_machines_nor_bounds(stand: Stand) -> None:
    first = deployed(stand, SCALED, "v1")
    assert "RegisterScaling" in first.states
    assert scaling_of(stand, SCALED) == {
        "bounds": [(1, 3)],
        "policies": ["follow"],
        "set times": [("spring", "at(2035-03-01T08:00:00)", "Europe/Berlin")],
    }
    with Client(stand.client("sagemaker-runtime"), SCALED.endpoint).asking() as _:
        wait_for(lambda: count_of(stand, SCALED) == 3, 60)
    stand.client("application-autoscaling").register_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId=f"endpoint/{SCALED.endpoint}/variant/primary",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        MinCapacity=3,
    )
    stand.await_quiet(SCALED)
    second = deployed(stand, SCALED, "v2")
    assert "RegisterScaling" not in second.states
    assert (answered_by(stand, SCALED), count_of(stand, SCALED)) == ("v2", 3)
    assert scaling_of(stand, SCALED)["bounds"] == [(3, 3)]


def test_a_serverless_endpoint_is_deployed_and_replaced(stand: Stand) -> None:
    for version in ("v1", "v2"):
        deployed(stand, ON_DEMAND, version)
        assert answered_by(stand, ON_DEMAND) == version
    found = stand.endpoint(ON_DEMAND)
    assert found is not None and "DataCaptureConfig" not in found
    assert found["ProductionVariants"][0]["CurrentServerlessConfig"]["MemorySizeInMB"] == 1024
    config = stand.client("sagemaker").describe_endpoint_config(EndpointConfigName=found["EndpointConfigName"])
    model = stand.client("sagemaker").describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    assert "VpcConfig" not in model


def test_a_serverless_model_that_never_starts_leaves_the_old_one(stand: Stand) -> None:
    before = stand.endpoint(ON_DEMAND)
    done = stand.deploy(ON_DEMAND, stand.package(ON_DEMAND, "v3", more="sys.exit(1) if SERVES else None"))
    assert (done.status, done.error) == ("FAILED", "SilentRollback")
    after = stand.endpoint(ON_DEMAND)
    assert before is not None and after is not None
    assert after["EndpointConfigName"] == before["EndpointConfigName"]
    assert answered_by(stand, ON_DEMAND) == "v2"


def test_labels_that_come_late_take_a_model_back_that_is_on_probation(stand: Stand) -> None:
    left = stand.live(ON_DEMAND)
    assert float(left["probation_until"]) > time.time()
    dimensions = [{"Name": "Stage", "Value": STAGE}, {"Name": "Workload", "Value": ON_DEMAND.name}]
    datum = {"MetricName": "LabelQualityLost", "Value": 1.0, "Dimensions": dimensions}
    stand.client("cloudwatch").put_metric_data(Namespace="Gapless", MetricData=[datum])
    live = wait_for(lambda: found if (found := stand.live(ON_DEMAND))["cause"] == "probation" else None, 60)
    assert (live["actor"], answered_by(stand, ON_DEMAND)) == (ON_DEMAND.alarm("labels"), "v1")
    assert live["config"] == left["previous_config"]
    status, reason = wait_for(
        lambda: found if (found := stand.status_of(left["model_package_arn"]))[0] != "Approved" else None
    )
    assert status == "Rejected" and reason.startswith("RolledBack: probation by ")


def ask_later(stand: Stand, content: Any) -> Any:
    bucket, key = stand.outputs["Artefacts"], f"{LATER.name}/requests/one.json"
    stand.client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(content).encode())
    return stand.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName=LATER.endpoint, InputLocation=f"s3://{bucket}/{key}", ContentType="application/json"
    )


def content_of(stand: Stand, uri: str) -> bytes | None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        body: bytes = stand.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError:
        return None
    return body


def test_an_asynchronous_endpoint_goes_to_zero_and_comes_back_when_somebody_asks(stand: Stand) -> None:
    deployed(stand, LATER, "v1")
    assert scaling_of(stand, LATER) == {"bounds": [(0, 2)], "policies": ["follow", "wake"], "set times": []}
    wait_for(lambda: count_of(stand, LATER) == 0, 60)
    accepted = ask_later(stand, {"instances": [1]})
    answer = json.loads(wait_for(lambda: content_of(stand, accepted["OutputLocation"]), 60))
    assert answer["version"] == "v1"
    failed = ask_later(stand, "no instances")
    assert wait_for(lambda: content_of(stand, failed["FailureLocation"]), 60)

    def told() -> bool:
        found = stand.client("sqs").receive_message(QueueUrl=stand.queue, MaxNumberOfMessages=10)
        bodies = [json.loads(json.loads(each["Body"])["Message"]) for each in found.get("Messages", [])]
        return any(each.get("inferenceId") == failed["InferenceId"] for each in bodies)

    assert wait_for(told)


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


def tell_outcomes(stand: Stand, workload: Workload, ids: list[str]) -> None:
    """Tell that all came true."""
    lines = [
        json.dumps(
            {
                "groundTruthData": {"data": "true", "encoding": "CSV"},
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
    assert answered_by(stand, TESTED) == "v2"
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
    assert answered_by(stand, SHADOWED) == "v1"
    found = stand.endpoint(SHADOWED)
    assert found is not None and "ShadowProductionVariants" not in found


def end_at_the_next_look(stand: Stand, workload: Workload) -> None:
    """Let the hour that a comparison may take be over when it is judged first: of times, only waits are scaled."""
    client, machine = stand.client("stepfunctions"), stand.outputs[f"{workload.name.title()}MachineArn"]
    definition = json.loads(client.describe_state_machine(stateMachineArn=machine)["definition"])
    begun = json.dumps(definition["States"]["BeginExperiment"])
    assert begun.count(" + 3600") == 1
    definition["States"]["BeginExperiment"] = json.loads(begun.replace(" + 3600", " + 1"))
    client.update_state_machine(stateMachineArn=machine, definition=json.dumps(definition))


def test_who_is_wrong_more_often_is_stopped_while_a_shadow_whose_time_is_up_takes_over(stand: Stand) -> None:
    """Side by side: the champion of the one is right always, the model of the other harms nobody."""
    end_at_the_next_look(stand, SHADOWED)
    shadow, loser = stand.package(SHADOWED, "v3", probability=0.5), stand.package(TESTED, "v3", probability=0.0)
    with stand.traffic(SHADOWED) as copied, stand.traffic(TESTED) as asked:
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
    assert (answered_by(stand, SHADOWED), answered_by(stand, TESTED)) == ("v3", "v2")
    assert (stand.status_of(shadow)[0], stand.status_of(loser)[0]) == ("Approved", "Rejected")
    record = stand.item("Runs", {"run": f"experiment#{TESTED.name}"})
    assert record["status"] == "stopped" and json.loads(record["verdict"])["decision"] == "stop"
    for workload in (SHADOWED, TESTED):
        found = stand.endpoint(workload)
        assert found is not None and "ShadowProductionVariants" not in found
        assert [each["VariantName"] for each in found["ProductionVariants"]] == ["primary"]


def test_a_test_that_nobody_wins_in_time_leaves_the_champion(stand: Stand) -> None:
    """Nothing is known of any answer."""
    end_at_the_next_look(stand, TESTED)
    package = stand.package(TESTED, "v4", probability=1.0)
    with stand.traffic(TESTED) as client:
        execution = stand.start(TESTED, package)
        stand.await_state(execution, "WaitToJudge")
        client.await_answer("v4")
        done = stand.end_of(execution)
    assert (done.status, done.error) == ("FAILED", "ChallengerStopped"), done.cause
    assert "0 outcomes of one arm" in done.cause
    assert client.failures == {} and set(client.answers) == {"v2", "v4"}
    assert answered_by(stand, TESTED) == "v2"
    assert stand.status_of(package)[0] == "Rejected"
    assert stand.item("Runs", {"run": f"experiment#{TESTED.name}"})["status"] == "stopped"
