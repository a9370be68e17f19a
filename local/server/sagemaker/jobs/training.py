"""Training jobs."""

from __future__ import annotations

import json
import time
from typing import Any

from local.server.host import Caller
from local.server.sagemaker import s3_data
from local.server.sagemaker.archive import BadArchive, pack
from local.server.sagemaker.children import Child, Ending, Outcome, command, stream_name
from local.server.sagemaker.errors import invalid, unsupported
from local.server.sagemaker.images import require_framework
from local.server.sagemaker.jobs import script_mode
from local.server.sagemaker.jobs.channels import check_source, fetch, s3_of
from local.server.sagemaker.jobs.metrics import MetricDefinition, MetricReader
from local.server.sagemaker.jobs.runner import DATA_ERRORS, JobEnd, JobFailed, Jobs, JobStopped, RunningJob
from local.server.sagemaker.resources import TRAINING_JOB
from local.server.sagemaker.role_needs import check_disk_key
from local.server.sagemaker.store import Document

_UNSUPPORTED = (
    "DebugRuleConfigurations",
    "ProfilerRuleConfigurations",
    "CheckpointConfig",
    "TensorBoardOutputConfig",
    "ServerlessJobConfig",
    "MlflowConfig",
    "ModelPackageConfig",
)
_DEFAULT_LIMIT_SECONDS = 86_400
_HOST = "algo-1"
_GROUP = "/aws/sagemaker/TrainingJobs"
_MESSAGES = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds",
}


