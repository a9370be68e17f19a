"""Job runs: started, watched, stopped, and written down as Glue does."""

from __future__ import annotations

import hashlib
import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from local.server import clock
from local.server.glue.job_run import JobRun, Outcome
from local.server.glue.records import Record, Records
from local.server.host import Host, ServiceError

log = logging.getLogger("gapless.glue")

Document = dict[str, Any]

SECONDS_PER_MINUTE = 60.0
"""What a minute of a job's ``Timeout`` lasts."""

LIVE = ("STARTING", "RUNNING", "STOPPING")
_MOST_PER_PAGE = 200
_SEVERITY = {"SUCCEEDED": "INFO", "STOPPED": "INFO", "FAILED": "ERROR", "TIMEOUT": "ERROR"}
_LOST = "the run ended with the server that ran it"


class JobRuns:
    """Every run of every job on this server."""

    def __init__(self, host: Host, records: Records) -> None:
        self._host = host
        self._records = records
        self._lock = threading.Lock()
        self._going: dict[str, JobRun] = {}
        self._leaving = False
        self.operations: dict[str, Callable[[Document], Document]] = {
            "StartJobRun": self._start,
            "GetJobRuns": self._list,
            "BatchStopJobRun": self._stop_many,
        }

    def leave(self) -> None:
        """From now on a run fails because the server stops, not because of its script."""
        self._leaving = True

    def end_what_was_running(self) -> None:
        """Close the runs that the last server left open: nobody works on them any more."""
        for record in self._records.all_runs():
            if record["JobRunState"] in LIVE and record["Id"] not in self._going:
                self._close(record, Outcome("FAILED", _LOST))
                self._announce(record)

    def _start(self, request: Document) -> Document:
        job = self._records.job(request["JobName"])
        if job is None:
            missing = f"Failed to start job run due to missing metadata: {request['JobName']}"
            raise ServiceError("EntityNotFoundException", missing)
        record = _new_record(job, request)
        encryption = self._encryption(record["SecurityConfiguration"])
        with self._lock:
            runs = self._records.runs(job["Name"])
            limit = int(job["ExecutionProperty"].get("MaxConcurrentRuns", 1))
            if sum(run["JobRunState"] in LIVE for run in runs) >= limit:
                raise ServiceError("ConcurrentRunsExceededException", f"Concurrent runs exceeded for {job['Name']}")
            runs.append(record)
            limit_seconds = record["Timeout"] * SECONDS_PER_MINUTE
            run = JobRun(self._host, job, record, _arguments(job, request), limit_seconds, encryption)
            self._going[record["Id"]] = run
        threading.Thread(target=self._perform, args=(run, record), name=record["Id"][:12], daemon=True).start()
        return {"JobRunId": record["Id"]}

    def _encryption(self, name: str) -> Mapping[str, str]:
        """How the engine encrypts what it writes; logs and bookmarks are not encrypted on this machine."""
        if not name:
            return {}
        configuration = self._records.security_configuration(name)
        if configuration is None:
            raise ServiceError("EntityNotFoundException", f"Security Configuration {name} not found.")
        for rule in configuration["EncryptionConfiguration"].get("S3Encryption", []):
            if rule.get("S3EncryptionMode") == "SSE-KMS":
                return {"AWS_SERVER_SIDE_ENCRYPTION": "aws:kms", "AWS_SSE_KMS_KEY_ID": rule["KmsKeyArn"]}
        return {}

    def _perform(self, run: JobRun, record: Record) -> None:
        try:
            outcome = run.perform()
        except Exception as error:
            log.exception("run %s of job %s", record["Id"], record["JobName"])
            outcome = Outcome("FAILED", f"{type(error).__name__}: {error}")
        if self._leaving and outcome.state == "FAILED":
            outcome = Outcome("FAILED", _LOST)
        with self._lock:
            self._close(record, outcome)
            del self._going[record["Id"]]
        self._announce(record)

    def _close(self, record: Record, outcome: Outcome) -> None:
        now = clock.now()
        record["ExecutionTime"] = round(now - record["StartedOn"])
        record["CompletedOn"] = record["LastModifiedOn"] = now
        if outcome.message:
            record["ErrorMessage"] = outcome.message
        record["JobRunState"] = outcome.state

    def _announce(self, record: Record) -> None:
        state = record["JobRunState"]
        detail = {
            "jobName": record["JobName"],
            "severity": _SEVERITY[state],
            "state": state,
            "jobRunId": record["Id"],
            "message": record.get("ErrorMessage") or f"Job run {state.lower()}",
        }
        self._host.emit("aws.glue", "Glue Job State Change", detail)

    def _list(self, request: Document) -> Document:
        if self._records.job(request["JobName"]) is None:
            raise ServiceError("EntityNotFoundException", f"Job {request['JobName']} not found.")
        newest_first = self._records.runs(request["JobName"])[::-1]
        start = int(request.get("NextToken") or 0)
        end = start + min(request.get("MaxResults") or _MOST_PER_PAGE, _MOST_PER_PAGE)
        return {"JobRuns": newest_first[start:end], **({"NextToken": str(end)} if end < len(newest_first) else {})}

    def _stop_many(self, request: Document) -> Document:
        stopped, errors = [], []
        for run_id in request["JobRunIds"]:
            which = {"JobName": request["JobName"], "JobRunId": run_id}
            try:
                self._stop(request["JobName"], run_id)
                stopped.append(which)
            except ServiceError as error:
                errors.append({**which, "ErrorDetail": {"ErrorCode": error.code, "ErrorMessage": error.message}})
        return {"SuccessfulSubmissions": stopped, "Errors": errors}

    def _stop(self, job: str, run_id: str) -> None:
        with self._lock:
            record = next((run for run in self._records.runs(job) if run["Id"] == run_id), None)
            if record is None:
                raise ServiceError("EntityNotFoundException", f"Job run {run_id} of job {job} not found.")
            if run_id not in self._going:
                state = record["JobRunState"]
                raise ServiceError("InvalidInputException", f"Job run {run_id} is {state}, not running.")
            record["JobRunState"] = "STOPPING"
            self._going[run_id].stop()


