"""Shows what a pull request changes in the templates, as one comment that follows its builds.

Invoked by a queue (SQS, partial batch responses) with events ``CodeBuild Build State Change`` as message bodies. A
build of code that nobody has reviewed has written the difference to the one object that its session may write; this
function has the token that the build must not have. Which pull request it is about is CodeBuild's word, never the
text's.

The comment is found again by its first line and by its author, the token's own account. It names its build, so that an
event may come twice, late or out of order: an older build never replaces a newer one, and should two calls have written
a comment each, the next look leaves the first of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from comment_pull_request.builds import Build, read_build
from comment_pull_request.calls import Calls, Clock
from comment_pull_request.hosts import HOSTS, Comment, Comments
from comment_pull_request.text import build_of, comment
from gapless_lambda.clients import client
from gapless_lambda.landing import ABSENT, is_code
from gapless_lambda.log import get_logger
from gapless_lambda.messages import BatchResponse, each_message
from gapless_lambda.s3 import parse_uri
from gapless_lambda.settings import read_settings

MOST_BYTES = 1 << 20
"""Size of a difference that is read."""

TOO_LARGE = "The difference is too large to be shown."

log = get_logger(__name__)


class BadToken(Exception):
    """The secret does not hold a token."""


@dataclass(frozen=True)
class Settings:
    """The environment of the function.

    Attributes:
        pipeline: Name of the pipeline, which comments name.
        provider: A key of ``HOSTS``.
        repository: Owner and name.
        token_arn: ARN of the secret.
        differences_uri: What the address of a build's difference begins with; the build's id is the rest.
    """

    pipeline: str
    provider: str
    repository: str
    token_arn: str
    differences_uri: str


def read_token(secrets: Any, secret: str) -> str:
    """Read the token.

    Raises:
        BadToken: The secret is binary, empty, or has what no header can hold.
    """
    text = secrets.get_secret_value(SecretId=secret).get("SecretString")
    token = text.strip() if isinstance(text, str) else ""
    if not re.fullmatch(r"[!-~]+", token):
        raise BadToken(f"secret {secret} must be a token alone: printable ASCII without spaces")
    return token


def read_difference(s3: Any, uri: str) -> str | None:
    """Read what a build wrote; None where it wrote nothing."""
    bucket, key = parse_uri(uri)
    try:
        found = s3.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if is_code(error, ABSENT):
            return None
        raise
    if found["ContentLength"] > MOST_BYTES:
        return TOO_LARGE
    content: bytes = found["Body"].read()
    return content.decode(errors="replace")


def show(comments: Comments, pipeline: str, build: Build, text: str) -> None:
    """Make a text the one comment of a pull request, unless a newer build has one there."""
    found = _found(comments, pipeline)
    if not found:
        comments.add(text)
        found = _found(comments, pipeline)
    if not found:
        return
    (first, shown), *others = found
    if shown < build.number:
        comments.change(first, text)
    for other, _ in others:
        comments.remove(other)


def _found(comments: Comments, pipeline: str) -> list[tuple[Comment, int]]:
    marked = [(each, build_of(pipeline, each.text)) for each in comments.own()]
    return [(each, number) for each, number in marked if number is not None]


def take_in(event: Mapping[str, Any], settings: Settings, clock: Clock) -> None:
    """Show the difference of one build."""
    build = read_build(event)
    difference = read_difference(client("s3"), settings.differences_uri + build.id)
    text = comment(settings.pipeline, build.number, build.status, difference)
    host = HOSTS[settings.provider]
    token = read_token(client("secretsmanager"), settings.token_arn)
    calls = Calls(host.address, host.authorization(token), clock)
    show(Comments(host, calls, settings.repository, build.pull_request), settings.pipeline, build, text)
    log.info("shown", extra={"pull_request": build.pull_request, "build": build.number, "status": build.status})


def handler(event: Mapping[str, Any], context: Any) -> BatchResponse:
    """Take in the events of one delivery; those that fail come again, and end in the dead-letter queue."""
    settings = read_settings(Settings)
    clock = Clock(seconds_left=lambda: context.get_remaining_time_in_millis() / 1_000)
    return each_message(event, lambda body: take_in(body, settings, clock), log)
