"""A pull request has one comment, that of its newest build, whatever comes back, comes twice or others write."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from moto import mock_aws

from comment_pull_request import calls, hosts, text
from comment_pull_request import handler as module
from comment_pull_request.builds import BadEvent, Build, read_build
from comment_pull_request.calls import Calls, Clock, HostRefused, HostUnavailable
from comment_pull_request.handler import BadToken, read_token, show
from comment_pull_request.hosts import HOSTS, PAGE, Comments
from gapless_lambda import clients
from tests.http_source import Stumble, failing, hanging_up, reply, too_many

TOKEN = "t0p-s3cret"
BUCKET, SESSIONS = "artefacts", "pull-requests/AROAEXAMPLE:AWSCodeBuild-"
BUILD = "8745a7a9-c340-456a-9166-edf953571b00"
PATHS = {
    "github": r"/repos/example/models/issues/(?:12/comments|comments/(\d+))",
    "gitlab": r"/projects/example%2Fmodels/merge_requests/12/notes(?:/(\d+))?",
    "bitbucket": r"/repositories/example/models/pullrequests/12/comments(?:/(\d+))?",
}
HEADERS = {
    "github": f"Bearer {TOKEN}",
    "gitlab": f"Bearer {TOKEN}",
    "bitbucket": "Basic dDBwLXMzY3JldA==",
}
UPDATES = {"github": "PATCH", "gitlab": "PUT", "bitbucket": "PUT"}
ACCOUNTS: dict[str, dict[str, Any]] = {"github": {"id": 7}, "gitlab": {"id": 7}, "bitbucket": {"uuid": "{7}"}}
STRANGERS: dict[str, dict[str, Any]] = {"github": {"id": 8}, "gitlab": {"id": 8}, "bitbucket": {"uuid": "{8}"}}


def shown(provider: str, account: dict[str, Any], number: int, body: str) -> dict[str, Any]:
    """A comment as its host answers with it."""
    if provider == "bitbucket":
        return {"id": number, "content": {"raw": body, "html": ""}, "user": account}
    return {"id": number, "body": body, {"github": "user", "gitlab": "author"}[provider]: account}


@dataclass
class Server:
    """A host on this machine, with the comments of one pull request.

    Attributes:
        comments: By id.
        stumbles: How the next requests are answered instead of properly, first one first.
        written: Methods of what changed something.
    """

    provider: str
    comments: dict[int, dict[str, Any]] = field(default_factory=dict)
    stumbles: list[Stumble] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def say(self, body: str, account: dict[str, Any]) -> None:
        number = max(self.comments, default=100) + 1
        self.comments[number] = shown(self.provider, account, number, body)

    def texts(self) -> list[str]:
        return [each["content"]["raw"] if "content" in each else each["body"] for each in self.comments.values()]

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(request.command)
        size = int(request.headers.get("Content-Length", 0))
        body = json.loads(request.rfile.read(size)) if size else {}
        if self.stumbles:
            self.stumbles.pop(0)(request)
        elif request.headers["Authorization"] != HEADERS[self.provider]:
            reply(request, 401, {"message": "who are you"})
        elif request.path == "/user":
            reply(request, 200, ACCOUNTS[self.provider])
        else:
            self._comments(request, body)

    def _comments(self, request: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        url = urlsplit(request.path)
        found = re.fullmatch(PATHS[self.provider], url.path)
        if found is None:
            reply(request, 404, {"message": url.path})
            return
        if request.command == "GET":
            query = {name: int(values[0]) for name, values in parse_qs(url.query).items()}
            start = (query["page"] - 1) * query["pagelen" if self.provider == "bitbucket" else "per_page"]
            page = list(self.comments.values())[start : start + PAGE]
            reply(request, 200, {"values": page} if self.provider == "bitbucket" else page)
            return
        self.written.append(request.command)
        told = str(body["content"]["raw"] if "content" in body else body.get("body"))
        if request.command == "POST":
            self.say(told, ACCOUNTS[self.provider])
            reply(request, 201, {})
        elif request.command == "DELETE":
            del self.comments[int(found[1])]
            reply(request, 204, b"")
        else:
            self.comments[int(found[1])].update(shown(self.provider, ACCOUNTS[self.provider], int(found[1]), told))
            reply(request, 200, {})


@pytest.fixture(params=sorted(HOSTS))
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    yield from serving(str(request.param))


@pytest.fixture
def github() -> Iterator[Server]:
    yield from serving("github")


def serving(provider: str) -> Iterator[Server]:
    """Serve the comments of a pull request on a free port."""
    host = Server(provider)

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            host.answer(self)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    threading.Thread(target=running.serve_forever, daemon=True, kwargs={"poll_interval": 0.01}).start()
    host.url = f"http://127.0.0.1:{running.server_port}"
    yield host
    running.shutdown()
    running.server_close()


class Waiting:
    """A clock that only counts."""

    def __init__(self, seconds_left: float = 100.0) -> None:
        self.waited: list[float] = []
        self.clock = Clock(seconds_left=lambda: seconds_left, sleep=self.waited.append, jitter=lambda: 1.0)


def asking(server: Server, clock: Clock | None = None) -> Calls:
    return Calls(server.url, HOSTS[server.provider].authorization(TOKEN), clock or Waiting().clock)


def comments(server: Server) -> Comments:
    return Comments(HOSTS[server.provider], asking(server), "example/models", 12)


def shows(server: Server, number: int, difference: str = "") -> None:
    build = Build(BUILD, number, "SUCCEEDED", 12)
    body = text.comment("gapless", number, build.status, difference or f"difference {number}")
    show(comments(server), "gapless", build, body)


def ended(number: int = 55, **more: Any) -> dict[str, Any]:
    """The end of a build, as EventBridge tells it."""
    arn = f"arn:aws:codebuild:eu-west-1:999999999999:build/gapless-pull-request:{BUILD}"
    return {
        "detail-type": "CodeBuild Build State Change",
        "source": "aws.codebuild",
        "detail": {
            "build-status": "SUCCEEDED",
            "project-name": "gapless-pull-request",
            "build-id": arn,
            "additional-information": {"build-number": float(number), "source-version": "pr/12", **more},
        },
    }


class Context:
    """What Lambda gives."""

    def get_remaining_time_in_millis(self) -> int:
        return 100_000


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[str, Any]]]:
    """The function with its secret; calls it with one event and a server."""
    clients.client.cache_clear()
    with mock_aws():
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        arn = clients.client("secretsmanager").create_secret(Name="comments", SecretString=f"{TOKEN}\n")["ARN"]
        clients.client("s3").create_bucket(Bucket=BUCKET)

        def call(server: Server, event: dict[str, Any]) -> dict[str, Any]:
            here = replace(HOSTS[server.provider], address=server.url)
            monkeypatch.setattr(module, "HOSTS", {server.provider: here})
            for name, value in {
                "PIPELINE": "gapless",
                "PROVIDER": server.provider,
                "REPOSITORY": "example/models",
                "TOKEN_ARN": arn,
                "DIFFERENCES_URI": f"s3://{BUCKET}/{SESSIONS}",
            }.items():
                monkeypatch.setenv(name, value)
            messages = {"Records": [{"messageId": "one", "body": json.dumps(event)}]}
            return dict(module.handler(messages, Context()))

        yield call
    clients.client.cache_clear()


def wrote(difference: str) -> None:
    clients.client("s3").put_object(Bucket=BUCKET, Key=SESSIONS + BUILD, Body=difference.encode())


# From the event to the comment


def test_shows_what_the_build_wrote(function: Callable[..., dict[str, Any]], server: Server) -> None:
    wrote("dev-Lake: +1 ~0 -0")
    assert function(server, ended()) == {"batchItemFailures": []}
    (written,) = server.texts()
    assert "(build 55, SUCCEEDED):\n\n```text\n dev-Lake: +1 ~0 -0\n```" in written
    assert written.startswith("[//]: # (gapless pull request: gapless, build 55)\n\n")


def test_a_build_that_wrote_nothing_takes_the_place_of_what_is_outdated(
    function: Callable[..., dict[str, Any]], github: Server
) -> None:
    shows(github, 54)
    assert function(github, ended()) == {"batchItemFailures": []}
    (written,) = github.texts()
    assert "Build 55 ended with SUCCEEDED before it compared the templates" in written


def test_what_is_too_large_is_not_read(
    function: Callable[..., dict[str, Any]], github: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 9)
    wrote("0123456789")
    function(github, ended())
    assert module.TOO_LARGE in github.texts()[0]
    assert "0123456789" not in github.texts()[0]


@pytest.mark.parametrize("stumble", [failing(403), failing(302), failing(500), hanging_up])
def test_what_fails_comes_again_and_the_token_is_in_no_log(
    function: Callable[..., dict[str, Any]],
    github: Server,
    stumble: Stumble,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "FIRST_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(logging.getLogger(module.__name__), "propagate", True)
    wrote("a difference")
    github.stumbles = [stumble] * calls.TRIES
    assert function(github, ended()) == {"batchItemFailures": [{"itemIdentifier": "one"}]}
    github.stumbles = []
    assert function(github, ended()) == {"batchItemFailures": []}
    assert "GET /user" in caplog.text
    assert TOKEN not in caplog.text
    assert github.written == ["POST"]


@pytest.mark.parametrize("secret", ["", "two words", "line\nbreak", "ü", b"binary"])
def test_refuses_a_secret_that_is_no_token_and_does_not_say_it(secret: str | bytes) -> None:
    class Secrets:
        def get_secret_value(self, **_: Any) -> dict[str, Any]:
            return {"SecretString" if isinstance(secret, str) else "SecretBinary": secret}

    with pytest.raises(BadToken) as refused:
        read_token(Secrets(), "comments")
    assert str(refused.value) == "secret comments must be a token alone: printable ASCII without spaces"


# Which pull request


@pytest.mark.parametrize(
    "more",
    [
        {"source-version": "pr/12"},
        {"source-version": "mr/12"},
        {
            "source-version": "0123abc",
            "environment": {"environment-variables": [{"name": "CODEBUILD_WEBHOOK_TRIGGER", "value": "pr/12"}]},
        },
    ],
)
def test_the_build_says_which_pull_request_it_is_of(more: dict[str, Any]) -> None:
    assert read_build(ended(**more)) == Build(BUILD, 55, "SUCCEEDED", 12)


@pytest.mark.parametrize("version", ["main", "refs/heads/pr/12", "pr/12/comments", "pr/0", "pr/", "pr/1\n"])
def test_refuses_a_build_that_names_no_pull_request(version: str) -> None:
    with pytest.raises(BadEvent, match="the build names no pull request; allowed is pr/<number>, was"):
        read_build(ended(55, **{"source-version": version}))


# One comment


def test_the_next_build_changes_the_comment(server: Server) -> None:
    server.say("Looks good", STRANGERS[server.provider])
    shows(server, 1)
    shows(server, 2)
    assert server.written == ["POST", UPDATES[server.provider]]
    assert server.texts()[0] == "Looks good"
    assert "difference 2" in server.texts()[1]
    assert len(server.texts()) == 2


def test_what_comes_twice_or_late_changes_nothing(server: Server) -> None:
    shows(server, 2)
    before = server.texts()
    shows(server, 2)
    shows(server, 1)
    assert server.texts() == before
    assert server.written == ["POST"]


def test_is_found_behind_many_others(server: Server) -> None:
    for number in range(2 * PAGE):
        server.say(f"{number}", STRANGERS[server.provider])
    shows(server, 1)
    shows(server, 2)
    assert server.written == ["POST", UPDATES[server.provider]]


def test_the_marker_of_somebody_else_counts_for_nothing(server: Server) -> None:
    server.say(text.marker("gapless", 999_999), STRANGERS[server.provider])
    shows(server, 1)
    assert server.written == ["POST"]
    assert len(server.texts()) == 2


def test_comments_of_another_pipeline_and_others_of_the_account_stay(server: Server) -> None:
    for each in ("Looks good", text.marker("other", 3), f"> {text.marker('gapless', 3)}"):
        server.say(each, ACCOUNTS[server.provider])
    shows(server, 1)
    assert server.written == ["POST"]
    assert len(server.texts()) == 4


def test_of_two_that_were_written_at_once_the_first_stays_with_the_newer_text(server: Server) -> None:
    for number in (4, 5):
        server.say(text.comment("gapless", number, "SUCCEEDED", f"{number}"), ACCOUNTS[server.provider])
    shows(server, 5)
    (left,) = server.comments
    assert left == 101
    assert "difference 5" in server.texts()[0]


def test_a_comment_that_somebody_has_deleted_is_written_anew() -> None:
    bitbucket = next(serving("bitbucket"))
    shows(bitbucket, 1)
    bitbucket.comments[101]["deleted"] = True
    shows(bitbucket, 2)
    assert bitbucket.written == ["POST", "POST"]


# Patience


@pytest.mark.parametrize("stumble", [failing(502), failing(429), hanging_up])
def test_asks_again_where_that_may_help(github: Server, stumble: Stumble) -> None:
    github.stumbles = [stumble, stumble]
    waiting = Waiting()
    assert asking(github, waiting.clock).ask("GET", "/user") == {"id": 7}
    assert waiting.waited == [1.0, 2.0]


def test_waits_as_long_as_the_host_asks(github: Server) -> None:
    github.stumbles = [too_many("7")]
    waiting = Waiting()
    asking(github, waiting.clock).ask("POST", "/repos/example/models/issues/12/comments", {"body": "x"})
    assert waiting.waited == [7.0]


@pytest.mark.parametrize(("after", "left"), [("31", 100.0), ("20", 30.0)])
def test_gives_up_where_there_is_no_time(github: Server, after: str, left: float) -> None:
    github.stumbles = [too_many(after)]
    with pytest.raises(HostUnavailable, match=f"GET /user: no time for another try after {after} s, after 429"):
        asking(github, Waiting(left).clock).ask("GET", "/user")


def test_gives_up_after_some_tries(github: Server) -> None:
    github.stumbles = [failing(503)] * 9
    with pytest.raises(HostUnavailable, match="GET /user failed, at last with 503"):
        asking(github).ask("GET", "/user")
    assert len(github.asked) == calls.TRIES


@pytest.mark.parametrize("stumble", [failing(500), hanging_up])
def test_a_comment_that_may_have_been_written_is_not_written_again_at_once(github: Server, stumble: Stumble) -> None:
    github.stumbles = [stumble]
    with pytest.raises(HostUnavailable):
        comments(github).add("text")
    assert github.asked == ["POST"]


def test_follows_no_redirection(github: Server) -> None:
    elsewhere = next(serving("github"))
    github.stumbles = [lambda request: reply(request, 307, {}, Location=f"{elsewhere.url}/user")]
    with pytest.raises(HostRefused, match="GET /user was answered with 307"):
        asking(github).ask("GET", "/user")
    assert elsewhere.asked == []


def test_an_answer_without_end_is_not_read(github: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MOST_BYTES", 5)
    with pytest.raises(HostRefused, match="the answer has more than 5 bytes"):
        asking(github).ask("GET", "/user")


def test_comments_without_end_are_not_read(github: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "MOST_PAGES", 1)
    for _ in range(PAGE):
        github.say("spam", STRANGERS["github"])
    with pytest.raises(HostRefused, match="pull request 12 has more than 30 comments"):
        shows(github, 1)
    assert github.written == []


def test_the_addresses_are_those_of_the_hosts() -> None:
    assert {name: host.address for name, host in HOSTS.items()} == {
        "github": "https://api.github.com",
        "gitlab": "https://gitlab.com/api/v4",
        "bitbucket": "https://api.bitbucket.org/2.0",
    }


# The text


def test_nothing_leaves_the_fence_or_begins_a_line() -> None:
    evil = "```\n@everyone <img src=x>\r\n/close\n~~~\n\u202egnihton\x1b[2J\u2028/merge"
    lines = text.fenced(evil).split("\n")
    assert (lines[0], lines[-1]) == ("```text", "```")
    inside = lines[1:-1]
    assert all(line.startswith(" ") for line in inside)
    assert "`" not in "".join(inside)
    assert inside[0] == " '''"
    assert inside[4] == " \ufffdgnihton\ufffd[2J\ufffd/merge"


@pytest.mark.parametrize("long", ["x" * 100_000, "\n" * 100_000, "xyz\n" * 50_000])
def test_what_is_long_fits_and_keeps_the_judgement_at_the_end(long: str) -> None:
    written = text.comment("gapless", 1, "FAILED", f"{long}\nrefused: dev-Lake/Runs")
    assert len(written) < 32_768
    assert " refused: dev-Lake/Runs\n```" in written
    assert "[…]" in written
    (inside,) = re.findall(r"```text\n(.*)\n```", written, re.DOTALL)
    assert all(line.startswith(" ") for line in inside.split("\n"))
