import json
from dataclasses import replace
from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.deployment import (
    DeploymentParts,
    Fleet,
    Rollout,
    deployment_config,
    deployment_machine,
)
from constructs_lib.machines.jobs import JobPlace

RUN_ID = "fedcba9876543210-1"
LOOP_RUN = "0123456789abcdef-1"
PACKAGE = "arn:aws:sagemaker:us-east-1:000000000000:model-package/models/3"
GIVEN = {"run_id": RUN_ID, "workload": "flight_delays", "model_package_arn": PACKAGE}
FLEET = Fleet("ml.m5.large", 2, 100)
OLD = "dev-flight-delays-conf-old"
MISSING = {
    "error": "SageMaker.SageMakerException",
    "cause": 'Could not find endpoint "arn:…/dev-flight-delays-live". (Service: SageMaker, Status Code: 400)',
}
EXISTS = {
    "error": "SageMaker.SageMakerException",
    "cause": 'Cannot create already existing model "arn:…". (Service: SageMaker, Status Code: 400)',
}
MISMATCH = {
    "error": "GoldenMismatch",
    "cause": json.dumps({"errorType": "GoldenMismatch", "errorMessage": "1 of 3 golden requests: late: answered 0.1"}),
}


def result(value: Any) -> list[dict[str, Any]]:
    return [{"result": value}]


def package(**changed: Any) -> list[dict[str, Any]]:
    described = {
        "ModelApprovalStatus": "Approved",
        "InferenceSpecification": {
            "Containers": [{"Image": "image:1", "ModelDataUrl": "s3://artefacts/m/model.tar.gz"}]
        },
        "CustomerMetadataProperties": {"model_sha256": "a" * 64, "bundle": "b" * 64, "run_id": LOOP_RUN},
    }
    return result({**described, **changed})


def endpoint(status: str, config: str, **more: str) -> dict[str, Any]:
    return {"result": {"EndpointStatus": status, "EndpointConfigName": config, **more}}


def any_answers(**changed: Any) -> dict[str, Any]:
    """A first deployment that goes well, but for what the endpoint says."""
    return {
        "DescribePackage": package(),
        "AskAlarms": result({"MetricAlarms": []}),
        "GoldenBefore": result({}),
        "CreateModel": result({}),
        "CreateEndpointConfig": result({}),
        "DescribeEndpoint": [MISSING],
        "CreateEndpoint": result({}),
        "UpdateEndpoint": result({}),
        "GoldenAfter": result({"Payload": {"passed": True, "checked": 3}}),
        "RecordLive": result({}),
        "RecordPrevious": result({}),
        "RecordRun": result({}),
        "PublishMetrics": result({}),
        "ReleaseLease": result({}),
        "DeleteFailedEndpoint": result({}),
        "RemoveEndpoint": result({}),
        "RestorePrevious": result({}),
        "DescribeRestore": [endpoint("Updating", OLD), endpoint("InService", OLD)],
        "RecordFailure": result({}),
        "NotifyFailure": result({}),
        "RejectPackage": result({}),
        "CountFailed": result({}),
        "ReleaseLeaseOfFailed": result({}),
        **changed,
    }


def definition_with(surroundings: Surroundings, place: JobPlace, role_arn: str = "endpoint-role") -> dict[str, Any]:
    parts = DeploymentParts(
        place=place,
        check_golden_arn="check-golden",
        processing_role_arn="processing-role",
        golden_instance_type="ml.m5.xlarge",
        endpoint_role_arn=role_arn,
        endpoint_name="dev-flight-delays-live",
        alarm_names=["live-errors", "live-latency"],
        fleet=FLEET,
        rollout=Rollout("canary", 5, 0.5),
    )
    return deployment_machine(surroundings, parts)


@pytest.fixture
def definition(surroundings: Surroundings, place: JobPlace) -> dict[str, Any]:
    return definition_with(surroundings, place)


@pytest.fixture
def new(definition: dict[str, Any], walk: Any) -> str:
    """The name of the new endpoint configuration."""
    answers = any_answers(DescribeRollout=[endpoint("Failed", "any")])
    return str(walk(definition, GIVEN, answers).arguments("CreateEndpoint")["EndpointConfigName"])


def first(new: str, **changed: Any) -> dict[str, Any]:
    return any_answers(**{"DescribeRollout": [endpoint("Creating", new), endpoint("InService", new)], **changed})


