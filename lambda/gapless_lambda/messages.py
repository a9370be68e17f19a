"""Messages of a queue: each is handled by itself, and those that failed come again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from gapless_lambda.log import RunLogger


class ItemFailure(TypedDict):
    """One message that the queue shall deliver again."""

    itemIdentifier: str


class BatchResponse(TypedDict):
    """What SQS expects: the messages that failed."""

    batchItemFailures: list[ItemFailure]


def each_message(event: Mapping[str, Any], act: Callable[[Any], None], log: RunLogger) -> BatchResponse:
    """Act on the body of every message of a delivery; whatever goes wrong with one is logged and is its failure alone.

    Args:
        event: What Lambda hands to a function that a queue feeds.
        act: Gets the body, parsed as JSON.
        log: Where failures are told, with the message.
    """
    failures: list[ItemFailure] = []
    for message in event["Records"]:
        try:
            act(json.loads(message["body"]))
        except Exception:
            log.exception("message failed", extra={"message_id": message["messageId"], "body": message["body"]})
            failures.append({"itemIdentifier": message["messageId"]})
    return {"batchItemFailures": failures}
