"""One page after the other from an HTTP API: at a steady pace, patient with an API that stumbles."""

from __future__ import annotations

import email.utils
import http.client
import json
import random
import re
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from pull_api.spec import BadAnswer, Position, Pull, at, shown

TRIES = 6
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0
ANSWER_SECONDS = 30.0
MOST_BYTES = 64 << 20
"""Size of one answer."""

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that another try may change."""

CURSOR_GONE = frozenset({400, 404, 410, 422})
"""Answers to a cursor that the API no longer knows."""


class ApiRefused(Exception):
    """The API answered with an error that no other try will change."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ApiUnavailable(Exception):
    """The API did not answer properly within the tries and the time that there are."""


@dataclass
class Clock:
    """Time, and waiting."""

    wall: Callable[[], float] = time.time
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random


@dataclass(frozen=True)
class Page:
    """Rows, and the cursor of the next page; None after the last."""

    rows: list[dict[str, Any]]
    cursor: str | None


@dataclass(frozen=True)
class Answer:
    """What came back; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _AsItIs(urllib.request.HTTPErrorProcessor):
    """Hands on every answer: errors are no exceptions here, and a redirection is never followed."""

    def http_response(self, request: Any, response: Any) -> Any:  # noqa: ARG002
        return response

    https_response = http_response


class Api:
    """The API of one source.

    Args:
        pull: What is pulled.
        secret: The value of the secret header, when there is one.
        seconds_left: How long there is still time.
    """

    def __init__(self, pull: Pull, secret: str | None, clock: Clock, seconds_left: Callable[[], float]) -> None:
        self._pull = pull
        self._clock = clock
        self._seconds_left = seconds_left
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _AsItIs())
        self._next_at = clock.now()
        self._headers = {"Accept": "application/json", "User-Agent": "gapless", **pull.headers}
        if pull.secret is not None and secret is not None:
            self._headers[pull.secret.header] = pull.secret.prefix + secret

    def page(self, position: Position) -> Page:
        """Fetch the page at a position.

        Raises:
            ApiRefused: The API refuses, for good.
            ApiUnavailable: It does not answer, or not in time.
            BadAnswer: The answer is not what the workload file says.
        """
        answer = self._get(address(self._pull, position))
        body = parse(answer.body)
        rows = at(body, self._pull.rows)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            where = f"{self._pull.rows!r} of the answer" if self._pull.rows else "the answer"
            raise BadAnswer(f"{where} must be a list of objects, was {shown(rows)}")
        cursor = next_cursor(self._pull, position, len(rows), body, answer.headers)
        if cursor is not None and cursor == position.cursor:
            raise BadAnswer(f"the next page is the one that was asked for: {shown(cursor)}")
        return Page(rows, cursor)

    def _get(self, url: str) -> Answer:
        problem, asked = "", None
        for attempt in range(TRIES):
            if attempt:
                self._wait(self._pause(attempt, asked), problem)
            self._keep_pace()
            try:
                answer = self._ask(url)
            except (OSError, http.client.HTTPException) as error:
                problem, asked = f"{type(error).__name__}: {error}", None
                continue
            if answer.status == http.HTTPStatus.OK:
                return answer
            problem = f"{answer.status}: {shown(answer.body.decode(errors='replace'))}"
            if answer.status not in PASSING:
                raise ApiRefused(f"{without_query(url)} answered {problem}", answer.status)
            asked = retry_after(answer.headers.get("retry-after"), self._clock.wall())
        raise ApiUnavailable(f"{without_query(url)} failed {TRIES} times, at last with {problem}")

    def _ask(self, url: str) -> Answer:
        request = urllib.request.Request(url, headers=self._headers)  # noqa: S310 - the scheme has been checked
        with self._opener.open(request, timeout=ANSWER_SECONDS) as response:
            body = response.read(MOST_BYTES + 1)
            headers = {name.lower(): value for name, value in response.headers.items()}
            if len(body) > MOST_BYTES:
                raise BadAnswer(f"an answer has more than {MOST_BYTES} bytes; ask for smaller pages")
            if response.length:  # a read with a limit says nothing of a connection that broke off
                raise http.client.IncompleteRead(body, response.length)
            return Answer(response.status, headers, body)

    def _keep_pace(self) -> None:
        early = self._next_at - self._clock.now()
        if early > 0:
            self._clock.sleep(early)
        self._next_at = self._clock.now() + 1 / self._pull.requests_per_second

    def _pause(self, attempt: int, asked: float | None) -> float:
        """How long to wait: what the API asks for, or a random share of a time that doubles (full jitter)."""
        if asked is not None:
            return asked
        return float(min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (attempt - 1)) * self._clock.jitter())

    def _wait(self, seconds: float, problem: str) -> None:
        left = self._seconds_left() - ANSWER_SECONDS
        if seconds > left:
            raise ApiUnavailable(f"no time for another try after {seconds:.0f} s, after {problem}")
        self._clock.sleep(seconds)


# --- decisions -----------------------------------------------------------------------------------------------------


def address(pull: Pull, position: Position) -> str:
    """Give the address of the page at a position."""
    pages = pull.pagination
    if pages.style == "link" and position.cursor is not None:
        return position.cursor
    query = dict(pull.parameters)
    if pull.watermark is not None and position.since is not None:
        query[pull.watermark.parameter] = position.since
    if pages.size_parameter is not None:
        query[pages.size_parameter] = str(pages.size)
    if pages.parameter is not None:
        start = {"page": str(pages.first), "offset": "0"}.get(pages.style)
        cursor = position.cursor if position.cursor is not None else start
        if cursor is not None:
            query[pages.parameter] = cursor
    url = urlsplit(pull.url)
    pairs = [*parse_qsl(url.query, keep_blank_values=True), *query.items()]
    return urlunsplit(url._replace(query=urlencode(pairs)))


def next_cursor(pull: Pull, position: Position, rows: int, body: Any, headers: Mapping[str, str]) -> str | None:
    """Give the cursor of the page after one; None after the last.

    Raises:
        BadAnswer: The cursor is no text or number, or the address leads elsewhere than to the API.
    """
    pages = pull.pagination
    if pages.style in ("page", "offset"):
        step = 1 if pages.style == "page" else rows
        start = pages.first if pages.style == "page" else 0
        return str(int(position.cursor or start) + step) if rows else None
    if pages.style == "none":
        return None
    found = linked(headers.get("link", "")) if pages.next is None else at(body, pages.next)
    if found is None or found == "":
        return None
    if not isinstance(found, str | int) or isinstance(found, bool):
        raise BadAnswer(f"{pages.next}: the next page must be named by a text or a number, was {shown(found)}")
    if pages.style == "cursor":
        return str(found)
    target = urljoin(address(pull, position), str(found))
    if origin(target) != origin(pull.url):
        raise BadAnswer(f"the next page must be one of {origin(pull.url)}, was {shown(without_query(target))}")
    return target


def linked(header: str) -> str | None:
    """Give the address with the relation ``next`` of a Link header (RFC 8288)."""
    for found in re.finditer(r"<([^>]*)>((?:\s*;\s*[^;,\"]+(?:\"[^\"]*\")?)*)", header):
        relation = re.search(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s;,]+))", found[2], re.IGNORECASE)
        if relation and "next" in (relation[1] or relation[2] or "").lower().split():
            return found[1]
    return None


def origin(url: str) -> str:
    """Give scheme, host and port of an address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def without_query(url: str) -> str:
    """Give an address that may go into a message."""
    return urlunsplit(urlsplit(url)._replace(query=""))


def parse(body: bytes) -> Any:
    """Read an answer.

    Raises:
        BadAnswer: It is not JSON, or has a number that JSON has not.
    """

    def refuse(name: str) -> Any:
        raise BadAnswer(f"the answer has {name}, which is not JSON")

    try:
        return json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"the answer is not JSON: {shown(body.decode(errors='replace'))}") from error


def retry_after(header: str | None, now: float) -> float | None:
    """Give the seconds that an answer asks to wait (RFC 9110, 10.2.3); None when it does not say or cannot be read."""
    if header is None:
        return None
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", header):
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - now)
    except (TypeError, ValueError):
        return None
