"""SageMaker jobs as states: where they run, and what every one of them has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from constructs_lib.asl import JSON, State, attempt, jsonata, task
from constructs_lib.machines.common import MINUTE, Surroundings, room_for_attempt
from constructs_lib.names.compute_file import VOLUME_GB, TrainingCompute

START_SECONDS = 30 * MINUTE
"""What a job may wait for machines, beside its own limit."""

IN = "/opt/ml/processing/input"
OUT = "/opt/ml/processing/output"
MESSAGE = "/opt/ml/output/message"
CHECKPOINTS = "/opt/ml/checkpoints"
CHECKPOINTS_FOLDER = "checkpoints"
"""Where checkpoints lie among the workload's artefacts, one folder per execution."""

_RETRY = ("SageMaker.AmazonSageMakerException",)


_WITH_LOCAL_DISKS = re.compile(r"ml\.([a-z]+\d+[a-z]*d[a-z]*|g5|g6e?|gr6f?|p5[a-z]*|p6[a-z0-9-]*|trn[12]n?)\.")


@dataclass(frozen=True)
class JobPlace:
    """Names where jobs run and with what; every value may be a token.

    Args:
        image_uri: The image.
        subnets, security_group: Where they run, cut off from everything else.
        key_arn: Encrypts disks and output.
        job_code_uri: The zip with the code of processing jobs, ``s3://…``.
        artefacts_bucket: Where bundles are and where output goes.
    """

    image_uri: str
    subnets: Sequence[str]
    security_group: str
    key_arn: str
    job_code_uri: str
    artefacts_bucket: str

    @property
    def vpc_config(self) -> dict[str, JSON]:
        """The network, as SageMaker's requests have it."""
        return {"Subnets": list(self.subnets), "SecurityGroupIds": [self.security_group]}

    def bundle_uri(self, s: Surroundings, bundle: str) -> str:
        """The JSONata of the folder of a bundle.

        Args:
            bundle: The JSONata of the bundle's digest.
        """
        return f"'s3://{self.artefacts_bucket}/{s.workload}/bundles/' & {bundle} & '/'"


@dataclass(frozen=True)
class LustrePlace:
    """Names a file system that shows the datasets bucket; every value may be a token.

    Args:
        file_system_id: The file system.
        folder: Where the bucket is in it, as clients mount it: ``/<mount name>/…``.
        bucket_name: The bucket.
    """

    file_system_id: str
    folder: str
    bucket_name: str


@dataclass(frozen=True)
class JobLimits:
    """Says which machines a job gets, and how long it may run. Only training has several, spare or kept machines.

    Args:
        instance_type: SageMaker's name for the machine.
        minutes: How long it may run.
        instance_count: How many machines work together.
        volume_gb: The size of each machine's disk.
        spot_minutes: How long it may take in all on spare machines. Default: it gets machines that are kept.
        warm_pool_minutes: For how long the machines are kept for the next job. Default: they are not.
    """

    instance_type: str
    minutes: int
    instance_count: int = 1
    volume_gb: int = VOLUME_GB
    spot_minutes: int | None = None
    warm_pool_minutes: int | None = None

    @classmethod
    def of_training(cls, compute: TrainingCompute) -> JobLimits:
        """What a workload file says of a training job."""
        return cls(
            compute.instance_type,
            compute.max_runtime_minutes,
            instance_count=compute.instance_count,
            volume_gb=compute.volume_gb,
            spot_minutes=compute.spot.max_wait_minutes if compute.spot is not None else None,
            warm_pool_minutes=compute.warm_pool_minutes,
        )

    @property
    def seconds(self) -> int:
        """How long a job may run."""
        return self.minutes * MINUTE

    @property
    def most_seconds(self) -> int:
        """How long a job takes at most: on spare machines it also waits for them, between its parts as well."""
        return (self.minutes if self.spot_minutes is None else self.spot_minutes) * MINUTE


