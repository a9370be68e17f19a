"""The deployment machine: puts an approved model behind the endpoint, or leaves everything as it was.

Input: ``{"run_id", "workload", "model_package_arn"}``.
Output: ``{"endpoint", "config", "model_package_arn"}``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from constructs_lib.asl import (
    FAILURE_STATE,
    JSON,
    UNNAMED_SAGEMAKER,
    State,
    attempt,
    choice,
    go_to,
    jsonata,
    machine,
    now_seconds,
    remember,
    succeed,
    task,
    wait,
)
from constructs_lib.machines.common import (
    CALL_SECONDS,
    HOUR,
    MINUTE,
    Surroundings,
    failure_kept,
    failure_states,
    own_failure,
    put_metrics,
    record,
    release_lease,
    run_record,
    text,
)
from constructs_lib.machines.jobs import (
    IN,
    MESSAGE,
    OUT,
    JobLimits,
    JobPlace,
    input_files,
    processing_job,
    result_uri,
)
from constructs_lib.names import metrics

FINAL_ERRORS = (
    "AlarmAlreadyOn",
    "BadGolden",
    "EndpointBusy",
    "EndpointFailed",
    "GoldenFailed",
    "GoldenMismatch",
    "NotApproved",
    "RolloutStuck",
    "SilentRollback",
    "UnsafeArtefact",
)
"""Errors that lie in the model or in what the endpoint did with it; the old model serves on."""

MODEL_TO_BLAME = ("EndpointFailed", "GoldenFailed", "GoldenMismatch", "SilentRollback", "UnsafeArtefact")
"""Errors after which the package must not stay approved: it would be the champion that no endpoint serves."""

VARIANT = "primary"

_IN_PROGRESS = "['Creating', 'Updating', 'SystemUpdating', 'RollingBack', 'Deleting']"
_SETTLE_SECONDS = 2 * HOUR
_CREATION_SECONDS = 1 * HOUR
_GOLDEN_MINUTES = 30
_SHIFT_SECONDS = 1 * HOUR


@dataclass(frozen=True)
class Fleet:
    """Says what serves; its digest is part of the endpoint configuration's name.

    Args:
        instance_type: SageMaker's name for the machine.
        instance_count: How many.
        capture_percent: How many of 100 requests are kept with their answers.
    """

    instance_type: str
    instance_count: int
    capture_percent: int

    @property
    def digest(self) -> str:
        """Eight hex digits that change with any of the values."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Rollout:
    """Says how a new model takes over.

    Args:
        strategy: The whole traffic at once, or a share of the fleet first.
        bake_minutes: How long alarms are watched before the old fleet goes (all at once), or before the rest follows.
        share: Share of the fleet that a canary takes, at most half.

    Raises:
        ValueError: The share or the time is out of range.
    """

    strategy: Literal["all_at_once", "canary"]
    bake_minutes: int
    share: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.bake_minutes <= 60:
            raise ValueError(f"bake time must be between 1 and 60 minutes, got: {self.bake_minutes}")
        if self.strategy == "canary" and not 0 < self.share <= 0.5:
            raise ValueError(f"share of a canary must be above 0 and at most 0.5, got: {self.share}")


@dataclass(frozen=True)
class DeploymentParts:
    """Names what the deployment machine works with; ARNs, URIs and the place may be tokens.

    Args:
        place: Where jobs run, and the endpoint's containers.
        check_golden_arn: The function that asks the endpoint the golden requests.
        processing_role_arn: Role of the golden job.
        golden_instance_type: Its machine; not all that serve can run jobs.
        endpoint_role_arn: Role of the endpoint's containers.
        endpoint_name: The endpoint.
        alarm_names: Alarms on the endpoint: quiet before, watched during a rollout.
        fleet: What serves.
        rollout: How a new model takes over.
    """

    place: JobPlace
    check_golden_arn: str
    processing_role_arn: str
    golden_instance_type: str
    endpoint_role_arn: str
    endpoint_name: str
    alarm_names: Sequence[str]
    fleet: Fleet
    rollout: Rollout


