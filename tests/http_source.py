"""A real HTTP API on this machine, with pages in every style, a limit on its rate, and stumbles on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Stumble = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class HttpSource:
    """What the API holds, and what it was asked.

    Attributes:
        rows: Each has the watermark.
        watermark: The member that ``since`` asks for.
        page_size: Rows of a page.
        token: The token that a request must bring, when there is one.
        stumbles: How the next requests are answered instead of properly, first one first.
        requests: Query parameters of every request that was answered properly.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    watermark: str = "updated_at"
    page_size: int = 3
    token: str = ""
    url: str = ""
    stumbles: list[Stumble] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    asked: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        with self.lock:
            self.asked += 1
            stumble = self.stumbles.pop(0) if self.stumbles else None
        if stumble is not None:
            stumble(request)
            return
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            reply(request, 401, {"error": "who are you"})
            return
        query = {name: values[-1] for name, values in parse_qs(urlsplit(request.path).query).items()}
        self.requests.append(query)
        rows = [row for row in self.rows if row[self.watermark] >= query.get("since", "")]
        style = urlsplit(request.path).path.strip("/")
        getattr(self, f"_{style}")(request, rows, query)

    def _all(self, request: Any, rows: list[Any], query: dict[str, str]) -> None:
        reply(request, 200, rows)

    def _page(self, request: Any, rows: list[Any], query: dict[str, str]) -> None:
        start = (int(query["page"]) - 1) * self.page_size
        reply(request, 200, {"data": {"items": rows[start : start + self.page_size]}})

    def _offset(self, request: Any, rows: list[Any], query: dict[str, str]) -> None:
        start = int(query["skip"])
        reply(request, 200, rows[start : start + int(query["top"])])

    def _cursor(self, request: Any, rows: list[Any], query: dict[str, str]) -> None:
        start = int(query.get("cursor", "c0")[1:])
        end = start + self.page_size
        reply(request, 200, {"rows": rows[start:end], "meta": {"next": f"c{end}" if end < len(rows) else None}})

    def _link(self, request: Any, rows: list[Any], query: dict[str, str]) -> None:
        start = int(query.get("from", "0"))
        end = start + self.page_size
        since = f"&since={query['since']}" if "since" in query else ""
        last = f'<{self.url}/link?from=0{since}>; rel="first"'
        link = f'{last}, </link?from={end}{since}>; rel="next"' if end < len(rows) else last
        reply(request, 200, rows[start:end], Link=link)


def reply(request: BaseHTTPRequestHandler, status: int, body: Any, **headers: str) -> None:
    """Send an answer; names of headers have ``_`` for ``-``."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", headers.pop("length", str(len(content))))
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(content)


def too_many(after: str) -> Stumble:
    """Asks to come again later."""
    return lambda request: reply(request, 429, {"error": "slow down"}, Retry_After=after)


def failing(status: int) -> Stumble:
    """Answers with an error."""
    return lambda request: reply(request, status, {"error": "sorry"})


def hanging_up(request: BaseHTTPRequestHandler) -> None:
    """Closes the connection without an answer."""
    request.close_connection = True
    request.connection.close()


def breaking_off(request: BaseHTTPRequestHandler) -> None:
    """Sends half an answer."""
    reply(request, 200, b'[{"id": 1, "upd', length="4096")
    request.close_connection = True


@contextmanager
def serving(source: HttpSource) -> Iterator[HttpSource]:
    """Serve a source on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            source.answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.01}).start()
    source.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield source
    finally:
        server.shutdown()
        server.server_close()
