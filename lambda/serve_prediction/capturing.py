"""Keeps a request with its answer where the endpoint does not, in the format and folders of SageMaker's data capture.

The record says in addition how long the answer took (``eventMetadata.latencyMs``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from constructs_lib.names.segments import SUFFIX
from gapless_lambda.s3 import Address

JSON = "application/json"


@dataclass(frozen=True)
class Exchange:
    """A request and its answer.

    Attributes:
        request, response: The bodies, as the endpoint took and gave them.
        attributes: What the request said of who was to answer, as ``attributes`` gives it; none if it said nothing.
        at: When the answer was there, in UTC.
    """

    request: str
    response: str
    variant: str
    inference_id: str
    attributes: str | None
    latency_ms: float
    at: datetime


def record(exchange: Exchange) -> dict[str, Any]:
    """Gives the record of an exchange."""
    metadata: dict[str, Any] = {
        "eventId": exchange.inference_id,
        "inferenceId": exchange.inference_id,
        "inferenceTime": f"{exchange.at:%Y-%m-%dT%H:%M:%SZ}",
        "latencyMs": round(exchange.latency_ms, 3),
    }
    if exchange.attributes is not None:
        metadata["customAttributes"] = [exchange.attributes]
    data = {
        "endpointInput": _side("INPUT", exchange.request),
        "endpointOutput": _side("OUTPUT", exchange.response),
    }
    return {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}


@dataclass(frozen=True)
class Draw:
    """Whom a request was drawn by, and in which shares: variant → weight."""

    unit: str
    shares: Mapping[str, float]


def attributes(draw: Draw | None = None, model: str | None = None) -> str | None:
    """Gives what is said of who is to answer in SageMaker's custom attributes, which capture keeps; none for nothing.

    Whoever judges an experiment needs the shares that held when the request was drawn. Of several models, capture
    itself names none.

    Args:
        model: The archive of the model that is asked, if there are several.
    """
    said = {}
    if draw is not None:
        said["unit"] = draw.unit
        said["shares"] = ",".join(f"{name}:{weight:g}" for name, weight in draw.shares.items())
    if model is not None:
        said["model"] = model.removesuffix(SUFFIX)
    return ";".join(f"{name}={value}" for name, value in said.items()) or None


def address(base: Address, endpoint: str, exchange: Exchange) -> Address:
    """Gives where an exchange is kept; one that is kept twice is kept once."""
    folder = f"{endpoint}/{exchange.variant}/{exchange.at:%Y/%m/%d/%H}"
    return Address(base.bucket, f"{base.key.rstrip('/')}/{folder}/{exchange.at:%M-%S}-{exchange.inference_id}.jsonl")


def keep(s3: Any, base: Address, endpoint: str, exchange: Exchange) -> None:
    """Writes the record of an exchange below ``base``."""
    where = address(base, endpoint, exchange)
    body = json.dumps(record(exchange)).encode("utf-8") + b"\n"
    s3.put_object(Bucket=where.bucket, Key=where.key, Body=body, ContentType=JSON)


def _side(mode: str, body: str) -> dict[str, str]:
    return {"observedContentType": JSON, "mode": mode, "data": body, "encoding": "JSON"}
