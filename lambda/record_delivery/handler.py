"""Writes down what was delivered, and publishes the four figures of DORA for models and for the platform.

Invoked by a queue (SQS, partial batch responses) with events of EventBridge as message bodies: ended executions of
deployment machines, changes of the alarms of their endpoints, runs of the platform's pipeline. Each workload and each
pipeline has one item ``delivery#<name>`` in the table of records. An event is taken in once, however often and in
whatever order it comes: the item is written only if nobody else has written it meanwhile, and holds the figures that
are still to be published until they are. Only a call that dies after publishing and before noting it publishes twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from constructs_lib.names import metrics
from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.messages import BatchResponse, each_message
from gapless_lambda.settings import read_settings
from record_delivery.events import STARTED, EndpointAlarm, ModelDeployment, PipelineRun, Told, read_event, seconds
from record_delivery.figures import Begun, Delivery, Health, History, Observation, TakenBack, observe

log = get_logger(__name__)


class Busy(Exception):
    """Another call wrote the same item at the same moment: to be tried again."""


@dataclass(frozen=True)
class Settings:
    """The environment of the function."""

    stage: str
    records_table: str


@dataclass(frozen=True)
class Item:
    """What is stored of one workload or pipeline.

    Attributes:
        version: How often it was written; 0 is never.
        document: The history.
        pending: Event to the figures that are still to be published for it.
    """

    version: int
    document: Mapping[str, Any]
    pending: Mapping[str, Sequence[tuple[str, float]]]


class Records:
    """The items ``delivery#<name>`` of a table."""

    def __init__(self, dynamodb: Any, table: str) -> None:
        self._dynamodb, self._table = dynamodb, table

    def read(self, name: str) -> Item:
        """Give an item; one that does not exist yet is empty."""
        item = self._get(f"delivery#{name}")
        if item is None:
            return Item(0, {}, {})
        return Item(int(item["version"]["N"]), json.loads(item["document"]["S"]), json.loads(item["pending"]["S"]))

    def write(self, name: str, item: Item) -> Item:
        """Write an item, if it is still as it was read; give it with its new version.

        Raises:
            Busy: It is not.
        """
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item={
                    "run": {"S": f"delivery#{name}"},
                    "version": {"N": str(item.version + 1)},
                    "document": {"S": json.dumps(item.document, sort_keys=True)},
                    "pending": {"S": json.dumps(item.pending, sort_keys=True)},
                },
                ConditionExpression="attribute_not_exists(run) OR version = :read",
                ExpressionAttributeValues={":read": {"N": str(item.version)}},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            raise Busy(f"delivery#{name} was written by another call") from error
        return Item(item.version + 1, item.document, item.pending)

    def began(self, run_id: str) -> float | None:
        """Give when the run that made a model began, in seconds: when its batch came; None where it ran elsewhere."""
        for machine in ("loop", "model"):
            item = self._get(f"{machine}#{run_id}")
            if item is not None:
                return seconds(item["started"]["S"])
        return None

    def _get(self, key: str) -> dict[str, Any] | None:
        found = self._dynamodb.get_item(TableName=self._table, Key={"run": {"S": key}}, ConsistentRead=True)
        item: dict[str, Any] | None = found.get("Item")
        return item


def lead_seconds(sagemaker: Any, records: Records, deployment: ModelDeployment) -> float | None:
    """Give how long it took from a batch to its model serving; None where the run that made the model is not known."""
    if deployment.ended is None or deployment.failed or not deployment.package:
        return None
    package = sagemaker.describe_model_package(ModelPackageName=deployment.package)
    run_id = package.get("CustomerMetadataProperties", {}).get("run_id")
    began = records.began(run_id) if run_id else None
    return deployment.ended - began if began is not None else None


def of_deployment(told: ModelDeployment, lead: float | None) -> list[Observation]:
    """Give what an execution of a deployment machine says; taking back counts only once it is done."""
    if told.package and told.ended is None:
        return [Begun(told.id, told.began, told.execution)]
    if told.package and told.ended is not None:
        return [Delivery(told.id, told.ended, told.execution, told.failed, told.began, lead)]
    if told.ended is not None and not told.failed:
        return [TakenBack(told.id, told.ended, told.began)]
    return []


def of_pipeline(run: PipelineRun, began: float | None) -> list[Observation]:
    """Give what a run of a pipeline says: one that failed leaves the platform bad until one succeeds.

    Args:
        run: The run.
        began: When it began; None where that is not known, and the lead time neither.
    """
    name = f"{run.execution} {run.state}"
    if run.state == STARTED:
        return [Begun(name, run.at, run.execution)]
    failed = run.state == "FAILED"
    lead = run.at - began if began is not None else None
    return [
        Delivery(name, run.at, run.execution, failed, began, lead),
        Health(f"{name} health", run.at, "pipeline", failed),
    ]


def observations_of(told: Told, history: History, records: Records) -> list[Observation]:
    """Give what an event says, the first observation being that of the event itself."""
    match told:
        case PipelineRun():
            return of_pipeline(told, history.began(told.execution))
        case EndpointAlarm():
            return [Health(told.id, told.at, told.alarm, told.on)]
        case ModelDeployment():
            return of_deployment(told, lead_seconds(client("sagemaker"), records, told))


def subject_of(told: Told, stage: str) -> tuple[str, dict[str, str]]:
    """Give the name of the item that an event is about, and the dimensions of its figures."""
    if isinstance(told, PipelineRun):
        return f"pipeline/{told.pipeline}", {metrics.PIPELINE: told.pipeline}
    return told.workload, metrics.dimensions(stage, told.workload.replace("-", "_"))


def take_in(event: Mapping[str, Any], settings: Settings) -> None:
    """Take in one event, and publish what is known because of it."""
    told = read_event(event, settings.stage)
    if told is None:
        log.info("nothing to record", extra={"event_id": event["id"]})
        return
    records = Records(client("dynamodb"), settings.records_table)
    name, dimensions = subject_of(told, settings.stage)
    item = records.read(name)
    history = History.of(item.document)
    observations = observations_of(told, history, records)
    if not observations:
        return
    key = observations[0].id
    after, figures = observe(history, observations)
    if key not in history.seen:
        item = records.write(name, Item(item.version, after.document(), {**item.pending, key: figures}))
    publish(records, name, item, key, dimensions)


def publish(records: Records, name: str, item: Item, key: str, dimensions: Mapping[str, str]) -> None:
    """Publish what is pending for an event, and note that it was."""
    if key not in item.pending:
        return
    figures = item.pending[key]
    if figures:
        client("cloudwatch").put_metric_data(
            Namespace=metrics.NAMESPACE,
            MetricData=[
                {
                    "MetricName": metric,
                    "Value": value,
                    "Dimensions": [{"Name": each, "Value": named} for each, named in dimensions.items()],
                }
                for metric, value in figures
            ],
        )
    log.info("published", extra={"subject": name, "key": key, "figures": dict(figures)})
    left = {each: pending for each, pending in item.pending.items() if each != key}
    records.write(name, Item(item.version, item.document, left))


def handler(event: Mapping[str, Any], context: Any) -> BatchResponse:  # noqa: ARG001
    """Take in the events of one delivery; those that fail come again, and end in the dead-letter queue."""
    settings = read_settings(Settings)
    return each_message(event, lambda body: take_in(body, settings), log)
