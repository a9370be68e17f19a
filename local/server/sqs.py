"""Messages that were given up are moved back: ``StartMessageMoveTask``, which ministack lacks."""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import Any

from local.server import hooks
from local.server.host import Caller, Host, Request, Response, ServiceError

_OPERATIONS = ("StartMessageMoveTask", "ListMessageMoveTasks")

Document = dict[str, Any]


def register(host: Host) -> None:
    """Serve the operations, and check them on the queue that they are about."""
    moves = Moves(host)
    host.add_operations("sqs", dict(zip(_OPERATIONS, (moves.start, moves.listed), strict=True)))
    original = hooks.get("core.iam_actions:extract_resource_arn")

    def extract(
        service: str, method: str, path: str, headers: Any, body: bytes, query_params: Any, region: str, account_id: str
    ) -> Any:
        if service == "sqs" and headers.get("x-amz-target", "").rpartition(".")[2] in _OPERATIONS:
            return _source(body)
        return original(service, method, path, headers, body, query_params, region, account_id)

    hooks.replace("core.iam_actions:extract_resource_arn", extract)


class Moves:
    """Moves the messages of dead-letter queues; a move has ended when its start is answered."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._tasks: dict[str, list[Document]] = {}
        self._lock = threading.Lock()

    def start(self, request: Request) -> Response:
        """Move every message that is there now."""
        given = request.json()
        source = str(given["SourceArn"])
        destination = str(given.get("DestinationArn") or self._only_source_of(source))
        self._check(request.caller, source, destination)
        if not self._sources_of(source):
            raise ServiceError("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
        with self._lock:
            moved = self._move(source, destination)
            handle = str(uuid.uuid4())
            task = {
                "Status": "COMPLETED",
                "SourceArn": source,
                "DestinationArn": destination,
                "ApproximateNumberOfMessagesMoved": moved,
                "ApproximateNumberOfMessagesToMove": moved,
                "StartedTimestamp": int(time.time() * 1000),
            }
            self._tasks.setdefault(source, []).insert(0, task)
        return Response.of_json({"TaskHandle": handle})

    def listed(self, request: Request) -> Response:
        """The last moves of a queue, newest first."""
        given = request.json()
        return Response.of_json({"Results": self._tasks.get(given["SourceArn"], [])[: given.get("MaxResults", 1)]})

    def _check(self, caller: Caller, source: str, destination: str) -> None:
        for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes"):
            self._host.check(caller, f"sqs:{action}", source)
        self._host.check(caller, "sqs:SendMessage", destination)

    def _move(self, source: str, destination: str) -> int:
        sqs = self._host.client("sqs")
        origin, target = self._url(source), self._url(destination)
        attributes = sqs.get_queue_attributes(QueueUrl=origin, AttributeNames=["ApproximateNumberOfMessages"])
        left = int(attributes["Attributes"]["ApproximateNumberOfMessages"])
        moved = 0
        while moved < left:
            messages = sqs.receive_message(QueueUrl=origin, MaxNumberOfMessages=min(10, left - moved)).get("Messages")
            if not messages:
                break
            for message in messages:
                sqs.send_message(QueueUrl=target, MessageBody=message["Body"])
                sqs.delete_message(QueueUrl=origin, ReceiptHandle=message["ReceiptHandle"])
                moved += 1
        return moved

    def _url(self, arn: str) -> str:
        client = self._host.client("sqs")
        try:
            return str(client.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"])
        except client.exceptions.QueueDoesNotExist as error:
            raise ServiceError("ResourceNotFoundException", f"The resource {arn} does not exist.") from error

    def _only_source_of(self, arn: str) -> str:
        sources = self._sources_of(arn)
        if len(sources) != 1:
            raise ServiceError("InvalidParameterValue", f"name a DestinationArn: {len(sources)} queues lead to {arn}")
        return sources[0]

    def _sources_of(self, arn: str) -> list[str]:
        """The queues whose dead letters go to a queue."""
        sqs = self._host.client("sqs")
        found = []
        for url in sqs.list_queues().get("QueueUrls", []):
            attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            policy = json.loads(attributes.get("RedrivePolicy") or "{}")
            if policy.get("deadLetterTargetArn") == arn:
                found.append(attributes["QueueArn"])
        return found


def _source(body: bytes) -> str:
    try:
        return str(json.loads(body).get("SourceArn", "*"))
    except (ValueError, AttributeError):
        return "*"