def _new_record(job: Record, request: Document) -> Record:
    now = clock.now()
    workers = int(request.get("NumberOfWorkers") or job["NumberOfWorkers"])
    return {
        "Id": "jr_" + hashlib.sha256(uuid.uuid4().bytes).hexdigest(),
        "Attempt": 0,
        "JobName": job["Name"],
        "JobMode": job["JobMode"],
        "StartedOn": now,
        "LastModifiedOn": now,
        "JobRunState": "STARTING",
        "Arguments": request.get("Arguments", {}),
        "PredecessorRuns": [],
        "AllocatedCapacity": workers,
        "ExecutionTime": 0,
        "Timeout": int(request.get("Timeout") or job["Timeout"]),
        "MaxCapacity": float(request.get("MaxCapacity") or job.get("MaxCapacity") or workers),
        "WorkerType": request.get("WorkerType") or job.get("WorkerType"),
        "NumberOfWorkers": workers,
        "SecurityConfiguration": request.get("SecurityConfiguration") or job.get("SecurityConfiguration") or "",
        "LogGroupName": "/aws-glue/jobs",
        "GlueVersion": job.get("GlueVersion"),
        "ExecutionClass": request.get("ExecutionClass") or job["ExecutionClass"],
    }


def _arguments(job: Record, request: Document) -> Mapping[str, str]:
    """A run's arguments: the job's defaults, over them the run's, over them what nobody may change."""
    layers = (job.get("DefaultArguments"), request.get("Arguments"), job.get("NonOverridableArguments"))
    return {name: str(value) for layer in layers for name, value in (layer or {}).items()}
