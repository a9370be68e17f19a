"""An instance as requests see it: its containers in line, each answering what the one before it has answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from local.server.sagemaker.endpoints.instance import NotHealthy, Reply


class Container(Protocol):
    """A container of one model, or of several."""

    healthy: bool

    @property
    def restarts(self) -> int:
        """How often it had to be started again."""
        ...

    def start(self) -> None:
        """Start it and wait for its ping."""
        ...

    def stop(self) -> None:
        """End it and remove its files."""
        ...

    def invoke(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Send it a request."""
        ...


class Line:
    """The containers of one instance, one or several.

    Between containers only body and content type are handed on; an answer that is no success ends the line.
    """

    def __init__(self, containers: Sequence[Container]) -> None:
        self._containers = tuple(containers)

    @property
    def healthy(self) -> bool:
        """Whether every container answers."""
        return all(container.healthy for container in self._containers)

    @property
    def restarts(self) -> int:
        """How often containers had to be started again."""
        return sum(container.restarts for container in self._containers)

    def start(self) -> None:
        """Start the containers side by side and wait for their pings.

        Raises:
            NotHealthy: One ended, or the time was over.
        """
        with ThreadPoolExecutor(max_workers=len(self._containers)) as pool:
            problems = [problem for problem in pool.map(_started, self._containers) if problem is not None]
        if problems:
            raise problems[0]

    def stop(self) -> None:
        """End the containers and remove their files."""
        for container in self._containers:
            container.stop()

    def invoke(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Send one request through the line.

        Raises:
            NoAnswer: A container broke off or took longer than a minute.
        """
        *before, last = self._containers
        sent = dict(headers)
        for container in before:
            reply = container.invoke(body, {**sent, "Accept": "*/*"})
            if not 200 <= reply.status < 300:
                return reply
            body, sent["Content-Type"] = reply.body, reply.headers.get("content-type", "application/octet-stream")
        return last.invoke(body, sent)


def _started(container: Container) -> NotHealthy | None:
    try:
        container.start()
    except NotHealthy as error:
        return error
    return None
