"""Tells API Gateway whether whoever asks may ask: a Lambda authoriser of type TOKEN.

Three answers, by the gateway's own contract. A token that is none of this issuer, or no longer, ends in the error
``Unauthorized``, of which the gateway makes 401. A valid token that lacks a scope or claim gets a policy that denies:
403. Where nothing can be said, as the issuer's keys cannot be had, any other error: 503, and nobody is let through.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from authorize_token.encoding import Refused
from authorize_token.keys import Keys
from authorize_token.tokens import Rules, Token, check, missing
from gapless_lambda.log import get_logger
from gapless_lambda.settings import read_settings

log = get_logger(__name__)


class Unauthorized(Exception):
    """What the gateway knows by its message."""


@dataclass(frozen=True)
class Settings:
    """The environment of the function; the rules are JSON."""

    rules: str


def decide(authorization: str, method_arn: str, rules: Rules, keys: Keys, now: float) -> dict[str, Any]:
    """Give the policy for a token.

    Raises:
        Refused: It is not a valid token of this issuer for this API.
        Unavailable: Nobody can tell.
    """
    token = Token.parse(authorization)
    claims = token.claims(keys.key(token.key_id, token.algorithm))
    check(claims, rules, now)
    lacks = missing(claims, rules)
    if lacks is not None:
        log.info("a valid token was refused", extra={"lacks": lacks, "subject": claims["sub"]})
    statement = {"Effect": "Allow" if lacks is None else "Deny", "Action": "execute-api:Invoke", "Resource": method_arn}
    return {"principalId": claims["sub"], "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}}


@cache
def _keys(issuer: str) -> Keys:
    return Keys(issuer)


def handler(event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
    """Let through, refuse, or say that nobody is known."""
    rules = Rules.parse(read_settings(Settings).rules)
    try:
        given, method = str(event["authorizationToken"]), str(event["methodArn"])
        return decide(given, method, rules, _keys(rules.issuer), time.time())
    except Refused as error:
        log.info("a token was refused", extra={"reason": str(error)})
        raise Unauthorized("Unauthorized") from None
