import json
from dataclasses import replace
from typing import Any

import pytest
from botocore.session import Session
from botocore.validate import ParamValidator

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.deployment import (
    DeploymentParts,
    Fleet,
    Rollout,
    deployment_config,
    deployment_machine,
)
from constructs_lib.machines.image_scan import ScannedImages
from constructs_lib.machines.jobs import JobLimits, JobPlace
from constructs_lib.machines.signing import TAMPERED, SigningParts
from constructs_lib.names.scan_file import Scan

RUN_ID = "fedcba9876543210-1"
LOOP_RUN = "0123456789abcdef-1"
PACKAGE = "arn:aws:sagemaker:us-east-1:000000000000:model-package/models/3"
GIVEN = {"run_id": RUN_ID, "workload": "flight_delays", "model_package_arn": PACKAGE}
CANARY = Rollout("canary", 5, 0.5)
FLEET = Fleet("ml.m5.large", 2, 100)
OLD = "dev-flight-delays-conf-old"
OLD_PACKAGE = "arn:aws:sagemaker:us-east-1:000000000000:model-package/models/2"
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

BOX = f"sha256:{'8' * 64}"


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


def serving(count: int, model: str = "dev-flight-delays-model-old") -> list[dict[str, Any]]:
    variant = {"VariantName": "primary", "InitialInstanceCount": count, "ModelName": model}
    return result({"ProductionVariants": [variant]})


def live(config: str = OLD, package_arn: str = OLD_PACKAGE, previous: str | None = None) -> list[dict[str, Any]]:
    """What the record says that serves."""
    attributes = {"config": config, "model_package_arn": package_arn, "previous_package_arn": previous}
    return result({"Item": {name: {"S": value} for name, value in attributes.items() if value is not None}})


