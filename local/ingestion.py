"""The ingestion paths of a deployed workload, by hand: what waits, start one now, do again what failed."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass

from local.aws import Aws
from local.errors import UserError
from local.outputs import stack_name
from local.settings import Settings


@dataclass(frozen=True)
class Path:
    """One path.

    Args:
        name: ``batches``, or the source.
        kind: ``batches``, ``api``, ``stream`` or ``database``.
        queue: ARN of the queue that feeds its function.
        failed: ARN of the queue of what was given up.
    """

    name: str
    kind: str
    queue: str
    failed: str


def read_paths(settings: Settings, aws: Aws) -> dict[str, Path]:
    """The paths by name: ``batches``, and the sources that have a queue.

    Raises:
        UserError: The workload has none.
    """
    stack = aws.client("cloudformation").describe_stacks(StackName=stack_name(settings))["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    if "IngestionQueues" not in outputs:
        raise UserError(f"workload {settings.workload} has no ingestion; see `ingestion` in its workload.yaml")
    return {name: Path(name, **queues) for name, queues in json.loads(outputs["IngestionQueues"]).items()}


def path_of(settings: Settings, aws: Aws, name: str) -> Path:
    """One path.

    Raises:
        UserError: There is none of this name.
    """
    paths = read_paths(settings, aws)
    if name not in paths:
        raise UserError(f"{name!r} is no ingestion path (allowed: {', '.join(paths)})")
    return paths[name]


def waiting(aws: Aws, arn: str) -> int:
    """Messages of a queue that are there or being worked on."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = _url(aws, arn)
    found = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


def start_path(aws: Aws, path: Path, now: dt.datetime) -> None:
    """Do now what the schedule does later.

    Raises:
        UserError: The path has no schedule.
    """
    if path.kind == "stream":
        raise UserError(f"{path.name} is a stream: it delivers by itself what is put on it")
    body = json.dumps({"source": "gapless", "detail-type": "Start Requested", "time": now.isoformat()})
    aws.client("sqs").send_message(QueueUrl=_url(aws, path.queue), MessageBody=body)


def replay_path(aws: Aws, path: Path) -> int:
    """Move what was given up back to the queue; returns how many messages."""
    sqs = aws.client("sqs")
    sqs.start_message_move_task(SourceArn=path.failed, DestinationArn=path.queue)
    task = sqs.list_message_move_tasks(SourceArn=path.failed)["Results"][0]
    return int(task["ApproximateNumberOfMessagesMoved"])


def _url(aws: Aws, arn: str) -> str:
    return str(aws.client("sqs").get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"])
