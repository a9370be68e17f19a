"""Schedules deliver at set times, by the clock of their time zone and under their role."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from local.server.host import Denied
from local.server.schedules import Ticker
from tests.local.conftest import ROOT, SERVER_PYTHON

PROGRAM = """
import json, sys
from local.server.set_times import next_time, BadTime
import datetime as dt
found = []
for expression, zone, after in json.load(sys.stdin):
    moment = dt.datetime.fromisoformat(after).timestamp()
    try:
        due = next_time(expression, zone, moment, moment)
        found.append(None if due is None else dt.datetime.fromtimestamp(due, dt.UTC).isoformat())
    except BadTime as error:
        found.append(str(error))
print(json.dumps(found))
"""


@pytest.mark.parametrize(
    ("expression", "zone", "after", "due"),
    [
        ("cron(30 5 * * ? *)", "Europe/Berlin", "2024-03-30T12:00:00+00:00", "2024-03-31T03:30:00+00:00"),
        ("cron(30 5 * * ? *)", "Europe/Berlin", "2024-01-01T12:00:00+00:00", "2024-01-02T04:30:00+00:00"),
        ("rate(1 hour)", "UTC", "2024-01-01T12:10:00+00:00", "2024-01-01T13:10:00+00:00"),
        ("at(2024-06-01T08:00:00)", "America/New_York", "2024-01-01T00:00:00+00:00", "2024-06-01T12:00:00+00:00"),
        ("at(2024-06-01T08:00:00)", "UTC", "2024-07-01T00:00:00+00:00", None),
        ("whenever", "UTC", "2024-07-01T00:00:00+00:00", "'whenever' is no rate(…), cron(…) or at(…)"),
        ("rate(1 day)", "Mars/Olympus", "2024-07-01T00:00:00+00:00", "'Mars/Olympus' is no time zone"),
    ],
)
def test_a_set_time_is_one_of_the_clock_on_the_wall(expression: str, zone: str, after: str, due: str | None) -> None:
    done = subprocess.run(
        [str(SERVER_PYTHON), "-c", PROGRAM],
        input=json.dumps([[expression, zone, after]]),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [due]


class Queues:
    """Stands for SQS."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def get_queue_url(self, QueueName: str) -> dict[str, str]:
        return {"QueueUrl": f"https://{QueueName}"}

    def send_message(self, QueueUrl: str, MessageBody: str) -> None:
        self.sent.append((QueueUrl, json.loads(MessageBody)))


class Somewhere:
    """Stands for the server: one role trusts the scheduler."""

    def __init__(self) -> None:
        self.queues = Queues()

    def mint(self, role: str, service: str, session: str, source: str) -> str:
        if (role, service) != ("trusting", "scheduler.amazonaws.com"):
            raise Denied("not trusted")
        return "credentials"

    def client(self, service: str, credentials: Any = None) -> Queues:
        assert service == "sqs"
        return self.queues


@pytest.mark.parametrize(("role", "delivered"), [("trusting", 1), ("other", 0)])
def test_an_input_is_delivered_under_the_role_with_its_words_put_in(role: str, delivered: int) -> None:
    somewhere = Somewhere()
    text = json.dumps({"time": "<aws.scheduler.scheduled-time>", "repeat": True})
    target = {"Arn": "arn:aws:sqs:us-east-1:0:due", "RoleArn": role, "Input": text}
    Ticker(somewhere).deliver({"Name": "nightly", "Arn": "arn:schedule", "Target": target}, 1711855800.0)  # type: ignore[arg-type]
    due = {"time": "2024-03-31T03:30:00Z", "repeat": True}
    assert somewhere.queues.sent == [("https://due", due)] * delivered