def any_answers(**changed: Any) -> dict[str, Any]:
    """A first deployment that goes well, but for what the endpoint says."""
    return {
        "DescribePackage": package(),
        "VerifyModel": result({"Payload": {"statement_sha256": "5" * 64}}),
        "ReadLive": result({}),
        "AskAlarms": result({"MetricAlarms": []}),
        "AskAlarmsAgain": result({"MetricAlarms": []}),
        "DescribeServing": serving(2),
        "GoldenBefore": result({}),
        "CreateModel": result({}),
        "CreateEndpointConfig": result({}),
        "ReadTurn": result({}),
        "TakeTurn": result({}),
        "ReadLiveAgain": changed.get("ReadLive", result({})),
        "DescribeEndpoint": [MISSING],
        "CreateEndpoint": result({}),
        "UpdateEndpoint": result({}),
        "GoldenAfter": result({"Payload": {"passed": True, "checked": 3}}),
        "RecordServed": result({}),
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


def definition_with(
    surroundings: Surroundings,
    place: JobPlace,
    role_arn: str = "endpoint-role",
    rollout: Rollout = CANARY,
    **more: Any,
) -> dict[str, Any]:
    parts = DeploymentParts(
        place=place,
        signing=SigningParts("sign", "verify"),
        check_golden_arn="check-golden",
        processing_role_arn="processing-role",
        golden_jobs=JobLimits("ml.m5.xlarge", 60),
        endpoint_role_arn=role_arn,
        endpoint_name="dev-flight-delays-live",
        alarm_names=["live-errors", "live-latency"],
        fleet=FLEET,
        rollout=rollout,
        **more,
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


@pytest.mark.parametrize("error", TAMPERED)
def test_a_model_that_is_not_what_was_signed_touches_no_endpoint_and_loses_its_approval(
    definition: dict[str, Any], walk: Any, error: str
) -> None:
    told = json.dumps({"errorType": error, "errorMessage": "not what was signed"})
    done = walk(definition, GIVEN, any_answers(VerifyModel=[{"error": error, "cause": told}]))
    assert (done.status, done.error, done.cause) == ("FAILED", error, "not what was signed")
    assert done.arguments("RejectPackage")["ModelApprovalStatus"] == "Rejected"
    assert not {"GoldenBefore", "CreateModel", "CreateEndpoint", "UpdateEndpoint"} & set(done.path)


def test_an_image_in_which_something_severe_was_found_since_touches_no_endpoint_and_loses_its_approval(
    surroundings: Surroundings, place: JobPlace, walk: Any
) -> None:
    definition = definition_with(surroundings, place, scanned=ScannedImages("boxes", Scan()))
    described = {"Containers": [{"Image": f"registry/boxes@{BOX}", "ModelDataUrl": "s3://artefacts/m/model.tar.gz"}]}
    found = {"FindingSeverityCounts": {"CRITICAL": 1}, "Findings": [{"Name": "CVE-1", "Severity": "CRITICAL"}]}
    answers = any_answers(
        DescribePackage=package(InferenceSpecification=described),
        ReadScan=result({"ImageScanStatus": {"Status": "COMPLETE"}, "ImageScanFindings": found}),
    )
    done = walk(definition, GIVEN, answers)
    assert done.arguments("ReadScan")["ImageId"] == {"ImageDigest": BOX}
    assert (done.status, done.error) == ("FAILED", "ImageUnsafe")
    assert "CVE-1 (CRITICAL)" in done.arguments("RejectPackage")["ApprovalDescription"]
    assert not {"GoldenBefore", "CreateModel", "CreateEndpoint", "UpdateEndpoint"} & set(done.path)


def test_what_the_package_says_is_verified(definition: dict[str, Any], walk: Any, new: str) -> None:
    payload = walk(definition, GIVEN, first(new)).arguments("VerifyModel")["Payload"]
    assert payload == {
        "containers": [{"Image": "image:1", "ModelDataUrl": "s3://artefacts/m/model.tar.gz"}],
        "properties": {"model_sha256": "a" * 64, "bundle": "b" * 64, "run_id": LOOP_RUN},
    }


def test_a_package_without_properties_is_verified_as_one(definition: dict[str, Any], walk: Any) -> None:
    missing = json.dumps({"errorType": "SignatureMissing", "errorMessage": "it was not signed"})
    given = package()[0]["result"]
    del given["CustomerMetadataProperties"]
    answers = any_answers(DescribePackage=result(given), VerifyModel=[{"error": "SignatureMissing", "cause": missing}])
    done = walk(definition, GIVEN, answers)
    assert done.arguments("VerifyModel")["Payload"]["properties"] == {}
    assert done.error == "SignatureMissing"


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


def test_the_same_model_between_other_adapters_is_another_model(
    definition: dict[str, Any], walk: Any, new: str
) -> None:
    names = set()
    for digest in ("d" * 64, "e" * 64):
        containers = [
            {"Image": image, "ModelDataUrl": "s3://artefacts/m.tar.gz", "Environment": environment}
            for image, environment in (("adapter:1", {"GAPLESS_ADAPTERS_SHA256": digest}), ("image:1", {}))
        ]
        answers = first(new, DescribePackage=package(InferenceSpecification={"Containers": containers}))
        answers["DescribeRollout"] = [endpoint("Failed", "x")]
        names.add(walk(definition, GIVEN, answers).arguments("CreateModel")["ModelName"])
    assert len(names) == 2


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
    assert recorded == {
        ":previous_config": {"S": OLD},
        ":previous_package_arn": {"S": "none"},
        ":earlier_package_arns": {"S": "[]"},
    }


OTHERS = [PACKAGE.replace("/3", f"/{number}") for number in range(20, 31)]


@pytest.mark.parametrize(
    ("what", "kept", "previous", "expected"),
    [
        ("the one that served goes before those before it", OTHERS[:2], None, [OLD_PACKAGE, *OTHERS[:2]]),
        ("the one that serves is none of them", [PACKAGE, OTHERS[0]], None, [OLD_PACKAGE, OTHERS[0]]),
        ("the oldest are forgotten", OTHERS, None, [OLD_PACKAGE, *OTHERS[:9]]),
        ("a record of an older release names one", None, OTHERS[0], [OLD_PACKAGE, OTHERS[0]]),
        ("nothing served before", None, "none", [OLD_PACKAGE]),
    ],
)
def test_versions_that_served_before_are_recorded_the_last_one_first(
    definition: dict[str, Any], walk: Any, new: str, what: str, kept: Any, previous: Any, expected: Any
) -> None:
    item = live(package_arn=OLD_PACKAGE, previous=previous)[0]["result"]["Item"]
    item |= {"earlier_package_arns": {"S": json.dumps(kept)}} if kept is not None else {}
    done = walk(definition, GIVEN, update(new, ReadLive=result({"Item": item})))
    recorded = done.arguments("RecordPrevious")["ExpressionAttributeValues"]
    assert json.loads(recorded[":earlier_package_arns"]["S"]) == expected, what


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


@pytest.mark.parametrize("state", ["CreateModel", "CreateEndpointConfig"])
def test_too_many_requests_are_made_again(definition: dict[str, Any], walk: Any, new: str, state: str) -> None:
    throttled = {"error": "SageMaker.SageMakerException", "cause": "Rate exceeded (Status Code: 400)"}
    done = walk(definition, GIVEN, first(new, **{state: [throttled, throttled, {"result": {}}]}))
    assert done.status == "SUCCEEDED"
    assert done.path.count("WaitToMake") == 2


@pytest.mark.parametrize(
    "cause", ['Cannot update in-progress endpoint "arn:…"', "Rate exceeded", "ThrottlingException: slow down"]
)
def test_an_update_that_somebody_else_was_quicker_with_waits_its_turn(
    definition: dict[str, Any], walk: Any, new: str, cause: str
) -> None:
    refused = {"error": "SageMaker.SageMakerException", "cause": cause}
    done = walk(definition, GIVEN, update(new, UpdateEndpoint=[refused, {"result": {}}]))
    assert done.status == "SUCCEEDED"
    assert done.path.count("WaitForEndpoint") == 1


def test_an_update_that_may_not_be_is_not_tried_again(definition: dict[str, Any], walk: Any, new: str) -> None:
    denied = [{"error": "SageMaker.SageMakerException", "cause": "is not authorized to perform"}]
    assert walk(definition, GIVEN, update(new, UpdateEndpoint=denied)).path.count("UpdateEndpoint") == 1


def test_an_alarm_that_comes_on_after_the_golden_requests_stops_it_too(
    definition: dict[str, Any], walk: Any, new: str
) -> None:
    on = result({"MetricAlarms": [{"AlarmName": "live-latency"}]})
    done = walk(definition, GIVEN, update(new, AskAlarmsAgain=on))
    assert (done.status, done.error) == ("FAILED", "AlarmAlreadyOn")
    assert "UpdateEndpoint" not in done.path and "RejectPackage" not in done.path


def test_a_lack_of_machines_is_not_blamed_on_the_model_and_can_be_redriven(
    definition: dict[str, Any], walk: Any, new: str
) -> None:
    reason = "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error."
    done = walk(definition, GIVEN, update(new, DescribeRollout=[endpoint("InService", OLD, FailureReason=reason)]))
    assert done.status == "FAILED" and done.error != "Fail"
    assert not {"RejectPackage", "RestorePrevious", "Fail"} & set(done.path)


def test_a_mixture_of_old_and_new_goes_back_by_a_second_fleet(definition: dict[str, Any], walk: Any, new: str) -> None:
    mixed = endpoint("UpdateRollbackFailed", OLD, FailureReason="the rollback failed")
    done = walk(definition, GIVEN, update(new, DescribeRollout=[mixed]))
    assert (done.status, done.error) == ("FAILED", "RollbackFailed")
    assert done.arguments("RestorePrevious")["EndpointConfigName"] == OLD
    assert "BlueGreenUpdatePolicy" in done.arguments("RestorePrevious")["DeploymentConfig"]


@pytest.mark.parametrize("status", ["InService", "UpdateRollbackFailed"])
def test_tries_on_to_go_back_while_there_are_no_machines(
    definition: dict[str, Any], walk: Any, new: str, status: str
) -> None:
    lack = "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error."
    mixed = endpoint("UpdateRollbackFailed", OLD, FailureReason=f"an alarm. The rollback failed: {lack}")
    config = OLD if status == "UpdateRollbackFailed" else new
    still = [endpoint("Updating", OLD), endpoint(status, config, FailureReason=lack)]
    answers = update(new, DescribeRollout=[mixed], LookToRestore=still[1:])
    done = walk(definition, GIVEN, {**answers, "DescribeRestore": [*still, *still, endpoint("InService", OLD)]})
    assert done.error == "RollbackFailed"
    assert done.path.count("RestorePrevious") == 3
    for_ever = walk(definition, GIVEN, {**answers, "DescribeRestore": still[1:]})
    assert for_ever.error == "RollbackFailed"
    assert for_ever.seconds >= 2 * 3600


IN_PROGRESS = {"error": "SageMaker.SageMakerException", "cause": 'Cannot update in-progress endpoint "arn:…"'}


def test_goes_back_as_soon_as_another_change_of_the_endpoint_is_over(
    definition: dict[str, Any], walk: Any, new: str
) -> None:
    """The number of instances changes at the wrong moment."""
    looks = [endpoint("Updating", new), endpoint("InService", new)]
    answers = update(new, GoldenAfter=[MISMATCH], LookToRestore=looks, RestorePrevious=[IN_PROGRESS, {"result": {}}])
    done = walk(definition, GIVEN, answers)
    assert (done.status, done.error) == ("FAILED", "GoldenMismatch")
    assert (done.path.count("WaitToRestore"), done.path.count("RestorePrevious")) == (2, 2)
    assert done.path.index("DescribeRestore") > done.path.index("StillToRestore")


@pytest.mark.parametrize(
    ("cause", "status", "config"),
    [
        ("Cannot update in-progress endpoint", "InService", "dev-flight-delays-conf-other"),
        ("Cannot update in-progress endpoint", "Failed", None),
        ("is not authorized to perform", "InService", None),
    ],
    ids=["somebody-else", "failed", "for-good"],
)
def test_does_not_go_back_where_it_may_not(
    definition: dict[str, Any], walk: Any, new: str, cause: str, status: str, config: str | None
) -> None:
    refusal = [{"error": "SageMaker.SageMakerException", "cause": cause}]
    looks = [endpoint(status, config or new)]
    answers = update(new, GoldenAfter=[MISMATCH], LookToRestore=looks, RestorePrevious=refusal)
    done = walk(definition, GIVEN, answers)
    assert (done.status, done.error) == ("FAILED", "GoldenMismatch")
    assert done.path.count("RestorePrevious") == 1
    assert "RejectPackage" in done.path


def test_does_not_try_for_ever_to_go_back(definition: dict[str, Any], walk: Any, new: str) -> None:
    looks = [endpoint("InService", new)]
    answers = update(new, GoldenAfter=[MISMATCH], LookToRestore=looks, RestorePrevious=[IN_PROGRESS])
    done = walk(definition, GIVEN, answers)
    assert (done.status, done.error) == ("FAILED", "GoldenMismatch")
    assert 2 * 3600 <= done.seconds < 3 * 3600


@pytest.mark.parametrize(
    "changed",
    [{"GoldenAfter": [MISMATCH]}, {"DescribeRollout": [endpoint("InService", "dev-flight-delays-conf-half")]}],
    ids=["answers otherwise", "alarm"],
)
def test_goes_back_to_what_was_verified_not_to_what_was_left_half_way(
    definition: dict[str, Any], walk: Any, new: str, changed: dict[str, Any]
) -> None:
    half = "dev-flight-delays-conf-half"
    answers = update(new, ReadLive=live(), DescribeEndpoint=[endpoint("InService", half)], **changed)
    assert walk(definition, GIVEN, answers).arguments("RestorePrevious")["EndpointConfigName"] == OLD


# --- one at a time -----------------------------------------------------------------------------------------------

ME = f"arn:aws:states:us-east-1:000000000000:execution:dev:{RUN_ID}"
OTHER = ME.replace(RUN_ID, "other")
TAKEN = {"error": "DynamoDB.ConditionalCheckFailedException", "cause": "The conditional request failed"}


def turn_of(execution: str) -> dict[str, Any]:
    return {"result": {"Item": {"execution": {"S": execution}}}}


def status(*statuses: str) -> list[dict[str, Any]]:
    return [{"result": {"Status": each}} for each in statuses]


def test_a_deployment_waits_until_the_one_before_it_has_ended(definition: dict[str, Any], walk: Any, new: str) -> None:
    """What that one left counts: what is gone back to, and what is written down as the version before."""
    answers = update(
        new,
        ReadTurn=[turn_of(OTHER)],
        DescribeHolder=status("RUNNING", "RUNNING", "SUCCEEDED"),
        ReadLive=live(package_arn="an earlier one"),
        ReadLiveAgain=live(),
    )
    done = walk(definition, GIVEN, answers, name=RUN_ID)
    assert done.status == "SUCCEEDED"
    assert done.path.count("WaitForTurn") == 2
    assert done.arguments("DescribeHolder") == {"ExecutionArn": OTHER}
    taken = done.arguments("TakeTurn")
    assert taken["Key"] == {"run": {"S": "turn#flight_delays"}}
    assert taken["ExpressionAttributeValues"] == {":me": {"S": ME}, ":seen": {"S": OTHER}}
    before = done.arguments("RecordPrevious")["ExpressionAttributeValues"]
    assert before[":previous_package_arn"]["S"] == OLD_PACKAGE


@pytest.mark.parametrize("ended", ["ABORTED", "FAILED", "TIMED_OUT", None])
def test_a_deployment_that_was_broken_off_is_in_nobodys_way(
    definition: dict[str, Any], walk: Any, new: str, ended: str | None
) -> None:
    forgotten = [{"error": "Sfn.ExecutionDoesNotExistException", "cause": "Execution Does Not Exist"}]
    told = forgotten if ended is None else status(ended)
    done = walk(definition, GIVEN, update(new, ReadTurn=[turn_of(OTHER)], DescribeHolder=told))
    assert done.status == "SUCCEEDED"
    assert "WaitForTurn" not in done.path


def test_of_two_that_see_a_free_turn_one_waits(definition: dict[str, Any], walk: Any, new: str) -> None:
    answers = update(
        new,
        ReadTurn=[{"result": {}}, turn_of(OTHER)],
        TakeTurn=[TAKEN, {"result": {}}],
        DescribeHolder=status("RUNNING", "SUCCEEDED"),
    )
    done = walk(definition, GIVEN, answers)
    assert done.status == "SUCCEEDED"
    assert (done.path.count("TurnTaken"), done.path.count("WaitForTurn")) == (1, 2)


def test_does_not_wait_for_ever_for_its_turn(definition: dict[str, Any], walk: Any, new: str) -> None:
    done = walk(definition, GIVEN, update(new, ReadTurn=[turn_of(OTHER)], DescribeHolder=status("RUNNING")))
    assert (done.status, done.error) == ("FAILED", "EndpointBusy")
    assert OTHER in str(done.cause)
    assert not {"UpdateEndpoint", "RejectPackage"} & set(done.path)


def test_a_redriven_deployment_has_its_turn_still(definition: dict[str, Any], walk: Any, new: str) -> None:
    done = walk(definition, GIVEN, update(new, ReadTurn=[turn_of(ME)]), name=RUN_ID)
    assert done.status == "SUCCEEDED"
    assert "DescribeHolder" not in done.path


def test_the_second_of_two_who_want_the_same_version_back_rejects_nothing(
    definition: dict[str, Any], walk: Any, new: str
) -> None:
    done = walk(definition, WISH, back(new, ReadLiveAgain=live(package_arn=PACKAGE)))
    assert (done.status, done.error) == ("FAILED", "NeverServed")
    assert "it serves already" in str(done.cause)
    assert not {"RejectLeft", "RejectPackage", "UpdateEndpoint"} & set(done.path)


# --- predictions during the rollout ------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [{"result": {"Payload": {}}}, {"error": "BadSettings", "cause": "none"}])
def test_predictions_are_compared_at_every_look_and_nothing_depends_on_that_it_works(
    surroundings: Surroundings, place: JobPlace, walk: Any, new: str, answer: dict[str, Any]
) -> None:
    definition = definition_with(surroundings, place, watch_predictions_arn="watch")
    done = walk(definition, GIVEN, update(new, WatchPredictions=[answer]))
    assert done.status == "SUCCEEDED"
    assert done.path.count("WatchPredictions") == done.path.count("DescribeRollout") == 3
    asked = done.arguments("WatchPredictions")
    assert asked["FunctionName"] == "watch"
    assert asked["Payload"]["since"] < asked["Payload"]["as_of"]


# --- how many instances ------------------------------------------------------------------------------------------


def excluded(done: Any) -> list[str]:
    request = done.arguments("UpdateEndpoint")
    assert request["RetainAllVariantProperties"] is True
    return [each["VariantPropertyType"] for each in request["ExcludeRetainedVariantProperties"]]


def test_what_scaling_has_made_of_the_fleet_is_kept(definition: dict[str, Any], walk: Any, new: str) -> None:
    assert excluded(walk(definition, GIVEN, update(new))) == ["DesiredWeight", "DataCaptureConfig"]


def test_a_declared_number_of_instances_counts(definition: dict[str, Any], walk: Any, new: str) -> None:
    done = walk(definition, GIVEN, update(new, DescribeServing=serving(4)))
    assert excluded(done) == ["DesiredWeight", "DataCaptureConfig", "DesiredInstanceCount"]


# --- going back on purpose ---------------------------------------------------------------------------------------

WISH = {"action": "rollback", "actor": "ada", "reason": "it reads ages wrongly"}


def back(new: str, **changed: Any) -> dict[str, Any]:
    """Version 3 was served once, version 2 serves."""
    served = result({"Item": {"golden_uri": {"S": "s3://artefacts/golden/earlier.json"}}})
    told = {"AuditRollback": result({}), "RejectLeft": result({}), "TellOfRollback": result({})}
    return update(new, **{"ReadLive": live(previous=PACKAGE), "ReadServed": served, **told, **changed})


def test_a_wish_of_three_lines_goes_back_to_the_version_before(definition: dict[str, Any], walk: Any, new: str) -> None:
    done = walk(definition, WISH, back(new), name="by-hand")
    assert done.status == "SUCCEEDED"
    assert done.output["model_package_arn"] == PACKAGE
    assert "GoldenBefore" not in done.path, "it has answered them before"
    recorded = done.arguments("RecordPrevious")["ExpressionAttributeValues"]
    assert recorded[":previous_package_arn"] == {"S": OLD_PACKAGE}
    assert recorded[":earlier_package_arns"] == {"S": "[]"}, "the version that was left loses its approval"
    assert done.arguments("GoldenAfter")["Payload"]["golden_uri"] == "s3://artefacts/golden/earlier.json"
    assert done.arguments("RecordRun")["Key"] == {"run": {"S": "deployment#by-hand"}}


def test_who_went_back_and_why_is_written_down_and_told(definition: dict[str, Any], walk: Any, new: str) -> None:
    done = walk(definition, WISH, back(new))
    item = {name: value["S"] for name, value in done.arguments("AuditRollback")["Item"].items()}
    assert (item["actor"], item["reason"], item["cause"]) == ("ada", "it reads ages wrongly", "rollback")
    assert (item["rolled_back_from"], item["model_package_arn"]) == (OLD_PACKAGE, PACKAGE)
    record = done.arguments("RecordLive")["ExpressionAttributeValues"]
    assert (record[":actor"]["S"], record[":cause"]["S"]) == ("ada", "rollback")
    assert json.loads(done.arguments("TellOfRollback")["Message"])["reason"] == "it reads ages wrongly"


def test_the_version_that_was_left_does_not_stay_approved(definition: dict[str, Any], walk: Any, new: str) -> None:
    left = walk(definition, WISH, back(new)).arguments("RejectLeft")
    assert (left["ModelPackageArn"], left["ModelApprovalStatus"]) == (OLD_PACKAGE, "Rejected")
    assert left["ApprovalDescription"] == "RolledBack: rollback by ada: it reads ages wrongly"


def test_a_version_that_was_left_can_be_gone_back_to(definition: dict[str, Any], walk: Any, new: str) -> None:
    refused = {"error": "SageMaker.SageMakerException", "cause": "Model Package arn:… is not approved"}
    answers = back(new, DescribePackage=package(ModelApprovalStatus="Rejected"), CreateModel=[refused])
    assert walk(definition, WISH, answers).status == "SUCCEEDED", "its model is there since it has served"


def test_going_back_is_guarded_while_the_alarms_are_quiet(definition: dict[str, Any], walk: Any, new: str) -> None:
    config = walk(definition, WISH, back(new)).arguments("UpdateEndpoint")["DeploymentConfig"]
    assert config == deployment_config(Rollout("canary", 5, 0.5), ["live-errors", "live-latency"])


def test_an_alarm_that_is_on_does_not_stop_who_goes_back_because_of_it(
    definition: dict[str, Any], walk: Any, new: str
) -> None:
    on = result({"MetricAlarms": [{"AlarmName": "live-errors"}]})
    done = walk(definition, WISH, back(new, AskAlarms=on, AskAlarmsAgain=on))
    assert done.status == "SUCCEEDED"
    config = done.arguments("UpdateEndpoint")["DeploymentConfig"]
    assert "AutoRollbackConfiguration" not in config
    assert config["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"] == "ALL_AT_ONCE"


@pytest.mark.parametrize("noisy", [True, False])
def test_who_goes_back_from_a_mixture_is_guarded_only_while_the_alarms_are_quiet(
    surroundings: Surroundings, place: JobPlace, walk: Any, noisy: bool
) -> None:
    definition = definition_with(surroundings, place, rollout=Rollout("rolling", 5, 0.5))
    alarms = result({"MetricAlarms": [{"AlarmName": "live-errors"}] if noisy else []})
    mixed = [endpoint("UpdateRollbackFailed", OLD)]
    failed = walk(definition, WISH, back("x", DescribeRollout=[endpoint("Failed", "x")]))
    new = failed.arguments("UpdateEndpoint")["EndpointConfigName"]
    done = walk(definition, WISH, back(new, AskAlarms=alarms, AskAlarmsAgain=alarms, DescribeEndpoint=mixed))
    assert done.status == "SUCCEEDED"
    config = done.arguments("UpdateEndpoint")["DeploymentConfig"]
    assert config["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"] == "ALL_AT_ONCE"
    assert ("AutoRollbackConfiguration" in config) != noisy


@pytest.mark.parametrize(
    "wish",
    [
        {"action": "rollback", "reason": "because"},
        {"action": "rollback", "actor": "ada", "reason": " "},
        {"action": "undo", "actor": "ada", "reason": "because"},
        {"run_id": RUN_ID},
    ],
    ids=["nobody", "no-reason", "undo", "nothing"],
)
def test_a_wish_that_is_not_complete_changes_nothing(
    definition: dict[str, Any], walk: Any, new: str, wish: dict[str, str]
) -> None:
    done = walk(definition, wish, back(new))
    assert (done.status, done.error) == ("FAILED", "BadRequest")
    assert "actor and reason" in str(done.cause)
    assert "DescribePackage" not in done.path


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"ReadServed": result({})}, "no version of this name has served before"),
        ({"ReadLive": live(package_arn=PACKAGE, previous=PACKAGE)}, "it serves already"),
        ({"ReadLive": live(), "ReadServed": result({})}, "no version of this name has served before: none"),
    ],
    ids=["never", "already", "none-before"],
)
def test_goes_back_to_nothing_but_what_has_served(
    definition: dict[str, Any], walk: Any, new: str, changed: dict[str, Any], says: str
) -> None:
    done = walk(definition, WISH, back(new, **changed))
    assert (done.status, done.error) == ("FAILED", "NeverServed")
    assert says in str(done.cause)
    assert "RejectPackage" not in done.path