class TrainingJobs(Jobs):
    """CreateTrainingJob and its like: script mode, or the entry point that the request names."""

    kind = TRAINING_JOB
    title = "Training Job"
    start_member = "TrainingStartTime"
    end_member = "TrainingEndTime"
    not_found = "Requested resource not found."
    duplicate = (
        "Training job names must be unique within an AWS account and region, and a training job with this name "
        "already exists ({arn})"
    )

    # -- accepting

    def accept(self, params: Document, caller: Caller, arn: str) -> Document:
        """Check what the shape of the request leaves open."""
        for member in _UNSUPPORTED:
            if params.get(member):
                raise unsupported(f"{member} of a training job")
        _check_resources(params)
        _check_algorithm(params)
        _check_channels(params)
        role = self.platform.pass_role(caller, params["RoleArn"], arn)
        disk_key = params["ResourceConfig"].get("VolumeKmsKeyId")
        check_disk_key(self.host, disk_key, caller, Caller(role.access_key, params["RoleArn"]))
        return {
            **params,
            "EnableNetworkIsolation": params.get("EnableNetworkIsolation", False),
            "EnableInterContainerTrafficEncryption": params.get("EnableInterContainerTrafficEncryption", False),
            "EnableManagedSpotTraining": params.get("EnableManagedSpotTraining", False),
            "StoppingCondition": {"MaxRuntimeInSeconds": _DEFAULT_LIMIT_SECONDS, **params.get("StoppingCondition", {})},
            "SecondaryStatus": "Starting",
            "SecondaryStatusTransitions": [_transition("Starting")],
        }

    def surroundings(self, document: Document) -> tuple[str, Document | None]:
        """The training image and the job's VPC."""
        return document["AlgorithmSpecification"]["TrainingImage"], document.get("VpcConfig")

    # -- running

    def perform(self, job: RunningJob) -> None:
        """Download, train, upload."""
        name = job.document["TrainingJobName"]
        self._enter(name, "Downloading")
        self._lay_out(job)
        job.check_stop()
        self._enter(name, "Training", TrainingStartTime=time.time())
        metrics = MetricReader([MetricDefinition.parse(each) for each in _metric_definitions(job.document)])
        outcome = self._train(job, metrics)
        self.store.change(self.kind.name, name, FinalMetricDataList=metrics.final() or None)
        self._upload(job, outcome)
        if outcome.ending is Ending.STOPPED:
            raise JobStopped
        if outcome.ending is Ending.TIMED_OUT:
            raise JobStopped("MaxRuntimeExceeded")

    def ended(self, name: str, end: JobEnd) -> None:
        """Keep the end of a job, its last transition and its billable time."""
        now = time.time()
        start = self.job(name).get("TrainingStartTime")
        seconds = None if start is None else max(1, round(now - start))
        self._enter(
            name,
            end.secondary,
            message=end.reason,
            TrainingJobStatus=end.status,
            FailureReason=end.reason,
            TrainingEndTime=now,
            TrainingTimeInSeconds=seconds,
            BillableTimeInSeconds=seconds,
        )

    def _enter(self, name: str, secondary: str, message: str | None = None, **members: Any) -> None:
        """Move on to a secondary status."""

        def apply(document: Document) -> None:
            now = time.time()
            document["SecondaryStatusTransitions"][-1]["EndTime"] = now
            document["SecondaryStatusTransitions"].append(_transition(secondary, message))
            document["SecondaryStatus"] = secondary
            document.update({key: value for key, value in members.items() if value is not None})

        self.announce(self.store.edit(self.kind.name, name, apply))

    def _lay_out(self, job: RunningJob) -> None:
        sandbox, document = job.sandbox, job.document
        for folder in ("model", "output/data", "output/intermediate", "input/data", "code"):
            sandbox.make(folder)
        config = sandbox.make("input/config")
        for name, content in (
            ("hyperparameters", document.get("HyperParameters", {})),
            ("inputdataconfig", _input_data_config(document)),
            ("resourceconfig", _resource_config(document)),
        ):
            (config / f"{name}.json").write_text(json.dumps(content))
        s3 = s3_of(self.host, job.credentials)
        for channel in document.get("InputDataConfig", []):
            source = channel["DataSource"]["S3DataSource"]
            fetch(s3, source["S3DataType"], source["S3Uri"], sandbox.path(f"input/data/{channel['ChannelName']}"))
            job.check_stop()

    def _train(self, job: RunningJob, metrics: MetricReader) -> Outcome:
        document, sandbox = job.document, job.sandbox
        env = sandbox.environment(self.host, job.credentials, isolated=document["EnableNetworkIsolation"])
        env |= {"TRAINING_JOB_NAME": document["TrainingJobName"], "TRAINING_JOB_ARN": document["TrainingJobArn"]}
        env |= {key: sandbox.re_root(value) for key, value in document.get("Environment", {}).items()}
        argv, more, script = self._command(job)
        child = Child(
            self.host,
            command(self.platform.settings.job_python, argv),
            env=env | more,
            cwd=sandbox.path("code"),
            group=_GROUP,
            stream=stream_name(document["TrainingJobName"], _HOST),
            on_line=metrics.read,
        )
        job.attach(child)
        outcome = child.wait(document["StoppingCondition"]["MaxRuntimeInSeconds"], self.grace_seconds)
        if outcome.ending is Ending.EXITED and outcome.code != 0:
            self._upload_output(job)
            raise JobFailed(_failure(job, script, outcome))
        return outcome

    def _command(self, job: RunningJob) -> tuple[list[str], dict[str, str], script_mode.Script | None]:
        """The command of the container, its additional environment, and the script in script mode."""
        algorithm = job.document["AlgorithmSpecification"]
        entry = [*algorithm.get("ContainerEntrypoint", []), *algorithm.get("ContainerArguments", [])]
        if "ContainerEntrypoint" in algorithm:
            return job.sandbox.re_root_all(entry), {}, None
        try:
            script = script_mode.Script.of(job.document.get("HyperParameters", {}))
            self._lay_out_code(job, script)
        except (script_mode.BadScript, BadArchive) as error:
            raise JobFailed(f"AlgorithmError: {error}, exit code: 1") from error
        arguments = job.sandbox.re_root_all(script.arguments())
        return ["python", script.program, *arguments], self._toolkit_environment(job, script), script

    def _lay_out_code(self, job: RunningJob, script: script_mode.Script) -> None:
        if not script.code.startswith("/"):
            script_mode.lay_out_code(job.sandbox, self._download_code(job, script.code))
            return
        try:
            source = job.sandbox.path(script.code)
        except ValueError as error:
            raise script_mode.BadScript(f"there is no code at {script.code}: {error}") from error
        script_mode.lay_out_code(job.sandbox, source)

    def _download_code(self, job: RunningJob, uri: str) -> Any:
        if job.document["EnableNetworkIsolation"]:
            raise script_mode.BadScript(f"the network is isolated, so the code cannot be read from {uri}")
        target = job.sandbox.folder / "sourcedir.tar.gz"
        try:
            s3_data.download_object(s3_of(self.host, job.credentials), s3_data.Address.parse(uri), target)
        except DATA_ERRORS as error:
            raise script_mode.BadScript(f"the code cannot be read from {uri}: {error}") from error
        return target

    def _toolkit_environment(self, job: RunningJob, script: script_mode.Script) -> dict[str, str]:
        document = job.document
        framework = require_framework(document["AlgorithmSpecification"]["TrainingImage"])
        return script_mode.environment(
            job.sandbox,
            script,
            job_name=document["TrainingJobName"],
            region=self.platform.settings.region,
            framework_module=framework.training_module,
            resource_config=_resource_config(document),
            input_data_config=_input_data_config(document),
        )

    # -- uploading

    def _upload(self, job: RunningJob, outcome: Outcome) -> None:
        name = job.document["TrainingJobName"]
        model = job.sandbox.path("model")
        if outcome.ending is not Ending.EXITED and not any(model.iterdir()):
            return
        self._enter(name, "Uploading")
        address = self._upload_archive(job, "model", "model.tar.gz")
        self._upload_output(job)
        self.store.change(self.kind.name, name, ModelArtifacts={"S3ModelArtifacts": str(address)})

    def _upload_output(self, job: RunningJob) -> None:
        if any(job.sandbox.path("output/data").iterdir()):
            self._upload_archive(job, "output/data", "output.tar.gz")

    def _upload_archive(self, job: RunningJob, folder: str, file_name: str) -> s3_data.Address:
        output = job.document["OutputDataConfig"]
        target = job.sandbox.folder / file_name
        pack(job.sandbox.path(folder), target)
        try:
            base = s3_data.Address.parse(output["S3OutputPath"])
            address = base.join(job.document["TrainingJobName"], "output", file_name)
            s3_data.upload_file(s3_of(self.host, job.credentials), target, address, output.get("KmsKeyId"))
        except DATA_ERRORS as error:
            raise JobFailed(f"ClientError: Artifact upload failed:{error}") from error
        return address


