"""Find and show the log of a job, a function, an endpoint, an execution, or of the platform's own programs."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from local.aws import Aws
from local.errors import UserError
from local.executions import execution_arns, read_execution
from local.outputs import Outputs

_JOB_GROUPS = (
    "/aws/sagemaker/TrainingJobs",
    "/aws/sagemaker/ProcessingJobs",
    "/aws/sagemaker/TransformJobs",
    "/aws-glue/jobs/output",
    "/aws-glue/jobs/error",
    "/aws-glue/crawlers",
)
_FOLLOW_SECONDS = 0.5


@dataclass
class LogSource:
    """Streams of one log group that start with a prefix; remembers how far it has read each."""

    group: str
    prefix: str
    _tokens: dict[str, str] = field(default_factory=dict)

    def new_lines(self, aws: Aws) -> list[str]:
        """Lines that have not been given yet, oldest first; none if the group does not exist."""
        try:
            streams = _stream_names(aws, self.group, self.prefix)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return []
            raise
        events = [event for stream in streams for event in self._new_events(aws, stream)]
        ordered = sorted(events, key=lambda event: event["timestamp"])
        return [f"{_clock(event['timestamp'])} {event['message'].rstrip()}" for event in ordered]

    def _new_events(self, aws: Aws, stream: str) -> Iterator[dict[str, Any]]:
        asked: dict[str, Any] = {"logGroupName": self.group, "logStreamName": stream, "startFromHead": True}
        while True:
            token = self._tokens.get(stream)
            page = aws.client("logs").get_log_events(**asked, **({"nextToken": token} if token else {}))
            yield from page["events"]
            self._tokens[stream] = page["nextForwardToken"]
            if self._tokens[stream] == token:
                return


def _stream_names(aws: Aws, group: str, prefix: str) -> list[str]:
    asked = {"logGroupName": group} | ({"logStreamNamePrefix": prefix} if prefix else {})
    pages = aws.client("logs").get_paginator("describe_log_streams").paginate(**asked)
    return [str(name) for name in pages.search("logStreams[].logStreamName")]


def sources(aws: Aws, name: str) -> list[LogSource]:
    """Where a job, endpoint or crawler of this name writes, and functions with this in their name, in any case."""
    found = [LogSource(group, name) for group in _JOB_GROUPS]
    found.append(LogSource(f"/aws/sagemaker/Endpoints/{name}", ""))
    functions = function_groups(aws).items()
    return [*found, *(LogSource(group, "") for function, group in functions if name.lower() in function.lower())]


def function_groups(aws: Aws) -> dict[str, str]:
    """The functions of the account with their log groups."""
    pages = aws.client("lambda").get_paginator("list_functions").paginate()
    functions = [function for page in pages for function in page["Functions"]]
    return {item["FunctionName"]: _group_of(item) for item in functions}


def _group_of(function: dict[str, Any]) -> str:
    return str(function.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{function['FunctionName']}")


def log_lines(aws: Aws, outputs: Outputs, name: str, *, follow: bool) -> Iterator[str]:
    """The log of whatever has this name; with ``follow`` it goes on until interrupted.

    Raises:
        UserError: Nothing of this name has written a log or has been an execution.
    """
    found = sources(aws, name)
    any_line = False
    for line in _execution_lines(aws, outputs, name):
        any_line = True
        yield line
    for source in found:
        for line in source.new_lines(aws):
            any_line = True
            yield line
    if not any_line and not follow:
        raise UserError(
            f"nothing called {name!r} has a log (allowed: {', '.join(known_names(aws, outputs)) or 'none yet'})"
        )
    while follow:
        time.sleep(_FOLLOW_SECONDS)
        for source in found:
            yield from source.new_lines(aws)


def known_names(aws: Aws, outputs: Outputs) -> list[str]:
    """What has a log: the platform's programs, pipelines, functions, jobs and endpoints."""
    names: dict[str, None] = dict.fromkeys(["server", "synth", "bootstrap", "deploy", *outputs.machines])
    names.update(dict.fromkeys(function_groups(aws)))
    for group in aws.client("logs").get_paginator("describe_log_groups").paginate().search("logGroups[].logGroupName"):
        if group.startswith("/aws/sagemaker/Endpoints/"):
            names[group.rpartition("/")[2]] = None
        elif group in _JOB_GROUPS:
            names.update(dict.fromkeys(_jobs(aws, group)))
    return list(names)


def _jobs(aws: Aws, group: str) -> list[str]:
    return [name.partition("/")[0] for name in _stream_names(aws, group, "")]


def _execution_lines(aws: Aws, outputs: Outputs, name: str) -> Iterator[str]:
    """The states of an execution, given by the name of its pipeline (the newest), its own name or its ARN."""
    for machine, machine_arn in outputs.machines.items():
        for arn in execution_arns(aws, machine_arn):
            if name not in {machine, arn, arn.rpartition(":")[2]}:
                continue
            execution = read_execution(aws, machine, arn)
            yield f"{machine} {execution.name}: {execution.status}"
            for state in execution.states:
                yield f"{state.entered:%H:%M:%S.%f} {state.name}" + (
                    f": {state.error}: {state.cause}" if state.error else ""
                )
            if execution.error:
                yield f"ended with {execution.error}: {execution.cause or 'no cause was given'}"
            return


def _clock(milliseconds: int) -> str:
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC).strftime("%H:%M:%S.%f")[:-3]
