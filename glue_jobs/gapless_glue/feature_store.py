"""Puts records into SageMaker Feature Store: many at a time, again when it is too much, and nothing lost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError

from gapless_glue.contract import FeatureGroup

AT_ONCE = 16
"""Calls that are on their way at the same time."""

BATCH = 500
"""Records that are put, and put again, together."""

TRIES = 8
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 20.0

TRANSIENT = ("InternalFailure", "ServiceUnavailable", "ThrottlingException", "TooManyRequestsException")
"""Errors after which the same record may be taken."""

REFUSED = ("ValidationError", "ValidationException")
"""Errors that lie in the record: it will never be taken as it is."""

Record = list[dict[str, str]]
Put = Callable[[Record], None]


@dataclass(frozen=True)
class Refusal:
    """A record that was not taken, and the last error."""

    record: Record
    error: str


def client() -> Any:
    """A client of the runtime that does not try again by itself: that is done here, for many records at a time."""
    config = Config(retries={"total_max_attempts": 1}, max_pool_connections=AT_ONCE)
    return boto3.client("sagemaker-featurestore-runtime", config=config)


def put_into(runtime: Any, group_name: str) -> Put:
    """Returns what puts one record into a group, online and offline."""

    def put(record: Record) -> None:
        runtime.put_record(FeatureGroupName=group_name, Record=record)

    return put


def record_of(group: FeatureGroup, row: Any) -> Record:
    """A row of records as the Feature Store takes it; a missing value is left out.

    Args:
        row: A value for each column of the group, the event time as text.
    """
    values = {column.name: _text(row[column.name]) for column in group.columns}
    return [{"FeatureName": name, "ValueAsString": text} for name, text in values.items() if text is not None]


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(int(value))
    return repr(value) if isinstance(value, float) else str(value)


def put_all(
    records: Iterable[Record],
    put: Put,
    *,
    wait: Callable[[float], None] = time.sleep,
    chance: Callable[[], float] = random.random,
) -> tuple[int, list[Refusal]]:
    """Puts records, batch by batch. Putting one twice changes nothing online and adds an equal row to the history.

    What was not taken for want of capacity is put again, after a pause that doubles from half a second up to twenty,
    each time a random share of it, so that writers do not keep step (AWS Architecture Blog, "Exponential Backoff And
    Jitter", full jitter).

    Returns:
        How many were taken, and those that were not: the record itself is wrong, or it was too much eight times.

    Raises:
        ClientError: The caller may not, or there is no such group.
    """
    taken, refused = 0, []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for batch in _batches(records):
            left, wrong = _put_batch(batch, put, pool, wait, chance)
            refused += [*wrong, *left]
            taken += len(batch) - len(left) - len(wrong)
    return taken, refused


def _put_batch(
    batch: Sequence[Record],
    put: Put,
    pool: ThreadPoolExecutor,
    wait: Callable[[float], None],
    chance: Callable[[], float],
) -> tuple[list[Refusal], list[Refusal]]:
    """Returns what was too much until the end, and what will never be taken."""
    left, wrong = [Refusal(record, "") for record in batch], []
    for number in range(TRIES):
        answers = list(pool.map(lambda each: _try(each.record, put), left))
        wrong += [answer for answer in answers if answer is not None and _is_wrong(answer)]
        left = [answer for answer in answers if answer is not None and not _is_wrong(answer)]
        if not left:
            break
        if number < TRIES - 1:
            wait(chance() * min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**number))
    return left, wrong


def _try(record: Record, put: Put) -> Refusal | None:
    try:
        put(record)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in TRANSIENT and code not in REFUSED:
            raise
        return Refusal(record, f"{code}: {error.response['Error'].get('Message', '')}")
    except HTTPClientError as error:
        return Refusal(record, f"{type(error).__name__}: {error}")
    return None


def _is_wrong(refusal: Refusal) -> bool:
    return refusal.error.partition(":")[0] in REFUSED


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    iterator = iter(records)
    while batch := list(islice(iterator, BATCH)):
        yield batch
