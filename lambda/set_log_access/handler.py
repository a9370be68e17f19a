"""Tells the domain of the log search who may do what, what a line is, and when an index goes.

Called every hour; the domain's access lives inside of it, where no template reaches. Every request puts what is wanted
in place of what is there, so that a change by hand does not last, and may be made twice. A policy of retention can only
be replaced by whoever names the version that it replaces.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from gapless_lambda.log import get_logger
from gapless_lambda.settings import read_settings
from set_log_access.wanted import RETENTION, index_template, retention_policy, security_requests

_SECONDS: Final = 20
_NOT_FOUND: Final = 404
_POLICY: Final = f"/_plugins/_ism/policies/{RETENTION}"

log = get_logger(__name__)

Call = Callable[[str, str, Mapping[str, Any] | None], dict[str, Any] | None]
"""Method, path and body to the answer; None where there is nothing."""


class NotTaken(Exception):
    """The domain has refused a request."""


@dataclass(frozen=True)
class Settings:
    """The environment: where the domain is, and who has to do with it.

    Names of streams and the people are JSON; the role of a stream is named after it.
    """

    endpoint: str
    names: str
    roles: str
    people: str
    by_name: str
    days: str
    copies: str


def set_access(call: Call, settings: Settings) -> int:
    """Make the requests; give how many there were.

    Raises:
        NotTaken: The domain has refused one.
    """
    names: list[str] = json.loads(settings.names)
    indices = [f"{name}-*" for name in names]
    requests = security_requests(
        indices,
        [f"{settings.roles}{name}-delivery" for name in names],
        json.loads(settings.people),
        by_name=settings.by_name == "true",
    )
    requests.append(index_template(indices, copies=int(settings.copies)))
    for path, body in requests:
        call("PUT", path, body)
    return len(requests) + set_retention(call, retention_policy(indices, int(settings.days)))


def set_retention(call: Call, policy: dict[str, Any]) -> int:
    """Make or replace the policy of retention, where it is another one; give how many requests that took."""
    there = call("GET", _POLICY, None)
    if there is None:
        call("PUT", _POLICY, {"policy": policy})
        return 2
    if same(policy, there["policy"]):
        return 1
    version = f"if_seq_no={there['_seq_no']}&if_primary_term={there['_primary_term']}"
    call("PUT", f"{_POLICY}?{version}", {"policy": policy})
    return 2


def same(wanted: Any, there: Any) -> bool:
    """Say whether all that is wanted is there; the domain adds members of its own."""
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(
            name in there and same(each, there[name]) for name, each in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(there, list) and len(wanted) == len(there) and all(map(same, wanted, there))
    return bool(wanted == there)


@cache
def _session() -> boto3.Session:
    return boto3.Session()


def signed_call(endpoint: str) -> Call:
    """Give what calls the domain with requests that the function's role has signed."""

    def call(method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any] | None:
        data = json.dumps(body).encode() if body is not None else None
        url, headers = f"https://{endpoint}{path}", {"Content-Type": "application/json"}
        request = AWSRequest(method=method, url=url, data=data, headers=headers)
        SigV4Auth(_session().get_credentials(), "es", _session().region_name).add_auth(request)
        prepared = urllib.request.Request(url, data=data, headers=dict(request.headers), method=method)
        try:
            with urllib.request.urlopen(prepared, timeout=_SECONDS) as answer:  # noqa: S310
                found: dict[str, Any] = json.loads(answer.read())
                return found
        except urllib.error.HTTPError as error:
            if method == "GET" and error.code == _NOT_FOUND:
                return None
            told = error.read().decode("utf-8", "replace")[:2000]
            raise NotTaken(f"{method} {path} was answered with {error.code}: {told}") from error

    return call


def handler(_event: object, _context: object) -> dict[str, int]:
    """Tell the domain."""
    settings = read_settings(Settings)
    count = set_access(signed_call(settings.endpoint), settings)
    log.info("access is set", extra={"requests": count})
    return {"requests": count}
