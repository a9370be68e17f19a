"""A deployed platform, and how tests look into it: wait for something, read what is there, start a machine."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from local.chain import Chain, ChainReader
from local.executions import RUNNING, Execution, execution_arn, read_execution
from local.outputs import Outputs, stack_name
from local.redrive import run_id_of
from local.settings import Settings
from local.steps import Platform

ROOT = Path(__file__).parents[2]
WORKLOAD = "flight_delays"
PATIENCE_SECONDS = 480.0
LEAST_PATIENCE_SECONDS = 120.0
"""Waiting ends as soon as there is something, so on a busy machine no wait is cut shorter than that."""

_LOOK_SECONDS = 0.2
_T = TypeVar("_T")


def eventually(look: Callable[[], _T | None], what: str, *, seconds: float = PATIENCE_SECONDS) -> _T:
    """Look again and again until there is something.

    Raises:
        AssertionError: There was nothing in time; the text says what was waited for.
    """
    deadline = time.monotonic() + max(seconds, LEAST_PATIENCE_SECONDS)
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {max(seconds, LEAST_PATIENCE_SECONDS):g} s"
        time.sleep(_LOOK_SECONDS)


@dataclass
class OnCall:
    """A queue that is subscribed to the topic of failures; every message is kept."""

    sqs: Any
    queue_url: str
    notices: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def subscribe(cls, platform: Platform) -> OnCall:
        """Make the queue and subscribe it."""
        sqs, sns = platform.aws.client("sqs"), platform.aws.client("sns")
        url = sqs.create_queue(QueueName="on-call")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        topic = platform.outputs.on_call_topic_arn
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        return cls(sqs, url)

    def told_of(self, execution: Execution) -> dict[str, Any]:
        """The notice of the failure of an execution."""
        return self.notice(lambda notice: notice.get("execution") == execution.arn)

    def notice(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first notice that is wanted."""

        def look() -> dict[str, Any] | None:
            self._receive()
            return next((notice for notice in self.notices if wanted(notice)), None)

        return eventually(look, "a notice")

    def _receive(self) -> None:
        received = self.sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10).get("Messages", [])
        for message in received:
            self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
            content = json.loads(json.loads(message["Body"])["Message"])
            self.notices.append(content)


