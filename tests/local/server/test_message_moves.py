"""Messages that were given up are moved back by one call."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.server.conftest import any_name


class Queues:
    """A queue with its dead letters."""

    def __init__(self, server: Any) -> None:
        self.sqs = server.client("sqs")
        self.failed_url, self.failed = self.create()
        policy = json.dumps({"deadLetterTargetArn": self.failed, "maxReceiveCount": 1})
        self.url, self.arn = self.create(RedrivePolicy=policy)

    def create(self, **attributes: str) -> tuple[str, str]:
        url = self.sqs.create_queue(QueueName=any_name("queue"), Attributes=attributes)["QueueUrl"]
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, found["Attributes"]["QueueArn"]

    def bodies(self, url: str) -> list[str]:
        received = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return sorted(message["Body"] for message in received.get("Messages", []))


@pytest.fixture
def queues(local_server: Any) -> Queues:
    return Queues(local_server)


@pytest.mark.parametrize("named", [True, False])
def test_moves_every_message_back_and_says_how_many(queues: Queues, named: bool) -> None:
    for number in range(12):
        queues.sqs.send_message(QueueUrl=queues.failed_url, MessageBody=f"{number:02}")
    target = {"DestinationArn": queues.arn} if named else {}
    queues.sqs.start_message_move_task(SourceArn=queues.failed, **target)
    assert queues.bodies(queues.failed_url) == []
    counts = queues.sqs.get_queue_attributes(QueueUrl=queues.url, AttributeNames=["ApproximateNumberOfMessages"])
    assert counts["Attributes"]["ApproximateNumberOfMessages"] == "12"
    (task,) = queues.sqs.list_message_move_tasks(SourceArn=queues.failed)["Results"]
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 12)


def test_moves_only_from_a_queue_of_dead_letters(queues: Queues) -> None:
    with pytest.raises(ClientError, match="must be configured as a Dead Letter Queue"):
        queues.sqs.start_message_move_task(SourceArn=queues.arn, DestinationArn=queues.failed)


@pytest.mark.parametrize("missing", ["sqs:StartMessageMoveTask", "sqs:DeleteMessage", "sqs:SendMessage"])
def test_needs_leave_for_what_it_does_on_both_queues(local_server: Any, queues: Queues, missing: str) -> None:
    actions = ["sqs:StartMessageMoveTask", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    own = {"Effect": "Allow", "Action": [each for each in actions if each != missing], "Resource": queues.failed}
    other = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queues.arn}
    key, secret = local_server.user(own, *([] if missing == "sqs:SendMessage" else [other]))
    client = local_server.client_as("sqs", key, secret)
    with pytest.raises(ClientError, match=missing):
        client.start_message_move_task(SourceArn=queues.failed, DestinationArn=queues.arn)


def test_whoever_may_moves(local_server: Any, queues: Queues) -> None:
    queues.sqs.send_message(QueueUrl=queues.failed_url, MessageBody="again")
    actions = ["sqs:StartMessageMoveTask", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    own = {"Effect": "Allow", "Action": actions, "Resource": queues.failed}
    key, secret = local_server.user(own, {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queues.arn})
    local_server.client_as("sqs", key, secret).start_message_move_task(
        SourceArn=queues.failed, DestinationArn=queues.arn
    )
    assert queues.bodies(queues.url) == ["again"]
