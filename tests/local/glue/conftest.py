"""Buckets, jobs and waiting for Glue tests; every test makes what it needs under names of its own."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

FINAL_STATES = {"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT", "ERROR"}


def wait_for(look: Callable[[], Any], seconds: float = 90.0) -> Any:
    """Look until there is something; returns it."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"nothing happened within {seconds} s")
        time.sleep(0.05)
    return found


@dataclass
class Lake:
    """A bucket of one test, and roles and jobs that work on it."""

    server: Any
    bucket: str = field(default_factory=lambda: f"lake-{uuid.uuid4().hex[:10]}")

    def __post_init__(self) -> None:
        self.s3 = self.server.client("s3")
        self.glue = self.server.client("glue")
        self.s3.create_bucket(Bucket=self.bucket)

    def put(self, key: str, body: bytes | str) -> str:
        """Write an object; returns its URI."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body if isinstance(body, bytes) else body.encode())
        return f"s3://{self.bucket}/{key}"

    def read(self, key: str) -> bytes:
        """The content of an object."""
        content: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def keys(self, prefix: str = "") -> list[str]:
        """The keys that start with ``prefix``."""
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def read_grants(self, *prefixes: str) -> list[dict[str, Any]]:
        """Statements that let a role read objects below the prefixes, and list the bucket."""
        return [
            allow("s3:GetObject", *(f"arn:aws:s3:::{self.bucket}/{prefix}*" for prefix in prefixes)),
            allow("s3:ListBucket", f"arn:aws:s3:::{self.bucket}"),
        ]

    def write_grants(self, prefix: str) -> dict[str, Any]:
        """A statement that lets a role write and delete objects below the prefix."""
        arn = f"arn:aws:s3:::{self.bucket}/{prefix}*"
        return allow(["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"], arn)

    def job(self, script: str, *grants: dict[str, Any], **members: Any) -> str:
        """Make a job that runs ``script``; returns its name."""
        name = f"job-{uuid.uuid4().hex[:10]}"
        logs = allow(["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], "arn:aws:logs:*:*:*")
        role = self.server.role("glue.amazonaws.com", *self.read_grants("code/"), logs, *grants)
        self.glue.create_job(
            Name=name,
            Role=members.pop("Role", role),
            Command={"Name": "glueetl", "ScriptLocation": self.put(f"code/{name}.py", script), "PythonVersion": "3"},
            **{"GlueVersion": "5.1", "WorkerType": "G.1X", "NumberOfWorkers": 2, "Timeout": 5, **members},
        )
        return name

    def start(self, job: str, **arguments: str) -> str:
        """Start a run; returns its id."""
        given = {f"--{name}": value for name, value in arguments.items()}
        run_id: str = self.glue.start_job_run(JobName=job, Arguments=given)["JobRunId"]
        return run_id

    def run(self, job: str, run_id: str) -> dict[str, Any]:
        """The record of a run."""
        record: dict[str, Any] = self.glue.get_job_run(JobName=job, RunId=run_id)["JobRun"]
        return record

    def finish(self, job: str, run_id: str, seconds: float = 60.0) -> dict[str, Any]:
        """Wait for the end of a run; returns its record."""

        def ended() -> dict[str, Any] | None:
            record = self.run(job, run_id)
            return record if record["JobRunState"] in FINAL_STATES else None

        record: dict[str, Any] = wait_for(ended, seconds)
        return record

    def log(self, group: str, stream: str) -> str:
        """The text of a log stream."""
        events = self.server.client("logs").get_log_events(
            logGroupName=group, logStreamName=stream, startFromHead=True
        )["events"]
        return "\n".join(event["message"] for event in events)


def allow(actions: str | list[str], *resources: str) -> dict[str, Any]:
    """A statement that allows actions on resources."""
    return {"Effect": "Allow", "Action": actions, "Resource": list(resources)}


def as_json(text: bytes) -> Any:
    """Parsed JSON."""
    return json.loads(text)


@pytest.fixture
def lake(local_server: Any) -> Lake:
    """A bucket of the test's own on the shared server."""
    return Lake(local_server)
