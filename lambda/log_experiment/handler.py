"""Logs a run of the model pipeline to MLflow: parameters, metrics, learning curves, what it was made of, artefacts,
and the trials of a tuning as runs below it.

Invoked by the model machine with ``{"run_id", "ended", "given": {"as_of", "bundle", "commit", "dataset_version"}}``
when a run has ended, well or not. Everything else comes from the run's record, the evaluation's folder and the log of
the training job. Logging the same run again, or twice at once, gives one run in MLflow: the record keeps its id, and
whoever comes second takes that one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.s3 import parse_uri
from gapless_lambda.settings import read_settings
from log_experiment.curves import curves
from log_experiment.describe import RUN_ID, Told, dataset, milliseconds, tell
from log_experiment.mlflow import Mlflow, place_of
from log_experiment.trials import tell_trials

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
MOST_STREAMS = 5
MOST_PAGES = 50
CONDITION_FAILED = "ConditionalCheckFailedException"

log = get_logger(__name__)


class NoRecord(Exception):
    """There is no record of the run that shall be logged."""


@dataclass(frozen=True)
class Settings:
    """Names of the workload, table, tracking server, experiment, and where artefacts and datasets are."""

    workload: str
    runs_table: str
    tracking_arn: str
    experiment: str
    artefacts_uri: str
    datasets_uri: str


class Given(TypedDict, total=False):
    """What the run was given."""

    as_of: str
    bundle: str
    commit: str
    dataset_version: str


class Event(TypedDict):
    """What the machine hands over; ``ended`` is an ISO 8601 time."""

    run_id: str
    ended: str
    given: Given


class Logged(TypedDict):
    """Where the run is in MLflow."""

    experiment_id: str
    mlflow_run: str


def read_record(settings: Settings, run_id: str) -> dict[str, str]:
    """Read the record of a run.

    Raises:
        NoRecord: There is none.
    """
    found = client("dynamodb").get_item(
        TableName=settings.runs_table, Key={"run": {"S": f"model#{run_id}"}}, ConsistentRead=True
    )
    if "Item" not in found:
        raise NoRecord(f"there is no record of run {run_id} of the model pipeline")
    return {name: value["S"] for name, value in found["Item"].items()}


def claim(settings: Settings, run_id: str, mlflow_run: str) -> str:
    """Write the id of MLflow's run into the record, unless one is there; gives the one that is there then."""
    table = client("dynamodb")
    try:
        table.update_item(
            TableName=settings.runs_table,
            Key={"run": {"S": f"model#{run_id}"}},
            UpdateExpression="SET mlflow_run = :mine",
            ConditionExpression="attribute_exists(#run) AND attribute_not_exists(mlflow_run)",
            ExpressionAttributeNames={"#run": "run"},
            ExpressionAttributeValues={":mine": {"S": mlflow_run}},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != CONDITION_FAILED:
            raise
        return read_record(settings, run_id)["mlflow_run"]
    return mlflow_run


def find_run(settings: Settings, mlflow: Mlflow, experiment: str, run_id: str, told: Told) -> str:
    """Give MLflow's run for a run: one that an earlier call has left, or a new one, but never two."""
    found = mlflow.runs_tagged(experiment, RUN_ID, run_id)
    mine = found[0] if found else mlflow.create_run(experiment, run_id, told.started, {RUN_ID: run_id})
    kept = claim(settings, run_id, mine)
    if kept != mine:
        mlflow.delete_run(mine)
    return kept


def training_log(job: str) -> Iterator[Mapping[str, Any]]:
    """Read the log of a training job, as far as there is one."""
    logs = client("logs")
    try:
        streams = logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{job}/", limit=MOST_STREAMS)[
            "logStreams"
        ]
    except logs.exceptions.ResourceNotFoundException:
        return
    for stream in streams:
        yield from _events(logs, stream["logStreamName"])


def _events(logs: Any, stream: str) -> Iterator[Mapping[str, Any]]:
    asked: dict[str, str] = {}
    for _ in range(MOST_PAGES):
        page = logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True, **asked)
        yield from page["events"]
        if page["nextForwardToken"] == asked.get("nextToken"):
            return
        asked = {"nextToken": page["nextForwardToken"]}


def copy_artefacts(evaluation_uri: str, artefacts_uri: str) -> int:
    """Copy everything that lies beside the evaluation to the run's artefacts; gives how many objects that are."""
    s3 = client("s3")
    source, target = parse_uri(evaluation_uri), parse_uri(f"{artefacts_uri}/evaluation/")
    folder = source.key.rpartition("/")[0] + "/"
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=source.bucket, Prefix=folder)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    for key in keys:
        s3.copy_object(
            Bucket=target.bucket,
            Key=target.key + key.removeprefix(folder),
            CopySource={"Bucket": source.bucket, "Key": key},
        )
    return len(keys)


def log_trials(mlflow: Mlflow, experiment: str, run: str, trials_uri: str, ended: int) -> None:
    """Log the trials of a run's tuning as runs below it.

    Two calls at the same moment may log a trial twice; each of them deletes what is twice, and leaves the same.
    """
    uri = parse_uri(trials_uri)
    found = json.loads(client("s3").get_object(Bucket=uri.bucket, Key=uri.key)["Body"].read())
    known = dict(reversed(mlflow.children(experiment, run)))
    for told in tell_trials(found, run, ended):
        child = known.get(told.name) or mlflow.create_run(experiment, told.name, told.started, told.tags)
        mlflow.log(child, parameters=told.parameters, metrics=told.metrics, tags=told.tags)
        mlflow.end_run(child, told.status, told.ended)
    children = mlflow.children(experiment, run)
    first = dict(reversed(children))
    for name, child in children:
        if child != first[name]:
            mlflow.delete_run(child)


def log_run(settings: Settings, mlflow: Mlflow, event: Event) -> Logged:
    """Log a run; whatever is logged already stays as it is.

    Raises:
        NoRecord: There is no record of it.
        TrackingUnavailable, TrackingRefused: MLflow does not answer, or refuses.
    """
    run_id, ended, given = event["run_id"], milliseconds(event["ended"]), event["given"]
    record = read_record(settings, run_id)
    told = tell(run_id, record, {name: str(value) for name, value in given.items()}, ended)
    experiment = mlflow.experiment(settings.experiment, settings.artefacts_uri)
    run = record.get("mlflow_run") or find_run(settings, mlflow, experiment, run_id, told)
    points = list(curves(training_log(record["training_job"]))) if "training_job" in record else []
    mlflow.log(run, parameters=told.parameters, metrics=[*told.metrics, *points], tags=told.tags)
    version = given.get("dataset_version")
    if version is not None:
        mlflow.log_dataset(run, dataset(settings.workload, version, f"{settings.datasets_uri}{version}/manifest.json"))
    copied = copy_artefacts(record["evaluation_uri"], mlflow.artefacts_of(run)) if "evaluation_uri" in record else 0
    tuning = json.loads(record.get("tuning", "{}"))
    if tuning:
        log_trials(mlflow, experiment, run, tuning["trials_uri"], ended)
    mlflow.end_run(run, told.status, ended)
    log.info("logged", extra={"run_id": run_id, "mlflow_run": run, "points": len(points), "artefacts": copied})
    return {"experiment_id": experiment, "mlflow_run": run}


def handler(event: Event, context: Any) -> Logged:  # noqa: ARG001
    """Log the run that the event names."""
    settings = read_settings(Settings)
    return log_run(settings, Mlflow(place_of(settings.tracking_arn)), event)