def training_job(
    s: Surroundings,
    place: JobPlace,
    limits: JobLimits,
    *,
    role_arn: str,
    channels: Sequence[JSON],
    hyperparameters: Mapping[str, str],
    assign: Mapping[str, JSON],
    more: Mapping[str, JSON] | None = None,
) -> State:
    """Trains, without network, and waits for the end.

    Args:
        assign: Variables to set from the finished job.
        channels, hyperparameters, more: As in ``training_members``.
    """
    members = training_members(
        s, place, limits, role_arn=role_arn, channels=channels, hyperparameters=hyperparameters, more=more
    )
    return task(
        "sagemaker:createTrainingJob.sync",
        {"TrainingJobName": jsonata(job_name(s, "train")), **members},
        timeout=limits.most_seconds + START_SECONDS,
        assign=assign,
        retry_also=_RETRY,
    )


def training_members(
    s: Surroundings,
    place: JobPlace,
    limits: JobLimits,
    *,
    role_arn: str,
    channels: Sequence[JSON],
    hyperparameters: Mapping[str, str],
    more: Mapping[str, JSON] | None = None,
) -> dict[str, JSON]:
    """The members of a request for a training, all but its name.

    Args:
        channels: ``InputDataConfig`` of the request.
        hyperparameters: As texts.
        more: Other members of the request. Default: none.
    """
    return {
        "RoleArn": role_arn,
        "AlgorithmSpecification": {"TrainingImage": place.image_uri, "TrainingInputMode": "File"},
        "HyperParameters": dict(hyperparameters),
        "InputDataConfig": list(channels),
        "OutputDataConfig": {
            "S3OutputPath": f"s3://{place.artefacts_bucket}/{s.workload}/training/",
            "KmsKeyId": place.key_arn,
        },
        "ResourceConfig": {**resources(place, limits), **kept_machines(limits)},
        "StoppingCondition": stopping(limits),
        "VpcConfig": place.vpc_config,
        "EnableNetworkIsolation": True,
        "EnableInterContainerTrafficEncryption": True,
        **checkpoints(s, place, limits),
        **(more or {}),
    }