def deployment_machine(s: Surroundings, p: DeploymentParts) -> State:
    """Returns the definition."""
    return machine(
        f"Puts an approved model of {s.workload} behind its endpoint",
        {
            "Begin": remember({"package": {"run_id": "none"}}),
            "DescribePackage": describe_package(),
            "IsApproved": choice([("$package.status = 'Approved'", "AskAlarms")], default="NotApproved"),
            "AskAlarms": ask_alarms(p),
            "AlarmsQuiet": choice([("$count($noisy) = 0", "GoldenBefore")], default="AlarmAlreadyOn"),
            "GoldenBefore": golden_before(s, p),
            "NameConfig": name_config(s, p),
            "CreateModel": create_model(p),
            "CreateEndpointConfig": create_endpoint_config(s, p),
            "BeginRollout": begin_rollout(),
            "DescribeEndpoint": describe_endpoint(p),
            "EndpointReady": endpoint_ready(),
            "UpdateEndpoint": go_to("WaitForRollout", update_endpoint(p)),
            "CreateEndpoint": create_endpoint(p),
            "WaitForRollout": wait(30),
            "DescribeRollout": describe_rollout(p),
            "RolloutOver": rollout_over(),
            "GoldenAfter": golden_after(p),
            "RecordLive": record_live(s, p),
            "HasReplaced": choice([("$previous != 'none'", "RecordPrevious")], default="RecordRun"),
            "RecordPrevious": record_previous(s),
            "RecordRun": record_run(s, p),
            "PublishMetrics": put_metrics(s, {metrics.DEPLOYMENT_SUCCEEDED: "1"}),
            "ReleaseLease": release_lease(s, "$package.run_id", on_failure="Done"),
            "Done": succeed(done(p)),
            "ModelExists": exists_already("CreateEndpointConfig"),
            "ConfigExists": exists_already("BeginRollout"),
            "EndpointMissing": endpoint_missing(),
            "DeleteFailedEndpoint": go_to("WaitForEndpoint", delete_endpoint(p)),
            "WaitForEndpoint": go_to("DescribeEndpoint", wait(30)),
            "NotApproved": own_failure("NotApproved", "'the model package is ' & $package.status & ', not Approved'"),
            "AlarmAlreadyOn": own_failure(
                "AlarmAlreadyOn", "'alarms on before anything was changed: ' & $join($noisy, ', ')"
            ),
            "EndpointBusy": own_failure(
                "EndpointBusy", "'the endpoint is ' & $endpoint.status & '; it has to be InService'"
            ),
            "SilentRollback": silent_rollback(),
            "RolloutStuck": go_to("TakeBack", rollout_stuck()),
            "EndpointFailed": endpoint_failed(),
            "TakeBack": take_back(),
            "RemoveEndpoint": remove_endpoint(p),
            "RestorePrevious": restore_previous(p),
            "WaitForRestore": wait(30),
            "DescribeRestore": describe_restore(p),
            "RestoreOver": restore_over(),
            **failure_states(
                s,
                "deployment",
                final=FINAL_ERRORS,
                resume_at="DescribePackage",
                release={
                    "IsToBlame": is_to_blame(),
                    "RejectPackage": reject_package(),
                    "CountFailed": put_metrics(
                        s,
                        {metrics.DEPLOYMENT_FAILED: "1"},
                        on_failure="ReleaseLeaseOfFailed",
                        failure="count_failure",
                    ),
                    "ReleaseLeaseOfFailed": release_lease(s, "$package.run_id", on_failure="ResumeOrFail"),
                },
            ),
        },
        timeout=12 * HOUR,
    )


def is_to_blame() -> State:
    """Asks whether it was the model's fault; a busy endpoint or an alarm from before is not."""
    errors = ", ".join(text(error) for error in MODEL_TO_BLAME)
    return choice([(f"$failure.error in [{errors}]", "RejectPackage")], default="CountFailed")


