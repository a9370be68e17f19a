"""AutoML jobs: what is asked of them, and their life."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from local.server import clock
from local.server.host import Caller, Denied, Runner, ServiceError
from local.server.sagemaker import s3_data
from local.server.sagemaker.archive import pack
from local.server.sagemaker.children import Child, Ending, Outcome, Sandbox, command, stream_name
from local.server.sagemaker.errors import invalid, unsupported
from local.server.sagemaker.jobs.channels import check_source, fetch, s3_of
from local.server.sagemaker.jobs.machines import failed
from local.server.sagemaker.jobs.runner import DATA_ERRORS, DUPLICATE, JobEnd, JobFailed, Jobs, JobStopped, RunningJob
from local.server.sagemaker.platform import Operation
from local.server.sagemaker.resources import AUTOML_JOB, PROCESSING_JOB, TRAINING_JOB, TRANSFORM_JOB
from local.server.sagemaker.role_needs import check_disk_key
from local.server.sagemaker.store import Document

CHILD = Path(__file__).with_name("child.py")
IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/autogluon-inference:local"
"""What serves a model that was found; the local server runs the script in its archive."""

_CSV = "text/csv;header=present"
_UNSUPPORTED = ("ModelDeployConfig", "AutoMLComputeConfig", "DataSplitConfig")
_UNSUPPORTED_OF_TABLES = (
    "CandidateGenerationConfig",
    "FeatureSpecificationS3Uri",
    "GenerateCandidateDefinitionsOnly",
    "SampleWeightAttributeName",
)
_CRITERIA = {
    "candidates": ("MaxCandidates", 250),
    "candidate_seconds": ("MaxRuntimePerTrainingJobInSeconds", 86_400),
    "total_seconds": ("MaxAutoMLJobRuntimeInSeconds", 86_400),
}
_MINIMIZED = ("RMSE", "MSE", "MAE")
_GROUP = "/aws/sagemaker/TrainingJobs"
_FINISH_SECONDS = 60


class AutoMLJobs(Jobs):
    """CreateAutoMLJobV2 and its like, for tables in ensembling mode."""

    kind = AUTOML_JOB
    title = "AutoML Job"
    start_member = "StartTime"
    end_member = "EndTime"
    not_found = "Could not find requested AutoML job with name: {name}"
    duplicate = DUPLICATE
    deletable = False

    # -- operations

    def operations(self) -> dict[str, Operation]:
        """The operations by name."""
        return {
            "CreateAutoMLJobV2": self._create,
            "DescribeAutoMLJobV2": lambda params, _caller: self.job(params["AutoMLJobName"]),
            "StopAutoMLJob": self._stop,
            "ListCandidatesForAutoMLJob": self._list_candidates,
        }

    def job(self, name: str) -> Document:
        """A job by its name.

        Raises:
            ServiceError: There is none (``ResourceNotFound``).
        """
        try:
            return super().job(name)
        except ServiceError as error:
            raise ServiceError("ResourceNotFound", error.message) from error

    def _list_candidates(self, params: Document, _caller: Caller) -> Document:
        others = sorted(params.keys() - {"AutoMLJobName", "MaxResults"})
        found = self.job(params["AutoMLJobName"]).get("_Candidates", [])
        if others or len(found) > params.get("MaxResults", 300):
            raise unsupported(f"{', '.join(others) or 'a second page'} of a list of candidates")
        return {"Candidates": found}

    # -- accepting

    def accept(self, params: Document, caller: Caller, arn: str) -> Document:
        """Check what the shape of the request leaves open."""
        for member in _UNSUPPORTED:
            if params.get(member):
                raise unsupported(f"{member} of an AutoML job")
        problem = params["AutoMLProblemTypeConfig"]
        if "TabularJobConfig" not in problem:
            raise unsupported(f"{', '.join(problem)} of an AutoML job (TabularJobConfig is)")
        _check_table(problem["TabularJobConfig"], params)
        _check_channels(params)
        role = self.platform.pass_role(caller, params["RoleArn"], arn)
        key = params.get("SecurityConfig", {}).get("VolumeKmsKeyId")
        check_disk_key(self.host, key, caller, Caller(role.access_key, params["RoleArn"]))
        return {
            **params,
            "AutoMLProblemTypeConfigName": "Tabular",
            "AutoMLJobSecondaryStatus": "Starting",
        }

    def surroundings(self, document: Document) -> tuple[str, Document | None]:
        """What serves the model in the end, and the job's VPC."""
        return IMAGE, document.get("SecurityConfig", {}).get("VpcConfig")

    # -- running

    def perform(self, job: RunningJob) -> None:
        """Download, search, upload the best candidate."""
        self._check_own_jobs(job)
        self._lay_out(job)
        job.check_stop()
        name = job.document["AutoMLJobName"]
        self.change(name, AutoMLJobSecondaryStatus="TrainingModels")
        ending = self._search(job)
        found = found_by(job.sandbox)
        if found.get("best") is None:
            if ending is Ending.STOPPED:
                raise JobStopped
            raise JobFailed("AlgorithmError: no candidate was ready in time")
        self._keep(job, found)
        if ending is Ending.STOPPED:
            raise JobStopped
        self.store.change(self.kind.name, name, _EndedBy=found.get("ended_by", "MaxAutoMLJobRuntimeReached"))

    def ended(self, name: str, end: JobEnd) -> None:
        """Keep the end of a job."""
        told = {"FailureReason": end.reason} if end.reason else {}
        document = self.job(name)
        secondary = document.get("_EndedBy", "Completed") if end.status == "Completed" else end.status
        self.change(name, AutoMLJobStatus=end.status, AutoMLJobSecondaryStatus=secondary, EndTime=clock.now(), **told)

    def _check_own_jobs(self, job: RunningJob) -> None:
        """On AWS a search is jobs that it starts under its own role: see that the role may do so."""
        name, role = job.document["AutoMLJobName"], job.document["RoleArn"]
        caller = Caller(job.credentials.access_key, role)
        try:
            for kind in (PROCESSING_JOB, TRAINING_JOB, TRANSFORM_JOB):
                for verb in ("Create", "Describe", "Stop"):
                    self.host.check(caller, f"sagemaker:{verb}{kind.name}", self.platform.arn(kind, f"{name}-1"))
            self.host.pass_role(caller, role, "sagemaker.amazonaws.com")
        except Denied as error:
            raise JobFailed(f"ClientError: {error}") from error

    def _lay_out(self, job: RunningJob) -> None:
        sandbox, document = job.sandbox, job.document
        lay_out(sandbox, document)
        s3 = s3_of(self.host, job.credentials)
        for channel in document["AutoMLJobInputDataConfig"]:
            source = channel["DataSource"]["S3DataSource"]
            fetch(s3, source["S3DataType"], source["S3Uri"], sandbox.path(f"input/data/{channel['ChannelType']}"))
            job.check_stop()

    def _search(self, job: RunningJob) -> Ending:
        child = start_search(self.host, job, _GROUP, stream_name(job.document["AutoMLJobName"], "search"))
        job.attach(child)
        outcome = child.wait(longest_seconds(job.document), self.grace_seconds)
        if failed(outcome):
            told, of_the_user = failure_of(job.sandbox, outcome)
            raise JobFailed(f"{'ClientError' if of_the_user else 'AlgorithmError'}: {told[-900:]}")
        return outcome.ending

    def _keep(self, job: RunningJob, found: Document) -> None:
        """Upload the best candidate and keep what is known of all."""
        address = self._upload(job, found["best"])
        objective = job.document["AutoMLJobObjective"]["MetricName"]
        candidates = [_candidate(each, objective) for each in found["candidates"]]
        best = next(each for each in candidates if each["CandidateName"] == found["best"])
        best["InferenceContainers"] = [container_of(str(address), job.document)]
        self.store.change(self.kind.name, job.document["AutoMLJobName"], BestCandidate=best, _Candidates=candidates)

    def _upload(self, job: RunningJob, candidate: str) -> s3_data.Address:
        output = job.document["OutputDataConfig"]
        target = job.sandbox.folder / "model.tar.gz"
        pack(job.sandbox.path("model"), target)
        try:
            base = s3_data.Address.parse(output["S3OutputPath"])
            address = base.join(job.document["AutoMLJobName"], candidate, "output", target.name)
            s3_data.upload_file(s3_of(self.host, job.credentials), target, address, output.get("KmsKeyId"))
        except DATA_ERRORS as error:
            raise JobFailed(f"ClientError: Artifact upload failed:{error}") from error
        return address


