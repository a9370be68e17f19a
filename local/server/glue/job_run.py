"""One run of a job: its code is fetched, its script runs in a child, its output becomes logs; all under its role."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.server.glue.role_log import RoleLog
from local.server.host import Credentials, Denied, Host
from local.server.usage import Figure, Measure

log = logging.getLogger("gapless.glue")

BOOT = Path(__file__).parents[2] / "engine" / "boot.py"
OUTPUT_GROUP, ERROR_GROUP = "/aws-glue/jobs/output", "/aws-glue/jobs/error"

_LOOK_SECONDS = 0.25
_KILL_SECONDS = 2.0
_IGNORED = {
    "--enable-auto-scaling": "there are no workers to take or leave",
    "--additional-python-modules": "the script sees the packages of the interpreter that runs jobs",
    "--extra-jars": "the engine has no JVM",
    "--conf": "the script sets its session's configuration itself",
}
"""Special arguments that do nothing here, and why; the run's log names those that were given."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its final state, and what went wrong or an empty text."""

    state: str
    message: str = ""


class LaunchError(Exception):
    """A run could not be started; the text is the run's error message."""


class JobRun:
    """One run, from its role's session to its final state.

    Args:
        job: The job's definition.
        record: The run's record; its state is changed here until the run ends.
        arguments: All arguments of the run, with ``--``.
        limit_seconds: How long the script may take.
        encryption: Variables that make the engine encrypt what it writes.
    """

    def __init__(
        self,
        host: Host,
        job: Mapping[str, Any],
        record: dict[str, Any],
        arguments: Mapping[str, str],
        limit_seconds: float,
        encryption: Mapping[str, str],
    ) -> None:
        self._host = host
        self._job = job
        self._record = record
        self._arguments = arguments
        self._limit_seconds = limit_seconds
        self._encryption = encryption
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Ask the run to end; it does so within seconds."""
        self._stopped.set()

    def perform(self) -> Outcome:
        """Run to the end; whatever the script does is an outcome, not an exception."""
        self._host.settings.scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="glue-", dir=self._host.settings.scratch))
        credentials = None
        try:
            credentials = self._assume_role()
            return self._launch(folder, credentials)
        except LaunchError as error:
            return Outcome("FAILED", str(error))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if credentials is not None:
                self._host.forget(credentials)

    def _assume_role(self) -> Credentials:
        settings, role = self._host.settings, self._job["Role"]
        arn = role if role.startswith("arn:") else f"arn:aws:iam::{settings.account}:role/{role}"
        job_arn = f"arn:aws:glue:{settings.region}:{settings.account}:job/{self._job['Name']}"
        try:
            return self._host.mint(arn, "glue.amazonaws.com", "GlueJobRunnerSession", job_arn)
        except Denied as denial:
            raise LaunchError(
                f"Role {arn} should be given assume role permissions for Glue Service: {denial}"
            ) from denial

    def _launch(self, folder: Path, credentials: Credentials) -> Outcome:
        s3 = self._host.client("s3", credentials)
        script = _download(s3, self._job["Command"]["ScriptLocation"], folder)
        modules = folder / "modules"
        modules.mkdir()
        places = [_download(s3, place, modules) for place in _listed(self._arguments.get("--extra-py-files"))]
        argv = self._argv(folder, script, places)
        work = folder / "work"
        work.mkdir()
        with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            env = {**self._host.child_env(credentials), **self._encryption, "TMPDIR": str(work)}
            process = self._host.spawn(argv, env=env, cwd=work, stdout=stdout, stderr=stderr)
        self._host.usage.watch(process.pid, self._measure())
        logs = self._logs(folder, credentials)
        self._record["JobRunState"] = "RUNNING"
        outcome = self._watch(process, logs, folder / "failure.json")
        self._host.usage.forget(process.pid)
        for one in logs:
            one.ship_rest()
        self._publish(credentials, outcome)
        return outcome

    def _argv(self, folder: Path, script: Path, modules: list[Path]) -> list[str]:
        settings = self._host.settings
        boot = [str(settings.job_python), "-I", str(BOOT), "--engine", settings.engine]
        failure = ["--failure", str(folder / "failure.json")]
        paths = [part for path in _module_paths(modules) for part in ("--module-path", str(path))]
        given = {"--JOB_NAME": self._job["Name"], "--JOB_RUN_ID": self._record["Id"], **self._arguments}
        return [*boot, *failure, *paths, str(script), *(part for pair in given.items() for part in pair)]

    def _logs(self, folder: Path, credentials: Credentials) -> list[RoleLog]:
        client, run_id = self._host.client("logs", credentials), self._record["Id"]
        output = RoleLog(self._host, client, OUTPUT_GROUP, run_id, folder / "stdout")
        error = RoleLog(self._host, client, ERROR_GROUP, run_id, folder / "stderr")
        output.write([f"{name} is ignored here: {why}" for name, why in _IGNORED.items() if name in self._arguments])
        return [output, error]

    def _watch(self, process: subprocess.Popen[bytes], logs: list[RoleLog], failure: Path) -> Outcome:
        deadline = time.monotonic() + self._limit_seconds
        while True:
            try:
                status = process.wait(_LOOK_SECONDS)
                break
            except subprocess.TimeoutExpired:
                for one in logs:
                    one.ship()
            if self._stopped.is_set():
                self._host.kill(process, _KILL_SECONDS)
                return Outcome("STOPPED")
            if time.monotonic() > deadline:
                self._host.kill(process, _KILL_SECONDS)
                return Outcome("TIMEOUT", f"Job run exceeded its timeout of {self._record['Timeout']} minutes")
        if self._stopped.is_set():
            return Outcome("STOPPED")
        return Outcome("SUCCEEDED") if status == 0 else Outcome("FAILED", _message(status, failure))

    def _measure(self) -> Measure:
        """The engine has no executors: what it uses is the driver's, and of workers there is no figure."""
        dimensions = {"JobName": self._job["Name"], "JobRunId": self._record["Id"], "Type": "gauge"}
        processors = Figure("glue.driver.system.cpuSystemLoad", 1 / (os.cpu_count() or 1), "None")
        memory = Figure("glue.driver.memory.total.used", 1.0, "Bytes", {"ObservabilityGroup": "resource_utilization"})
        return Measure("Glue", dimensions, processors, memory)

    def _publish(self, credentials: Credentials, outcome: Outcome) -> None:
        """The observability metrics that alarms on a job watch."""
        if self._arguments.get("--enable-observability-metrics", "").lower() != "true":
            return
        failed = outcome.state != "SUCCEEDED"
        values = {"glue.succeed.ALL": ("success", 0.0 if failed else 1.0), "glue.error.ALL": ("error", float(failed))}
        data = [
            {
                "MetricName": metric,
                "Value": value,
                "Unit": "Count",
                "Dimensions": _dimensions(self._job["Name"], run, group),
            }
            for metric, (group, value) in values.items()
            for run in ("ALL", self._record["Id"])
        ]
        try:
            self._host.client("cloudwatch", credentials).put_metric_data(Namespace="Glue", MetricData=data)
        except ClientError as error:
            log.warning("the role of job %s may not publish its metrics: %s", self._job["Name"], error)


def _dimensions(job: str, run: str, group: str) -> list[dict[str, str]]:
    pairs = {"JobName": job, "JobRunId": run, "Type": "count", "ObservabilityGroup": group}
    return [{"Name": name, "Value": value} for name, value in pairs.items()]


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _download(s3: Any, uri: str, folder: Path) -> Path:
    bucket, _, key = uri.removeprefix("s3://").removeprefix("s3a://").partition("/")
    path = folder / key.rpartition("/")[2]
    try:
        s3.download_file(bucket, key, str(path))
    except (ClientError, BotoCoreError, ValueError) as error:
        raise LaunchError(
            f"LAUNCH ERROR | Error downloading from S3 for bucket: {bucket}, key: {key}. {error}"
        ) from error
    return path


def _module_paths(files: list[Path]) -> list[Path]:
    """What goes on the path: archives themselves, and for plain modules the folder that they lie in."""
    return list(dict.fromkeys(file.parent if file.suffix == ".py" else file for file in files))


def _message(status: int, failure: Path) -> str:
    if failure.exists():
        return str(json.loads(failure.read_text(encoding="utf-8"))["message"])
    return f"Command failed with exit code {status if status >= 0 else 128 - status}"