def reject_package() -> State:
    """Takes the approval back, with the reason; a person may approve the package again."""
    return task(
        "aws-sdk:sagemaker:updateModelPackage",
        {
            "ModelPackageArn": jsonata("$states.input.model_package_arn"),
            "ModelApprovalStatus": "Rejected",
            "ApprovalDescription": jsonata("$substring($failure.error & ': ' & $failure.cause, 0, 1024)"),
        },
        timeout=CALL_SECONDS,
        on_failure="CountFailed",
        failure="reject_failure",
    )


def describe_package() -> State:
    """Reads what is to be deployed and where it came from."""
    result = "$states.result"
    properties = f"{result}.CustomerMetadataProperties"
    return task(
        "aws-sdk:sagemaker:describeModelPackage",
        {"ModelPackageName": jsonata("$states.input.model_package_arn")},
        timeout=CALL_SECONDS,
        assign={
            "package": {
                "status": jsonata(f"{result}.ModelApprovalStatus"),
                "image": jsonata(f"{result}.InferenceSpecification.Containers[0].Image"),
                "model_uri": jsonata(f"{result}.InferenceSpecification.Containers[0].ModelDataUrl"),
                "model_sha256": jsonata(f"{properties}.model_sha256"),
                "bundle": jsonata(f"{properties}.bundle"),
                "run_id": jsonata(f"{properties}.run_id"),
            }
        },
        retry_also=UNNAMED_SAGEMAKER,
    )


def ask_alarms(p: DeploymentParts) -> State:
    """Asks which of the endpoint's alarms are on: an alarm that is on already could not stop a rollout."""
    return task(
        "aws-sdk:cloudwatch:describeAlarms",
        {"AlarmNames": list(p.alarm_names), "StateValue": "ALARM"},
        timeout=CALL_SECONDS,
        assign={"noisy": jsonata("[$states.result.MetricAlarms.AlarmName]")},
    )


def golden_before(s: Surroundings, p: DeploymentParts) -> State:
    """Has the model answer the golden requests in its own image, before the endpoint is touched."""
    return processing_job(
        s,
        p.place,
        JobLimits(p.golden_instance_type, _GOLDEN_MINUTES),
        kind="golden",
        command="golden",
        role_arn=p.processing_role_arn,
        image_uri=jsonata("$package.image"),
        arguments=[
            *("--model", f"{IN}/model", "--golden", f"{IN}/golden", "--output", OUT, "--message", MESSAGE),
            *("--model_sha256", jsonata("$package.model_sha256")),
        ],
        inputs=[
            input_files("job", p.place.job_code_uri),
            input_files("model", jsonata("$package.model_uri")),
            input_files("golden", jsonata(p.place.bundle_uri(s, "$package.bundle"))),
        ],
        output_prefix="golden",
        assign={"golden_uri": jsonata(f"'{result_uri(s, p.place, 'golden')}' & {attempt()} & '/golden.json'")},
    )


def name_config(s: Surroundings, p: DeploymentParts) -> State:
    """Names model and endpoint configuration after what is in them: neither can be changed once it is made."""
    around = [p.endpoint_role_arn, *p.place.subnets, p.place.security_group, p.place.key_arn, p.place.artefacts_bucket]
    parts = ["$package.model_sha256", "$package.image", *(text(each) for each in around)]
    content = f"$substring($hash($join([{', '.join(parts)}], ' '), 'SHA-256'), 0, 16)"
    return remember(
        {
            "model_name": jsonata(f"'{s.prefix}model-' & {content}"),
            "config_name": jsonata(f"'{s.prefix}conf-' & {content} & '-{p.fleet.digest}'"),
        }
    )


def create_model(p: DeploymentParts) -> State:
    """Makes the package a model that can serve, cut off from every network but its own."""
    return task(
        "aws-sdk:sagemaker:createModel",
        {
            "ModelName": jsonata("$model_name"),
            "Containers": [{"ModelPackageName": jsonata("$states.input.model_package_arn")}],
            "ExecutionRoleArn": p.endpoint_role_arn,
            "EnableNetworkIsolation": True,
            "VpcConfig": p.place.vpc_config,
        },
        timeout=CALL_SECONDS,
        on_failure="ModelExists",
    )