def lay_out(sandbox: Sandbox, document: Document) -> None:
    """Make the folders of a search and say what is asked of it; its channels are still empty."""
    for folder in ("model", "output", "input/data"):
        sandbox.make(folder)
    table = document["AutoMLProblemTypeConfig"]["TabularJobConfig"]
    limits = table.get("CompletionCriteria", {})
    asked = {
        "target": table["TargetAttributeName"],
        "problem": table["ProblemType"],
        "objective": document["AutoMLJobObjective"]["MetricName"],
        **{name: limits.get(member, default) for name, (member, default) in _CRITERIA.items()},
    }
    (sandbox.make("input/config") / "search.json").write_text(json.dumps(asked))


def start_search(host: Runner, job: RunningJob, group: str, stream: str) -> Child:
    """Start a search that was laid out, cut off from every network."""
    sandbox = job.sandbox
    return Child(
        host,
        command(host.settings.job_python, ["python", str(CHILD), str(sandbox.root)]),
        env=sandbox.environment(host, job.credentials, isolated=True),
        cwd=sandbox.root,
        group=group,
        stream=stream,
    )


def longest_seconds(document: Document) -> float:
    """How long a search may take before it is ended from outside."""
    criteria = document["AutoMLProblemTypeConfig"]["TabularJobConfig"].get("CompletionCriteria", {})
    member, default = _CRITERIA["total_seconds"]
    return float(criteria.get(member, default)) + _FINISH_SECONDS


