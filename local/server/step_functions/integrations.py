"""What task states call: every integration goes through boto3 to this server, under the machine's own role."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.model import OperationModel

from local.server.host import Credentials, Host
from local.server.step_functions.errors import Deadline, Interrupted, Signal, StateError
from local.server.step_functions.naming import boto_name, from_response, optimised_error, sdk_error, to_request

log = logging.getLogger("gapless.step_functions")

_PREFIX = "arn:aws:states:::"
_KNOWN_SERVICES = tuple(boto3.Session().get_available_services())
_FIRST_POLL_SECONDS = 0.05
_LONGEST_POLL_SECONDS = 0.5

Document = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """How the ``.sync`` form of an integration waits for what it started."""

    describe: str
    identify: Callable[[Document, Document], Document]
    status: Callable[[Document], str]
    succeeded: frozenset[str]
    ended: frozenset[str]
    stop: str
    identify_for_stop: Callable[[Document, Document], Document] | None = None
    result: Callable[[Document], Any] = lambda description: description


def _sagemaker_job(kind: str) -> Job:
    name = f"{kind}Name"
    return Job(
        describe=f"Describe{kind}",
        identify=lambda request, _answer: {name: request[name]},
        status=lambda description: str(description[f"{kind}Status"]),
        succeeded=frozenset({"Completed"}),
        ended=frozenset({"Completed", "Failed", "Stopped"}),
        stop=f"Stop{kind}",
    )


_JOBS: Mapping[tuple[str, str], Job] = {
    ("glue", "startJobRun"): Job(
        describe="GetJobRun",
        identify=lambda request, answer: {"JobName": request["JobName"], "RunId": answer["JobRunId"]},
        status=lambda description: str(description["JobRun"]["JobRunState"]),
        succeeded=frozenset({"SUCCEEDED"}),
        ended=frozenset({"SUCCEEDED", "FAILED", "TIMEOUT", "ERROR", "STOPPED", "EXPIRED"}),
        stop="BatchStopJobRun",
        identify_for_stop=lambda request, answer: {"JobName": request["JobName"], "JobRunIds": [answer["JobRunId"]]},
        result=lambda description: description["JobRun"],
    ),
    ("codebuild", "startBuild"): Job(
        describe="BatchGetBuilds",
        identify=lambda _request, answer: {"ids": [answer["build"]["id"]]},
        status=lambda description: str(description["builds"][0]["buildStatus"]),
        succeeded=frozenset({"SUCCEEDED"}),
        ended=frozenset({"SUCCEEDED", "FAILED", "FAULT", "TIMED_OUT", "STOPPED"}),
        stop="StopBuild",
        identify_for_stop=lambda _request, answer: {"id": answer["build"]["id"]},
        result=lambda description: {"Build": description["Builds"][0]},
    ),
    ("athena", "startQueryExecution"): Job(
        describe="GetQueryExecution",
        identify=lambda _request, answer: {"QueryExecutionId": answer["QueryExecutionId"]},
        status=lambda description: str(description["QueryExecution"]["Status"]["State"]),
        succeeded=frozenset({"SUCCEEDED"}),
        ended=frozenset({"SUCCEEDED", "FAILED", "CANCELLED"}),
        stop="StopQueryExecution",
    ),
    ("states", "startExecution"): Job(
        describe="DescribeExecution",
        identify=lambda _request, answer: {"executionArn": answer["executionArn"]},
        status=lambda description: str(description["status"]),
        succeeded=frozenset({"SUCCEEDED"}),
        ended=frozenset({"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"}),
        stop="StopExecution",
    ),
    **{
        ("sagemaker", f"create{kind}"): _sagemaker_job(kind)
        for kind in ("TrainingJob", "ProcessingJob", "TransformJob", "HyperParameterTuningJob", "AutoMLJobV2")
    },
}

_OPTIMISED: Mapping[str, frozenset[str]] = {
    "athena": frozenset({"startQueryExecution", "stopQueryExecution", "getQueryExecution", "getQueryResults"}),
    "codebuild": frozenset({"startBuild", "stopBuild", "batchGetBuilds", "batchDeleteBuilds"}),
    "dynamodb": frozenset({"getItem", "putItem", "updateItem", "deleteItem"}),
    "events": frozenset({"putEvents"}),
    "glue": frozenset({"startJobRun"}),
    "lambda": frozenset({"invoke"}),
    "sagemaker": frozenset(
        {
            "createEndpoint",
            "createEndpointConfig",
            "createHyperParameterTuningJob",
            "createLabelingJob",
            "createModel",
            "createProcessingJob",
            "createTrainingJob",
            "createTransformJob",
            "updateEndpoint",
        }
    ),
    "sns": frozenset({"publish"}),
    "sqs": frozenset({"sendMessage"}),
    "states": frozenset({"startExecution"}),
}
"""The optimised integrations that exist on AWS and here; others are refused by name."""


class Integrations:
    """Calls services for one execution.

    Args:
        credentials: What the machine's role was assumed with.
    """

    def __init__(self, host: Host, credentials: Credentials) -> None:
        self._host = host
        self._credentials = credentials

    def invoke(self, resource: str, arguments: Any, signal: Signal, deadline: Deadline) -> Any:
        """Do what a task's ``Resource`` says; returns the task's result.

        Raises:
            StateError: The call or the job failed, timed out, or the resource is not known.
            Interrupted: ``signal`` was set; a job that was waited for has been stopped.
        """
        if resource.startswith("arn:aws:lambda:"):
            return self._invoke_function({"FunctionName": resource, "Payload": arguments}, signal, deadline)["Payload"]
        service, action, pattern, is_sdk = _parse(resource)
        if not isinstance(arguments, dict):
            raise StateError("States.Runtime", f"the arguments of {resource} must be an object")
        if (service, action) == ("lambda", "invoke") and not is_sdk:
            return self._invoke_function(arguments, signal, deadline)
        operation, request = self._prepare(service, action, arguments)
        answer = self._call(operation, request, signal, deadline, None if is_sdk else service)
        if answer.get("FailedEntryCount") and not is_sdk:
            raise StateError("EventBridge.FailedEntry", json.dumps(from_response(answer, operation.output_shape)))
        if not pattern:
            return from_response(answer, operation.output_shape)
        job = _JOBS.get((service, action))
        if job is None:
            raise StateError("States.Runtime", f"{resource} does not exist: {action} has no {pattern} form")
        result = self._wait(service, job, request, answer, signal, deadline)
        return _parsed_output(result) if pattern == "sync:2" else result

    # -- functions

    def _invoke_function(self, arguments: Document, signal: Signal, deadline: Deadline) -> Document:
        operation, request = self._prepare("lambda", "invoke", arguments)
        answer = self._call(operation, request, signal, deadline, "lambda")
        text = answer["Payload"].read().decode()
        payload = json.loads(text) if text else None
        if answer.get("FunctionError"):
            name = payload.get("errorType") if isinstance(payload, dict) else None
            raise StateError(name or "Lambda.Unknown", text)
        return {
            "ExecutedVersion": answer.get("ExecutedVersion", "$LATEST"),
            "Payload": payload,
            "StatusCode": answer["StatusCode"],
        }

    # -- calls

    def _prepare(self, service: str, action: str, arguments: Document) -> tuple[OperationModel, Document]:
        model = self._client(service).meta.service_model
        name = action[:1].upper() + action[1:]
        if name not in model.operation_names:
            raise StateError("States.Runtime", f"there is no action {action!r} of the service {service!r}")
        operation = model.operation_model(name)
        if operation.input_shape is None:
            return operation, {}
        request: Document = to_request(arguments, operation.input_shape)
        return operation, request

    def _client(self, service: str) -> Any:
        return self._host.client(boto_name(service, _KNOWN_SERVICES), self._credentials)

    def _call(
        self,
        operation: OperationModel,
        request: Document,
        signal: Signal,
        deadline: Deadline,
        optimised: str | None,
    ) -> Document:
        """Call an operation in a thread of its own, so that neither a deadline nor an abort has to wait for it."""
        method = getattr(self._host.client(operation.service_model.service_name, self._credentials), _method(operation))
        try:
            return _abandonable(lambda: method(**request), signal, deadline)
        except ClientError as error:
            raise (
                optimised_error(error, operation, optimised) if optimised else sdk_error(error, operation)
            ) from error
        except ParamValidationError as error:
            raise StateError("States.Runtime", f"{operation.name}: {error}") from error
        except BotoCoreError as error:
            raise StateError("States.Runtime", f"{operation.name} could not be called: {error}") from error

    # -- jobs

    def _wait(
        self, service: str, job: Job, request: Document, answer: Document, signal: Signal, deadline: Deadline
    ) -> Any:
        model = self._client(service).meta.service_model
        describe, identity = model.operation_model(job.describe), job.identify(request, answer)
        pause = _FIRST_POLL_SECONDS
        try:
            while True:
                description = self._call(describe, identity, signal, deadline, service)
                status = job.status(description)
                if status in job.ended:
                    break
                left = deadline.left()
                signal.wait(pause if left is None else min(pause, left))
                deadline.check()
                pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)
        except (Interrupted, StateError) as reason:
            if isinstance(reason, Interrupted) or reason.error == "States.Timeout":
                self._stop(service, job, request, answer)
            raise
        result = job.result(from_response(description, describe.output_shape))
        if status not in job.succeeded:
            raise StateError("States.TaskFailed", json.dumps(result))
        return result

    def _stop(self, service: str, job: Job, request: Document, answer: Document) -> None:
        """Stop a job that nobody waits for any more; a role that may not stop it leaves it running, as on AWS."""
        identify = job.identify_for_stop or job.identify
        operation = self._client(service).meta.service_model.operation_model(job.stop)
        try:
            getattr(self._client(service), _method(operation))(**identify(request, answer))
        except ClientError as error:
            log.warning("%s after an abort or a timeout: %s", job.stop, error)


def _method(operation: OperationModel) -> str:
    return str(xform_name(operation.name))


def _parse(resource: str) -> tuple[str, str, str, bool]:
    """Service, action, waiting pattern (empty for none) and whether it is an ``aws-sdk`` integration."""
    if not resource.startswith(_PREFIX):
        raise StateError("States.Runtime", f"{resource} is not a resource that a task can call")
    parts = resource[len(_PREFIX) :].split(":")
    is_sdk = parts[0] == "aws-sdk"
    service, rest = (parts[1], ":".join(parts[2:])) if is_sdk else (parts[0], ":".join(parts[1:]))
    action, _, pattern = rest.partition(".")
    if is_sdk and pattern:
        raise StateError("States.Runtime", f"{resource} does not exist: aws-sdk integrations have no .{pattern}")
    if not is_sdk and action not in _OPTIMISED.get(service, ()):
        raise StateError("States.Runtime", f"{resource} is not an optimised integration known here; use aws-sdk")
    if pattern not in ("", "sync", "sync:2"):
        raise StateError("States.Runtime", f"{resource}: .{pattern} is not supported by the local server")
    return service, action, pattern, is_sdk


def _parsed_output(result: Document) -> Document:
    """``.sync:2`` gives a nested execution's input and output as JSON, not as text."""
    return {
        **result,
        **{key: json.loads(result[key]) for key in ("Input", "Output") if isinstance(result.get(key), str)},
    }


def _abandonable(function: Callable[[], Document], signal: Signal, deadline: Deadline) -> Document:
    signal.check()
    outcome: list[Document | BaseException] = []
    finished = signal.inner()

    def run() -> None:
        try:
            outcome.append(function())
        except BaseException as error:  # noqa: BLE001 - raised again below, in the thread that waits
            outcome.append(error)
        finished.set()

    threading.Thread(target=run, name="task", daemon=True).start()
    try:
        finished.wait(deadline.left())
    except Interrupted:
        if not outcome:
            raise
    if not outcome:
        deadline.check()
        raise StateError("States.Timeout", f"the task ran longer than {deadline.seconds} s")
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]
