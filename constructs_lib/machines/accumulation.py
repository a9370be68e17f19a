"""What the data machine does besides where datasets accumulate: it keeps batches in order, and catalogues days."""

from __future__ import annotations

from constructs_lib.asl import (
    UNNAMED_S3,
    State,
    choice,
    fail,
    for_each,
    jsonata,
    raise_again,
    succeed,
    task,
)
from constructs_lib.machines.common import CALL_SECONDS, MINUTE, Surroundings, own_failure


def still_newest(check_batch_arn: str, *, answers: bool = False) -> dict[str, State]:
    """Looks, right before a dataset is published, whether its parent is still the newest dataset before it.

    Answers that people gave meanwhile change nothing: the check is given those that the dataset was made with.

    The workload's lease keeps batches apart that land; this is for executions that somebody starts beside them. A
    redriven execution begins with the new parent.

    Args:
        answers: Whether people's answers go into datasets. Default: they do not.
    """
    given = "$merge([$states.input, {'answers_uri': $answers_uri}])" if answers else "$states.input"
    return {
        "CheckAgain": task(
            "lambda:invoke",
            {"FunctionName": check_batch_arn, "Payload": jsonata(given)},
            timeout=15 * MINUTE,
            assign={"version_now": jsonata("$states.result.Payload.version")},
        ),
        "StillNewest": choice([("$version_now = $version", "PublishDataset")], default="ParentChanged"),
    }


def parent_changed() -> State:
    """Another dataset was published since the batch was checked."""
    return own_failure(
        "ParentChanged",
        "'another dataset was published while ' & $version & ' was made; redrive the execution to add the batch to it'",
    )


def register_days(s: Surroundings, table: str, database: str, bucket: str) -> dict[str, State]:
    """Points the catalogue at the days of a published dataset, piece by piece; doing it again changes nothing.

    Args:
        table: Name of the table of features, whose partition keys are version and day.
        database: Its database.
        bucket: Where the pieces are.
    """
    place = {"DatabaseName": database, "TableName": table}
    storage = "$merge([$features_storage, {'Location': $.location}])"
    return {
        "DescribeFeatures": task(
            "aws-sdk:glue:getTable",
            {"DatabaseName": database, "Name": table},
            timeout=CALL_SECONDS,
            assign={"features_storage": jsonata("$states.result.Table.StorageDescriptor")},
        ),
        "RegisterDays": for_each(
            f"$manifest.day_partitions.{{'key': $substringAfter($, 's3://{bucket}/')}}[]",
            {
                "ReadDays": task(
                    "aws-sdk:s3:getObject",
                    {"Bucket": bucket, "Key": jsonata("$states.input.key"), "ExpectedBucketOwner": s.account},
                    timeout=CALL_SECONDS,
                    assign={"days": jsonata("$parse($states.result.Body).partitions")},
                    retry_also=UNNAMED_S3,
                    on_failure="DaysFailed",
                    failure="days_failure",
                ),
                "CreateDays": task(
                    "aws-sdk:glue:batchCreatePartition",
                    {
                        **place,
                        "PartitionInputList": jsonata(
                            f"$days.{{'Values': [$version, day], 'StorageDescriptor': {storage}}}[]"
                        ),
                    },
                    timeout=CALL_SECONDS,
                    assign={
                        "refused_days": jsonata(
                            "[$states.result.Errors[ErrorDetail.ErrorCode != 'AlreadyExistsException']]"
                        )
                    },
                    on_failure="DaysFailed",
                    failure="days_failure",
                ),
                "DaysCreated": choice([("$count($refused_days) = 0", "DaysRegistered")], default="DaysRefused"),
                "DaysRegistered": succeed(),
                "DaysRefused": fail("DaysRefused", jsonata("'the catalogue does not take: ' & $string($refused_days)")),
                "DaysFailed": raise_again("days_failure"),
            },
            at_once=4,
        ),
    }
