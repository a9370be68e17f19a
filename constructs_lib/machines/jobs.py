"""SageMaker jobs as states: where they run, and what every one of them has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from constructs_lib.asl import JSON, State, attempt, jsonata, task
from constructs_lib.machines.common import MINUTE, Surroundings, room_for_attempt

VOLUME_GB = 30
START_SECONDS = 30 * MINUTE
"""What a job may wait for machines, beside its own limit."""

IN = "/opt/ml/processing/input"
OUT = "/opt/ml/processing/output"
MESSAGE = "/opt/ml/output/message"

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
    """Says how large a job's machine is and how long it may run."""

    instance_type: str
    minutes: int

    @property
    def seconds(self) -> int:
        return self.minutes * MINUTE


def training_job(
    s: Surroundings,
    place: JobPlace,
    limits: JobLimits,
    *,
    role_arn: str,
    channels: Sequence[JSON],
    hyperparameters: Mapping[str, str],
    assign: Mapping[str, JSON],
) -> State:
    """Trains, without network, and waits for the end.

    Args:
        channels: ``InputDataConfig`` of the request.
        hyperparameters: As texts.
        assign: Variables to set from the finished job.
    """
    return task(
        "sagemaker:createTrainingJob.sync",
        {
            "TrainingJobName": jsonata(job_name(s, "train")),
            "RoleArn": role_arn,
            "AlgorithmSpecification": {"TrainingImage": place.image_uri, "TrainingInputMode": "File"},
            "HyperParameters": dict(hyperparameters),
            "InputDataConfig": list(channels),
            "OutputDataConfig": {
                "S3OutputPath": f"s3://{place.artefacts_bucket}/{s.workload}/training/",
                "KmsKeyId": place.key_arn,
            },
            "ResourceConfig": {
                "InstanceCount": 1,
                "InstanceType": limits.instance_type,
                **volume(place, limits.instance_type),
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": limits.seconds},
            "VpcConfig": place.vpc_config,
            "EnableNetworkIsolation": True,
            "EnableInterContainerTrafficEncryption": True,
        },
        timeout=limits.seconds + START_SECONDS,
        assign=assign,
        retry_also=_RETRY,
    )


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
) -> State:
    """Runs a command of the job code, without network, and waits for the end.

    Args:
        kind: Part of the job's name.
        command: Name of the command in the job code.
        role_arn: The job's role.
        image_uri: The image, or its JSONata.
        arguments: ``--name value`` pairs, a list or its JSONata.
        inputs: ``ProcessingInputs`` of the request, a list or its JSONata; the job code is among them.
        output_prefix: Where results go under the workload's artefacts: ``<prefix>/<attempt>/``.
        assign: Variables to set from the finished job.
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
                            "S3Uri": jsonata(f"'{result_uri(s, place, output_prefix)}' & {attempt()}"),
                            "LocalPath": OUT,
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ],
            },
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceCount": 1,
                    "InstanceType": limits.instance_type,
                    **volume(place, limits.instance_type),
                }
            },
            "NetworkConfig": {
                "EnableNetworkIsolation": True,
                "EnableInterContainerTrafficEncryption": True,
                "VpcConfig": place.vpc_config,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": limits.seconds},
        },
        timeout=limits.seconds + START_SECONDS,
        assign=assign,
        retry_also=_RETRY,
    )


def volume(place: JobPlace, instance_type: str) -> dict[str, JSON]:
    """The disk of a job's machine, encrypted by the place's key.

    Machines with disks of their own encrypt them in hardware, and SageMaker refuses a request that names a key.
    """
    if _WITH_LOCAL_DISKS.match(instance_type):
        return {"VolumeSizeInGB": VOLUME_GB}
    return {"VolumeSizeInGB": VOLUME_GB, "VolumeKmsKeyId": place.key_arn}


def job_name(s: Surroundings, kind: str) -> str:
    """The JSONata of a job's name, which no other try has: ``<prefix><kind>-<attempt>``."""
    return f"'{s.prefix}{kind}-' & {attempt(room_for_attempt(s.prefix, kind))}"


def result_uri(s: Surroundings, place: JobPlace, prefix: str) -> str:
    """Returns the folder under which the results of processing jobs of one kind lie, one folder per attempt."""
    return f"s3://{place.artefacts_bucket}/{s.workload}/{prefix}/"


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
