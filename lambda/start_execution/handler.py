"""Starts one execution per landed batch and per approved model package, however often their events arrive.

Invoked by the intake queue (SQS, partial batch responses) with the events of EventBridge as message bodies:

- ``Object Created`` of S3, for a key that ends in ``/_batch.json``, starts the loop machine;
- ``SageMaker Model Package State Change`` to ``Approved`` starts the deployment machine;
- ``Re-run Requested`` of ``gapless`` (``{"workload", "run_key"}``) starts an earlier execution once more.

The idempotency key of a batch is the SHA-256 of what ``_batch.json`` says, wherever it lies and however it is laid
out; that of an approval is the SHA-256 of the package's ARN and the event's id, which all deliveries of one event
share: a package whose approval was taken back can be approved, and so deployed, again. The protocol, on the item
``start#<key>`` of the table:

1. a conditional put records the wish: ``status = pending``, attempt 1 and the input of the execution;
2. StartExecution with the *recorded* input, named ``<first 16 digits of the key>-<attempt>``; it may exist already;
3. an update marks the item ``started``.

Whoever finds the item ``started`` has nothing to do; whoever finds it ``pending`` (another message at work, or one that
died) goes on with step 2, which is harmless to repeat. So an event is lost at no point, and starts nothing twice. A
re-run replaces step 1 by an update that raises the attempt once per event id.

A batch file that is not JSON starts an execution all the same: the data machine refuses it, and that failure reaches a
person.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.messages import BatchResponse, each_message
from gapless_lambda.s3 import Address, parse_uri, read_json
from gapless_lambda.settings import read_settings
from start_execution.record import BadEvent, Machine, Start, StartRecord

BATCH_FILE = "_batch.json"

log = get_logger(__name__)


class MissingBundle(Exception):
    """No bundle of scripts has been published for the workload, or its pointer is not readable."""


@dataclass(frozen=True)
class Settings:
    """The environment of the function; the pointer is an S3 URI."""

    stage: str
    workload: str
    runs_table: str
    loop_machine_arn: str
    deployment_machine_arn: str
    bundle_pointer: str

    def machine_arn(self, machine: Machine) -> str:
        """Give the ARN of the machine."""
        return self.loop_machine_arn if machine == "loop" else self.deployment_machine_arn


# --- decisions: what an event asks for -----------------------------------------------------------------------------


def parse_batch(body: bytes) -> dict[str, Any] | None:
    """Read ``_batch.json``; None when it is not a JSON object with a list of files."""
    try:
        batch = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(batch, dict) or not isinstance(batch.get("files"), list):
        return None
    return batch if all(isinstance(file, dict) for file in batch["files"]) else None


def batch_key(body: bytes) -> str:
    """Give the idempotency key of a batch: the SHA-256 of its canonical JSON, or of the bytes when they do not parse.

    The order of the files, of the members and white space do not count.
    """
    batch = parse_batch(body)
    if batch is None:
        return hashlib.sha256(body).hexdigest()
    files = sorted(batch["files"], key=lambda file: (str(file.get("source")), str(file.get("key"))))
    canonical = json.dumps({**batch, "files": files}, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def as_of(batch: Mapping[str, Any] | None, event_time: str) -> str:
    """Give the instant that stands for "now" in the whole run: the batch's own, when valid, else the time of the event.

    Args:
        batch: What ``_batch.json`` says, None when it does not parse.
        event_time: ISO 8601 with an offset.

    Returns:
        UTC, as ``2013-05-01T00:00:00Z``.

    Raises:
        BadEvent: The event's time is not one.
    """
    named = _utc(batch.get("as_of")) if batch else None
    given = named if named is not None else _utc(event_time)
    if given is None:
        raise BadEvent(f"the event's time is not an ISO 8601 instant with an offset: {event_time!r}")
    return given


def _utc(text: Any) -> str | None:
    if not isinstance(text, str):
        return None
    try:
        instant = datetime.fromisoformat(text)
        named = instant.astimezone(UTC) if instant.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
    return named.isoformat().replace("+00:00", "Z") if named is not None else None


def landing_address(event: Mapping[str, Any], workload: str) -> Address | None:
    """Give the address of the batch file that an S3 event is about, its key exactly as given; None for another file.

    Raises:
        BadEvent: The key lies outside the workload's prefix.
    """
    address = Address(event["detail"]["bucket"]["name"], event["detail"]["object"]["key"])
    if not address.key.startswith(f"{workload}/"):
        raise BadEvent(f"key outside the workload's prefix: {address.key!r}; allowed is {workload}/…")
    return address if address.key.rpartition("/")[2] == BATCH_FILE else None


def landing_start(
    event: Mapping[str, Any], workload: str, address: Address, body: bytes, bundle: Mapping[str, str]
) -> Start:
    """Decide what a landed batch starts: the loop, with the batch, its instant and the bundle that is current now."""
    return Start(
        key=batch_key(body),
        machine="loop",
        attempt=1,
        input={
            "workload": workload,
            "batch_uri": str(address),
            "as_of": as_of(parse_batch(body), event["time"]),
            "bundle": dict(bundle),
            "triggered_by": _trigger(event),
        },
    )


def approval_start(event: Mapping[str, Any], workload: str) -> Start | None:
    """Decide what a change of a model package starts: the deployment when it was approved, otherwise nothing."""
    if event["detail"].get("ModelApprovalStatus") != "Approved":
        return None
    arn = event["detail"]["ModelPackageArn"]
    return Start(
        key=hashlib.sha256(f"{arn}\n{event['id']}".encode()).hexdigest(),
        machine="deployment",
        attempt=1,
        input={
            "workload": workload,
            "model_package_arn": arn,
            "as_of": as_of(None, event["time"]),
            "triggered_by": _trigger(event),
        },
    )


def _trigger(event: Mapping[str, Any]) -> dict[str, str]:
    return {"event": event["id"], "source": event["source"], "detail_type": event["detail-type"]}


# --- the handler ---------------------------------------------------------------------------------------------------


def read_bundle(s3: Any, pointer: str) -> dict[str, str]:
    """Read which bundle of scripts is current.

    Raises:
        MissingBundle: There is no pointer, or it does not name ``bundle``, ``uri`` and ``commit``.
    """
    try:
        current = read_json(s3, parse_uri(pointer))
    except ClientError as error:
        if error.response["Error"]["Code"] not in (
            "NoSuchKey",
            "AccessDenied",
        ):  # without s3:ListBucket S3 says the latter
            raise
        raise MissingBundle(f"no bundle is published: {pointer} does not exist or may not be read") from error
    except ValueError as error:
        raise MissingBundle(str(error)) from error
    names = ("bundle", "uri", "commit")
    if not isinstance(current, dict) or not all(isinstance(current.get(name), str) for name in names):
        raise MissingBundle(f"{pointer} says {current!r}; it has to name {', '.join(names)}")
    return {name: current[name] for name in names}


def wanted(event: Mapping[str, Any], settings: Settings, record: StartRecord) -> Start | None:
    """Put on record what an event asks for; give the start that is still to be carried out, None when there is nothing.

    Raises:
        BadEvent: The event is of no kind that is known here.
        MissingBundle: See :func:`read_bundle`.
    """
    match event.get("source"), event.get("detail-type"):
        case "aws.s3", "Object Created":
            address = landing_address(event, settings.workload)
            if address is None:
                return None
            s3 = client("s3")
            body = s3.get_object(Bucket=address.bucket, Key=address.key)["Body"].read()
            bundle = read_bundle(s3, settings.bundle_pointer)
            return record.wish(landing_start(event, settings.workload, address, body, bundle))
        case "aws.sagemaker", "SageMaker Model Package State Change":
            approval = approval_start(event, settings.workload)
            return record.wish(approval) if approval is not None else None
        case "gapless", "Re-run Requested":
            if event["detail"]["workload"] != settings.workload:
                return None
            bundle = read_bundle(client("s3"), settings.bundle_pointer)
            return record.wish_again(event["detail"]["run_key"], event["id"], bundle)
        case kind:
            raise BadEvent(f"event of an unknown kind: {kind!r}; allowed are landed batches, approvals and re-runs")


def start(event: Mapping[str, Any], settings: Settings) -> None:
    """Carry out what an event asks for, once."""
    record = StartRecord(client("dynamodb"), settings.runs_table)
    todo = wanted(event, settings, record)
    if todo is None:
        log.info("nothing to start", extra={"event_id": event["id"]})
        return
    machine_arn = settings.machine_arn(todo.machine)
    states = client("stepfunctions")
    try:
        states.start_execution(stateMachineArn=machine_arn, name=todo.run_id, input=todo.body())
    except states.exceptions.ExecutionAlreadyExists:
        log.info("the execution exists already", extra={"run_id": todo.run_id, "event_id": event["id"]})
    record.done(todo)
    log.info("started", extra={"run_id": todo.run_id, "machine": todo.machine, "event_id": event["id"]})


def handler(event: Mapping[str, Any], context: Any) -> BatchResponse:  # noqa: ARG001
    """Start what the messages of one delivery ask for; those that fail come again, and end in the DLQ."""
    settings = read_settings(Settings)
    return each_message(event, lambda body: start(body, settings), log)
