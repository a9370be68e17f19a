"""The life of executions: run, stop, time out, redrive, and what the outside hears of it."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from local.server import clock, hooks
from local.server.host import Denied, Host, Request, Response, ServiceError
from local.server.step_functions.errors import Interrupted, Signal, StateError
from local.server.step_functions.integrations import Integrations
from local.server.step_functions.interpreter import Interpreter, Progress

log = logging.getLogger("gapless.step_functions")

_REDRIVABLE = frozenset({"FAILED", "TIMED_OUT", "ABORTED"})
_METRICS = {
    "SUCCEEDED": "ExecutionsSucceeded",
    "FAILED": "ExecutionsFailed",
    "TIMED_OUT": "ExecutionsTimedOut",
    "ABORTED": "ExecutionsAborted",
}
_RESTART = ("States.ServiceRestart", "the local server was stopped while the execution ran")

Document = dict[str, Any]


@dataclass
class _Running:
    """An execution that a thread works on, and why it is to stop, once it is."""

    signal: Signal = field(default_factory=Signal)
    ending: tuple[str, str, str] | None = None

    def end(self, status: str, error: str, cause: str) -> None:
        """Ask it to stop with this status, error and cause; the first one to ask is heard."""
        if self.ending is None:
            self.ending = (status, error, cause)
        self.signal.set()


class Executions:
    """All executions of this server. Their records are ministack's, so its own operations see them."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._records: MutableMapping[str, Document] = hooks.get("services.stepfunctions:_executions")
        self._machines: MutableMapping[str, Document] = hooks.get("services.stepfunctions:_state_machines")
        self._running: dict[str, _Running] = {}
        self._lock = threading.Lock()

    # -- operations

    def stop(self, request: Request) -> Response:
        """StopExecution: ends an execution, the jobs it waits for and the executions inside it."""
        arguments = request.json()
        record = self._record(arguments.get("executionArn", ""))
        error, cause = arguments.get("error") or "", arguments.get("cause") or ""
        with self._lock:
            running = self._running.get(record["executionArn"])
        if running is not None:
            running.end("ABORTED", error, cause)
            self._finish(record, "ABORTED", error=error, cause=cause)
        elif record["status"] != "ABORTED":
            raise ServiceError("ValidationException", f"the execution has ended already: {record['status']}")
        return Response.of_json({"stopDate": _seconds(record["stopDate"])})

    def redrive(self, request: Request) -> Response:
        """RedriveExecution: goes on from where an execution failed; what succeeded is not run again."""
        record = self._record(request.json().get("executionArn", ""))
        with self._lock:
            if record["status"] not in _REDRIVABLE or record["executionArn"] in self._running:
                raise ServiceError(
                    "ExecutionNotRedrivable", f"the execution is {record['status']} and cannot be redriven"
                )
            record["redriveCount"] = record.get("redriveCount", 0) + 1
            record["redriveDate"] = _now()
            record.update(status="RUNNING", stopDate=None, error=None, cause=None, output=None)
        _add_event(
            record, "ExecutionRedriven", {"executionRedrivenEventDetails": {"redriveCount": record["redriveCount"]}}
        )
        threading.Thread(target=self.run, args=(record["executionArn"],), name="execution", daemon=True).start()
        return Response.of_json({"redriveDate": _seconds(record["redriveDate"])})

    def describe(self, request: Request) -> Response:
        """DescribeExecution, with what it says about redriving."""
        record = self._record(request.json().get("executionArn", ""))
        document = {
            key: record.get(key)
            for key in ("executionArn", "stateMachineArn", "name", "status", "input", "error", "cause")
        }
        if record["status"] == "SUCCEEDED":
            document |= {"output": record["output"], "outputDetails": {"included": True}}
        for key in ("startDate", "stopDate", "redriveDate"):
            document[key] = _seconds(record[key]) if record.get(key) else None
        document |= {"inputDetails": {"included": True}, **_redrive_status(record)}
        return Response.of_json({key: value for key, value in document.items() if value is not None})

    def _record(self, arn: str) -> Document:
        record = self._records.get(arn)
        if record is None:
            raise ServiceError("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")
        return record

    # -- running

    def run(self, arn: str) -> None:
        """Run an execution to its end, in the calling thread. It begins where its record says that it stands."""
        record = self._records[arn]
        running = _Running()
        with self._lock:
            self._running[arn] = running
        try:
            self._run(record, running)
        finally:
            with self._lock:
                del self._running[arn]

    def _run(self, record: Document, running: _Running) -> None:
        timer = None
        self._tell_begin(record)
        try:
            machine = self._machine(record)
            definition = _definition(machine)
            if "TimeoutSeconds" in definition:
                seconds = definition["TimeoutSeconds"]
                cause = f"the execution ran longer than {seconds} s"
                timer = threading.Timer(seconds, running.end, ("TIMED_OUT", "States.Timeout", cause))
                timer.daemon = True
                timer.start()
            output = self._interpret(record, machine, definition, running.signal)
            self._finish(record, "SUCCEEDED", output=output)
        except StateError as error:
            self._finish(record, "FAILED", error=error.error, cause=error.cause)
        except Interrupted:
            status, name, cause = running.ending or ("FAILED", *_RESTART)
            self._finish(record, status, error=name, cause=cause)
        except Exception as error:
            log.exception("execution %s", record["executionArn"])
            self._finish(record, "FAILED", error="States.Runtime", cause=f"{type(error).__name__}: {error}")
        finally:
            if timer is not None:
                timer.cancel()

    def _interpret(self, record: Document, machine: Document, definition: Document, signal: Signal) -> Any:
        try:
            credentials = self._host.mint(
                machine["roleArn"], "states.amazonaws.com", record["name"], machine["stateMachineArn"]
            )
        except Denied as error:
            raise StateError("States.Permissions", str(error)) from error
        try:
            interpreter = Interpreter(
                invoke=Integrations(self._host, credentials).invoke,
                record=lambda kind, details: _add_event(record, kind, details),
                progress=Progress(record.setdefault("progress", {})),
                context=_context(record, machine),
                wait_scale=self._host.settings.wait_scale,
            )
            return interpreter.run(definition, json.loads(record["input"]), signal)
        finally:
            self._host.forget(credentials)

    def _machine(self, record: Document) -> Document:
        machine = self._machines.get(record["stateMachineArn"])
        if machine is None:
            raise StateError("States.Runtime", f"the state machine {record['stateMachineArn']} was deleted")
        return machine

    def _finish(self, record: Document, status: str, *, output: Any = None, error: str = "", cause: str = "") -> None:
        with self._lock:
            if record["status"] != "RUNNING":
                return
            record.update(status=status, stopDate=_now())
            if status == "SUCCEEDED":
                record["output"] = json.dumps(output)
                record["progress"] = {}
            else:
                record.update(error=error, cause=cause)
        details = {"output": record["output"]} if status == "SUCCEEDED" else {"error": error, "cause": cause}
        kind = "Execution" + "".join(word.capitalize() for word in status.split("_"))
        _add_event(record, kind, {f"{kind[0].lower()}{kind[1:]}EventDetails": details})
        threading.Thread(target=self._tell, args=(record,), name="told", daemon=True).start()

    def shut_down(self) -> None:
        """End everything that runs; each can be redriven after a restart."""
        with self._lock:
            arns, everything = list(self._running), list(self._running.values())
        for running in everything:
            running.end("FAILED", *_RESTART)
        for arn in arns:
            self._finish(self._records[arn], "FAILED", error=_RESTART[0], cause=_RESTART[1])

    # -- what the outside hears

    def _tell(self, record: Document) -> None:
        self._put_metrics(record)
        self._put_log(record)
        if not record.get("sync"):
            self._put_event(record)

    def _tell_begin(self, record: Document) -> None:
        if not record.get("sync"):
            self._put_event(record)

    def _put_event(self, record: Document) -> None:
        detail = {
            **{key: record.get(key) for key in ("executionArn", "stateMachineArn", "name", "status", "input")},
            "startDate": int(_seconds(record["startDate"]) * 1000),
            "stopDate": int(_seconds(record["stopDate"]) * 1000) if record.get("stopDate") else None,
            "output": record.get("output"),
            "error": record.get("error"),
            "cause": record.get("cause"),
            **_redrive_status(record),
        }
        self._host.emit("aws.states", "Step Functions Execution Status Change", detail, [record["executionArn"]])

    def _put_metrics(self, record: Document) -> None:
        dimensions = {"StateMachineArn": record["stateMachineArn"]}
        took = (_seconds(record["stopDate"]) - _seconds(record["startDate"])) * 1000
        self._host.put_metric("AWS/States", _METRICS[record["status"]], 1, dimensions, "Count")
        self._host.put_metric("AWS/States", "ExecutionTime", took, dimensions, "Milliseconds")

    def _put_log(self, record: Document) -> None:
        machine = self._machines.get(record["stateMachineArn"])
        group, with_data = _logging(machine or {})
        if group is None:
            return
        stream = f"states/{record['stateMachineArn'].rsplit(':', 1)[-1]}/{record['name']}"
        lines = [json.dumps(_log_line(event, record["executionArn"], with_data)) for event in record["events"]]
        self._host.put_logs(group, stream, lines)