@dataclass(frozen=True)
class Live:
    """A running local AWS with the deployed stacks and the published scripts of a project."""

    platform: Platform
    on_call: OnCall
    root: Path = ROOT

    @property
    def settings(self) -> Settings:
        return self.platform.settings

    @property
    def workload(self) -> str:
        return self.settings.workload

    @property
    def outputs(self) -> Outputs:
        return self.platform.outputs

    def client(self, service: str) -> Any:
        return self.platform.aws.client(service)

    # -- objects

    def read(self, uri: str) -> bytes:
        """The bytes of an object."""
        place = urlsplit(uri, allow_fragments=False)
        body: bytes = self.client("s3").get_object(Bucket=place.netloc, Key=place.path[1:])["Body"].read()
        return body

    def read_json(self, uri: str) -> Any:
        """The content of a JSON object."""
        return json.loads(self.read(uri))

    def write(self, uri: str, content: bytes) -> None:
        """Put an object."""
        place = urlsplit(uri, allow_fragments=False)
        self.client("s3").put_object(Bucket=place.netloc, Key=place.path[1:], Body=content)

    def uris(self, uri: str) -> list[str]:
        """The URIs of all objects that start like this."""
        place = urlsplit(uri, allow_fragments=False)
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=place.netloc, Prefix=place.path[1:])
        return [f"s3://{place.netloc}/{item['Key']}" for page in pages for item in page.get("Contents", [])]

    def zone(self, name: str) -> str:
        """Where the workload's part of ``landing``, ``validated``, ``datasets`` … is, ``s3://bucket/<workload>/``."""
        return f"s3://{getattr(self.outputs, name + '_bucket')}/{self.workload}/"

    @property
    def bundle(self) -> dict[str, str]:
        """What points to the published scripts."""
        found: dict[str, str] = self.read_json(f"{self.zone('artefacts')}bundles/current.json")
        return found

    # -- functions

    def function(self, name: str, stack: str | None = None) -> str:
        """Physical name of a function of a stack, the workload's by default, by its construct's name."""
        stack = stack_name(self.settings) if stack is None else stack
        found = self.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
        (function,) = [
            each["PhysicalResourceId"]
            for each in found
            if each["ResourceType"] == "AWS::Lambda::Function" and each["LogicalResourceId"].startswith(name)
        ]
        return str(function)

    def invoke(self, name: str, event: Mapping[str, Any], stack: str | None = None) -> tuple[str, str]:
        """Call a function by its construct's name; returns its answer and the end of its log."""
        function = self.function(name, stack)
        answer = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event), LogType="Tail")
        return answer["Payload"].read().decode(), base64.b64decode(answer.get("LogResult", "")).decode()

    # -- executions

    def start(self, machine: str, document: Mapping[str, Any]) -> str:
        """Start one of the four machines with an input of our own; returns the ARN of the execution."""
        run_id = f"{uuid.uuid4().hex[:16]}-1"
        given = {"run_id": run_id, "workload": self.workload, **document}
        started = self.client("stepfunctions").start_execution(
            stateMachineArn=self.outputs.machines[machine], name=run_id, input=json.dumps(given)
        )
        return str(started["executionArn"])

    def end_of(self, machine: str, arn: str) -> Execution:
        """Wait for the end of an execution."""

        def look() -> Execution | None:
            status = self.client("stepfunctions").describe_execution(executionArn=arn)["status"]
            return read_execution(self.platform.aws, machine, arn) if status != RUNNING else None

        return eventually(look, f"the end of {arn}")

    def run(self, machine: str, document: Mapping[str, Any]) -> Execution:
        """Start a machine and wait for its end."""
        return self.end_of(machine, self.start(machine, document))

    def run_all(self, machine: str, documents: Sequence[Mapping[str, Any]], *, at_once: int = 3) -> list[Execution]:
        """Run a machine for each input, some of them side by side."""
        with ThreadPoolExecutor(max_workers=at_once) as pool:
            return list(pool.map(lambda document: self.run(machine, document), documents))

    def loop_of(self, key: str) -> Execution:
        """Wait for the end of the loop that a batch set off; ``key`` is its idempotency key."""
        arn = execution_arn(self.outputs.loop_machine_arn, run_id_of(self.platform.aws, self.outputs, key))
        existing = self.client("stepfunctions").exceptions.ExecutionDoesNotExist

        def look() -> bool:
            try:
                return bool(self.client("stepfunctions").describe_execution(executionArn=arn))
            except existing:
                return False

        eventually(look, f"the start of {arn}", seconds=60)
        return self.end_of("loop", arn)

    def chain_of(self, key: str) -> Chain:
        """Wait for the end of everything that a batch set off; ``key`` is its idempotency key."""
        reader = ChainReader(self.platform.aws, self.outputs, run_id_of(self.platform.aws, self.outputs, key))

        def look() -> Chain | None:
            chain = reader.read()
            return chain if chain.finished else None

        return eventually(look, f"the end of the run of {key}")

    # -- tables and queues

    def item(self, table: str, key: str, value: str) -> dict[str, Any] | None:
        """An item of a table, its values without their types; ``None`` if there is none."""
        found = self.client("dynamodb").get_item(TableName=table, Key={key: {"S": value}}).get("Item")
        return {name: next(iter(typed.values())) for name, typed in found.items()} if found else None

    def record(self, run: str) -> dict[str, Any]:
        """An item of the runs table, such as ``data#<run_id>``."""
        found = self.item(self.outputs.runs_table, "run", run)
        assert found is not None, f"there is no record of {run}"
        return found

    def trail(self) -> list[dict[str, str]]:
        """What the audit trail says of the workload's models."""
        stack = self.client("cloudformation").describe_stack_resources(StackName=f"{self.settings.stage}-DataLake")
        (table,) = [
            each["PhysicalResourceId"]
            for each in stack["StackResources"]
            if each["LogicalResourceId"].startswith("LakeAudit")
        ]
        found = self.client("dynamodb").query(
            TableName=table,
            KeyConditionExpression="workload = :workload",
            ExpressionAttributeValues={":workload": {"S": self.workload}},
        )["Items"]
        return [{name: value["S"] for name, value in item.items()} for item in found]

    def lease(self) -> dict[str, Any] | None:
        """Who holds the workload's lease."""
        return self.item(self.outputs.leases_table, "lease", self.workload)

    def waiting(self, queue_url: str) -> int:
        """Messages of a queue that are there or being worked on."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def intake_is_empty(self) -> bool:
        """Whether every event has been handled, and none was given up."""
        queues = (self.outputs.intake_queue_url, self.outputs.intake_dead_letter_queue_url)
        return all(self.waiting(queue) == 0 for queue in queues)

    # -- the command line

    def command(self, *arguments: str) -> str:
        """Type ``python -m local …``; returns what it printed.

        Raises:
            AssertionError: It did not succeed.
        """
        done = type_command(self.settings, *arguments, root=self.root)
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}\n{done.stderr}"
        return done.stdout


def type_command(settings: Settings, *arguments: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Type ``python -m local …`` in a project's folder."""
    options = ["--state-dir", str(settings.state_dir), "--stage", settings.stage, "--workload", settings.workload]
    return subprocess.run(
        [sys.executable, "-m", "local", *options, *arguments],
        cwd=root,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
