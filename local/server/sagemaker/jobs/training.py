"""Training jobs."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import time
from collections.abc import Iterator, Sequence
from typing import Any

from local.server import clock
from local.server.host import Caller
from local.server.own_images import BadImage, OwnImage, OwnImages
from local.server.sagemaker import measures, s3_data
from local.server.sagemaker.archive import BadArchive, pack
from local.server.sagemaker.children import Child, Ending, Outcome, stream_name
from local.server.sagemaker.errors import unsupported
from local.server.sagemaker.images import require_framework
from local.server.sagemaker.jobs import script_mode
from local.server.sagemaker.jobs.channels import fetch, s3_of
from local.server.sagemaker.jobs.checkpoints import Checkpoints, CheckpointSync
from local.server.sagemaker.jobs.machines import Machine, failed, machines_of, wait_together
from local.server.sagemaker.jobs.metrics import MetricDefinition, MetricReader
from local.server.sagemaker.jobs.runner import DATA_ERRORS, JobEnd, JobFailed, Jobs, JobStopped, RunningJob
from local.server.sagemaker.jobs.training_container import (
    Program,
    failure_of,
    given_environment,
    hosts_of,
    lay_out,
    program_of,
)
from local.server.sagemaker.jobs.training_requests import (
    CHECKPOINTS,
    DEFAULT_LIMIT_SECONDS,
    built_in,
    check_channels,
    check_resources,
)
from local.server.sagemaker.platform import Platform
from local.server.sagemaker.resources import TRAINING_JOB
from local.server.sagemaker.role_needs import check_disk_key
from local.server.sagemaker.store import Document

_UNSUPPORTED = (
    "DebugRuleConfigurations",
    "ProfilerRuleConfigurations",
    "TensorBoardOutputConfig",
    "ServerlessJobConfig",
    "MlflowConfig",
    "ModelPackageConfig",
)
_GROUP = "/aws/sagemaker/TrainingJobs"
_MESSAGES = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "The spot instances were taken back; the training goes on from its last checkpoint",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds",
    "MaxWaitTimeExceeded": "Training job exceeded MaxWaitTimeInSeconds",
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

    def __init__(self, platform: Platform) -> None:
        super().__init__(platform)
        self._images = OwnImages(platform.settings)
        self._readers: dict[str, MetricReader] = {}

    # -- accepting

    def accept(self, params: Document, caller: Caller, arn: str) -> Document:
        """Check what the shape of the request leaves open."""
        accepted = self.checked(params)
        self.authorise(params, caller, arn)
        return accepted

    def authorise(self, params: Document, caller: Caller, arn: str) -> None:
        """See that the caller may pass the role and have the key used.

        Args:
            arn: What the role is passed to.
        """
        role = self.platform.pass_role(caller, params["RoleArn"], arn)
        disk_key = params["ResourceConfig"].get("VolumeKmsKeyId")
        check_disk_key(self.host, disk_key, caller, Caller(role.access_key, params["RoleArn"]))

    def checked(self, params: Document) -> Document:
        """Check what a request asks for, whoever asks; returns the members of the new document."""
        for member in _UNSUPPORTED:
            if params.get(member):
                raise unsupported(f"{member} of a training job")
        check_resources(params)
        self._check_algorithm(params)
        check_channels(params)
        return {
            **params,
            "EnableNetworkIsolation": params.get("EnableNetworkIsolation", False),
            "EnableInterContainerTrafficEncryption": params.get("EnableInterContainerTrafficEncryption", False),
            "EnableManagedSpotTraining": params.get("EnableManagedSpotTraining", False),
            "StoppingCondition": {"MaxRuntimeInSeconds": DEFAULT_LIMIT_SECONDS, **params.get("StoppingCondition", {})},
            "SecondaryStatus": "Starting",
            "SecondaryStatusTransitions": [_transition("Starting")],
        }

    def _check_algorithm(self, params: Document) -> None:
        algorithm = params["AlgorithmSpecification"]
        if "AlgorithmName" in algorithm or "TrainingImage" not in algorithm:
            raise unsupported("a training job without AlgorithmSpecification.TrainingImage")
        for definition in _metric_definitions(params):
            MetricDefinition.parse(definition)
        image = algorithm["TrainingImage"]
        if "ContainerEntrypoint" in algorithm or self._images.names(image) or built_in(params) is not None:
            return
        require_framework(image, self.platform.settings.job_python)
        if script_mode.PROGRAM not in params.get("HyperParameters", {}):
            raise unsupported(
                f"a training without a script in a framework image (set the hyperparameter {script_mode.PROGRAM}, "
                f"or AlgorithmSpecification.ContainerEntrypoint)"
            )

    def surroundings(self, document: Document) -> tuple[str, Document | None]:
        """The training image and the job's VPC."""
        return document["AlgorithmSpecification"]["TrainingImage"], document.get("VpcConfig")

    # -- running

    def perform(self, job: RunningJob) -> None:
        """Download, train, upload; after an interruption once more from the download on."""
        metrics = MetricReader([MetricDefinition.parse(each) for each in _metric_definitions(job.document)])
        with self._reading(job.document, metrics):
            outcome = self._train_in_parts(job, metrics)
        self._upload(job, outcome)
        if outcome.ending is Ending.STOPPED:
            raise JobStopped
        if outcome.ending is Ending.TIMED_OUT:
            raise JobStopped("MaxRuntimeExceeded")

    @contextlib.contextmanager
    def _reading(self, document: Document, metrics: MetricReader) -> Iterator[None]:
        """Let others see what a job reports while it trains; of a trial, all of it is kept."""
        name = document["TrainingJobName"]
        self._readers[name] = metrics
        try:
            yield
        finally:
            final = metrics.final()
            reported = {each["MetricName"]: metrics.reports(each["MetricName"]) for each in final}
            kept = {"_Reported": reported} if "TuningJobArn" in document else {}
            self.store.change(self.kind.name, name, FinalMetricDataList=final or None, **kept)
            del self._readers[name]

    def reports(self, document: Document, metric: str) -> list[float]:
        """Every value of a metric that a job has reported until now."""
        reader = self._readers.get(document["TrainingJobName"])
        if reader is not None:
            return reader.reports(metric)
        kept: list[float] = document.get("_Reported", {}).get(metric, [])
        return kept

    def _train_in_parts(self, job: RunningJob, metrics: MetricReader) -> Outcome:
        """Train; spare machines are taken back as often as the server is told to, each time after a checkpoint."""
        document, name = job.document, job.document["TrainingJobName"]
        condition, began, trained = document["StoppingCondition"], time.monotonic(), 0.0
        interruptions = self.platform.settings.spot_interruptions if document["EnableManagedSpotTraining"] else 0
        for part in itertools.count():
            self._enter(name, "Downloading")
            machines = machines_of(job, hosts_of(document), part)
            checkpoints = [each for machine in machines for each in self._lay_out(machine)]
            job.check_stop()
            began_training: Document = {"TrainingStartTime": clock.now()} if part == 0 else {}
            self._enter(name, "Training", **began_training)
            start = time.monotonic()
            outcome, interrupted = self._train(
                machines,
                metrics,
                checkpoints,
                seconds=condition["MaxRuntimeInSeconds"] - trained,
                interrupt=part < interruptions,
            )
            if not interrupted or job.stop_asked:
                return outcome
            trained += time.monotonic() - start
            self._enter(name, "Interrupted")
            if time.monotonic() - began > condition["MaxWaitTimeInSeconds"]:
                raise JobStopped("MaxWaitTimeExceeded")
        raise AssertionError

    def ended(self, name: str, end: JobEnd) -> None:
        """Keep the end of a job, its last transition and its billable time."""
        now = clock.now()
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
            now = clock.now()
            document["SecondaryStatusTransitions"][-1]["EndTime"] = now
            document["SecondaryStatusTransitions"].append(_transition(secondary, message))
            document["SecondaryStatus"] = secondary
            document.update({key: value for key, value in members.items() if value is not None})

        self.announce(self.store.edit(self.kind.name, name, apply))

    def _lay_out(self, machine: Machine) -> list[Checkpoints]:
        """Put everything into a machine's folder; returns its checkpoints, if the job keeps any."""
        sandbox, document, job = machine.sandbox, machine.document, machine.job
        lay_out(machine)
        s3 = s3_of(self.host, job.credentials)
        for channel in document.get("InputDataConfig", []):
            source = channel["DataSource"]["S3DataSource"]
            fetch(s3, source["S3DataType"], source["S3Uri"], sandbox.path(f"input/data/{channel['ChannelName']}"))
            job.check_stop()
        kept = document.get("CheckpointConfig")
        if kept is None:
            return []
        found = Checkpoints(s3, kept["S3Uri"], sandbox.path(kept.get("LocalPath", CHECKPOINTS)))
        found.restore()
        return [found]

    def _train(
        self,
        machines: Sequence[Machine],
        metrics: MetricReader,
        checkpoints: Sequence[Checkpoints],
        *,
        seconds: float,
        interrupt: bool,
    ) -> tuple[Outcome, bool]:
        """Run the containers to their end; also says whether that was an interruption."""
        job, running = machines[0].job, []
        try:
            for machine in machines:
                running.append(self._start(machine, metrics))
        except BaseException:
            for child, _ in running:
                child.end(0)
            raise
        children = [child for child, _ in running]

        def take_back() -> None:
            for child in children:
                child.stop()

        with CheckpointSync(checkpoints, take_back if interrupt else None) as sync:
            outcomes = wait_together(children, seconds, self.grace_seconds)
        if not job.stop_asked and not sync.interrupted:
            for machine, (_, script), outcome in zip(machines, running, outcomes, strict=True):
                if failed(outcome):
                    sync.finish()
                    self._upload_output(job)
                    raise JobFailed(_failure(machine, script, outcome))
        sync.finish()
        _gather(machines)
        ends = [outcome for outcome in outcomes if outcome.ending is not Ending.EXITED]
        return (ends or outcomes)[0], sync.interrupted

    def _start(self, machine: Machine, metrics: MetricReader) -> tuple[Child, script_mode.Script | None]:
        document, sandbox, job = machine.document, machine.sandbox, machine.job
        env = sandbox.environment(self.host, job.credentials, isolated=document["EnableNetworkIsolation"])
        env |= {"TRAINING_JOB_NAME": document["TrainingJobName"], "TRAINING_JOB_ARN": document["TrainingJobArn"]}
        program = self._program(machine)
        child = Child(
            self.host,
            program.argv,
            env=env | given_environment(machine) | program.environment,
            cwd=program.cwd,
            group=_GROUP,
            stream=stream_name(document["TrainingJobName"], machine.host),
            on_line=metrics.read,
            measure=measures.of_job(
                "training", document["TrainingJobName"], machine.host, document["ResourceConfig"]["InstanceType"]
            ),
        )
        job.attach(child)
        return child, program.script

    def _own_image(self, job: RunningJob) -> OwnImage | None:
        """The image that was built here, unless the request says itself what to run."""
        algorithm = job.document["AlgorithmSpecification"]
        if "ContainerEntrypoint" in algorithm:
            return None
        try:
            return self._images.find(self.host.client("ecr", job.credentials), algorithm["TrainingImage"])
        except BadImage as error:
            raise JobFailed(f"ClientError: {error}") from error

    def _program(self, machine: Machine) -> Program:
        own = self._own_image(machine.job)
        try:
            return program_of(machine, self.platform.settings, own, lambda script: self._lay_out_code(machine, script))
        except (script_mode.BadScript, BadArchive) as error:
            raise JobFailed(f"AlgorithmError: {error}, exit code: 1") from error

    def _lay_out_code(self, job: Machine, script: script_mode.Script) -> None:
        if not script.code.startswith("/"):
            script_mode.lay_out_code(job.sandbox, self._download_code(job, script.code))
            return
        try:
            source = job.sandbox.path(script.code)
        except ValueError as error:
            raise script_mode.BadScript(f"there is no code at {script.code}: {error}") from error
        script_mode.lay_out_code(job.sandbox, source)

    def _download_code(self, job: Machine, uri: str) -> Any:
        if job.document["EnableNetworkIsolation"]:
            raise script_mode.BadScript(f"the network is isolated, so the code cannot be read from {uri}")
        target = job.sandbox.folder / "sourcedir.tar.gz"
        try:
            s3_data.download_object(s3_of(self.host, job.credentials), s3_data.Address.parse(uri), target)
        except DATA_ERRORS as error:
            raise script_mode.BadScript(f"the code cannot be read from {uri}: {error}") from error
        return target

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


def _metric_definitions(document: Document) -> list[Document]:
    definitions: list[Document] = document["AlgorithmSpecification"].get("MetricDefinitions", [])
    return [*definitions, *document.get("_MetricDefinitions", [])]


def _gather(machines: Sequence[Machine]) -> None:
    """Put what every machine has made into the folders of the first one, which are packed."""
    for machine in machines[1:]:
        for folder in ("model", "output/data"):
            shutil.copytree(machine.sandbox.path(folder), machines[0].sandbox.path(folder), dirs_exist_ok=True)


def _transition(secondary: str, message: str | None = None) -> Document:
    now = clock.now()
    transition: Document = {"Status": secondary, "StartTime": now, "StatusMessage": message or _MESSAGES[secondary]}
    if secondary in ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded"):
        transition["EndTime"] = now
    return transition


def _failure(machine: Machine, script: script_mode.Script | None, outcome: Outcome) -> str:
    text, ending = failure_of(machine, script, outcome), f", exit code: {outcome.code}"
    return f"AlgorithmError: {text[: 1000 - len(ending)]}{ending}"
