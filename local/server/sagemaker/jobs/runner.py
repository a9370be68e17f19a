"""The life of a job, whatever its kind: accepted, run in a thread, stopped, ended, announced."""

from __future__ import annotations

import shutil
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.server import clock
from local.server.host import Caller, Credentials, Denied, ServiceError
from local.server.sagemaker.archive import BadArchive
from local.server.sagemaker.children import Child, Sandbox
from local.server.sagemaker.platform import Operation, Platform, log
from local.server.sagemaker.resources import Kind
from local.server.sagemaker.role_needs import check_role
from local.server.sagemaker.s3_data import DataError
from local.server.sagemaker.store import AlreadyThere, Document

_GRACE_SECONDS = 120.0
_LEAST_GRACE_SECONDS = 2.0
_LONGEST_REASON = 1024
_RUNNING = ("InProgress", "Stopping")

DATA_ERRORS = (ClientError, BotoCoreError, DataError, BadArchive)
"""What can go wrong with data on its way in or out, through no fault of the platform."""


class JobFailed(Exception):
    """A job has failed; the text is its FailureReason."""


DUPLICATE = "Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})"


class JobStopped(Exception):
    """A job was stopped before it was done.

    Attributes:
        secondary: The secondary status of a training job.
    """

    def __init__(self, secondary: str = "Stopped") -> None:
        super().__init__(secondary)
        self.secondary = secondary


@dataclass(frozen=True)
class JobEnd:
    """How a job ended.

    Attributes:
        secondary: The secondary status, which training jobs have.
        reason: The FailureReason.
    """

    status: str
    secondary: str
    reason: str | None = None


class RunningJob:
    """A job while it runs: who it is, where it lives, and whether it shall stop."""

    def __init__(self, document: Document, sandbox: Sandbox, credentials: Credentials) -> None:
        self.document = document
        self.sandbox = sandbox
        self.home = sandbox.folder
        self.credentials = credentials
        self._lock = threading.Lock()
        self._children: list[Child] = []
        self._stop_asked = False

    def attach(self, child: Child) -> None:
        """Name a child that a stop ends."""
        with self._lock:
            self._children.append(child)
            if self._stop_asked:
                child.stop()

    def stop(self) -> None:
        """Ask the job to stop; it may be anywhere on its way."""
        with self._lock:
            self._stop_asked = True
            for child in self._children:
                child.stop()

    @property
    def stop_asked(self) -> bool:
        """Whether the job shall stop."""
        return self._stop_asked

    def check_stop(self) -> None:
        """Raise ``JobStopped`` when a stop was asked for."""
        if self._stop_asked:
            raise JobStopped