def create_endpoint_config(s: Surroundings, p: DeploymentParts) -> State:
    """Says what serves the model, and that requests and answers are kept."""
    return task(
        "aws-sdk:sagemaker:createEndpointConfig",
        {
            "EndpointConfigName": jsonata("$config_name"),
            "KmsKeyId": p.place.key_arn,
            "ProductionVariants": [
                {
                    "VariantName": VARIANT,
                    "ModelName": jsonata("$model_name"),
                    "InstanceType": p.fleet.instance_type,
                    "InitialInstanceCount": p.fleet.instance_count,
                    "InitialVariantWeight": 1,
                    "ModelDataDownloadTimeoutInSeconds": 10 * MINUTE,
                    "ContainerStartupHealthCheckTimeoutInSeconds": 5 * MINUTE,
                }
            ],
            "DataCaptureConfig": {
                "EnableCapture": p.fleet.capture_percent > 0,
                "InitialSamplingPercentage": p.fleet.capture_percent,
                "DestinationS3Uri": f"s3://{p.place.artefacts_bucket}/{s.workload}/capture",
                "KmsKeyId": p.place.key_arn,
                "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
                "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
            },
        },
        timeout=CALL_SECONDS,
        on_failure="ConfigExists",
    )


def exists_already(following: str) -> State:
    """Names come from content: whoever made it before made the same. Any other refusal is a failure."""
    return choice([("$contains($failure.cause, 'already exist')", following)], default=FAILURE_STATE)


def begin_rollout() -> State:
    """Sets out: nothing is created or replaced yet."""
    return remember(
        {
            "created": False,
            "previous": "none",
            "endpoint": {"status": "unknown", "config": "none"},
            "deadline": jsonata(f"{now_seconds()} + {_SETTLE_SECONDS}"),
        }
    )


def describe_endpoint(p: DeploymentParts) -> State:
    """Looks at the endpoint before touching it."""
    return task(
        "aws-sdk:sagemaker:describeEndpoint",
        {"EndpointName": p.endpoint_name},
        timeout=CALL_SECONDS,
        assign=seen_endpoint(),
        on_failure="EndpointMissing",
    )


def seen_endpoint() -> dict[str, JSON]:
    """The variable that keeps an endpoint's state, configuration and reason of failure."""
    result = "$states.result"
    return {
        "endpoint": {
            "status": jsonata(f"{result}.EndpointStatus"),
            "config": jsonata(f"[{result}.EndpointConfigName, ''][0]"),
            "reason": jsonata(f"[{result}.FailureReason, 'no reason given'][0]"),
        }
    }


def endpoint_missing() -> State:
    """The first deployment finds no endpoint."""
    return choice([("$contains($failure.cause, 'Could not find')", "CreateEndpoint")], default=FAILURE_STATE)


def endpoint_ready() -> State:
    """Updates what serves, clears away what failed, and waits for whatever else goes on there."""
    return choice(
        [
            ("$endpoint.status = 'InService' and $endpoint.config = $config_name", "GoldenAfter"),
            ("$endpoint.status = 'InService'", "UpdateEndpoint"),
            ("$endpoint.status = 'Failed'", "DeleteFailedEndpoint"),
            (f"$endpoint.status in {_IN_PROGRESS} and {now_seconds()} < $deadline", "WaitForEndpoint"),
        ],
        default="EndpointBusy",
    )


def update_endpoint(p: DeploymentParts) -> State:
    """Replaces the old fleet by a guarded rollout. Only the number of instances stays as it is now."""
    return task(
        "aws-sdk:sagemaker:updateEndpoint",
        {
            "EndpointName": p.endpoint_name,
            "EndpointConfigName": jsonata("$config_name"),
            **retained(),
            "DeploymentConfig": deployment_config(p.rollout, p.alarm_names),
        },
        timeout=CALL_SECONDS,
        assign={
            "previous": jsonata("$endpoint.config"),
            "deadline": jsonata(f"{now_seconds()} + {rollout_seconds(p.rollout) + HOUR}"),
        },
    )


