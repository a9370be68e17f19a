"""Asks the endpoint, and says in which of few ways it did not answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError, ReadTimeoutError

from serve_prediction.checking import BadRequest

JSON = "application/json"
ANSWER_SECONDS = 25
"""An answer that takes longer is given up: API Gateway waits for 29 seconds."""

_BUSY = ("ThrottlingException", "TooManyRequestsException", "LimitExceededException", "ServiceQuotaExceededException")
_DOWN = ("ModelNotReadyException", "ServiceUnavailable", "InternalFailure", "InternalDependencyException")
_NO_ENDPOINT = ("ValidationError", "ValidationException")


class NoAnswer(Exception):
    """There is no prediction, and it is not the caller's fault.

    Attributes:
        status: The HTTP status that says so.
        retry_after: Seconds after which to try again, if that helps.
    """

    def __init__(self, status: int, error: str, *, retry_after: int | None = None) -> None:
        super().__init__(error)
        self.status, self.error, self.retry_after = status, error, retry_after


class NoModel(NoAnswer):
    """Of several models the one that was asked for is not there."""


class NoVariant(NoAnswer):
    """The variant that was asked for is not there: a test of two models has ended, or another one has begun."""


@dataclass(frozen=True)
class Answer:
    """What the endpoint said: the body, and the variant that made it.

    Attributes:
        attributes: What the request said of who was to answer, which capture keeps; none if it said nothing.
    """

    body: str
    variant: str
    attributes: str | None = None


@cache
def runtime() -> Any:
    """The client of the endpoint: it asks once, as the caller is there to ask again and waits meanwhile."""
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=ANSWER_SECONDS)
    return boto3.client("sagemaker-runtime", config=config)


def ask(client: Any, endpoint_name: str, body: str, options: Mapping[str, str]) -> Answer:
    """Asks the endpoint.

    Args:
        options: Further parameters of InvokeEndpoint.

    Raises:
        BadRequest: The model refuses the request.
        NoAnswer: The endpoint is busy, not there, too slow, or failed.
    """
    try:
        answer = client.invoke_endpoint(
            EndpointName=endpoint_name, ContentType=JSON, Accept=JSON, Body=body.encode("utf-8"), **options
        )
        text = answer["Body"].read().decode("utf-8")
    except ClientError as error:
        raise _without_model(error) if "TargetModel" in options else explained(error) from error
    except ReadTimeoutError as error:
        raise NoAnswer(504, "the model did not answer in time") from error
    except HTTPClientError as error:
        raise NoAnswer(503, "the endpoint cannot be reached", retry_after=5) from error
    return Answer(text, str(answer.get("InvokedProductionVariant", "")), options.get("CustomAttributes"))


def _without_model(error: ClientError) -> BadRequest | NoAnswer | ClientError:
    """As ``explained``, where one model of several was asked for, which may not be there."""
    code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
    found = explained(error)
    if code in _NO_ENDPOINT and ("model data" in message.lower() or found is error):
        return NoModel(503, "there is no model for this segment yet", retry_after=60)
    return found


def explained(error: ClientError) -> BadRequest | NoAnswer | ClientError:
    """Says what an error of the runtime means for the caller; one that nobody expects stays what it is."""
    code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
    if code in _BUSY:
        return NoAnswer(429, "the endpoint has too many requests", retry_after=1)
    if code in _DOWN:
        return NoAnswer(503, "the endpoint has no capacity just now", retry_after=5)
    if code in _NO_ENDPOINT and message.lower().startswith("variant"):
        return NoVariant(503, "the variants of the model changed just now", retry_after=15)
    if code in _NO_ENDPOINT and any(words in message.lower() for words in ("not found", "could not find")):
        return NoAnswer(503, "no model is served yet", retry_after=60)
    if code in _NO_ENDPOINT and "not in service" in message.lower():
        return NoAnswer(503, "the endpoint is not in service just now", retry_after=30)
    if code == "ModelError":
        status = int(error.response.get("OriginalStatusCode", 500))
        if 400 <= status < 500:
            said = _text(error.response.get("OriginalMessage"))
            return BadRequest("the model refuses the request", field="instances", allowed=said)
        return NoAnswer(502, "the model failed")
    return error


def _text(message: Any) -> str:
    """What the model said of a refusal: its own ``error``, if its answer is JSON that has one."""
    try:
        content = json.loads(message)
    except (TypeError, ValueError):
        content = message
    return str(content.get("error", content) if isinstance(content, Mapping) else content)[:1000]
