"""What a training request may ask for beyond its shape."""

from __future__ import annotations

from pathlib import PurePosixPath

from local.server.sagemaker.algorithms import algorithm_of
from local.server.sagemaker.errors import invalid, unsupported
from local.server.sagemaker.jobs import script_mode
from local.server.sagemaker.jobs.channels import check_source
from local.server.sagemaker.store import Document

DEFAULT_LIMIT_SECONDS = 86_400
CHECKPOINTS = "/opt/ml/checkpoints"
_LAUNCHERS = (
    "sagemaker_mpi_enabled",
    "sagemaker_torch_distributed_enabled",
    "sagemaker_distributed_dataparallel_enabled",
)
"""Hyperparameters that have the toolkit start the script by a launcher, which a local job does not have."""


def check_resources(params: Document) -> None:
    """Check the machines: which there are, how many, and whether they may be taken back."""
    resources = params.get("ResourceConfig", {})
    for member in ("InstanceGroups", "InstancePreferences", "TrainingPlanArn"):
        if member in resources:
            raise unsupported(f"{member} of a training job")
    for member in ("InstanceType", "InstanceCount", "VolumeSizeInGB"):
        if member not in resources:
            raise invalid(f"ResourceConfig.{member} is required")
    if resources["InstanceCount"] < 1:
        raise invalid(f"ResourceConfig.InstanceCount must be at least 1, was {resources['InstanceCount']}")
    if resources["InstanceCount"] > 1:
        _check_several(params)
    _check_spot(params)
    if params["OutputDataConfig"].get("CompressionType", "GZIP") != "GZIP":
        raise unsupported("OutputDataConfig.CompressionType NONE")


def _check_several(params: Document) -> None:
    """Refuse several machines where only one can be stood in for."""
    algorithm = built_in(params)
    if algorithm is not None:
        raise unsupported(f"{algorithm} on several instances (its stand-in trains in one process)")
    for channel in params.get("InputDataConfig", []):
        source = channel["DataSource"].get("S3DataSource", {})
        if source.get("S3DataDistributionType", "FullyReplicated") != "FullyReplicated":
            raise unsupported(f"S3DataDistributionType {source['S3DataDistributionType']} (FullyReplicated is)")


def _check_spot(params: Document) -> None:
    condition, spot = params.get("StoppingCondition", {}), params.get("EnableManagedSpotTraining", False)
    runtime, wait = condition.get("MaxRuntimeInSeconds", DEFAULT_LIMIT_SECONDS), condition.get("MaxWaitTimeInSeconds")
    if spot and (wait is None or wait < runtime):
        raise invalid(
            f"Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds "
            f"({runtime}), was {wait}"
        )
    if not spot and wait is not None:
        raise invalid("MaxWaitTimeInSeconds belongs to EnableManagedSpotTraining")
    if spot and params["ResourceConfig"].get("KeepAlivePeriodInSeconds"):
        raise invalid("KeepAlivePeriodInSeconds does not go together with EnableManagedSpotTraining")
    for launcher in _LAUNCHERS:
        if params.get("HyperParameters", {}).get(launcher) == "true":
            raise unsupported(f"the launcher that {launcher} asks for")
    place = PurePosixPath(params.get("CheckpointConfig", {}).get("LocalPath", CHECKPOINTS))
    if not place.is_relative_to("/opt/ml") or ".." in place.parts:
        raise unsupported(f"CheckpointConfig.LocalPath {place} (a folder below /opt/ml is)")


def built_in(params: Document) -> str | None:
    """The built-in algorithm that a request asks for, unless a script takes its place."""
    if script_mode.PROGRAM in params.get("HyperParameters", {}):
        return None
    return algorithm_of(params["AlgorithmSpecification"]["TrainingImage"])


def check_channels(params: Document) -> None:
    """Check the channels: each has a name of its own and a source that can be provided."""
    seen: set[str] = set()
    for channel in params.get("InputDataConfig", []):
        name = channel["ChannelName"]
        if name in seen:
            raise invalid(f"the channel {name} is given twice")
        seen.add(name)
        where = f"channel {name}"
        if "S3DataSource" not in channel["DataSource"]:
            raise unsupported(f"the data source of {where} (S3DataSource is)")
        if channel.get("CompressionType", "None") != "None":
            raise invalid(f"CompressionType Gzip of {where} belongs to input mode Pipe")
        mode = channel.get("InputMode", params["AlgorithmSpecification"]["TrainingInputMode"])
        check_source(where, channel["DataSource"]["S3DataSource"], mode)