# --- probation ---------------------------------------------------------------------------------------------------

LABELS = {"action": "rollback", "cause": "probation", "actor": "live-labels", "reason": "worse than it has to be"}


def on_probation(until: int) -> list[dict[str, Any]]:
    item = live(previous=PACKAGE)[0]["result"]["Item"]
    return result({"Item": {**item, "probation_until": {"S": str(until)}}})


def test_late_labels_take_a_model_back_that_is_on_probation(definition: dict[str, Any], walk: Any, new: str) -> None:
    done = walk(definition, LABELS, back(new, ReadLive=on_probation(4_102_444_800)))
    assert done.status == "SUCCEEDED"
    item = done.arguments("AuditRollback")["Item"]
    assert (item["cause"]["S"], item["actor"]["S"]) == ("probation", "live-labels")


@pytest.mark.parametrize("record", [on_probation(1), live(previous=PACKAGE)], ids=["over", "none"])
def test_late_labels_change_nothing_after_the_probation(
    definition: dict[str, Any], walk: Any, new: str, record: list[dict[str, Any]]
) -> None:
    done = walk(definition, LABELS, back(new, ReadLive=record))
    assert done.status == "SUCCEEDED"
    assert done.output == {"taken_back": False, "model_package_arn": OLD_PACKAGE}
    assert "UpdateEndpoint" not in done.path


