"""What is to be scored: an input whose ``_score.json`` has landed, or at a set time every one that has not been.

The idempotency key of an input is a digest of what its ``_score.json`` says; that of a repeat at a set time holds the
time as well. At a set time the newest inputs are looked at, at most :data:`MOST_INPUTS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gapless_lambda.s3 import Address, parse_uri
from start_execution.batches import as_of, batch_key, parse_batch, trigger
from start_execution.record import Start

MARKER = "_score.json"
MOST_INPUTS = 200


@dataclass(frozen=True)
class ScoringSettings:
    """The environment where files of rows are scored: the machine, and the folder that inputs lie under, an S3 URI."""

    scoring_machine_arn: str
    scoring_uri: str


@dataclass(frozen=True)
class Waiting:
    """An input that there is: where its ``_score.json`` lies and what it says."""

    address: Address
    body: bytes


def scoring_start(event: Mapping[str, Any], workload: str, waiting: Waiting, *, again: bool = False) -> Start:
    """Decide what an input starts: the scoring machine.

    Args:
        again: Whether it is scored again, for the time of the event.
    """
    identity = f"scoring\n{batch_key(waiting.body)}" + (f"\n{event['time']}" if again else "")
    return Start(
        key=hashlib.sha256(identity.encode()).hexdigest(),
        machine="scoring",
        attempt=1,
        input={
            "workload": workload,
            "batch_uri": str(waiting.address),
            "as_of": as_of(None if again else parse_batch(waiting.body), event["time"]),
            "again": again,
            "triggered_by": trigger(event),
        },
    )


def read_waiting(s3: Any, address: Address) -> Waiting:
    """Read the ``_score.json`` of an input."""
    return Waiting(address, s3.get_object(Bucket=address.bucket, Key=address.key)["Body"].read())


def newest_inputs(s3: Any, scoring_uri: str) -> list[Waiting]:
    """Read the newest inputs, the newest one last."""
    bucket, prefix = parse_uri(scoring_uri)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    found = [item for page in pages for item in page.get("Contents", []) if item["Key"].endswith(f"/{MARKER}")]
    found.sort(key=lambda item: (item["LastModified"], item["Key"]))
    return [read_waiting(s3, Address(bucket, item["Key"])) for item in found[-MOST_INPUTS:]]