def update(new: str, **changed: Any) -> dict[str, Any]:
    rollout = [endpoint("Updating", OLD), endpoint("Updating", OLD), endpoint("InService", new)]
    return any_answers(**{"DescribeEndpoint": [endpoint("InService", OLD)], "DescribeRollout": rollout, **changed})


def test_names_come_from_the_content(definition: dict[str, Any], walk: Any, new: str) -> None:
    done = walk(definition, GIVEN, first(new))
    model = done.arguments("CreateModel")["ModelName"]
    config = done.arguments("CreateEndpointConfig")["EndpointConfigName"]
    assert model.startswith("dev-flight-delays-model-") and len(model.rpartition("-")[2]) == 16
    assert config == f"{model.replace('-model-', '-conf-')}-{FLEET.digest}"
    other = first(
        new,
        DescribePackage=package(CustomerMetadataProperties={"model_sha256": "c" * 64, "bundle": "b", "run_id": "r"}),
    )
    other["DescribeRollout"] = [endpoint("Failed", "x")]
    assert walk(definition, GIVEN, other).arguments("CreateModel")["ModelName"] != model


def test_what_is_deployed_again_under_another_role_or_network_is_another_model(
    surroundings: Surroundings, place: JobPlace, walk: Any, new: str
) -> None:
    elsewhere = replace(place, security_group="sg-2")
    changed = [definition_with(surroundings, place, "other-role"), definition_with(surroundings, elsewhere)]
    answers = any_answers(DescribeRollout=[endpoint("Failed", "any")])
    models = {walk(each, GIVEN, answers).arguments("CreateEndpoint")["EndpointConfigName"] for each in changed}
    assert len({*models, new}) == 3


def test_another_fleet_gives_another_configuration() -> None:
    digests = {FLEET.digest, Fleet("ml.m5.xlarge", 2, 100).digest, Fleet("ml.m5.large", 3, 100).digest}
    assert len({*digests, Fleet("ml.m5.large", 2, 50).digest}) == 4


def test_the_model_is_the_registered_package_cut_off_from_the_network(
    definition: dict[str, Any], walk: Any, new: str
) -> None:
    request = walk(definition, GIVEN, first(new)).arguments("CreateModel")
    assert request["Containers"] == [{"ModelPackageName": PACKAGE}]
    assert request["EnableNetworkIsolation"] is True
    assert request["VpcConfig"] == {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}


def test_the_endpoint_keeps_requests_and_answers_under_the_key(definition: dict[str, Any], walk: Any, new: str) -> None:
    request = walk(definition, GIVEN, first(new)).arguments("CreateEndpointConfig")
    capture = request["DataCaptureConfig"]
    assert capture["EnableCapture"] is True and capture["InitialSamplingPercentage"] == 100
    assert capture["DestinationS3Uri"] == "s3://artefacts/flight_delays/capture"
    assert capture["KmsKeyId"] == request["KmsKeyId"]
    assert request["ProductionVariants"][0]["VariantName"] == "primary"
    assert request["ProductionVariants"][0]["InitialInstanceCount"] == 2


def test_a_first_model_gets_a_new_endpoint(definition: dict[str, Any], walk: Any, new: str) -> None:
    done = walk(definition, GIVEN, first(new))
    assert done.status == "SUCCEEDED"
    assert "UpdateEndpoint" not in done.path and "RecordPrevious" not in done.path
    assert done.output == {"endpoint": "dev-flight-delays-live", "config": new, "model_package_arn": PACKAGE}


