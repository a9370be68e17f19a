"""One look at everything: server, stacks, pipelines, what is live, queues, alarms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from botocore.exceptions import ClientError
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from local.aws import Aws
from local.datasets.read import DatasetReader
from local.executions import execution_arns
from local.outputs import Outputs
from local.settings import Settings

_GOOD = ("SUCCEEDED", "OK", "InService", "CREATE_COMPLETE", "UPDATE_COMPLETE", "RUNNING")


@dataclass(frozen=True)
class Line:
    """One thing, how it is, and what else there is to say."""

    thing: str
    state: str
    detail: str = ""


def stack_lines(aws: Aws) -> list[Line]:
    """Every stack of the account."""
    pages = aws.client("cloudformation").get_paginator("describe_stacks").paginate()
    stacks = [stack for page in pages for stack in page["Stacks"] if stack["StackStatus"] != "DELETE_COMPLETE"]
    return [Line(stack["StackName"], stack["StackStatus"]) for stack in stacks]


def machine_lines(aws: Aws, outputs: Outputs) -> list[Line]:
    """The last execution of each state machine."""
    return [_last_execution(aws, machine, arn) for machine, arn in outputs.machines.items()]


def _last_execution(aws: Aws, machine: str, machine_arn: str) -> Line:
    arns = execution_arns(aws, machine_arn)
    if not arns:
        return Line(machine, "never ran")
    found = aws.client("stepfunctions").describe_execution(executionArn=arns[0])
    ended = found.get("stopDate")
    took = f", {(ended - found['startDate']).total_seconds():.1f} s" if ended else ""
    return Line(machine, found["status"], f"{found['name']}, {found['startDate']:%Y-%m-%d %H:%M:%S}{took}")


def live_lines(settings: Settings, aws: Aws, outputs: Outputs) -> Iterator[Line]:
    """The endpoint, the model package that is live, and the newest dataset."""
    try:
        endpoint = aws.client("sagemaker").describe_endpoint(EndpointName=outputs.endpoint_name)
        yield Line(outputs.endpoint_name, endpoint["EndpointStatus"], endpoint["EndpointConfigName"])
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"ValidationException", "ResourceNotFound"}:
            raise
        yield Line(outputs.endpoint_name, "not deployed")
    key = {"run": {"S": f"live#{settings.workload}"}}
    live = aws.client("dynamodb").get_item(TableName=outputs.runs_table, Key=key).get("Item", {})
    package = live.get("model_package_arn", {}).get("S", "none")
    yield Line("live model", package.partition(":model-package/")[2] or package)
    datasets = DatasetReader(settings, aws, outputs).all()
    yield Line("newest dataset", datasets[-1].version if datasets else "none")


def queue_lines(aws: Aws, outputs: Outputs) -> Iterator[Line]:
    """How many messages wait in the intake queue and its dead-letter queue."""
    for name, url in (("intake", outputs.intake_queue_url), ("dead letters", outputs.intake_dead_letter_queue_url)):
        wanted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=wanted)["Attributes"]
        waiting, in_flight = (int(found.get(key, 0)) for key in wanted)
        bad = name == "dead letters" and waiting + in_flight > 0
        yield Line(name, "NOT EMPTY" if bad else "OK", f"{waiting} waiting, {in_flight} being handled")


def alarm_lines(aws: Aws, outputs: Outputs) -> list[Line]:
    """The alarms of the workload that are not quiet, or one line that says that all are."""
    names = list(outputs.alarm_names)
    batches = [names[index : index + 100] for index in range(0, len(names), 100)]
    cloudwatch = aws.client("cloudwatch")
    found = [alarm for batch in batches for alarm in cloudwatch.describe_alarms(AlarmNames=batch)["MetricAlarms"]]
    loud = [Line(alarm["AlarmName"], alarm["StateValue"]) for alarm in found if alarm["StateValue"] == "ALARM"]
    return loud or [Line("alarms", "OK", f"{len(found)} of {len(names)} exist, none is in alarm")]


def render(groups: dict[str, list[Line]]) -> RenderableType:
    """A table per group."""
    tables = []
    for title, lines in groups.items():
        table = Table(
            title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False
        )
        for _ in range(3):
            table.add_column(overflow="fold")
        for line in lines:
            style = "green" if line.state in _GOOD else "yellow" if line.state[:1].islower() else "red"
            table.add_row(f"  {line.thing}", Text(line.state, style=style), Text(line.detail, style="dim"))
        tables.append(table)
    return Group(*tables)