def _definition(machine: Document) -> Document:
    definition: Document = json.loads(machine["definition"])
    language = definition.get("QueryLanguage", "JSONPath")
    if language != "JSONata":
        raise StateError("States.Runtime", f"the local server runs JSONata machines only; this one is in {language}")
    return definition


def _context(record: Document, machine: Document) -> Document:
    execution = {
        "Id": record["executionArn"],
        "Input": json.loads(record["input"]),
        "Name": record["name"],
        "RoleArn": machine["roleArn"],
        "StartTime": record["startDate"],
        "RedriveCount": record.get("redriveCount", 0),
    }
    if record.get("redriveDate"):
        execution["RedriveTime"] = record["redriveDate"]
    return {"Execution": execution, "StateMachine": {"Id": machine["stateMachineArn"], "Name": machine["name"]}}


def _redrive_status(record: Document) -> Document:
    status = record["status"]
    redrivable = status in _REDRIVABLE
    document: Document = {
        "redriveCount": record.get("redriveCount", 0),
        "redriveStatus": "REDRIVABLE" if redrivable else "NOT_REDRIVABLE",
    }
    if not redrivable:
        document["redriveStatusReason"] = f"Execution is {status} and cannot be redriven"
    return document


def _logging(machine: Document) -> tuple[str | None, bool]:
    """The log group of a machine, if it logs, and whether inputs and outputs are to be seen there."""
    settings = {key[:1].lower() + key[1:]: value for key, value in machine.get("loggingConfiguration", {}).items()}
    if settings.get("level", "OFF") == "OFF" or not settings.get("destinations"):
        return None, False
    destination = json.dumps(settings["destinations"][0])
    group = destination.partition(":log-group:")[2].partition('"')[0].removesuffix(":*")
    return group or None, str(settings.get("includeExecutionData", False)).lower() == "true"


def _log_line(event: Document, arn: str, with_data: bool) -> Document:
    details: Document = next((value for key, value in event.items() if key.endswith("EventDetails")), {})
    if not with_data:
        details = {key: value for key, value in details.items() if key not in ("input", "output", "parameters")}
    return {
        "id": str(event["id"]),
        "type": event["type"],
        "details": details,
        "execution_arn": arn,
        "event_timestamp": event["timestamp"],
    }


_events_lock = threading.Lock()


def _add_event(record: Document, kind: str, details: Document) -> None:
    with _events_lock:
        number = len(record["events"]) + 1
        event = {"id": number, "previousEventId": number - 1, "type": kind, "timestamp": _now(), **details}
        record["events"].append(event)


def _now() -> str:
    return clock.moment().isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