def test_golden_requests_go_before_and_after(definition: dict[str, Any], walk: Any, new: str) -> None:
    done = walk(definition, GIVEN, first(new))
    assert done.path.index("GoldenBefore") < done.path.index("CreateModel") < done.path.index("GoldenAfter")
    before = done.arguments("GoldenBefore")
    assert before["AppSpecification"]["ImageUri"] == "image:1"
    assert before["ProcessingResources"]["ClusterConfig"]["InstanceType"] == "ml.m5.xlarge"
    arguments = before["AppSpecification"]["ContainerArguments"]
    assert arguments[arguments.index("--model_sha256") + 1] == "a" * 64
    golden = {each["InputName"]: each["S3Input"]["S3Uri"] for each in before["ProcessingInputs"]}
    assert golden["golden"] == f"s3://artefacts/flight_delays/bundles/{'b' * 64}/"
    written = before["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
    assert done.arguments("GoldenAfter")["Payload"] == {
        "endpoint_name": "dev-flight-delays-live",
        "golden_uri": f"{written}/golden.json",
    }


def test_a_later_model_replaces_the_old_one_guarded_by_alarms(definition: dict[str, Any], walk: Any, new: str) -> None:
    done = walk(definition, GIVEN, update(new))
    assert done.status == "SUCCEEDED"
    request = done.arguments("UpdateEndpoint")
    assert request["EndpointConfigName"] == new
    assert request["RetainAllVariantProperties"] is True
    excluded = [each["VariantPropertyType"] for each in request["ExcludeRetainedVariantProperties"]]
    assert excluded == ["DesiredWeight", "DataCaptureConfig"]
    alarms = request["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    assert alarms == [{"AlarmName": "live-errors"}, {"AlarmName": "live-latency"}]
    recorded = done.arguments("RecordPrevious")["ExpressionAttributeValues"]
    assert recorded == {":previous_config": {"S": OLD}}


def test_what_serves_is_recorded(definition: dict[str, Any], walk: Any, new: str) -> None:
    live = walk(definition, GIVEN, update(new)).arguments("RecordLive")
    values = {key: value["S"] for key, value in live["ExpressionAttributeValues"].items()}
    assert live["Key"] == {"run": {"S": "live#flight_delays"}}
    assert (values[":config"], values[":model_package_arn"], values[":run_id"]) == (new, PACKAGE, LOOP_RUN)


def test_the_lease_of_the_run_that_made_the_model_is_given_back(
    definition: dict[str, Any], walk: Any, new: str
) -> None:
    released = walk(definition, GIVEN, first(new)).arguments("ReleaseLease")
    assert released["Key"] == {"lease": {"S": "flight_delays"}}
    assert released["ExpressionAttributeValues"] == {":owner": {"S": LOOP_RUN}}


def test_a_lease_that_somebody_else_holds_by_now_is_left_alone(definition: dict[str, Any], walk: Any, new: str) -> None:
    theirs = [{"error": "DynamoDB.ConditionalCheckFailedException", "cause": "The conditional request failed"}]
    assert walk(definition, GIVEN, first(new, ReleaseLease=theirs)).status == "SUCCEEDED"


def test_deploys_nothing_that_is_not_approved(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(DescribePackage=package(ModelApprovalStatus="Rejected")))
    assert (done.status, done.error) == ("FAILED", "NotApproved")
    assert done.cause == "the model package is Rejected, not Approved"
    assert "GoldenBefore" not in done.path


def test_changes_nothing_while_an_alarm_is_on(definition: dict[str, Any], walk: Any) -> None:
    on = result({"MetricAlarms": [{"AlarmName": "live-errors"}]})
    done = walk(definition, GIVEN, any_answers(AskAlarms=on))
    assert (done.status, done.error) == ("FAILED", "AlarmAlreadyOn")
    assert "live-errors" in str(done.cause)
    assert "CreateModel" not in done.path


def test_asks_for_its_own_alarms_only(definition: dict[str, Any], walk: Any, new: str) -> None:
    asked = walk(definition, GIVEN, first(new)).arguments("AskAlarms")
    assert asked == {"AlarmNames": ["live-errors", "live-latency"], "StateValue": "ALARM"}


def test_a_model_that_fails_the_golden_requests_never_reaches_the_endpoint(
    definition: dict[str, Any], walk: Any
) -> None:
    failed = {"error": "States.TaskFailed", "cause": json.dumps({"ExitMessage": "GoldenFailed: 1 of 3 cases"})}
    done = walk(definition, GIVEN, any_answers(GoldenBefore=[failed]))
    assert (done.status, done.error) == ("FAILED", "GoldenFailed")
    assert "DescribeEndpoint" not in done.path and "CreateModel" not in done.path


def test_what_exists_already_is_used_as_it_is(definition: dict[str, Any], walk: Any, new: str) -> None:
    done = walk(definition, GIVEN, first(new, CreateModel=[EXISTS], CreateEndpointConfig=[EXISTS]))
    assert done.status == "SUCCEEDED"


@pytest.mark.parametrize("state", ["CreateModel", "CreateEndpointConfig", "DescribeEndpoint"])
def test_another_refusal_is_not_taken_for_existing_or_missing(
    definition: dict[str, Any], walk: Any, new: str, state: str
) -> None:
    denied = [{"error": "SageMaker.SageMakerException", "cause": "User is not authorized to perform"}]
    done = walk(definition, GIVEN, first(new, **{state: denied}))
    assert done.status == "FAILED"
    assert "CreateEndpoint" not in done.path


def test_a_failed_creation_leaves_no_endpoint_behind(definition: dict[str, Any], walk: Any, new: str) -> None:
    failed = endpoint("Failed", new, FailureReason="The container did not pass the ping health check")
    done = walk(definition, GIVEN, first(new, DescribeRollout=[endpoint("Creating", new), failed]))
    assert (done.status, done.error) == ("FAILED", "EndpointFailed")
    assert done.cause == "the endpoint is Failed: The container did not pass the ping health check"
    assert done.arguments("RemoveEndpoint") == {"EndpointName": "dev-flight-delays-live"}


def test_a_creation_that_never_ends_is_removed_too(definition: dict[str, Any], walk: Any, new: str) -> None:
    done = walk(definition, GIVEN, first(new, DescribeRollout=[endpoint("Creating", new)]))
    assert (done.status, done.error) == ("FAILED", "RolloutStuck")
    assert "RemoveEndpoint" in done.path
    assert done.seconds < 2 * 3600


def test_sees_a_silent_rollback(definition: dict[str, Any], walk: Any, new: str) -> None:
    back = endpoint("InService", OLD, FailureReason="alarm live-errors went off")
    done = walk(definition, GIVEN, update(new, DescribeRollout=[endpoint("RollingBack", OLD), back]))
    assert (done.status, done.error) == ("FAILED", "SilentRollback")
    assert "alarm live-errors went off" in str(done.cause)
    assert "RestorePrevious" not in done.path and "RemoveEndpoint" not in done.path


def test_an_update_that_never_ends_is_not_touched(definition: dict[str, Any], walk: Any, new: str) -> None:
    done = walk(definition, GIVEN, update(new, DescribeRollout=[endpoint("Updating", OLD)]))
    assert (done.status, done.error) == ("FAILED", "RolloutStuck")
    assert "RemoveEndpoint" not in done.path and "RestorePrevious" not in done.path


def test_goes_back_when_the_endpoint_answers_otherwise_than_the_model(
    definition: dict[str, Any], walk: Any, new: str
) -> None:
    done = walk(definition, GIVEN, update(new, GoldenAfter=[MISMATCH]))
    assert (done.status, done.error) == ("FAILED", "GoldenMismatch")
    assert done.cause == "1 of 3 golden requests: late: answered 0.1"
    restored = done.arguments("RestorePrevious")
    assert restored["EndpointConfigName"] == OLD
    assert "AutoRollbackConfiguration" not in restored["DeploymentConfig"]
    assert done.path.count("DescribeRestore") == 2
    assert "RecordLive" not in done.path


def test_removes_a_new_endpoint_that_answers_otherwise_than_the_model(
    definition: dict[str, Any], walk: Any, new: str
) -> None:
    done = walk(definition, GIVEN, first(new, GoldenAfter=[MISMATCH]))
    assert (done.status, done.error) == ("FAILED", "GoldenMismatch")
    assert "RemoveEndpoint" in done.path


def test_waits_for_another_change_of_the_endpoint_to_end(definition: dict[str, Any], walk: Any, new: str) -> None:
    busy = [endpoint("Updating", OLD), endpoint("InService", OLD)]
    done = walk(definition, GIVEN, update(new, DescribeEndpoint=busy))
    assert done.status == "SUCCEEDED"
    assert done.path.count("WaitForEndpoint") == 1


def test_does_not_wait_for_ever_for_another_change(definition: dict[str, Any], walk: Any, new: str) -> None:
    done = walk(definition, GIVEN, update(new, DescribeEndpoint=[endpoint("Updating", OLD)]))
    assert (done.status, done.error) == ("FAILED", "EndpointBusy")
    assert "UpdateEndpoint" not in done.path


def test_clears_an_endpoint_away_that_failed_before(definition: dict[str, Any], walk: Any, new: str) -> None:
    done = walk(definition, GIVEN, first(new, DescribeEndpoint=[endpoint("Failed", OLD), MISSING]))
    assert done.status == "SUCCEEDED"
    assert done.path.index("DeleteFailedEndpoint") < done.path.index("CreateEndpoint")


def test_a_model_that_serves_already_is_only_checked(definition: dict[str, Any], walk: Any, new: str) -> None:
    done = walk(definition, GIVEN, update(new, DescribeEndpoint=[endpoint("InService", new)]))
    assert done.status == "SUCCEEDED"
    assert "UpdateEndpoint" not in done.path and "GoldenAfter" in done.path
    assert "RecordPrevious" not in done.path


def test_takes_back_the_approval_of_a_model_that_cannot_serve(definition: dict[str, Any], walk: Any, new: str) -> None:
    rejected = walk(definition, GIVEN, update(new, GoldenAfter=[MISMATCH])).arguments("RejectPackage")
    assert rejected["ModelPackageArn"] == PACKAGE
    assert rejected["ModelApprovalStatus"] == "Rejected"
    assert rejected["ApprovalDescription"] == "GoldenMismatch: 1 of 3 golden requests: late: answered 0.1"


def test_does_not_blame_the_model_for_an_alarm_from_before(definition: dict[str, Any], walk: Any) -> None:
    on = result({"MetricAlarms": [{"AlarmName": "live-errors"}]})
    done = walk(definition, GIVEN, any_answers(AskAlarms=on))
    assert "CountFailed" in done.path
    assert "RejectPackage" not in done.path


def test_a_failure_is_counted_told_and_gives_the_lease_back(definition: dict[str, Any], walk: Any, new: str) -> None:
    done = walk(definition, GIVEN, update(new, GoldenAfter=[MISMATCH]))
    tail = done.path[done.path.index("ExplainFailure") :]
    assert tail == [
        "ExplainFailure",
        "RecordFailure",
        "NotifyFailure",
        "IsToBlame",
        "RejectPackage",
        "CountFailed",
        "ReleaseLeaseOfFailed",
        "ResumeOrFail",
        "Fail",
    ]
    assert done.arguments("RecordFailure")["Key"] == {"run": {"S": f"deployment#{RUN_ID}"}}
    assert done.arguments("ReleaseLeaseOfFailed")["ExpressionAttributeValues"] == {":owner": {"S": LOOP_RUN}}


def test_a_failure_before_the_package_is_known_ends_well_ordered_too(definition: dict[str, Any], walk: Any) -> None:
    down = [{"error": "SageMaker.SageMakerException", "cause": "unreachable"}]
    done = walk(definition, GIVEN, any_answers(DescribePackage=down))
    assert done.status == "FAILED"
    assert done.path[-1] == "ResumeOrFail"


@pytest.mark.parametrize(
    "state",
    ["DescribePackage", "AskAlarms", "GoldenBefore", "UpdateEndpoint", "GoldenAfter", "RecordLive", "RecordRun"],
)
def test_every_step_can_fail_and_be_redriven(definition: dict[str, Any], walk: Any, new: str, state: str) -> None:
    answers = update(new)
    answers[state] = [{"error": "Some.SdkException", "cause": "unreachable"}, *answers[state]]
    done = walk(definition, GIVEN, answers, redrives=1)
    assert done.status == "SUCCEEDED"
    assert done.output["config"] == new


def test_a_canary_takes_its_share_first() -> None:
    assert deployment_config(Rollout("canary", 5, 0.25), ["errors"]) == {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "CANARY",
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 25},
                "WaitIntervalInSeconds": 300,
            },
            "TerminationWaitInSeconds": 0,
            "MaximumExecutionTimeoutInSeconds": 3900,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]},
    }