def retained() -> dict[str, JSON]:
    """Keeps the desired instance count, which scaling may have changed, and nothing else of the old variant."""
    return {
        "RetainAllVariantProperties": True,
        "ExcludeRetainedVariantProperties": [
            {"VariantPropertyType": "DesiredWeight"},
            {"VariantPropertyType": "DataCaptureConfig"},
        ],
    }


def deployment_config(rollout: Rollout, alarm_names: Sequence[str]) -> dict[str, JSON]:
    """The request's ``DeploymentConfig``: how traffic moves, and which alarms take it back, if any."""
    bake = rollout.bake_minutes * MINUTE
    if rollout.strategy == "canary":
        routing: dict[str, JSON] = {
            "Type": "CANARY",
            "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": round(rollout.share * 100)},
            "WaitIntervalInSeconds": bake,
        }
    else:
        routing = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    policy = {
        "TrafficRoutingConfiguration": routing,
        "TerminationWaitInSeconds": 0 if rollout.strategy == "canary" else bake,
        "MaximumExecutionTimeoutInSeconds": rollout_seconds(rollout),
    }
    alarms = {"Alarms": [{"AlarmName": name} for name in alarm_names]}
    return {"BlueGreenUpdatePolicy": policy, **({"AutoRollbackConfiguration": alarms} if alarm_names else {})}


def rollout_seconds(rollout: Rollout) -> int:
    """Returns the seconds after which SageMaker itself gives a rollout up and goes back."""
    return rollout.bake_minutes * MINUTE + _SHIFT_SECONDS


def create_endpoint(p: DeploymentParts) -> State:
    """Makes the endpoint: from now on a failure removes it again."""
    return task(
        "aws-sdk:sagemaker:createEndpoint",
        {"EndpointName": p.endpoint_name, "EndpointConfigName": jsonata("$config_name")},
        timeout=CALL_SECONDS,
        assign={"created": True, "deadline": jsonata(f"{now_seconds()} + {_CREATION_SECONDS}")},
    )


def describe_rollout(p: DeploymentParts) -> State:
    """Looks how far it is."""
    return task(
        "aws-sdk:sagemaker:describeEndpoint",
        {"EndpointName": p.endpoint_name},
        timeout=CALL_SECONDS,
        assign=seen_endpoint(),
        retry_also=UNNAMED_SAGEMAKER,
    )


def rollout_over() -> State:
    """Goes on when the endpoint serves the *new* configuration; serving the old one again is a silent rollback."""
    return choice(
        [
            ("$endpoint.status = 'InService' and $endpoint.config = $config_name", "GoldenAfter"),
            ("$endpoint.status = 'InService'", "SilentRollback"),
            (f"$endpoint.status in {_IN_PROGRESS} and {now_seconds()} < $deadline", "WaitForRollout"),
            (f"$endpoint.status in {_IN_PROGRESS}", "RolloutStuck"),
        ],
        default="EndpointFailed",
    )


def golden_after(p: DeploymentParts) -> State:
    """Asks the endpoint the golden requests: it has to answer as the model did before."""
    return task(
        "lambda:invoke",
        {
            "FunctionName": p.check_golden_arn,
            "Payload": {"endpoint_name": p.endpoint_name, "golden_uri": jsonata("$golden_uri")},
        },
        timeout=5 * MINUTE,
        on_failure="TakeBack",
    )


def record_live(s: Surroundings, p: DeploymentParts) -> State:
    """Writes down what serves now."""
    return record(
        s,
        text(f"live#{s.workload}"),
        {
            "workload": text(s.workload),
            "endpoint": text(p.endpoint_name),
            "config": "$config_name",
            "model": "$model_name",
            "model_package_arn": "$states.input.model_package_arn",
            "model_sha256": "$package.model_sha256",
            "run_id": "$package.run_id",
            "since": "$states.context.State.EnteredTime",
        },
    )