class Jobs:
    """One kind of job. A subclass checks requests and says what happens between start and end."""

    kind: Kind
    title: str
    start_member: str
    end_member: str
    not_found: str
    duplicate: str
    deletable = True

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.host = platform.host
        self.store = platform.store
        self._running: dict[str, RunningJob] = {}
        self._stops: set[str] = set()
        self._lock = threading.Lock()

    # -- what a subclass adds

    def accept(self, params: Document, caller: Caller, arn: str) -> Document:
        """Check a request beyond its shape; returns the members of the new document."""
        raise NotImplementedError

    def surroundings(self, document: Document) -> tuple[str, Document | None]:
        """The image that the job's role has to pull, and the VPC it has to reach."""
        raise NotImplementedError

    def role_of(self, document: Document) -> str:
        """The role that the job acts under."""
        return str(document["RoleArn"])

    def perform(self, job: RunningJob) -> None:
        """Do the work; ``JobFailed`` and ``JobStopped`` end it early."""
        raise NotImplementedError

    def ended(self, name: str, end: JobEnd) -> None:
        """Keep the end of a job."""
        status = {self.kind.status_member: end.status, self.end_member: clock.now()}
        self.change(name, FailureReason=end.reason, **status)

    # -- operations

    def operations(self) -> dict[str, Operation]:
        """The operations by name."""
        name = self.kind.name
        operations: dict[str, Operation] = {
            f"Create{name}": self._create,
            f"Describe{name}": lambda params, _caller: self.job(params[self.kind.name_member]),
            f"Stop{name}": self._stop,
        }
        if self.deletable:
            operations[f"Delete{name}"] = self._delete
        return operations

    def job(self, name: str) -> Document:
        """A job by its name.

        Raises:
            ServiceError: There is none (``ValidationException``, as AWS answers in spite of its model).
        """
        document = self.store.find(self.kind.name, name)
        if document is None:
            raise ServiceError("ValidationException", self.not_found.format(name=name))
        return document

    def _create(self, params: Document, caller: Caller) -> Document:
        arn = self.platform.arn(self.kind, params[self.kind.name_member])
        document = self.accept(params, caller, arn)
        self.platform.tag_new(caller, arn, document)
        return self.start(document)

    def start(self, accepted: Document) -> Document:
        """Start a job that was accepted.

        Raises:
            ServiceError: There is a job of this name (``ResourceInUse``).
        """
        name = accepted[self.kind.name_member]
        arn = self.platform.arn(self.kind, name)
        document = {**accepted, self.kind.arn_member: arn, self.kind.status_member: "InProgress"}
        try:
            document = self.store.add(self.kind.name, name, document)
        except AlreadyThere as error:
            raise ServiceError("ResourceInUse", self.duplicate.format(arn=arn)) from error
        self.announce(document)
        threading.Thread(target=self._run, args=(document,), name=f"{self.kind.name} {name}", daemon=True).start()
        return document

    def _stop(self, params: Document, _caller: Caller) -> Document:
        name = params[self.kind.name_member]
        document = self.job(name)
        if document[self.kind.status_member] != "InProgress":
            status = document[self.kind.status_member]
            if status == "Stopping":
                return {}
            raise ServiceError(
                "ValidationException",
                f"The request was rejected because the {self.title.lower()} is in status {status}.",
            )
        self._stop_running(name)
        return {}

    def stop_quietly(self, name: str) -> None:
        """Stop a job, unless it has ended or was told to stop."""
        if self.job(name)[self.kind.status_member] == "InProgress":
            self._stop_running(name)

    def _stop_running(self, name: str) -> None:
        def apply(document: Document) -> None:
            if document[self.kind.status_member] == "InProgress":  # it may have ended meanwhile
                document[self.kind.status_member] = "Stopping"

        self.announce(self.store.edit(self.kind.name, name, apply))
        with self._lock:
            self._stops.add(name)
            running = self._running.get(name)
        if running is not None:
            running.stop()

    def _delete(self, params: Document, _caller: Caller) -> Document:
        name = params[self.kind.name_member]
        document = self.store.find(self.kind.name, name)
        if document is None:
            raise ServiceError("ResourceNotFound", self.not_found.format(name=name))
        if document[self.kind.status_member] in _RUNNING:
            raise ServiceError("ResourceInUse", f"{document[self.kind.arn_member]} is still running: stop it first")
        self.store.remove(self.kind.name, name)
        self.store.remove_tags(document[self.kind.arn_member])
        return document

    # -- life

    def recover(self) -> None:
        """After a restart: jobs that ran when the server went down are lost."""
        for document in self.store.all(self.kind.name):
            if document[self.kind.status_member] in _RUNNING:
                reason = "InternalServerError: the local server was stopped while the job was running"
                self.ended(document[self.kind.name_member], JobEnd("Failed", "Failed", reason))

    def change(self, name: str, **members: Any) -> Document:
        """Change the document of a job and tell the event bus."""
        document = self.store.change(self.kind.name, name, **members)
        self.announce(document)
        return document

    def announce(self, document: Document) -> None:
        """Tell the event bus about the state of a job."""
        self.platform.emit(self.kind, self.title, document)

    @property
    def grace_seconds(self) -> float:
        """The time a container has between SIGTERM and SIGKILL."""
        return max(_LEAST_GRACE_SECONDS, _GRACE_SECONDS * self.platform.settings.wait_scale)

    def _run(self, document: Document) -> None:
        name = document[self.kind.name_member]
        end = self._outcome(name, document)
        if not self.platform.stopping.is_set():
            self.ended(name, end)

    def _outcome(self, name: str, document: Document) -> JobEnd:
        try:
            self._perform_in_sandbox(name, document)
        except JobStopped as stop:
            return JobEnd("Stopped", stop.secondary)
        except JobFailed as failure:
            return JobEnd("Failed", "Failed", str(failure)[:_LONGEST_REASON])
        except Exception as error:  # noqa: BLE001 - whatever goes wrong, the job ends and says so
            log.exception("%s %s failed", self.kind.name, name)
            reason = f"InternalServerError: {type(error).__name__}: {error}"
            return JobEnd("Failed", "Failed", reason[:_LONGEST_REASON])
        return JobEnd("Completed", "Completed")

    def _perform_in_sandbox(self, name: str, document: Document) -> None:
        folder = Path(tempfile.mkdtemp(prefix=f"{self.kind.arn_type}-", dir=self.platform.settings.scratch))
        try:
            credentials = self._credentials(name, document)
            job = RunningJob(document, Sandbox(folder), credentials)
            self._begin(name, job)
            try:
                job.check_stop()
                self.perform(job)
            finally:
                self._forget(name, credentials)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _credentials(self, name: str, document: Document) -> Credentials:
        try:
            credentials = self.platform.assume(self.role_of(document), name, document[self.kind.arn_member])
            check_role(self.host, credentials, *self.surroundings(document))
            return credentials
        except Denied as error:
            raise JobFailed(f"ClientError: {error}") from error

    def _begin(self, name: str, job: RunningJob) -> None:
        with self._lock:
            self._running[name] = job
            stop_asked = name in self._stops
        if stop_asked:
            job.stop()

    def _forget(self, name: str, credentials: Credentials) -> None:
        self.host.forget(credentials)
        with self._lock:
            self._running.pop(name, None)
            self._stops.discard(name)
