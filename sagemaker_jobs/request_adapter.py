"""Stands in front of an algorithm: makes what it reads of ``{"instances": [{feature: value}, …]}``.

Packed beside the model by the ``encode`` job, with the encoding that it learned. A request that says anything else is
refused with the field, what was given and what is allowed. For an algorithm without an encoder, the function
``request`` of the workload's ``adapters.py`` makes it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gapless_encoding
from gapless_encoding import JSON, BadRequest, Encoding

Payload = tuple[str | bytes, str]


def model_fn(model_dir: str) -> Encoding:
    """Load the encoding."""
    return gapless_encoding.load(model_dir)


def transform_fn(encoding: Encoding, body: str | bytes, content_type: str, accept: str) -> Any:
    """Turn a request into what the algorithm reads: its body and content type."""
    del accept  # the next container's answer is not this one's business
    return gapless_encoding.answered(lambda: payload_of(encoding, body, content_type))


def payload_of(encoding: Encoding, body: str | bytes, content_type: str) -> Payload:
    """Give body and content type of the request to the algorithm.

    Raises:
        BadRequest: The request cannot be answered.
    """
    instances = gapless_encoding.read_instances(body, content_type)
    gapless_encoding.check_instances(encoding, instances)
    return WRITERS[encoding["request"]](encoding, instances)


def _csv(encoding: Encoding, instances: Sequence[Mapping[str, Any]]) -> Payload:
    rows = gapless_encoding.encode_rows(encoding, instances)
    return "\n".join(",".join(map(repr, row)) for row in rows), "text/csv"


def _vectors(encoding: Encoding, instances: Sequence[Mapping[str, Any]]) -> Payload:
    rows = gapless_encoding.encode_rows(encoding, instances)
    return json.dumps({"instances": [{"features": row} for row in rows]}), JSON


def _texts(encoding: Encoding, instances: Sequence[Mapping[str, Any]]) -> Payload:
    name = encoding["features"][0]["name"]
    texts = [gapless_encoding.words(instance[name]) for instance in instances]
    return json.dumps({"instances": texts, "configuration": {"k": len(encoding["classes"])}}), JSON


def _cells(encoding: Encoding, instances: Sequence[Mapping[str, Any]]) -> Payload:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(gapless_encoding.cells_of(encoding, instances))
    return text.getvalue(), "text/csv"


def _own(_encoding: Encoding, instances: Sequence[Mapping[str, Any]]) -> Payload:
    import adapters  # type: ignore[import-not-found]  # the workload's

    try:
        payload: Payload = adapters.request(instances)
    except ValueError as error:
        raise BadRequest(str(error)) from error
    return payload


WRITERS: Mapping[str, Callable[[Encoding, Sequence[Mapping[str, Any]]], Payload]] = {
    "csv": _csv,
    "vectors": _vectors,
    "texts": _texts,
    "cells": _cells,
    "own": _own,
}
"""What an encoding calls ``request`` to what writes such requests."""
