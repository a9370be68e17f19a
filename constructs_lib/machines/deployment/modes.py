"""What a mode of serving makes of the model and of the endpoint's configuration."""

from __future__ import annotations

from collections.abc import Sequence

from constructs_lib.asl import JSON, State, jsonata, task
from constructs_lib.machines.common import MINUTE, Surroundings, text
from constructs_lib.machines.deployment.parts import VARIANT, DeploymentParts
from constructs_lib.machines.signing import READING_SECONDS

REQUESTS, ANSWERS = "requests", "answers"
"""Folders of the workload's artefacts where asynchronous requests wait and their answers lie."""


def surroundings_of_model(p: DeploymentParts) -> dict[str, JSON]:
    """Where the model's containers run: cut off from every network but their own, where SageMaker can do that."""
    if p.fleet.on_demand is not None:
        return {}
    return {"EnableNetworkIsolation": p.model_set is None, "VpcConfig": p.place.vpc_config}


def containers_of_model(p: DeploymentParts) -> list[JSON]:
    """What serves: the package as it is, or the models that were unpacked of it, below one prefix.

    In this mode AWS's images take the script that all models share from S3 when they start, and so need the network.
    """
    if p.model_set is None:
        return [{"ModelPackageName": jsonata("$states.input.model_package_arn")}]
    shared = f"{{'SAGEMAKER_SUBMIT_DIRECTORY': $models.code_uri, 'SAGEMAKER_REGION': {text(p.model_set.region)}}}"
    return [
        {
            "Image": jsonata("$package.image"),
            "Mode": "MultiModel",
            "ModelDataUrl": jsonata("$models.uri"),
            "Environment": jsonata(f"$merge([$package.containers[0].Environment, {shared}])"),
        }
    ]


def unpacking_states(p: DeploymentParts) -> dict[str, State]:
    """Returns the state that makes an archive of each model of the version; none where a version is one model."""
    if p.model_set is None:
        return {}
    unpacked = task(
        "lambda:invoke",
        {
            "FunctionName": p.model_set.unpack_models_arn,
            "Payload": {
                "model_uri": jsonata("$package.model_uri"),
                "model_sha256": jsonata("$package.model_sha256"),
            },
        },
        timeout=READING_SECONDS + MINUTE,
        assign={
            "models": {
                "uri": jsonata("$states.result.Payload.models_uri"),
                "code_uri": jsonata("$states.result.Payload.code_uri"),
                "routing": jsonata("$states.result.Payload.routing"),
            }
        },
    )
    return {"UnpackModels": unpacked}


def named_by(s: Surroundings, p: DeploymentParts) -> Sequence[str]:
    """What is in a configuration beside the model and the fleet, and so part of its name."""
    around = [*p.place.subnets, p.place.security_group] if p.fleet.on_demand is None else []
    later = [s.topic_arn] if p.fleet.later is not None else []
    return [*around, *later, *(["multi_model"] if p.model_set is not None else [])]


def on_demand_variant(p: DeploymentParts) -> dict[str, JSON]:
    """The variant of a serverless endpoint; nothing where there are machines."""
    size = p.fleet.on_demand
    if size is None:
        return {}
    asked: dict[str, JSON] = {"MemorySizeInMB": size.memory_mb, "MaxConcurrency": size.max_concurrency}
    if size.provisioned_concurrency is not None:
        asked["ProvisionedConcurrency"] = size.provisioned_concurrency
    named = {"VariantName": VARIANT, "ModelName": jsonata("$model_name"), "InitialVariantWeight": 1}
    return {**named, "ServerlessConfig": asked}


def answered_later(s: Surroundings, p: DeploymentParts) -> dict[str, JSON]:
    """Where answers to requests that wait go, and who is told; nothing where requests are answered at once."""
    later = p.fleet.later
    if later is None:
        return {}
    topics = {"ErrorTopic": s.topic_arn, **({"SuccessTopic": later.success_topic} if later.success_topic else {})}
    folder = f"s3://{p.place.artefacts_bucket}/{s.workload}/{ANSWERS}/"
    return {
        "ClientConfig": {"MaxConcurrentInvocationsPerInstance": later.concurrent_requests},
        "OutputConfig": {
            "KmsKeyId": p.place.key_arn,
            "S3OutputPath": folder,
            "S3FailurePath": f"{folder}failed/",
            "NotificationConfig": topics,
        },
    }
