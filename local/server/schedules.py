"""EventBridge Scheduler: set times by the clock of a time zone, delivered under the schedule's own role.

ministack keeps the schedules, but knows no time zone, no role and no word in an input that stands for the time.
"""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.server import clock, hooks
from local.server.host import Denied, Host
from local.server.set_times import BadTime, next_time

log = logging.getLogger("gapless.schedules")

_SERVICE = "scheduler.amazonaws.com"
_TYPE = "AWS::Scheduler::Schedule"

Document = dict[str, Any]


def register(host: Host) -> None:
    """Keep what templates say of schedules, and deliver what is due."""
    ticker = Ticker(host)
    hooks.replace("services.scheduler:_tick_schedules", ticker.tick)
    host.extend_resource_type(_TYPE, ticker.complete)


class Ticker:
    """Looks which schedules are due whenever ministack's own thread asks."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._due: dict[Any, tuple[str, float | None]] = {}

    def complete(self, name: str, props: Document) -> None:
        """Keep the time zone, which ministack drops of a template."""
        for (_, _, key), schedule in list(hooks.get("services.scheduler:_schedules")._data.items()):
            if key.rpartition("/")[2] == name:
                schedule["ScheduleExpressionTimezone"] = props.get("ScheduleExpressionTimezone", "UTC")

    def tick(self) -> None:
        """Deliver what is due, and find out when it is due again."""
        now = clock.now()
        for key, schedule in list(hooks.get("services.scheduler:_schedules")._data.items()):
            if schedule.get("State") == "ENABLED":
                self.look(key, schedule, now)

    def look(self, key: Any, schedule: Document, now: float) -> None:
        """Deliver a schedule if it is due."""
        written = f"{schedule['ScheduleExpression']} {schedule.get('ScheduleExpressionTimezone', 'UTC')}"
        known, due = self._due.get(key, ("", None))
        try:
            if known != written:
                due = self._next(schedule, now)
            elif due is not None and due <= now:
                self.deliver(schedule, due)
                due = self._next(schedule, now)
        except BadTime as error:
            log.warning("the schedule %s: %s", schedule.get("Name"), error)
        self._due[key] = (written, due)

    def _next(self, schedule: Document, now: float) -> float | None:
        zone = schedule.get("ScheduleExpressionTimezone", "UTC")
        return next_time(schedule["ScheduleExpression"], zone, now, float(schedule.get("CreationDate") or now))

    def deliver(self, schedule: Document, due: float) -> None:
        """Hand the input to the target, under the role of the schedule; what cannot be delivered is logged."""
        target = schedule["Target"]
        moment = dt.datetime.fromtimestamp(due, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        words = {"execution-id": str(uuid.uuid4()), "scheduled-time": moment, "schedule-arn": schedule["Arn"]}
        text = target.get("Input", "{}")
        for name, value in words.items():
            text = text.replace(f"<aws.scheduler.{name}>", value)
        try:
            credentials = self._host.mint(target["RoleArn"], _SERVICE, "scheduler", schedule["Arn"])
            self._send(target["Arn"], text, credentials)
        except (Denied, ClientError, BotoCoreError, ValueError) as error:
            log.warning("the schedule %s did not reach %s: %s", schedule["Name"], target["Arn"], error)

    def _send(self, arn: str, text: str, credentials: Any) -> None:
        service = arn.split(":")[2]
        if service == "sqs":
            queues = self._host.client("sqs")
            url = queues.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]
            self._host.client("sqs", credentials).send_message(QueueUrl=url, MessageBody=text)
        elif service == "states":
            self._host.client("stepfunctions", credentials).start_execution(stateMachineArn=arn, input=text)
        elif service == "lambda":
            self._host.client("lambda", credentials).invoke(FunctionName=arn, InvocationType="Event", Payload=text)
        else:
            raise ValueError(f"targets of {service} are not served (sqs, states and lambda are)")
