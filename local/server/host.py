"""What a plug-in may ask of the local server.

A plug-in is a module with ``register(host: Host) -> None``. It adds services and CloudFormation types, acts under
roles, starts children, and writes logs, metrics and events, all through the ``Host`` that it is handed. Nothing here
imports ministack: the launcher passes in the one object that knows its private names.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import os
import subprocess
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from local.server import clock
from local.server.usage import Publish, UsageMeter

if TYPE_CHECKING:
    from local.server.bridge import Ministack
    from local.server.children import Children

log = logging.getLogger("gapless.host")

ACCOUNT = "000000000000"
REGION = "us-east-1"


@dataclass(frozen=True)
class Settings:
    """How one server runs; fixed for the life of the process."""

    state_dir: Path
    scratch: Path
    port: int
    endpoint: str
    ca_file: Path
    job_python: Path
    wait_scale: float = 1.0
    alarm_scale: float = 1.0
    engine: str = "sail"
    spot_interruptions: int = 0
    account: str = ACCOUNT
    region: str = REGION
    neighbours: tuple[Path, ...] = ()

    @property
    def clock_file(self) -> Path:
        """How far the account's clock is from the machine's."""
        return self.state_dir / clock.NAME


@dataclass(frozen=True)
class Credentials:
    """Keys that sign requests; ``session_token`` is ``None`` for the root user only."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Caller:
    """Who sent a request: the key that signed it and the principal that the key belongs to."""

    access_key: str
    arn: str