def test_all_at_once_keeps_the_old_fleet_for_the_bake_time() -> None:
    policy = deployment_config(Rollout("all_at_once", 10), ["errors"])["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"] == {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    assert policy["TerminationWaitInSeconds"] == 600


@pytest.mark.parametrize("minutes", [1, 60])
@pytest.mark.parametrize("strategy", ["all_at_once", "canary"])
def test_a_rollout_stays_within_what_sagemaker_takes(strategy: Any, minutes: int) -> None:
    policy = deployment_config(Rollout(strategy, minutes, 0.5), ["errors"])["BlueGreenUpdatePolicy"]
    routing = policy["TrafficRoutingConfiguration"]
    assert 0 <= routing["WaitIntervalInSeconds"] <= 3600
    assert 0 <= policy["TerminationWaitInSeconds"] <= 3600
    assert 600 <= policy["MaximumExecutionTimeoutInSeconds"] <= 28800
    bake = routing["WaitIntervalInSeconds"] + policy["TerminationWaitInSeconds"]
    assert bake < policy["MaximumExecutionTimeoutInSeconds"]


@pytest.mark.parametrize(("share", "minutes"), [(0.0, 5), (0.6, 5), (0.5, 0), (0.5, 61)])
def test_refuses_a_rollout_that_sagemaker_would_refuse(share: float, minutes: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        Rollout("canary", minutes, share)