def record_previous(s: Surroundings) -> State:
    """Writes down the last good configuration, which is kept."""
    return record(s, text(f"live#{s.workload}"), {"previous_config": "$previous"})


def record_run(s: Surroundings, p: DeploymentParts) -> State:
    """Completes the run's record."""
    return run_record(
        s,
        "deployment",
        {
            "status": "'succeeded'",
            "model_package_arn": "$states.input.model_package_arn",
            "model_sha256": "$package.model_sha256",
            "image": "$package.image",
            "endpoint": text(p.endpoint_name),
            "config": "$config_name",
            "golden_uri": "$golden_uri",
        },
    )


def done(p: DeploymentParts) -> Mapping[str, JSON]:
    """The machine's output."""
    return {
        "endpoint": p.endpoint_name,
        "config": jsonata("$config_name"),
        "model_package_arn": jsonata("$states.input.model_package_arn"),
    }


def silent_rollback() -> State:
    """The endpoint serves, but the old configuration: an alarm went off and SageMaker took the new one back."""
    return own_failure(
        "SilentRollback",
        "'the endpoint serves ' & $endpoint.config & ' instead of ' & $config_name & ': ' & $endpoint.reason",
    )


def rollout_stuck() -> State:
    return failure_kept("RolloutStuck", "'the endpoint is still ' & $endpoint.status & ' after the deadline'")


def endpoint_failed() -> State:
    return failure_kept("EndpointFailed", "'the endpoint is ' & $endpoint.status & ': ' & $endpoint.reason")


def take_back() -> State:
    """After a failure: removes an endpoint that was created, goes back to the configuration that served before."""
    return choice(
        [
            ("$created", "RemoveEndpoint"),
            ("$endpoint.status = 'InService' and $previous != 'none'", "RestorePrevious"),
        ],
        default=FAILURE_STATE,
    )


def delete_endpoint(p: DeploymentParts) -> State:
    """Deletes an endpoint that failed: it serves nobody and cannot be updated."""
    return task("aws-sdk:sagemaker:deleteEndpoint", {"EndpointName": p.endpoint_name}, timeout=CALL_SECONDS)


def remove_endpoint(p: DeploymentParts) -> State:
    """Leaves no endpoint behind that was not there before."""
    return go_to(
        FAILURE_STATE,
        task(
            "aws-sdk:sagemaker:deleteEndpoint",
            {"EndpointName": p.endpoint_name},
            timeout=CALL_SECONDS,
            failure="remove_failure",
        ),
    )


def restore_previous(p: DeploymentParts) -> State:
    """Puts the configuration back that served before; at once, since the new one answers wrongly.

    No alarm guards it: one that the new configuration set off would bring that configuration back.
    """
    return task(
        "aws-sdk:sagemaker:updateEndpoint",
        {
            "EndpointName": p.endpoint_name,
            "EndpointConfigName": jsonata("$previous"),
            **retained(),
            "DeploymentConfig": deployment_config(Rollout("all_at_once", 1), []),
        },
        timeout=CALL_SECONDS,
        assign={"deadline": jsonata(f"{now_seconds()} + {_SHIFT_SECONDS}")},
        failure="restore_failure",
    )


def describe_restore(p: DeploymentParts) -> State:
    """Looks how far it is."""
    return task(
        "aws-sdk:sagemaker:describeEndpoint",
        {"EndpointName": p.endpoint_name},
        timeout=CALL_SECONDS,
        assign=seen_endpoint(),
        failure="restore_failure",
        retry_also=UNNAMED_SAGEMAKER,
    )


def restore_over() -> State:
    """Ends as the failure that it is, once the endpoint has settled or has not in time."""
    return choice(
        [(f"$endpoint.status in {_IN_PROGRESS} and {now_seconds()} < $deadline", "WaitForRestore")],
        default=FAILURE_STATE,
    )
