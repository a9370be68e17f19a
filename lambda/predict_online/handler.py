"""Answers a request that lacks the features of feature groups: reads them in the online store and asks the endpoint.

The event is ``{"instances": [{feature: value, …}, …], "as_of": "2013-05-01T00:00:00Z"}``; each instance has the columns
that the groups are joined on, and every feature of the model that no group has. ``as_of`` says when the prediction is
asked for; without it that is now. The answer is the endpoint's, with ``fallbacks``: which instances had to do without a
record, and why. The endpoint is cut off from the network, so the features are read here.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from botocore.exceptions import ClientError, HTTPClientError

from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.s3 import parse_uri, read_json
from gapless_lambda.settings import read_settings
from predict_online.features import BadRequest, Fallback, Found, Group, enrich, keys_of, parse_groups, parse_request

JSON = "application/json"
MOST_KEYS = 100
"""Records that one call may ask for."""

TRIES = 3
FIRST_WAIT_SECONDS = 0.05
TRANSIENT = ("InternalFailure", "ServiceUnavailable", "ThrottlingException")

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
    content, names = contract(settings.contract_uri), json.loads(settings.group_names)
    groups = parse_groups(content)
    instances, as_of = parse_request(event, groups)
    runtime = client("sagemaker-featurestore-runtime")
    found = {group.name: read_group(runtime, names[group.name], group, keys_of(group, instances)) for group in groups}
    features = [feature["name"] for feature in content["features"]]
    enriched, fallbacks = enrich(instances, groups, found, features, as_of or datetime.now(UTC))
    answer = ask(client("sagemaker-runtime"), settings.endpoint_name, enriched)
    _tell(len(instances), fallbacks)
    return {**answer, "fallbacks": [asdict(fallback) for fallback in fallbacks]}


def _tell(instances: int, fallbacks: Sequence[Fallback]) -> None:
    counted = Counter(f"{fallback.group}: {fallback.reason}" for fallback in fallbacks)
    log.info("predicted", extra={"instances": instances, "fallbacks": len(fallbacks), "reasons": dict(counted)})
