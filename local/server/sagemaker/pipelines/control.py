"""Pipelines and their runs: what is asked of them."""

from __future__ import annotations

import threading

from local.server.host import Caller, Denied, ServiceError
from local.server.sagemaker.errors import invalid, unsupported
from local.server.sagemaker.pipelines.definition import Known, parameter_values, parse
from local.server.sagemaker.pipelines.run import Run, RunFailed, RunStopped, random_id
from local.server.sagemaker.platform import Operation, Platform, log
from local.server.sagemaker.resources import PIPELINE
from local.server.sagemaker.store import AlreadyThere, Document

_RUNS = "PipelineExecution"
_RUNNING = ("Executing", "Stopping")
_METRICS = "AWS/Sagemaker/ModelBuildingPipeline"
_UNSUPPORTED_AT_START = (
    "SelectiveExecutionConfig",
    "PipelineVersionId",
    "PipelineVersionAlias",
    "MlflowExperimentName",
    "RoleArn",
)


class Pipelines:
    """CreatePipeline and StartPipelineExecution and their like."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._store = platform.store
        self._stops: dict[str, threading.Event] = {}
        self._starting = threading.Lock()

    def operations(self) -> dict[str, Operation]:
        """The operations by name."""
        return {
            "CreatePipeline": self._create,
            "UpdatePipeline": self._update,
            "DescribePipeline": lambda params, _caller: self._pipeline(params["PipelineName"]),
            "DeletePipeline": self._delete,
            "StartPipelineExecution": self._start,
            "DescribePipelineExecution": lambda params, _caller: self._execution(params["PipelineExecutionArn"]),
            "ListPipelineExecutionSteps": self._list_steps,
            "StopPipelineExecution": self._stop,
        }

    def recover(self) -> None:
        """After a restart: runs that the last process worked on are lost."""
        for run in self._store.all(_RUNS):
            if run["PipelineExecutionStatus"] in _RUNNING:
                self._end(run["PipelineExecutionArn"], "Failed", "the local server was stopped during the run")

    # -- pipelines

    def _create(self, params: Document, caller: Caller) -> Document:
        name = params["PipelineName"]
        arn = self._platform.arn(PIPELINE, name)
        parse(_definition(params))
        self._platform.pass_role(caller, params["RoleArn"], arn)
        pipeline = {**params, "PipelineArn": arn, "PipelineStatus": "Active"}
        self._platform.tag_new(caller, arn, pipeline)
        try:
            return self._store.add(PIPELINE.name, name, pipeline)
        except AlreadyThere as error:
            raise invalid(f"Pipeline names must be unique within an AWS account and region: {name} exists") from error

    def _update(self, params: Document, caller: Caller) -> Document:
        name = self._pipeline(params["PipelineName"])["PipelineName"]
        if "PipelineDefinition" in params or "PipelineDefinitionS3Location" in params:
            parse(_definition(params))
        if "RoleArn" in params:
            self._platform.pass_role(caller, params["RoleArn"], self._platform.arn(PIPELINE, name))
        return self._store.change(PIPELINE.name, name, **params)

    def _delete(self, params: Document, _caller: Caller) -> Document:
        pipeline = self._pipeline(params["PipelineName"])
        self._store.remove(PIPELINE.name, pipeline["PipelineName"])
        self._store.remove_tags(pipeline["PipelineArn"])
        return pipeline

    def _pipeline(self, name_or_arn: str) -> Document:
        name = name_or_arn.rpartition("/")[2]
        pipeline = self._store.find(PIPELINE.name, name)
        if pipeline is None:
            raise ServiceError("ResourceNotFound", f"Pipeline '{self._platform.arn(PIPELINE, name)}' does not exist.")
        return pipeline

    # -- runs

    def _start(self, params: Document, _caller: Caller) -> Document:
        pipeline = self._pipeline(params["PipelineName"])
        for member in _UNSUPPORTED_AT_START:
            if member in params:
                raise unsupported(f"{member} of a pipeline's run")
        definition = parse(pipeline["PipelineDefinition"])
        values = parameter_values(definition, params.get("PipelineParameters", []))
        with self._starting:
            earlier = self._started_by(pipeline["PipelineArn"], params["ClientRequestToken"])
            if earlier is not None:
                return earlier
            execution_id = random_id(12)
            arn = f"{pipeline['PipelineArn']}/execution/{execution_id}"
            run = self._store.add(_RUNS, arn, _new_run(arn, pipeline, params))
            self._stops[arn] = threading.Event()
        self._count(pipeline["PipelineName"], "Started")
        work = (arn, pipeline, definition["Steps"], Known(values))
        threading.Thread(target=self._work, args=work, name=f"pipeline {execution_id}", daemon=True).start()
        return run

    def _started_by(self, pipeline_arn: str, token: str) -> Document | None:
        runs = self._store.all(_RUNS)
        return next((run for run in runs if (run["PipelineArn"], run["_Token"]) == (pipeline_arn, token)), None)

    def _execution(self, arn: str) -> Document:
        run = self._store.find(_RUNS, arn)
        if run is None:
            raise ServiceError("ResourceNotFound", f"Pipeline execution with ARN {arn} does not exist.")
        return run

    def _list_steps(self, params: Document, _caller: Caller) -> Document:
        steps = self._execution(params["PipelineExecutionArn"])["_Steps"]
        if "NextToken" in params or len(steps) > params.get("MaxResults", 20):
            raise unsupported("a second page of a run's steps")
        ascending = params.get("SortOrder", "Descending") == "Ascending"
        return {"PipelineExecutionSteps": steps if ascending else steps[::-1]}

    def _stop(self, params: Document, _caller: Caller) -> Document:
        arn = params["PipelineExecutionArn"]
        self._execution(arn)

        def stopping(run: Document) -> None:
            if run["PipelineExecutionStatus"] not in _RUNNING:
                raise invalid(f"Pipeline execution with ARN {arn} is not running.")
            run["PipelineExecutionStatus"] = "Stopping"

        self._store.edit(_RUNS, arn, stopping)
        self._stops[arn].set()
        return {"PipelineExecutionArn": arn}

    # -- working

    def _work(self, arn: str, pipeline: Document, steps: list[Document], known: Known) -> None:
        status, reason = self._outcome(arn, pipeline, steps, known)
        if not self._platform.stopping.is_set():
            self._end(arn, status, reason)
            self._count(pipeline["PipelineName"], status)

    def _outcome(self, arn: str, pipeline: Document, steps: list[Document], known: Known) -> tuple[str, str | None]:
        execution_id = arn.rpartition("/")[2]
        try:
            role = self._platform.assume(pipeline["RoleArn"], execution_id, pipeline["PipelineArn"])
        except Denied as error:
            return "Failed", str(error)
        try:
            sagemaker = self._platform.host.client("sagemaker", role)
            Run(sagemaker, execution_id, known, self._stops[arn], lambda state: self._note(arn, state)).work_through(
                steps
            )
        except RunStopped:
            return "Stopped", None
        except RunFailed as error:
            return "Failed", str(error)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong, the run ends and says so
            log.exception("pipeline run %s failed", arn)
            return "Failed", f"InternalServerError: {type(error).__name__}: {error}"
        finally:
            self._platform.host.forget(role)
        return "Succeeded", None

    def _note(self, arn: str, state: Document) -> None:
        def apply(run: Document) -> None:
            others = [each for each in run["_Steps"] if each["StepName"] != state["StepName"]]
            run["_Steps"] = [*others, {**state, "AttemptCount": 1}]

        self._store.edit(_RUNS, arn, apply)

    def _end(self, arn: str, status: str, reason: str | None) -> None:
        told = {"FailureReason": reason} if reason else {}
        self._store.change(_RUNS, arn, PipelineExecutionStatus=status, **told)

    def _count(self, name: str, what: str) -> None:
        self._platform.host.put_metric(_METRICS, f"Execution{what}", 1, {"PipelineName": name}, "Count")


def _definition(params: Document) -> str:
    if "PipelineDefinition" not in params:
        raise unsupported("a pipeline without PipelineDefinition")
    return str(params["PipelineDefinition"])


def _new_run(arn: str, pipeline: Document, params: Document) -> Document:
    shown = ("PipelineExecutionDisplayName", "PipelineExecutionDescription", "ParallelismConfiguration")
    return {
        **{name: params[name] for name in shown if name in params},
        "PipelineArn": pipeline["PipelineArn"],
        "PipelineExecutionArn": arn,
        "PipelineExecutionStatus": "Executing",
        "_Token": params["ClientRequestToken"],
        "_Steps": [],
    }