def processing_job(
    s: Surroundings,
    place: JobPlace,
    limits: JobLimits,
    *,
    kind: str,
    command: str,
    role_arn: str,
    image_uri: str,
    arguments: JSON,
    inputs: JSON,
    output_prefix: str,
    assign: Mapping[str, JSON],
    output_folder: str | None = None,
) -> State:
    """Runs a command of the job code, without network, and waits for the end.

    Args:
        kind: Part of the job's name.
        command: Name of the command in the job code.
        role_arn: The job's role.
        image_uri: The image, or its JSONata.
        arguments: ``--name value`` pairs, a list or its JSONata.
        inputs: ``ProcessingInputs`` of the request, a list or its JSONata; the job code is among them.
        output_prefix: Where results go under the workload's artefacts: ``<prefix>/<folder>/``.
        assign: Variables to set from the finished job.
        output_folder: The JSONata of that folder, which no other try has. Default: the attempt.
    """
    return task(
        "sagemaker:createProcessingJob.sync",
        {
            "ProcessingJobName": jsonata(job_name(s, kind)),
            "RoleArn": role_arn,
            "AppSpecification": {
                "ImageUri": image_uri,
                "ContainerEntrypoint": ["python3", f"{IN}/job/{file_name(place.job_code_uri)}", command],
                "ContainerArguments": arguments,
            },
            "ProcessingInputs": inputs,
            "ProcessingOutputConfig": {
                "KmsKeyId": place.key_arn,
                "Outputs": [
                    {
                        "OutputName": "result",
                        "S3Output": {
                            "S3Uri": jsonata(f"'{result_uri(s, place, output_prefix)}' & {output_folder or attempt()}"),
                            "LocalPath": OUT,
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ],
            },
            "ProcessingResources": {"ClusterConfig": resources(place, limits)},
            "NetworkConfig": {
                "EnableNetworkIsolation": True,
                "EnableInterContainerTrafficEncryption": True,
                "VpcConfig": place.vpc_config,
            },
            "StoppingCondition": stopping(limits),
        },
        timeout=limits.most_seconds + START_SECONDS,
        assign=assign,
        retry_also=_RETRY,
    )


def resources(place: JobPlace, limits: JobLimits) -> dict[str, JSON]:
    """The machines of a job with their disks, encrypted by the place's key."""
    return {
        "InstanceCount": limits.instance_count,
        "InstanceType": limits.instance_type,
        "VolumeSizeInGB": limits.volume_gb,
        **disk_key(place, limits.instance_type),
    }


def kept_machines(limits: JobLimits) -> dict[str, JSON]:
    """For how long a training job's machines are kept for the next one; nothing where they are not."""
    minutes = limits.warm_pool_minutes
    return {"KeepAlivePeriodInSeconds": minutes * MINUTE} if minutes is not None else {}


def stopping(limits: JobLimits) -> dict[str, JSON]:
    """How long a job may run, and on spare machines how long it may take in all."""
    spot = {"MaxWaitTimeInSeconds": limits.most_seconds} if limits.spot_minutes is not None else {}
    return {"MaxRuntimeInSeconds": limits.seconds, **spot}


def checkpoints(s: Surroundings, place: JobPlace, limits: JobLimits) -> dict[str, JSON]:
    """The members of a training on spare machines: that it is one, and where it keeps what it goes on from."""
    if limits.spot_minutes is None:
        return {}
    return {
        "EnableManagedSpotTraining": True,
        "CheckpointConfig": {"S3Uri": jsonata(checkpoints_uri(s, place)), "LocalPath": CHECKPOINTS},
    }


def checkpoints_uri(s: Surroundings, place: JobPlace) -> str:
    """The JSONata of the folder of an execution's checkpoints: every try of its training goes on from the last one."""
    return f"'{result_uri(s, place, CHECKPOINTS_FOLDER)}' & $states.context.Execution.Name & '/'"


def disk_key(place: JobPlace, instance_type: str) -> dict[str, JSON]:
    """The key of a machine's disk, as requests name it.

    Machines with disks of their own encrypt them in hardware, and SageMaker refuses a request that names a key.
    """
    return {} if _WITH_LOCAL_DISKS.match(instance_type) else {"VolumeKmsKeyId": place.key_arn}


def job_name(s: Surroundings, kind: str) -> str:
    """The JSONata of a job's name, which no other try has: ``<prefix><kind>-<attempt>``."""
    return f"'{s.prefix}{kind}-' & {attempt(room_for_attempt(s.prefix, kind))}"


def result_uri(s: Surroundings, place: JobPlace, prefix: str) -> str:
    """Returns the folder under which the results of processing jobs of one kind lie, one folder per attempt."""
    return f"s3://{place.artefacts_bucket}/{s.workload}/{prefix}/"


def folder_of_dataset() -> str:
    """The JSONata of the folder of what this try makes of the rows of its dataset; it goes when that is retired."""
    return f"$states.input.dataset.version & '/' & {attempt()}"


def file_name(uri: str) -> str:
    """Returns the last step of a URI."""
    return uri.rpartition("/")[2]


def input_files(name: str, uri: str, *, manifest: bool = False) -> dict[str, JSON]:
    """One input of a processing job, under ``/opt/ml/processing/input/<name>``.

    Args:
        uri: What to fetch, ``s3://…`` or its JSONata.
        manifest: Whether it is a manifest that lists the files. Default: everything that starts like this.
    """
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": f"{IN}/{name}",
            "S3DataType": "ManifestFile" if manifest else "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
            "S3CompressionType": "None",
        },
    }


def channel(name: str, uri: str, *, manifest: bool = False) -> dict[str, JSON]:
    """One channel of a training job, under ``/opt/ml/input/data/<name>``; arguments as for ``input_files``."""
    return {
        "ChannelName": name,
        "DataSource": {
            "S3DataSource": {
                "S3Uri": uri,
                "S3DataType": "ManifestFile" if manifest else "S3Prefix",
                "S3DataDistributionType": "FullyReplicated",
            }
        },
        "CompressionType": "None",
        "InputMode": "File",
    }


def lustre_channel(name: str, manifest_uri: str, lustre: LustrePlace) -> dict[str, JSON]:
    """One channel of a training job that reads a split's folder from a file system.

    Args:
        manifest_uri: The JSONata of the split's manifest, ``s3://…/<split>.manifest``, beside which its folder lies.
        lustre: The file system.
    """
    path = f"$substringBefore($substringAfter({manifest_uri}, 's3://{lustre.bucket_name}'), '.manifest')"
    return {
        "ChannelName": name,
        "DataSource": {
            "FileSystemDataSource": {
                "FileSystemId": lustre.file_system_id,
                "FileSystemType": "FSxLustre",
                "FileSystemAccessMode": "ro",
                "DirectoryPath": jsonata(f"'{lustre.folder}' & {path}"),
            }
        },
        "InputMode": "File",
    }
