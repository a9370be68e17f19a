"""Reads the newest records of feature groups in the online store."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError, HTTPClientError

from gapless_lambda.clients import client
from predict_online.features import Fallback, Found, Group, enrich, keys_of, parse_groups, parse_request

MOST_KEYS = 100
"""Records that one call may ask for."""

TRIES = 3
FIRST_WAIT_SECONDS = 0.05
TRANSIENT = ("InternalFailure", "ServiceUnavailable", "ThrottlingException")


def join(
    request: Any, contract: Mapping[str, Any], names: Mapping[str, str]
) -> tuple[list[dict[str, Any]], list[Fallback]]:
    """Gives the instances of a request as the model takes them, and which of them had to do without a record.

    Args:
        contract: The workload's contract.
        names: Feature group → its physical name.

    Raises:
        BadRequest: The request is none.
        NoFeatures: A record is missing without which there is no prediction.
    """
    groups = parse_groups(contract)
    instances, as_of = parse_request(request, groups)
    runtime = client("sagemaker-featurestore-runtime")
    found = {group.name: read_group(runtime, names[group.name], group, keys_of(group, instances)) for group in groups}
    features = [feature["name"] for feature in contract["features"]]
    return enrich(instances, groups, found, features, as_of or datetime.now(UTC))


def read_group(runtime: Any, name: str, group: Group, keys: Sequence[str]) -> Found:
    """Reads the newest records of a group. What the store has no capacity for is asked again, a few times.

    Raises:
        ClientError: The caller may not, or there is no such group.
    """
    records: dict[str, Mapping[str, str]] = {}
    unread: set[str] = set()
    for some in _chunks(keys):
        found, left = _read_some(runtime, name, some)
        records |= found
        unread |= left
    return Found({key: record for key, record in records.items() if group.event_time in record}, frozenset(unread))


def _read_some(runtime: Any, name: str, keys: Sequence[str]) -> tuple[dict[str, Mapping[str, str]], set[str]]:
    found: dict[str, Mapping[str, str]] = {}
    left = list(keys)
    for number in range(TRIES):
        if number:
            time.sleep(random.random() * FIRST_WAIT_SECONDS * 2**number)  # noqa: S311 - no secret
        asked = [{"FeatureGroupName": name, "RecordIdentifiersValueAsString": left}]
        try:
            answer = runtime.batch_get_record(Identifiers=asked)
        except ClientError as error:
            if error.response["Error"]["Code"] not in TRANSIENT:
                raise
            continue
        except HTTPClientError:
            continue
        _refuse_errors(answer["Errors"])
        found |= {record["RecordIdentifierValueAsString"]: _values(record["Record"]) for record in answer["Records"]}
        failed = [each["RecordIdentifierValueAsString"] for each in answer["Errors"]]
        later = [key for each in answer["UnprocessedIdentifiers"] for key in each["RecordIdentifiersValueAsString"]]
        left = [*failed, *later]
        if not left:
            break
    return found, set(left)


def _refuse_errors(errors: Sequence[Mapping[str, str]]) -> None:
    for error in errors:
        if error["ErrorCode"] not in TRANSIENT:
            raise RuntimeError(f"{error['FeatureGroupName']}: {error['ErrorCode']}: {error['ErrorMessage']}")


def _values(record: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {item["FeatureName"]: item["ValueAsString"] for item in record if "ValueAsString" in item}


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), MOST_KEYS):
        yield keys[start : start + MOST_KEYS]
