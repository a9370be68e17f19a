"""Processing jobs: an entry point with inputs and outputs."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from local.server import clock
from local.server.host import Caller
from local.server.sagemaker import measures, s3_data
from local.server.sagemaker.children import Child, Ending, Outcome, command, stream_name
from local.server.sagemaker.errors import invalid, unsupported
from local.server.sagemaker.jobs.channels import check_source, fetch, s3_of
from local.server.sagemaker.jobs.runner import DATA_ERRORS, DUPLICATE, JobFailed, Jobs, JobStopped, RunningJob
from local.server.sagemaker.resources import PROCESSING_JOB
from local.server.sagemaker.role_needs import check_disk_key
from local.server.sagemaker.store import Document

_DEFAULT_LIMIT_SECONDS = 86_400
_HOST = "algo-1"
_GROUP = "/aws/sagemaker/ProcessingJobs"
_ROOT = "/opt/ml/processing"
_LONGEST_MESSAGE = 1024


class ProcessingJobs(Jobs):
    """CreateProcessingJob and its like."""

    kind = PROCESSING_JOB
    title = "Processing Job"
    start_member = "ProcessingStartTime"
    end_member = "ProcessingEndTime"
    not_found = "Could not find requested job with name: {name}"
    duplicate = DUPLICATE

    # -- accepting

    def accept(self, params: Document, caller: Caller, arn: str) -> Document:
        """Check what the shape of the request leaves open."""
        cluster = params["ProcessingResources"]["ClusterConfig"]
        for member in ("InstanceType", "InstanceCount"):
            if member not in cluster:
                raise unsupported(f"a processing job without ClusterConfig.{member}")
        if cluster["InstanceCount"] != 1:
            raise unsupported(f"a processing job on {cluster['InstanceCount']} instances (one is)")
        if "ContainerEntrypoint" not in params["AppSpecification"]:
            raise unsupported("the entry point of an image (AppSpecification.ContainerEntrypoint is)")
        _check_inputs(params)
        _check_outputs(params)
        role = self.platform.pass_role(caller, params["RoleArn"], arn)
        check_disk_key(self.host, cluster.get("VolumeKmsKeyId"), caller, Caller(role.access_key, params["RoleArn"]))
        return {
            **params,
            "StoppingCondition": params.get("StoppingCondition", {"MaxRuntimeInSeconds": _DEFAULT_LIMIT_SECONDS}),
        }

    def surroundings(self, document: Document) -> tuple[str, Document | None]:
        """The processing image and the job's VPC."""
        return document["AppSpecification"]["ImageUri"], document.get("NetworkConfig", {}).get("VpcConfig")

    # -- running

    def perform(self, job: RunningJob) -> None:
        """Download, process, upload."""
        name = job.document["ProcessingJobName"]
        self._lay_out(job)
        job.check_stop()
        self.change(name, ProcessingStartTime=clock.now())
        outcome = self._process(job)
        message = _message(job.sandbox.path("output/message"))
        if message:
            self.store.change(self.kind.name, name, ExitMessage=message)
        if outcome.ending is Ending.STOPPED:
            raise JobStopped
        if outcome.ending is Ending.TIMED_OUT:
            self.store.change(self.kind.name, name, ExitMessage=message or "MaxRuntimeExceeded")
            raise JobStopped("MaxRuntimeExceeded")
        if outcome.code != 0:
            raise JobFailed(_failure(message or outcome.tail, outcome.code))
        self._upload(job)

    def _lay_out(self, job: RunningJob) -> None:
        sandbox, document = job.sandbox, job.document
        sandbox.make("output")
        config = sandbox.make("config")
        (config / "processingjobconfig.json").write_text(json.dumps(document))
        (config / "resourceconfig.json").write_text(json.dumps({"current_host": _HOST, "hosts": [_HOST]}))
        for output in _outputs(document):
            sandbox.make(output["S3Output"]["LocalPath"])
        s3 = s3_of(self.host, job.credentials)
        for entry in document.get("ProcessingInputs", []):
            source = entry["S3Input"]
            fetch(s3, source["S3DataType"], source["S3Uri"], sandbox.make(source["LocalPath"]))
            job.check_stop()

    def _process(self, job: RunningJob) -> Outcome:
        document, sandbox = job.document, job.sandbox
        isolated = document.get("NetworkConfig", {}).get("EnableNetworkIsolation", False)
        env = sandbox.environment(self.host, job.credentials, isolated=isolated)
        env |= {"PROCESSING_JOB_NAME": document["ProcessingJobName"]}
        env |= {key: sandbox.re_root(value) for key, value in document.get("Environment", {}).items()}
        application, cluster = document["AppSpecification"], document["ProcessingResources"]["ClusterConfig"]
        argv = [*application["ContainerEntrypoint"], *application.get("ContainerArguments", [])]
        child = Child(
            self.host,
            command(self.platform.settings.job_python, sandbox.re_root_all(argv)),
            env=env,
            cwd=sandbox.root,
            group=_GROUP,
            stream=stream_name(document["ProcessingJobName"], _HOST),
            measure=measures.of_job("processing", document["ProcessingJobName"], _HOST, cluster["InstanceType"]),
        )
        job.attach(child)
        return child.wait(document["StoppingCondition"]["MaxRuntimeInSeconds"], self.grace_seconds)

    def _upload(self, job: RunningJob) -> None:
        s3 = s3_of(self.host, job.credentials)
        kms_key = job.document.get("ProcessingOutputConfig", {}).get("KmsKeyId")
        try:
            for output in _outputs(job.document):
                place = output["S3Output"]
                address = s3_data.Address.parse(place["S3Uri"])
                s3_data.upload_folder(s3, job.sandbox.path(place["LocalPath"]), address, kms_key)
        except DATA_ERRORS as error:
            raise JobFailed(f"ClientError: Output upload failed:{error}") from error


