"""The model package that is to be deployed: read, verified as approved, and named by its content."""

from __future__ import annotations

from constructs_lib.asl import JSON, UNNAMED_SAGEMAKER, State, choice, jsonata, remember, task
from constructs_lib.machines.common import CALL_SECONDS, MINUTE, Surroundings, artefact_of_package, text
from constructs_lib.machines.deployment.modes import (
    answered_later,
    containers_of_model,
    named_by,
    on_demand_variant,
    surroundings_of_model,
)
from constructs_lib.machines.deployment.parts import MODEL_TO_BLAME, VARIANT, DeploymentParts
from constructs_lib.machines.image_scan import scan_states


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
                "served_by": jsonata(
                    f"$string({result}.InferenceSpecification.Containers.{{'image': Image, 'set': Environment}})"
                ),
                "model_uri": jsonata(artefact_of_package()),
                "model_sha256": jsonata(f"[{properties}.model_sha256, 'none'][0]"),
                "bundle": jsonata(f"[{properties}.bundle, 'none'][0]"),
                "run_id": jsonata(f"[{properties}.run_id, 'none'][0]"),
                "containers": jsonata(f"[{result}.InferenceSpecification.Containers]"),
                "properties": jsonata(f"$merge([{properties}])"),
            }
        },
        retry_also=UNNAMED_SAGEMAKER,
    )


def is_approved() -> State:
    """Lets approved versions pass; who goes back on purpose may have taken the approval back himself."""
    return choice(
        [("$package.status = 'Approved' or ($rollback and $package.status = 'Rejected')", "VerifyModel")],
        default="NotApproved",
    )


def name_config(s: Surroundings, p: DeploymentParts) -> State:
    """Names model and endpoint configuration after what is in them: neither can be changed once it is made."""
    around = [p.endpoint_role_arn, *named_by(s, p), p.place.key_arn, p.place.artefacts_bucket]
    parts = ["$package.model_sha256", "$package.served_by", *(text(each) for each in around)]
    content = f"$substring($hash($join([{', '.join(parts)}], ' '), 'SHA-256'), 0, 16)"
    return remember(
        {
            "model_name": jsonata(f"'{s.prefix}model-' & {content}"),
            "config_name": jsonata(f"'{s.prefix}conf-' & {content} & '-{p.fleet.digest}'"),
        }
    )


def create_model(p: DeploymentParts) -> State:
    """Makes the package a model that can serve, cut off from every network that it can do without."""
    return task(
        "aws-sdk:sagemaker:createModel",
        {
            "ModelName": jsonata("$model_name"),
            "Containers": containers_of_model(p),
            "ExecutionRoleArn": p.endpoint_role_arn,
            **surroundings_of_model(p),
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
            "ProductionVariants": [on_demand_variant(p) or production_variant(p, VARIANT, "$model_name", 1)],
            **kept(s, p),
        },
        timeout=CALL_SECONDS,
        on_failure="ConfigExists",
    )


def production_variant(p: DeploymentParts, name: str, model: str, weight: float) -> dict[str, JSON]:
    """A variant of an endpoint configuration.

    Args:
        model: The JSONata of its model's name.
    """
    return {
        "VariantName": name,
        "ModelName": jsonata(model),
        "InstanceType": p.fleet.instance_type,
        "InitialInstanceCount": p.fleet.instance_count,
        "InitialVariantWeight": weight,
        "ModelDataDownloadTimeoutInSeconds": 10 * MINUTE,
        "ContainerStartupHealthCheckTimeoutInSeconds": 5 * MINUTE,
    }


def capture_config(s: Surroundings, p: DeploymentParts) -> dict[str, JSON]:
    """How many requests are kept with their answers, and where."""
    return {
        "EnableCapture": p.fleet.capture_percent > 0,
        "InitialSamplingPercentage": p.fleet.capture_percent,
        "DestinationS3Uri": f"s3://{p.place.artefacts_bucket}/{s.workload}/capture",
        "KmsKeyId": p.place.key_arn,
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }


def model_exists() -> State:
    """As ``exists_already``; and of a version whose approval was taken back the model is there since it has served."""
    return choice(
        [
            ("$contains($failure.cause, 'already exist')", "CreateEndpointConfig"),
            ("$rollback and $contains($failure.cause, 'approv')", "CreateEndpointConfig"),
        ],
        default="TooManyRequests",
    )


def kept(s: Surroundings, p: DeploymentParts) -> dict[str, JSON]:
    """How requests and answers are kept: captured, or lying in S3 anyhow; of a serverless endpoint nothing is."""
    later = answered_later(s, p)
    if later:
        return {"AsyncInferenceConfig": later}
    return {} if p.fleet.on_demand is not None else {"DataCaptureConfig": capture_config(s, p)}


def exists_already(following: str, otherwise: str) -> State:
    """Names come from content: whoever made it before made the same."""
    return choice([("$contains($failure.cause, 'already exist')", following)], default=otherwise)


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


def scanning_states(p: DeploymentParts, following: str) -> dict[str, State]:
    """Returns the states that read again what the scan of the model's own image has found; none for AWS's images."""
    if p.scanned is None:
        return {}
    digest = "$substringAfter($package.image, '@')"
    return scan_states(p.scanned.scan, p.scanned.repository_name, digest, following=following)
