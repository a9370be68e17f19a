"""Calls of a host's REST API: patient with one that stumbles, and never anywhere else than there."""

from __future__ import annotations

import http.client
import json
import random
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TRIES = 4
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0
ANSWER_SECONDS = 15.0
MOST_BYTES = 32 << 20
"""Size of one answer."""

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that another try may change."""

NOT_TAKEN = frozenset({429})
"""Answers after which a comment has certainly not been written."""


class HostRefused(Exception):
    """The host answered with what no other try will change."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class HostUnavailable(Exception):
    """The host did not answer properly within the tries and the time that there are."""


@dataclass(frozen=True)
class Clock:
    """Waiting, and how long there is still time."""

    seconds_left: Callable[[], float]
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random


class _AsItIs(urllib.request.HTTPErrorProcessor):
    """Hands on every answer: errors are no exceptions here, and a redirection, which might lead elsewhere, is none."""

    def http_response(self, request: Any, response: Any) -> Any:  # noqa: ARG002
        return response

    https_response = http_response


class Calls:
    """Calls under one token.

    Args:
        address: What all addresses begin with.
        authorization: The header; it goes into no message.
        clock: How to wait.
    """

    def __init__(self, address: str, authorization: str, clock: Clock) -> None:
        self._address, self._authorization, self._clock = address, authorization, clock
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _AsItIs())

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask, and give the answer as JSON; None where it is empty.

        What writes something new is tried again only where the host has certainly not taken it.

        Raises:
            HostRefused: The host refuses, for good.
            HostUnavailable: It does not answer, or not in time.
        """
        again = NOT_TAKEN if method == "POST" else PASSING
        call, problem, asked = f"{method} {path}", "", None
        for attempt in range(TRIES):
            if attempt:
                self._wait(self._pause(attempt, asked), call, problem)
            try:
                status, headers, content = self._once(method, path, body)
            except (OSError, http.client.HTTPException) as error:
                problem, asked = f"{type(error).__name__}: {error}", None
                if method == "POST":
                    break
                continue
            if 200 <= status < 300:
                return json.loads(content) if content.strip() else None
            problem, asked = f"{status}", _seconds(headers.get("Retry-After"))
            if status not in PASSING:
                raise HostRefused(f"{call} was answered with {problem}: {content[:200]!r}", status)
            if status not in again:
                break
        raise HostUnavailable(f"{call} failed, at last with {problem}")

    def _once(self, method: str, path: str, body: Any) -> tuple[int, Any, bytes]:
        request = urllib.request.Request(  # noqa: S310 - the address is one of the hosts'
            self._address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Accept": "application/json",
                "Authorization": self._authorization,
                "Content-Type": "application/json",
                "User-Agent": "gapless",
            },
        )
        with self._opener.open(request, timeout=ANSWER_SECONDS) as response:
            content = response.read(MOST_BYTES + 1)
            if len(content) > MOST_BYTES:
                raise HostRefused(f"{method} {path}: the answer has more than {MOST_BYTES} bytes", response.status)
            if response.length:  # a read with a limit says nothing of a connection that broke off
                raise http.client.IncompleteRead(content, response.length)
            return response.status, response.headers, content

    def _pause(self, attempt: int, asked: float | None) -> float:
        """How long to wait: what the host asks for, or a random share of a time that doubles (full jitter)."""
        if asked is not None:
            return asked
        return float(min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (attempt - 1)) * self._clock.jitter())

    def _wait(self, seconds: float, call: str, problem: str) -> None:
        if seconds > min(LONGEST_WAIT_SECONDS, self._clock.seconds_left() - ANSWER_SECONDS):
            raise HostUnavailable(f"{call}: no time for another try after {seconds:.0f} s, after {problem}")
        self._clock.sleep(seconds)


def _seconds(header: str | None) -> float | None:
    """Give what ``Retry-After`` asks for, where it says seconds, as the three hosts do."""
    return float(header) if header is not None and header.isascii() and header.isdigit() else None