@dataclass(frozen=True)
class Request:
    """One HTTP request to a service; header names are in lower case, a query value is the last one given.

    Attributes:
        queries: Every value of each name in the query, in order.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, str]
    caller: Caller
    queries: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def operation(self) -> str:
        """The operation that a JSON-protocol request names in ``X-Amz-Target``, or an empty string."""
        return self.headers.get("x-amz-target", "").rpartition(".")[2]

    def json(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            ServiceError: The body is not a JSON object (``SerializationException``).
        """
        try:
            value = json.loads(self.body or b"{}")
        except ValueError as error:
            raise ServiceError("SerializationException", f"the body is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise ServiceError("SerializationException", f"the body must be a JSON object, not {type(value).__name__}")
        return value


@dataclass(frozen=True)
class Response:
    """What a service answers."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def of_json(cls, document: Mapping[str, Any], status: int = 200) -> Response:
        """A JSON 1.1 answer; timestamps are written as epoch seconds."""
        body = json.dumps(document, default=_json_default).encode()
        return cls(status, {"Content-Type": "application/x-amz-json-1.1"}, body)


class ServiceError(Exception):
    """An error that a service answers with: its code, its message and the HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class Denied(Exception):
    """A policy or a trust policy does not allow the call; the text is AWS's sentence."""


class CreateType(Protocol):
    """Makes one resource: returns its physical id and its attributes (for ``Fn::GetAtt``)."""

    def __call__(self, logical_id: str, props: dict[str, Any], stack_name: str, /) -> tuple[str, dict[str, Any]]: ...


class UpdateType(Protocol):
    """Changes one resource; another physical id than the given one means that it was replaced."""

    def __call__(
        self, physical_id: str, old_props: dict[str, Any], new_props: dict[str, Any], stack_name: str, /
    ) -> tuple[str, dict[str, Any]]: ...


class DeleteType(Protocol):
    """Removes one resource; one that is gone already is no error."""

    def __call__(self, physical_id: str, props: dict[str, Any], /) -> None: ...


Handler = Callable[[Request], Response]
ResourceOf = Callable[[Request], str]
ActionOf = Callable[[Request], str | None]
ContextOf = Callable[[Request], Mapping[str, str]]


class Runner(ABC):
    """Runs programs as children, with ``settings`` and a ``usage`` meter; where their logs go is up to its kind."""

    def __init__(self, settings: Settings, children: Children, publish: Publish) -> None:
        self.settings = settings
        self._children = children
        self.usage = UsageMeter(publish)

    def child_env(self, credentials: Credentials) -> dict[str, str]:
        """The whole environment of a child that acts with ``credentials``: nothing of the user's own gets in."""
        settings = self.settings
        ca_file = str(settings.ca_file)
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(settings.scratch),
            "TMPDIR": str(settings.scratch),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "AWS_ACCOUNT_ID": settings.account,
            "AWS_REGION": settings.region,
            "AWS_DEFAULT_REGION": settings.region,
            "AWS_ENDPOINT_URL": settings.endpoint,
            "AWS_CA_BUNDLE": ca_file,
            "SSL_CERT_FILE": ca_file,
            "REQUESTS_CA_BUNDLE": ca_file,
            "NODE_EXTRA_CA_CERTS": ca_file,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        if credentials.session_token is not None:
            env["AWS_SESSION_TOKEN"] = credentials.session_token
        return env

    def spawn(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        cwd: Path,
        stdout: Any,
        stderr: Any = subprocess.STDOUT,
        stdin: Any = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """Start a child in a session of its own; it dies with the server, however the server dies.

        A program that does not exist is no exception: the child exits with 127 and says so on its stderr.
        """
        command = [str(part) for part in argv]
        return self._children.spawn(command, env=env, cwd=cwd, stdout=stdout, stderr=stderr, stdin=stdin)

    def adopt(self, process: subprocess.Popen[Any]) -> None:
        """Take charge of a child that was started elsewhere and leads a process group of its own."""
        self._children.track(process)

    def kill(self, process: subprocess.Popen[bytes], grace_seconds: float = 2.0) -> None:
        """End a child and everything it started: SIGTERM to its group, SIGKILL after ``grace_seconds``."""
        self._children.kill(process, grace_seconds)

    @abstractmethod
    def put_logs(self, group: str, stream: str, lines: Iterable[str]) -> None:
        """Append lines to a log stream; group and stream are made when they are missing."""


class Host(Runner):
    """The local server as its plug-ins see it. Every method may be called from any thread but the event loop's."""

    def __init__(self, settings: Settings, root: Credentials, ministack: Ministack, children: Children) -> None:
        super().__init__(settings, children, self._put_usage)
        self._root = root
        self._ministack = ministack
        self._clients: dict[tuple[str, str], Any] = {}
        self._clients_lock = threading.Lock()
        self._streams: set[tuple[str, str]] = set()
        self._ready: list[Callable[[], None]] = []
        self._shutdown: list[Callable[[], None]] = []

    # -- services and resource types

    def add_service(
        self,
        name: str,
        handler: Handler,
        *,
        iam_namespace: str,
        resource: ResourceOf,
        action: ActionOf | None = None,
        context: ContextOf | None = None,
    ) -> None:
        """Serve a service that ministack lacks; requests reach it by the signing name ``name``.

        IAM is checked before the handler is called: the action is ``iam_namespace`` plus the operation of
        ``X-Amz-Target``, or what ``action`` returns, on the ARN that ``resource`` returns, with the service's condition
        keys that ``context`` returns. ``Denied`` and ``ServiceError`` become AWS's errors, anything else a logged 500.
        """
        self._ministack.add_service(
            name, handler, iam_namespace=iam_namespace, resource=resource, action=action, context=context
        )

    def add_operations(self, service: str, operations: Mapping[str, Handler]) -> None:
        """Replace single JSON-protocol operations of a service that ministack has; IAM is checked as before."""
        self._ministack.add_operations(service, operations)

    def add_alternatives(self, service: str, alternatives: Mapping[str, Callable[[Request], Response | None]]) -> None:
        """Answer some requests in the place of a service that ministack has, which answers where ``None`` is given."""
        self._ministack.add_alternatives(service, alternatives)

    def add_guards(self, service: str, guards: Mapping[str, Callable[[Request], None]]) -> None:
        """Check operations of a service that ministack has before it serves them; ``Denied`` refuses them."""
        self._ministack.add_guards(service, guards)

    def add_resource_type(
        self,
        type_name: str,
        *,
        create: CreateType,
        update: UpdateType,
        delete: DeleteType,
        worker_thread: bool = True,
    ) -> None:
        """Provision a CloudFormation type; one that calls this server must stay on a worker thread."""
        self._ministack.add_resource_type(
            type_name, create=create, update=update, delete=delete, worker_thread=worker_thread
        )

    def extend_resource_type(self, type_name: str, apply: Callable[[str, dict[str, Any]], None]) -> None:
        """Call ``apply(physical_id, properties)`` after ministack has made or changed a resource of a type it has."""
        self._ministack.extend_resource_type(type_name, apply)

    # -- identity

    def mint(self, role_arn: str, service: str, session: str, source_arn: str | None = None) -> Credentials:
        """Assume a role as an AWS service does: only when its trust policy names ``service``.

        Args:
            service: The service principal, such as ``sagemaker.amazonaws.com``.
            session: The session name; characters that STS refuses become ``-``, and 64 are kept.
            source_arn: What the service acts for (``aws:SourceArn``); ``aws:SourceAccount`` is always set.

        Raises:
            Denied: The role does not exist or does not trust the service under these conditions.
        """
        context = {"aws:SourceAccount": self.settings.account}
        if source_arn is not None:
            context["aws:SourceArn"] = source_arn
        return self._ministack.assume_as_service(role_arn, service, session, context)

    def caller(self, headers: Mapping[str, str], query: Mapping[str, Any]) -> Caller:
        """Who signed a request with these headers and query; its signature has been verified before."""
        return self._ministack.caller(headers, query)

    def check(self, caller: Caller, action: str, resource: str, context: Mapping[str, str] | None = None) -> None:
        """Raise ``Denied`` with AWS's sentence unless ``caller`` may perform ``action`` on ``resource``."""
        self._ministack.check(caller, action, resource, context or {})

    def pass_role(self, caller: Caller, role_arn: str, service: str) -> None:
        """Raise ``Denied`` unless ``caller`` may pass the role to the service (``iam:PassRole``)."""
        self.check(caller, "iam:PassRole", role_arn, {"iam:PassedToService": service})

    def service_may(self, service: str, action: str, resource: str, source_arn: str) -> bool:
        """Whether the policy of a queue, topic, function or key lets an AWS service in, acting for ``source_arn``."""
        account = self.settings.account
        context = {"aws:SourceAccount": account, "aws:SourceOwner": account, "aws:SourceArn": source_arn}
        return self._ministack.service_may(service, action, resource, context)

    def client(self, service: str, credentials: Credentials | None = None) -> Any:
        """A boto3 client of this server, as the root user unless credentials are given. Clients are kept and shared."""
        who = credentials or self._root
        key = (service, who.access_key)
        with self._clients_lock:
            if key not in self._clients:
                self._clients[key] = self._new_client(service, who)
            return self._clients[key]

    def _new_client(self, service: str, who: Credentials) -> Any:
        from local.server import clients

        return clients.new_client(self.settings, service, who)

    def forget(self, credentials: Credentials) -> None:
        """Drop the clients of credentials that are no longer used."""
        with self._clients_lock:
            for key in [key for key in self._clients if key[1] == credentials.access_key]:
                self._clients.pop(key).close()

    # -- logs, metrics, events

    def put_logs(self, group: str, stream: str, lines: Iterable[str]) -> None:
        """Append lines to a log stream; group and stream are made when they are missing."""
        events = [{"timestamp": int(time.time() * 1000), "message": line or " "} for line in lines]
        if not events:
            return
        logs = self.client("logs")
        self._make_stream(logs, group, stream)
        for start in range(0, len(events), 1000):
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events[start : start + 1000])

    def _make_stream(self, logs: Any, group: str, stream: str) -> None:
        if (group, stream) in self._streams:
            return
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=group)
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_stream(logGroupName=group, logStreamName=stream)
        self._streams.add((group, stream))

    def put_metric(
        self, namespace: str, name: str, value: float, dimensions: Mapping[str, str], unit: str = "None"
    ) -> None:
        """Publish one value of a metric, as the AWS service would."""
        datum = {
            "MetricName": name,
            "Value": value,
            "Unit": unit,
            "Dimensions": [{"Name": key, "Value": text} for key, text in dimensions.items()],
        }
        self.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[datum])

    def _put_usage(self, namespace: str, data: list[dict[str, Any]]) -> None:
        self.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=data)

    def alarm_states(self, names: Sequence[str]) -> dict[str, str]:
        """The state of each alarm that exists: ``OK``, ``ALARM`` or ``INSUFFICIENT_DATA``."""
        if not names:
            return {}
        pages = (
            self.client("cloudwatch")
            .get_paginator("describe_alarms")
            .paginate(AlarmNames=list(names), AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        )
        return {
            alarm["AlarmName"]: alarm["StateValue"]
            for page in pages
            for kind in ("MetricAlarms", "CompositeAlarms")
            for alarm in page.get(kind, [])
        }

    def emit(self, source: str, detail_type: str, detail: Mapping[str, Any], resources: Sequence[str] = ()) -> None:
        """Put an event on the default bus, as the service ``source`` (such as ``aws.sagemaker``) would."""
        self._ministack.put_event(source, detail_type, json.dumps(detail, default=_json_default), list(resources))

    # -- life

    def on_ready(self, callback: Callable[[], None]) -> None:
        """Call back once, in a thread, when the server answers and its saved state is loaded."""
        self._ready.append(callback)

    def on_shutdown(self, callback: Callable[[], None]) -> None:
        """Call back once, in a thread, before children are killed and state is saved; it has five seconds."""
        self._shutdown.append(callback)

    def ready(self) -> None:
        """Run the callbacks of ``on_ready``; called by the launcher."""
        self.usage.start()
        _run_all(self._ready)

    def shut_down(self) -> None:
        """Run the callbacks of ``on_shutdown``; called by the launcher."""
        self.usage.stop()
        _run_all(self._shutdown)


def _run_all(callbacks: Iterable[Callable[[], None]]) -> None:
    for callback in callbacks:
        try:
            callback()
        except Exception:
            log.exception("callback %s failed", getattr(callback, "__qualname__", callback))


def _json_default(value: object) -> object:
    if isinstance(value, dt.datetime):
        return value.timestamp()
    if isinstance(value, (Path, uuid.UUID)):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