def _check_resources(params: Document) -> None:
    resources = params.get("ResourceConfig", {})
    for member in ("InstanceGroups", "InstancePreferences", "TrainingPlanArn"):
        if member in resources:
            raise unsupported(f"{member} of a training job")
    for member in ("InstanceType", "InstanceCount", "VolumeSizeInGB"):
        if member not in resources:
            raise invalid(f"ResourceConfig.{member} is required")
    if resources["InstanceCount"] != 1:
        raise unsupported(f"a training job on {resources['InstanceCount']} instances (one is)")
    if params["OutputDataConfig"].get("CompressionType", "GZIP") != "GZIP":
        raise unsupported("OutputDataConfig.CompressionType NONE")


def _check_algorithm(params: Document) -> None:
    algorithm = params["AlgorithmSpecification"]
    if "AlgorithmName" in algorithm or "TrainingImage" not in algorithm:
        raise unsupported("a training job without AlgorithmSpecification.TrainingImage")
    for definition in _metric_definitions(params):
        MetricDefinition.parse(definition)
    if "ContainerEntrypoint" in algorithm:
        return
    require_framework(algorithm["TrainingImage"])
    if script_mode.PROGRAM not in params.get("HyperParameters", {}):
        raise unsupported(
            f"a built-in algorithm of the image (script mode is: set the hyperparameter {script_mode.PROGRAM}, "
            f"or AlgorithmSpecification.ContainerEntrypoint)"
        )


def _check_channels(params: Document) -> None:
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


def _metric_definitions(document: Document) -> list[Document]:
    definitions: list[Document] = document["AlgorithmSpecification"].get("MetricDefinitions", [])
    return definitions


def _input_data_config(document: Document) -> Document:
    return {
        channel["ChannelName"]: {
            "TrainingInputMode": "File",
            "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
                "S3DataDistributionType", "FullyReplicated"
            ),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
            **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {}),
        }
        for channel in document.get("InputDataConfig", [])
    }


def _resource_config(document: Document) -> Document:
    instance_type = document["ResourceConfig"]["InstanceType"]
    group = {"instance_group_name": "homogeneousCluster", "instance_type": instance_type, "hosts": [_HOST]}
    return {
        "current_host": _HOST,
        "current_instance_type": instance_type,
        "current_group_name": "homogeneousCluster",
        "hosts": [_HOST],
        "instance_groups": [group],
        "network_interface_name": "eth0",
    }


def _transition(secondary: str, message: str | None = None) -> Document:
    now = time.time()
    transition: Document = {"Status": secondary, "StartTime": now, "StatusMessage": message or _MESSAGES[secondary]}
    if secondary in ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded"):
        transition["EndTime"] = now
    return transition


def _failure(job: RunningJob, script: script_mode.Script | None, outcome: Outcome) -> str:
    """The reason: what the container wrote to ``/opt/ml/output/failure``, or what the toolkit writes there for it."""
    file = job.sandbox.path("output/failure")
    if file.is_file():
        text = file.read_text(errors="replace").strip()
    elif script is not None:
        text = script.error_text(outcome.code, outcome.tail)
    else:
        text = ""
    ending = f", exit code: {outcome.code}"
    return f"AlgorithmError: {text[: 1000 - len(ending)]}{ending}"
