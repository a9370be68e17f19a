"""One run of a pipeline: its steps, one after the other, as jobs that the pipeline's role starts."""

from __future__ import annotations

import secrets
import string
import threading
import time
from collections.abc import Callable
from typing import Any

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError

from local.server import clock
from local.server.sagemaker.pipelines.definition import CONDITION, Known, awaited
from local.server.sagemaker.store import Document

_POLL_SECONDS = 0.05
_ENDED = ("Completed", "Failed", "Stopped")
_LETTERS = string.ascii_lowercase + string.digits
_OTHER_PREFIX = "pipelines"

Note = Callable[[Document], None]


class RunFailed(Exception):
    """A step of the run has failed."""


class RunStopped(Exception):
    """The run was stopped."""


class Run:
    """Works through the steps in the order of what they need; a step is tried once.

    Args:
        sagemaker: A client under the pipeline's role.
        execution_id: Part of the jobs' names.
        known: What references resolve to.
        stop: Set when the run shall stop.
        note: Told of every state that a step gets into, as ``ListPipelineExecutionSteps`` shows it.
    """

    def __init__(self, sagemaker: Any, execution_id: str, known: Known, stop: threading.Event, note: Note) -> None:
        self._sagemaker = sagemaker
        self._execution_id = execution_id
        self._known = known
        self._stop = stop
        self._note = note
        self._done: set[str] = set()

    def work_through(self, steps: list[Document]) -> None:
        """Do the steps.

        Raises:
            RunFailed: One of them failed.
            RunStopped: A stop was asked for.
        """
        pending = list(steps)
        while pending:
            if self._stop.is_set():
                raise RunStopped
            step = next((each for each in pending if awaited(each) <= self._done), None)
            if step is None:
                raise RunFailed(f"steps wait for what never ran: {', '.join(each['Name'] for each in pending)}")
            pending.remove(step)
            pending += self._do(step)
            self._done.add(step["Name"])

    def _do(self, step: Document) -> list[Document]:
        """Do one step; returns the steps that it adds."""
        state: Document = {"StepName": step["Name"], "StepStatus": "Starting", "StartTime": clock.now()}
        self._note(state)
        try:
            if step["Type"] == CONDITION:
                return self._decide(step, state)
            self._run_job(step, state)
        except RunStopped:
            self._note({**state, "StepStatus": "Stopped", "EndTime": clock.now()})
            raise
        except (ClientError, BotoCoreError, LookupError, RunFailed) as error:
            self._note({**state, "StepStatus": "Failed", "EndTime": clock.now(), "FailureReason": str(error)[:1024]})
            raise RunFailed("Step failure: One or multiple steps failed.") from error
        return []

    def _decide(self, step: Document, state: Document) -> list[Document]:
        holds = all(self._known.holds(each) for each in step["Arguments"]["Conditions"])
        outcome = {"Condition": {"Outcome": str(holds)}}
        self._note({**state, "StepStatus": "Succeeded", "EndTime": clock.now(), "Metadata": outcome})
        chosen: list[Document] = step["Arguments"]["IfSteps" if holds else "ElseSteps"]
        return chosen

    def _run_job(self, step: Document, state: Document) -> None:
        kind = f"{step['Type']}Job"
        request = self._known.resolve(step["Arguments"])
        prefix = request.get(f"{kind}Name", f"{_OTHER_PREFIX}-{self._execution_id}-{step['Name']}")
        middle = f"-{self._execution_id}" if f"{kind}Name" in request else ""
        name = f"{prefix}{middle}-{random_id(10)}"
        answer = self._call("Create", kind, **{**request, f"{kind}Name": name})
        state |= {"StepStatus": "Executing", "Metadata": {kind: {"Arn": answer[f"{kind}Arn"]}}}
        self._note(state)
        ended = self._followed(kind, name)
        status = ended[f"{kind}Status"]
        if status == "Stopped" and self._stop.is_set():
            raise RunStopped
        if status != "Completed":
            raise RunFailed(ended.get("FailureReason") or ended.get("ExitMessage") or f"the job is {status}")
        self._known.steps[step["Name"]] = ended
        self._note({**state, "StepStatus": "Succeeded", "EndTime": clock.now()})

    def _followed(self, kind: str, name: str) -> Document:
        """Wait for the end of a job, and bring it about when the run shall stop."""
        told = False
        while True:
            job: Document = self._call("Describe", kind, **{f"{kind}Name": name})
            if job[f"{kind}Status"] in _ENDED:
                return job
            if not told and self._stop.wait(_POLL_SECONDS):
                self._call("Stop", kind, **{f"{kind}Name": name})
                told = True
            elif told:
                time.sleep(_POLL_SECONDS)

    def _call(self, verb: str, kind: str, **params: Any) -> Document:
        answer: Document = getattr(self._sagemaker, xform_name(f"{verb}{kind}"))(**params)
        return answer


def random_id(length: int) -> str:
    """An id of lower-case letters and digits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))
