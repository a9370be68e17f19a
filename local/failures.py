"""Say what failed, why, and where its log is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from constructs_lib.names.naming import runtime_name
from local.aws import Aws
from local.chain import Chain
from local.executions import Execution
from local.outputs import Outputs
from local.settings import Settings

_MESSAGE_KEYS = ("errorMessage", "ErrorMessage", "ExitMessage", "FailureReason", "Cause")
_LONGEST = 2000


@dataclass(frozen=True)
class Explanation:
    """A failure in a form that a person can act on.

    Args:
        machine: The pipeline that failed.
        state: The state that failed, if anything tells.
        error: Error name.
        message: What the failed thing itself said.
        log: What ``python -m local logs`` takes to show its log.
    """

    machine: str
    state: str | None
    error: str
    message: str
    log: str

    def text(self) -> str:
        """Several lines for the terminal."""
        where = f"state {self.state} of the {self.machine} pipeline" if self.state else f"the {self.machine} pipeline"
        return f"{where} failed: {self.error}\n{self.message}\nlog: python -m local logs {self.log}"


def explain(settings: Settings, aws: Aws, outputs: Outputs, chain: Chain) -> Explanation | None:
    """Explain the failure of a run, or ``None`` if it has not failed.

    The run's record tells; a machine that failed before it could write one is told from its history.
    """
    execution = chain.failed
    if execution is None:
        return None
    run_id = str(execution.input.get("run_id", chain.run_id))
    key = {"run": {"S": f"{execution.machine}#{run_id}"}}
    record = aws.client("dynamodb").get_item(TableName=outputs.runs_table, Key=key).get("Item", {})
    told = {name: value["S"] for name, value in record.items() if "S" in value}
    log = failed_job(settings, aws, execution.machine, run_id) or execution.name
    return from_record(execution, told, log) if told.get("status") == "failed" else from_history(execution, log)


def from_record(execution: Execution, record: Mapping[str, str], log: str) -> Explanation:
    """What the machine itself wrote into the run's record."""
    error = record.get("error", execution.status)
    message = _innermost(record.get("cause", ""))
    return Explanation(execution.machine, record.get("failed_state"), error, message, log)


def from_history(execution: Execution, log: str) -> Explanation:
    """What can be seen of an execution from outside."""
    state = execution.culprit()
    error = (state.error if state else None) or execution.error or execution.status
    cause = (state.cause if state else None) or execution.cause or ""
    return Explanation(execution.machine, state.name if state else None, error, _innermost(cause), log)


def _innermost(cause: str) -> str:
    """The message in a cause: services report a failed job, function or execution as a JSON document."""
    try:
        document = json.loads(cause)
    except ValueError:
        return cause[:_LONGEST] or "no cause was given"
    if not isinstance(document, dict):
        return cause[:_LONGEST]
    for key in _MESSAGE_KEYS:
        value = document.get(key)
        if isinstance(value, str) and value:
            return _innermost(value)
    return cause[:_LONGEST]


def failed_job(settings: Settings, aws: Aws, machine: str, run_id: str) -> str | None:
    """The newest failed job that a machine started for a run: a Glue run by its id, a SageMaker job by its name."""
    finders: dict[str, Callable[[], str | None]] = {
        "data": lambda: _failed_glue_run(settings, aws, run_id),
        "model": lambda: _failed_training(aws, run_id) or _failed_processing(aws, run_id),
        "deployment": lambda: _failed_processing(aws, run_id),
    }
    return finders[machine]() if machine in finders else None


def _failed_glue_run(settings: Settings, aws: Aws, run_id: str) -> str | None:
    name = runtime_name(settings.stage, settings.workload, "prepare")
    pages = aws.client("glue").get_paginator("get_job_runs").paginate(JobName=name)
    runs = [run for page in pages for run in page["JobRuns"]]
    mine = [run for run in runs if str(run.get("Arguments", {}).get("--attempt", "")).startswith(run_id)]
    failed = [run for run in mine if run["JobRunState"] in {"FAILED", "ERROR", "TIMEOUT", "STOPPED"}]
    newest = max(failed, key=lambda run: run["StartedOn"], default=None)
    return str(newest["Id"]) if newest else None


def _failed_training(aws: Aws, run_id: str) -> str | None:
    asked = _failed_jobs_of(run_id)
    found = aws.client("sagemaker").list_training_jobs(**asked)["TrainingJobSummaries"]
    return str(found[0]["TrainingJobName"]) if found else None


def _failed_processing(aws: Aws, run_id: str) -> str | None:
    asked = _failed_jobs_of(run_id)
    found = aws.client("sagemaker").list_processing_jobs(**asked)["ProcessingJobSummaries"]
    return str(found[0]["ProcessingJobName"]) if found else None


def _failed_jobs_of(run_id: str) -> dict[str, Any]:
    return {"NameContains": run_id, "StatusEquals": "Failed", "SortBy": "CreationTime", "SortOrder": "Descending"}
