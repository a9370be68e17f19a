"""Score files of rows by batch transform: land them, wait for the scoring machine, read what it published."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from local.aws import Aws
from local.errors import Failure, UserError
from local.executions import RUNNING, SUCCEEDED, Execution, execution_arn, read_execution
from local.landing import batch_key, check_folder
from local.outputs import Outputs, stack_name
from local.settings import Settings

MARKER = "_score.json"
SUFFIXES = (".csv", ".csv.gz", ".json", ".json.gz", ".jsonl", ".jsonl.gz", ".parquet")

_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Delivery:
    """An input of rows.

    Args:
        files: Name to content.
        as_of: UTC instant that the predictions are for.
    """

    files: dict[str, bytes]
    as_of: dt.datetime

    def document(self, workload: str) -> dict[str, object]:
        """What ``_score.json`` says."""
        files = [
            {"source": "rows", "key": name, "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
            for name, body in self.files.items()
        ]
        return {"workload": workload, "as_of": self.as_of.isoformat().replace("+00:00", "Z"), "files": files}


def read_delivery(paths: Sequence[Path], as_of: dt.datetime) -> Delivery:
    """Read files of rows.

    Raises:
        UserError: One cannot be read, two have the same name, or a name does not say how it is read.
    """
    files: dict[str, bytes] = {}
    for path in paths:
        if not path.name.endswith(SUFFIXES):
            raise UserError(f"{path.name}: how it is read is told by its suffix (allowed: {', '.join(SUFFIXES)})")
        if path.name in files:
            raise UserError(f"two files are called {path.name}; names of an input have to differ")
        try:
            files[path.name] = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from error
    return Delivery(files, as_of)


def machine_of(settings: Settings, aws: Aws) -> str:
    """ARN of the machine that scores files of rows.

    Raises:
        UserError: The workload has none.
    """
    stack = aws.client("cloudformation").describe_stacks(StackName=stack_name(settings))["Stacks"][0]
    found = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    if "ScoringMachineArn" not in found:
        raise UserError(
            f"workload {settings.workload} scores no files; write `batch_scoring: {{}}` in its workload.yaml"
        )
    return str(found["ScoringMachineArn"])


def deliver(settings: Settings, aws: Aws, outputs: Outputs, delivery: Delivery, folder: str) -> str:
    """Upload an input, ``_score.json`` last; returns its idempotency key."""
    s3, prefix = aws.client("s3"), f"{outputs.landing_prefix}scoring/{check_folder(folder)}/"
    for name, body in delivery.files.items():
        s3.put_object(Bucket=outputs.landing_bucket, Key=prefix + name, Body=body)
    document = delivery.document(settings.workload)
    s3.put_object(Bucket=outputs.landing_bucket, Key=prefix + MARKER, Body=json.dumps(document, indent=2).encode())
    return hashlib.sha256(f"scoring\n{batch_key(document)}".encode()).hexdigest()


def wait_for(aws: Aws, machine_arn: str, key: str, seconds: float) -> Execution:
    """Wait for the end of what an input has set off.

    Raises:
        Failure: It has not ended in time, or has failed.
    """
    arn = execution_arn(machine_arn, f"{key[:16]}-1")
    states = aws.client("stepfunctions")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if states.describe_execution(executionArn=arn)["status"] != RUNNING:
                break
        except states.exceptions.ExecutionDoesNotExist:
            pass
        time.sleep(_LOOK_SECONDS)
    else:
        raise Failure(f"scoring has not ended within {seconds:g} s (execution {arn})")
    found = read_execution(aws, "scoring", arn)
    if found.status != SUCCEEDED:
        raise Failure(f"scoring {found.status.lower()}: {found.error}: {found.cause}")
    return found


def read_predictions(aws: Aws, manifest_uri: str) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """The manifest of published predictions, and their rows one by one."""
    s3 = aws.client("s3")

    def read(bucket: str, key: str) -> bytes:
        body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    place = urlsplit(manifest_uri)
    try:
        manifest: dict[str, Any] = json.loads(read(place.netloc, place.path[1:]))
    except ClientError as error:
        raise Failure(f"{manifest_uri} cannot be read: {error}") from error
    lines = (line for file in manifest["files"] for line in read(place.netloc, file["key"]).splitlines())
    return manifest, (json.loads(line) for line in lines)