def _outputs(document: Document) -> list[Document]:
    outputs: list[Document] = document.get("ProcessingOutputConfig", {}).get("Outputs", [])
    return outputs


def _check_inputs(params: Document) -> None:
    places: set[str] = set()
    for entry in params.get("ProcessingInputs", []):
        where = f"processing input {entry['InputName']}"
        if entry.get("AppManaged") or "S3Input" not in entry:
            raise unsupported(f"the source of {where} (S3Input is)")
        source = entry["S3Input"]
        check_source(where, source, source.get("S3InputMode", "File"))
        if source.get("S3CompressionType", "None") != "None":
            raise unsupported(f"S3CompressionType {source['S3CompressionType']} of {where} (None is)")
        place = _check_place(where, source)
        if place in places:
            raise invalid(f"LocalPath of {where} is not unique: {place}")
        places.add(place)


def _check_outputs(params: Document) -> None:
    for output in _outputs(params):
        where = f"processing output {output['OutputName']}"
        if output.get("AppManaged") or "S3Output" not in output:
            raise unsupported(f"the target of {where} (S3Output is)")
        if output["S3Output"]["S3UploadMode"] != "EndOfJob":
            raise unsupported(f"S3UploadMode {output['S3Output']['S3UploadMode']} of {where} (EndOfJob is)")
        _check_place(where, output["S3Output"])


def _check_place(where: str, place: Document) -> str:
    path = PurePosixPath(place.get("LocalPath", ""))
    if not path.is_relative_to(_ROOT) or ".." in path.parts:
        raise invalid(f"LocalPath of {where} must be below {_ROOT}, not {str(path)!r}")
    return str(path)


def _message(file: Path) -> str | None:
    return file.read_text(errors="replace").strip()[:_LONGEST_MESSAGE] if file.is_file() else None


def _failure(text: str, code: int) -> str:
    ending = f", exit code: {code}"
    return f"AlgorithmError: {text[-(1000 - len(ending)) :]}{ending}"
