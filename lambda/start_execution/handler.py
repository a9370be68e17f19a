"""Starts one execution per landed batch and per approved model package, however often their events arrive.

Invoked by the intake queue (SQS, partial batch responses) with the events of EventBridge as message bodies:

- ``Object Created`` of S3, for a key that ends in ``/_batch.json``, starts the loop machine;
- ``Object Created`` for a key that ends in ``/_score.json`` starts the scoring machine, and ``Scoring Due`` of
  ``gapless`` does so at set times (see :mod:`start_execution.scoring`);
- ``SageMaker Model Package State Change`` to ``Approved`` starts the deployment machine; it and that to ``Rejected``
  are written into the audit trail, with who decided, and the policy of trainings is told of a rejection where there is
  one (``DECIDE_RETRAIN_ARN``);
- ``Re-run Requested`` of ``gapless`` (``{"workload", "run_key"}``) starts an earlier execution once more; where its
  detail has a ``bundle`` as well, new scripts were published, and it starts once more with each current bundle;
- ``Retrain Requested`` of ``gapless`` (``{"workload", "by", "reason"}``, ``as_of`` if it is not the event's time,
  ``search`` if hyperparameters are to be searched), an alarm of the monitor and a set time start the loop of the newest
  batch once more, with who asks and why in ``asked``. Whether it trains is up to the policy that the loop asks.

The idempotency key of a batch is the SHA-256 of what ``_batch.json`` says, wherever it lies and however it is laid
out; that of an approval is the SHA-256 of the package's ARN and the event's id, which all deliveries of one event
share: a package whose approval was taken back can be approved, and so deployed, again. The protocol, on the item
``start#<key>`` of the table:

1. a conditional put records the wish: ``status = pending``, attempt 1 and the input of the execution;
2. StartExecution with the *recorded* input, named ``<first 16 digits of the key>-<attempt>``; it may exist already;
3. an update marks the item ``started``.

Whoever finds the item ``started`` has nothing to do; whoever finds it ``pending`` (another message at work, or one that
died) goes on with step 2, which is harmless to repeat. So an event is lost at no point, and starts nothing twice. A
re-run replaces step 1 by an update that raises the attempt once per event id, or per bundle.

A batch file that is not JSON starts an execution all the same: the data machine refuses it, and that failure reaches a
person.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.messages import BatchResponse, each_message
from gapless_lambda.s3 import Address, parse_uri, read_json
from gapless_lambda.settings import read_settings
from start_execution.asked import asked_again, asked_by_alarm, asked_by_clock, asked_by_person
from start_execution.batches import as_of, batch_key, parse_batch, trigger
from start_execution.decision import is_decision, record_decision
from start_execution.record import BadEvent, Machine, Start, StartRecord
from start_execution.retraining import tell_of_rejection
from start_execution.scoring import MARKER, ScoringSettings, newest_inputs, read_waiting, scoring_start

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
    audit_table: str
    loop_machine_arn: str
    deployment_machine_arn: str
    bundle_pointer: str

    def machine_arn(self, machine: Machine) -> str:
        """Give the ARN of the machine."""
        if machine == "scoring":
            return read_settings(ScoringSettings).scoring_machine_arn
        return self.loop_machine_arn if machine == "loop" else self.deployment_machine_arn


# --- decisions: what an event asks for -----------------------------------------------------------------------------


def landing_address(event: Mapping[str, Any], workload: str) -> Address | None:
    """Give the address of the document that an S3 event is about, its key exactly as given; None for another file.

    Raises:
        BadEvent: The key lies outside the workload's prefix.
    """
    address = Address(event["detail"]["bucket"]["name"], event["detail"]["object"]["key"])
    if not address.key.startswith(f"{workload}/"):
        raise BadEvent(f"key outside the workload's prefix: {address.key!r}; allowed is {workload}/…")
    return address if address.key.rpartition("/")[2] in (BATCH_FILE, MARKER) else None


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
            "triggered_by": trigger(event),
        },
    )


def approval_start(event: Mapping[str, Any], workload: str) -> Start | None:
    """Decide what a change of a model package starts: the deployment when it was approved, otherwise nothing.

    A package that was approved before and gets a new property is not deployed again.
    """
    if event["detail"].get("ModelApprovalStatus") != "Approved" or not is_decision(event):
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
            "triggered_by": trigger(event),
        },
    )


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


def wanted(event: Mapping[str, Any], settings: Settings, record: StartRecord) -> Iterator[Start | None]:
    """Put on record what an event asks for; give each start that is still to be carried out, None for one that is not.

    Raises:
        BadEvent: The event is of no kind that is known here.
        MissingBundle: See :func:`read_bundle`.
    """
    match event.get("source"), event.get("detail-type"):
        case "aws.s3", "Object Created":
            yield wanted_by_file(event, settings, record)
        case "aws.sagemaker", "SageMaker Model Package State Change":
            if is_decision(event):
                note_decision(event, settings)
            approval = approval_start(event, settings.workload)
            yield record.wish(approval) if approval is not None else None
        case "gapless", "Scoring Due":
            yield from wanted_at_a_time(event, settings, record)
        case "gapless", "Re-run Requested":
            if event["detail"]["workload"] != settings.workload:
                return
            bundle = read_bundle(client("s3"), settings.bundle_pointer)
            request = f"bundle#{bundle['bundle']}" if "bundle" in event["detail"] else event["id"]
            yield record.wish_again(event["detail"]["run_key"], request, bundle, asked_again(event))
        case "gapless", "Retrain Requested":
            if event["detail"]["workload"] == settings.workload:
                yield wanted_by_somebody(event, asked_by_person(event), settings, record)
        case "aws.cloudwatch", "CloudWatch Alarm State Change":
            yield wanted_by_somebody(event, asked_by_alarm(event), settings, record)
        case "aws.events", "Scheduled Event":
            yield wanted_by_somebody(event, asked_by_clock(event), settings, record)
        case kind:
            raise BadEvent(
                f"event of an unknown kind: {kind!r}; allowed are landed batches, approvals, re-runs, and what asks "
                "for a training"
            )


def note_decision(event: Mapping[str, Any], settings: Settings) -> None:
    """Write a decision on a model into the audit trail, and tell the policy of trainings of a rejection.

    Raises:
        NotTold: See :func:`tell_of_rejection`.
    """
    detail = event["detail"]
    package = client("sagemaker").describe_model_package(ModelPackageName=detail["ModelPackageArn"])
    record_decision(client("dynamodb"), package, settings.audit_table, settings.workload, event)
    policy = os.environ.get("DECIDE_RETRAIN_ARN")
    if policy is not None and detail["ModelApprovalStatus"] == "Rejected":
        tell_of_rejection(client("lambda"), policy, package)


def wanted_by_file(event: Mapping[str, Any], settings: Settings, record: StartRecord) -> Start | None:
    """Put on record what a landed file asks for: the loop for a batch, the scoring machine for rows."""
    address = landing_address(event, settings.workload)
    if address is None:
        return None
    s3 = client("s3")
    if address.key.endswith(f"/{MARKER}"):
        return record.wish(scoring_start(event, settings.workload, read_waiting(s3, address)))
    body = s3.get_object(Bucket=address.bucket, Key=address.key)["Body"].read()
    bundle = read_bundle(s3, settings.bundle_pointer)
    landed = landing_start(event, settings.workload, address, body, bundle)
    todo = record.wish(landed)
    record.remember_newest(settings.workload, landed.key, landed.input["as_of"])
    return todo


def wanted_by_somebody(
    event: Mapping[str, Any], asked: Mapping[str, str], settings: Settings, record: StartRecord
) -> Start | None:
    """Put on record that somebody asks for a training of the newest batch; nothing while none has landed."""
    key = record.newest(settings.workload)
    if key is None:
        return None
    return record.wish_again(key, event["id"], read_bundle(client("s3"), settings.bundle_pointer), asked)


def wanted_at_a_time(event: Mapping[str, Any], settings: Settings, record: StartRecord) -> Iterator[Start | None]:
    """Put on record what a set time asks for: every input that was not scored, or where rows stay the newest again."""
    inputs = newest_inputs(client("s3"), read_settings(ScoringSettings).scoring_uri)
    again = bool(event["detail"].get("repeat", False))
    for waiting in inputs[-1:] if again else inputs:
        yield record.wish(scoring_start(event, settings.workload, waiting, again=again))


def start(event: Mapping[str, Any], settings: Settings) -> None:
    """Carry out what an event asks for, once."""
    record = StartRecord(client("dynamodb"), settings.runs_table)
    found = [todo for todo in wanted(event, settings, record) if todo is not None]
    if not found:
        log.info("nothing to start", extra={"event_id": event["id"]})
    for todo in found:
        carry_out(todo, event, settings, record)


def carry_out(todo: Start, event: Mapping[str, Any], settings: Settings, record: StartRecord) -> None:
    """Start an execution, unless it exists, and put that on record."""
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