def test_a_new_model_is_on_probation_and_one_that_was_gone_back_to_is_not(
    surroundings: Surroundings, place: JobPlace, walk: Any, new: str
) -> None:
    definition = definition_with(surroundings, place, probation_hours=24)

    def until(done: Any) -> int:
        return int(done.arguments("RecordLive")["ExpressionAttributeValues"][":probation_until"]["S"])

    assert until(walk(definition, GIVEN, update(new))) >= 24 * 3600
    assert until(walk(definition, WISH, back(new))) == 0


# --- guardrails --------------------------------------------------------------------------------------------------


def test_a_canary_takes_its_share_first_and_the_old_fleet_stays_for_a_second_bake() -> None:
    assert deployment_config(Rollout("canary", 5, 0.25), ["errors"]) == {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "CANARY",
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 25},
                "WaitIntervalInSeconds": 300,
            },
            "TerminationWaitInSeconds": 300,
            "MaximumExecutionTimeoutInSeconds": 4200,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]},
    }


def test_linear_takes_the_same_share_in_every_step() -> None:
    policy = deployment_config(Rollout("linear", 10, 0.2), ["errors"])["BlueGreenUpdatePolicy"]
    routing = policy["TrafficRoutingConfiguration"]
    assert (routing["Type"], routing["LinearStepSize"]["Value"], "CanarySize" in routing) == ("LINEAR", 20, False)
    assert policy["MaximumExecutionTimeoutInSeconds"] == 5 * 600 + 3600


