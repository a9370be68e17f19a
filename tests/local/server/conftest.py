"""Small machines, functions and queues on the shared local server."""

from __future__ import annotations

import io
import json
import time
import uuid
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

ANYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def any_name(prefix: str) -> str:
    """A name that nobody else uses."""
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def wait_until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true value of ``condition``; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"nothing happened within {seconds} s")


class Machines:
    """Makes and runs state machines of the shared server."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.sfn = server.client("stepfunctions")
        self._everything: str | None = None

    def role(self, *statements: dict[str, Any]) -> str:
        role: str = self.server.role("states.amazonaws.com", *statements)
        return role

    def everything(self) -> str:
        """A role that may do anything."""
        self._everything = self._everything or self.role(ANYTHING)
        return self._everything

    def create(self, states: dict[str, Any], *, role: str | None = None, **fields: Any) -> str:
        definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states, **fields}
        arn: str = self.sfn.create_state_machine(
            name=any_name("machine"), roleArn=role or self.everything(), definition=json.dumps(definition)
        )["stateMachineArn"]
        return arn

    def start(self, states: dict[str, Any], given: Any = None, **options: Any) -> str:
        machine = self.create(states, **options)
        arn: str = self.sfn.start_execution(stateMachineArn=machine, input=json.dumps(given or {}))["executionArn"]
        return arn

    def run(self, states: dict[str, Any], given: Any = None, **options: Any) -> dict[str, Any]:
        """Run a machine to its end; returns the description, with ``output`` parsed."""
        return self.wait(self.start(states, given, **options))

    def wait(self, execution: str, seconds: float = 30.0) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            description: dict[str, Any] = self.sfn.describe_execution(executionArn=execution)
            return None if description["status"] == "RUNNING" else description

        found: dict[str, Any] = wait_until(ended, seconds)
        return {**found, "output": json.loads(found["output"])} if "output" in found else found

    def history(self, execution: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self.sfn.get_execution_history(executionArn=execution, maxResults=1000)["events"]
        return events


@pytest.fixture(scope="session")
def machines(local_server: Any) -> Machines:
    """Makes and runs state machines."""
    return Machines(local_server)


@pytest.fixture
def machines_of() -> Callable[[Any], Machines]:
    """Makes and runs state machines of another server."""
    return Machines


class Functions:
    """Makes and calls functions of the shared server."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.client = server.client("lambda")

    def create(self, code: str, *statements: dict[str, Any], role: str | None = None, **options: Any) -> str:
        name = any_name("function")
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as zipped:
            zipped.writestr("code.py", code)
        self.client.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="code.handler",
            Role=role or self.server.role("lambda.amazonaws.com", *statements),
            Code={"ZipFile": archive.getvalue()},
            **{"Timeout": 20, **options},
        )
        return name

    def call(self, name: str, event: Any = None) -> Any:
        """The answer of a function, or its error document."""
        answer = self.client.invoke(FunctionName=name, Payload=json.dumps(event or {}))
        return json.loads(answer["Payload"].read())


@pytest.fixture(scope="session")
def functions(local_server: Any) -> Functions:
    """Makes and calls functions."""
    return Functions(local_server)


@pytest.fixture
def functions_of() -> Callable[[Any], Functions]:
    """Makes and calls functions of another server."""
    return Functions


@pytest.fixture
def bucket(local_server: Any) -> str:
    """An empty bucket."""
    name = any_name("bucket")
    local_server.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture
def queue(local_server: Any) -> tuple[str, str]:
    """URL and ARN of a queue that every service may send to."""
    sqs = local_server.client("sqs")
    url = sqs.create_queue(QueueName=any_name("queue"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    services = ["events.amazonaws.com", "sns.amazonaws.com"]
    allow = {"Effect": "Allow", "Principal": {"Service": services}, "Action": "sqs:SendMessage", "Resource": arn}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Statement": [allow]})})
    return url, arn
