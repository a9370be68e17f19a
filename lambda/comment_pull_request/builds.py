"""What EventBridge tells of the end of a build of a pull request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TRIGGER = "CODEBUILD_WEBHOOK_TRIGGER"

_ID = re.compile(r":build/[^:/]+:([0-9a-f-]{36})")
_REQUEST = re.compile(r"(?:pr|mr)/([1-9][0-9]{0,9})")


class BadEvent(Exception):
    """The event does not say which build of which pull request has ended."""


@dataclass(frozen=True)
class Build:
    """A build that has ended.

    Attributes:
        id: The last part of its id, which is in the name of its session too.
        number: How many builds of the project there were before it, and itself.
        status: How it ended.
        pull_request: The number of the pull request.
    """

    id: str
    number: int
    status: str
    pull_request: int


def read_build(event: Mapping[str, Any]) -> Build:
    """Read an event ``CodeBuild Build State Change``.

    Everything in it is CodeBuild's own word: the variables are those that the build was started with, whatever its
    commands have made of them since.

    Raises:
        BadEvent: It lacks something, or the build is not that of a pull request.
    """
    detail = event["detail"]
    more = detail["additional-information"]
    found = _ID.search(str(detail["build-id"]))
    if found is None:
        raise BadEvent(f"not the ARN of a build: {detail['build-id']!r}")
    number = int(more["build-number"])
    return Build(found[1], number, str(detail["build-status"]), _pull_request(more))


def _pull_request(more: Mapping[str, Any]) -> int:
    variables = more.get("environment", {}).get("environment-variables", [])
    given = [
        str(more.get("source-version", "")),
        *(str(each["value"]) for each in variables if each["name"] == TRIGGER),
    ]
    for each in given:
        if found := _REQUEST.fullmatch(each):
            return int(found[1])
    raise BadEvent(f"the build names no pull request; allowed is pr/<number>, was {', '.join(map(repr, given))}")
