"""Pins: a training run says which dataset it reads, so that nobody retires it meanwhile.

A pin is an object ``<workload>/pins/<version>/<run_id>.json`` beside the datasets. It is written before the dataset is
looked for: whoever retires a dataset takes its manifest away before looking for pins, so that one of the two sees the
other. A pin holds for 30 days, longer than a run can be redriven; after that, what holds a dataset is the registered
model that was made of it.
"""

from __future__ import annotations

from constructs_lib.asl import UNNAMED_S3, State, choice, jsonata, task
from constructs_lib.machines.common import CALL_SECONDS, Surroundings, find_object, own_failure, text

FOLDER = "pins"
"""Where pins are, below the workload's folder of datasets."""

_VERSION = "$states.input.dataset.version"


def pin_states(s: Surroundings, *, bucket: str, following: str) -> dict[str, State]:
    """Returns the states that pin the dataset of the execution's input, the first of which is ``PinDataset``.

    Args:
        bucket: Where datasets are.
        following: The state to go on with.
    """
    return {
        "PinDataset": pin_dataset(s, bucket),
        "FindDataset": find_dataset(s, bucket),
        "StillPublished": choice([("$still_published", following)], default="DatasetRetired"),
        "DatasetRetired": own_failure(
            "DatasetRetired",
            f"'dataset ' & {_VERSION} & ' is no longer published; run the batch again, which makes the same one'",
        ),
    }


def pin_dataset(s: Surroundings, bucket: str) -> State:
    """Writes the pin of this run; writing it again makes it young again."""
    pin = f"{{'version': {_VERSION}, 'run_id': $states.input.run_id, 'execution': $states.context.Execution.Id}}"
    return task(
        "aws-sdk:s3:putObject",
        {
            "Bucket": bucket,
            "Key": jsonata(f"{text(f'{s.workload}/{FOLDER}/')} & {_VERSION} & '/' & $states.input.run_id & '.json'"),
            "Body": jsonata(pin),
            "ContentType": "application/json",
            "ExpectedBucketOwner": s.account,
        },
        timeout=CALL_SECONDS,
        retry_also=UNNAMED_S3,
    )


def find_dataset(s: Surroundings, bucket: str) -> State:
    """Looks whether the dataset is still published."""
    key = f"{text(f'{s.workload}/')} & {_VERSION} & '/manifest.json'"
    return find_object(s, bucket, key, "still_published")