def test_rolling_has_a_policy_of_its_own_and_goes_back_in_one_step() -> None:
    config = deployment_config(Rollout("rolling", 10, 0.25), ["errors"])
    assert "BlueGreenUpdatePolicy" not in config
    assert config["RollingUpdatePolicy"] == {
        "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 25},
        "WaitIntervalInSeconds": 600,
        "MaximumExecutionTimeoutInSeconds": 4 * 600 + 3600,
        "RollbackMaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 100},
    }


def test_all_at_once_keeps_the_old_fleet_for_the_bake_time() -> None:
    policy = deployment_config(Rollout("all_at_once", 10), ["errors"])["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"] == {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    assert policy["TerminationWaitInSeconds"] == 600


@pytest.mark.parametrize("minutes", [1, 42])
@pytest.mark.parametrize(
    ("strategy", "share"),
    [("all_at_once", 1.0), ("canary", 0.01), ("canary", 0.5), ("linear", 0.1), ("linear", 0.5), ("rolling", 0.5)],
)
def test_every_request_of_every_strategy_stays_within_what_sagemaker_takes(
    surroundings: Surroundings, place: JobPlace, walk: Any, strategy: Any, share: float, minutes: int
) -> None:
    """By the API's own model, with an automatic rollback, and longer than all its waits."""
    definition = definition_with(surroundings, place, rollout=Rollout(strategy, minutes, share))
    any_new = walk(definition, GIVEN, any_answers(DescribeRollout=[endpoint("Failed", "x")]))
    config_name = any_new.arguments("CreateEndpoint")["EndpointConfigName"]
    request = walk(definition, GIVEN, update(config_name)).arguments("UpdateEndpoint")
    shape = Session().get_service_model("sagemaker").operation_model("UpdateEndpoint").input_shape
    assert ParamValidator().validate(request, shape).generate_report() == ""
    [policy] = [value for key, value in request["DeploymentConfig"].items() if key.endswith("UpdatePolicy")]
    assert len(request["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]) == 2
    routing = policy.get("TrafficRoutingConfiguration", policy)
    waits = [routing["WaitIntervalInSeconds"], policy.get("TerminationWaitInSeconds", 0)]
    limit = policy["MaximumExecutionTimeoutInSeconds"]
    assert all(0 <= each <= 3600 for each in waits)
    assert 600 <= limit <= 28_800
    assert Rollout(strategy, minutes, share).bakes * minutes * 60 < limit
    assert definition["TimeoutSeconds"] > limit


@pytest.mark.parametrize(
    ("strategy", "share", "minutes"),
    [
        ("canary", 0.0, 5),
        ("canary", 0.6, 5),
        ("canary", 0.5, 0),
        ("canary", 0.5, 61),
        ("linear", 0.09, 5),
        ("linear", 0.1, 60),
        ("rolling", 0.04, 5),
        ("rolling", 0.51, 5),
    ],
)
def test_refuses_a_rollout_that_sagemaker_would_refuse(strategy: Any, share: float, minutes: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        Rollout(strategy, minutes, share)