def failure_of(sandbox: Sandbox, outcome: Outcome) -> tuple[str, bool]:
    """Why a search has failed, and whether that is what was asked of it or the data."""
    failure = sandbox.path("output/failure")
    return (failure.read_text(), True) if failure.is_file() else (outcome.tail, False)


def found_by(sandbox: Sandbox) -> dict[str, Any]:
    """What is known of a search: ``best`` is the name of the best candidate, if there is one yet."""
    path = sandbox.path("output/search.json")
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def _check_table(table: Document, params: Document) -> None:
    for member in _UNSUPPORTED_OF_TABLES:
        if table.get(member):
            raise unsupported(f"{member} of an AutoML job")
    if table.get("Mode") != "ENSEMBLING":
        raise unsupported(f"the mode {table.get('Mode', 'AUTO')} of an AutoML job (ENSEMBLING is)")
    if "ProblemType" not in table:
        raise unsupported("an AutoML job that finds out by itself which problem it is to solve")
    if "AutoMLJobObjective" not in params:
        raise invalid("AutoMLJobObjective is required when ProblemType is given")


def _check_channels(params: Document) -> None:
    kinds = [channel.get("ChannelType", "training") for channel in params["AutoMLJobInputDataConfig"]]
    if sorted(kinds) != ["training", "validation"]:
        raise unsupported(f"an AutoML job with the channels {', '.join(kinds)} (training and validation are)")
    for channel in params["AutoMLJobInputDataConfig"]:
        where = f"channel {channel.get('ChannelType', 'training')}"
        if channel.get("ContentType", _CSV) != _CSV:
            raise unsupported(f"ContentType {channel['ContentType']} of {where} ({_CSV} is)")
        if channel.get("CompressionType", "None") != "None":
            raise unsupported(f"CompressionType {channel['CompressionType']} of {where} (None is)")
        check_source(where, channel["DataSource"]["S3DataSource"], "File")


def _candidate(found: Document, objective: str) -> Document:
    """A candidate as SageMaker describes one; its steps are no jobs here."""
    kind = "Minimize" if objective in _MINIMIZED else "Maximize"
    succeeded = found["status"] == "Completed"
    return {
        "CandidateName": found["name"],
        "FinalAutoMLJobObjectiveMetric": {"Type": kind, "MetricName": objective, "Value": found["value"]},
        "ObjectiveStatus": "Succeeded" if succeeded else "Failed",
        "CandidateSteps": [],
        "CandidateStatus": found["status"],
        "CreationTime": found["started"],
        "EndTime": found["ended"],
        "LastModifiedTime": found["ended"],
    }


def container_of(model_data: str, document: Document) -> Document:
    """What serves a candidate, as Autopilot describes it."""
    is_classifier = document["AutoMLProblemTypeConfig"]["TabularJobConfig"]["ProblemType"] != "Regression"
    answers = {
        "SAGEMAKER_INFERENCE_OUTPUT": "predicted_label",
        "SAGEMAKER_INFERENCE_SUPPORTED": "predicted_label,probability,probabilities,labels",
    }
    return {
        "Image": IMAGE,
        "ModelDataUrl": model_data,
        "Environment": {
            "SAGEMAKER_PROGRAM": "tabular_serve.py",
            "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
            "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv",
            **(answers if is_classifier else {}),
        },
    }
