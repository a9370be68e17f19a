"""The machines of a job: each has a folder and a container of its own, and they end together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from local.server.host import Credentials
from local.server.sagemaker.children import Child, Ending, Outcome, Sandbox
from local.server.sagemaker.jobs.runner import RunningJob
from local.server.sagemaker.store import Document


@dataclass(frozen=True)
class Machine:
    """One machine while its job runs.

    Attributes:
        host: Its name, as ``resourceconfig.json`` has it.
        sandbox: Its folder.
    """

    job: RunningJob
    host: str
    sandbox: Sandbox

    @property
    def document(self) -> Document:
        """The job's document."""
        return self.job.document

    @property
    def credentials(self) -> Credentials:
        """What the job acts with."""
        return self.job.credentials


def machines_of(job: RunningJob, hosts: Sequence[str], part: int) -> list[Machine]:
    """Returns the machines that a job gets; the first one's folder becomes the job's.

    Args:
        hosts: Their names.
        part: Which of its parts begins, from 0; after an interruption machines have nothing of the earlier ones.
    """
    home = job.sandbox.folder if part == 0 else job.home / f"part-{part}"
    machines = [
        Machine(job, host, job.sandbox if part == 0 and position == 0 else Sandbox(home / host))
        for position, host in enumerate(hosts)
    ]
    job.sandbox = machines[0].sandbox
    return machines


def wait_together(children: Sequence[Child], seconds: float, grace_seconds: float) -> list[Outcome]:
    """Wait for the end of all containers; one that fails ends the others.

    Args:
        seconds: How long they may run.
        grace_seconds: The time between SIGTERM and SIGKILL.
    """
    outcomes: dict[int, Outcome] = {}

    def wait(position: int) -> None:
        outcome = outcomes[position] = children[position].wait(seconds, grace_seconds)
        if failed(outcome):
            for other in children:
                other.stop()

    threads = [threading.Thread(target=wait, args=(position,), daemon=True) for position in range(len(children))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [outcomes[position] for position in range(len(children))]


def failed(outcome: Outcome) -> bool:
    """Whether a container has ended by itself, with another code than 0."""
    return outcome.ending is Ending.EXITED and outcome.code != 0
