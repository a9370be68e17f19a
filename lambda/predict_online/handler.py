"""Answers a request that lacks the features of feature groups: reads them in the online store and asks the endpoint.

The event is ``{"instances": [{feature: value, …}, …], "as_of": "2013-05-01T00:00:00Z"}``; each instance has the columns
that the groups are joined on, and every feature of the model that no group has. ``as_of`` says when the prediction is
asked for; without it that is now. The answer is the endpoint's, with ``fallbacks``: which instances had to do without a
record, and why. The endpoint is cut off from the network, so the features are read here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from botocore.exceptions import ClientError

from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.s3 import parse_uri, read_json
from gapless_lambda.settings import read_settings
from predict_online.features import BadRequest, Fallback
from predict_online.store import join

JSON = "application/json"

log = get_logger(__name__)


@dataclass(frozen=True)
class Settings:
    """Where the contract is, the groups' physical names as JSON, and the endpoint."""

    contract_uri: str
    group_names: str
    endpoint_name: str


@cache
def contract(uri: str) -> Mapping[str, Any]:
    """The workload's contract; its name says what is in it, so it never changes."""
    content: Mapping[str, Any] = read_json(client("s3"), parse_uri(uri))
    return content


def ask(runtime: Any, endpoint_name: str, instances: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Asks the endpoint.

    Raises:
        BadRequest: The model refuses the instances.
    """
    body = json.dumps({"instances": instances}).encode("utf-8")
    try:
        answer = runtime.invoke_endpoint(EndpointName=endpoint_name, ContentType=JSON, Accept=JSON, Body=body)
    except ClientError as error:
        if 400 <= error.response.get("OriginalStatusCode", 0) < 500:
            raise BadRequest(error.response.get("OriginalMessage", str(error))) from error
        raise
    result: dict[str, Any] = json.loads(answer["Body"].read())
    return result


def handler(event: Any, context: Any) -> dict[str, Any]:  # noqa: ARG001
    """Give the predictions, and which of them were made without a record."""
    settings = read_settings(Settings)
    content = contract(settings.contract_uri)
    enriched, fallbacks = join(event, content, json.loads(settings.group_names))
    answer = ask(client("sagemaker-runtime"), settings.endpoint_name, enriched)
    _tell(len(enriched), fallbacks)
    return {**answer, "fallbacks": [asdict(fallback) for fallback in fallbacks]}


def _tell(instances: int, fallbacks: Sequence[Fallback]) -> None:
    counted = Counter(f"{fallback.group}: {fallback.reason}" for fallback in fallbacks)
    log.info("predicted", extra={"instances": instances, "fallbacks": len(fallbacks), "reasons": dict(counted)})
