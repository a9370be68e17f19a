"""JSON Web Tokens that an OpenID provider has signed, checked by RFC 7515, 7518, 7519 and 8725.

What a token says of its own signature can only be a reason to refuse it: the algorithm is the key's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from authorize_token.encoding import Refused, decoded
from authorize_token.public_keys import ALGORITHMS, PublicKey

MOST_CHARACTERS = 8_192
LEEWAY_SECONDS = 60
"""How far the clocks of the issuer and this one may be apart."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_BEARER = "bearer "


@dataclass(frozen=True)
class Rules:
    """What a token must be like.

    Attributes:
        issuer: Who has given it.
        audiences: For whom: one of these.
        scopes: One of these it must have; empty asks for none.
        claims: Claim → the values of which it must have one.
    """

    issuer: str
    audiences: tuple[str, ...]
    scopes: tuple[str, ...]
    claims: Mapping[str, tuple[str, ...]]

    @classmethod
    def parse(cls, text: str) -> Rules:
        """Read the rules from JSON."""
        found = json.loads(text)
        claims = {name: tuple(values) for name, values in found["claims"].items()}
        return cls(found["issuer"], tuple(found["audiences"]), tuple(found["scopes"]), claims)


@dataclass(frozen=True)
class Token:
    """A token whose signature nobody has looked at yet."""

    key_id: str
    algorithm: str
    content: bytes
    signature: bytes
    payload: str

    @classmethod
    def parse(cls, authorization: str) -> Token:
        """Take the value of the header Authorization apart.

        Raises:
            Refused: It holds no token, or one that is signed otherwise.
        """
        if authorization[: len(_BEARER)].lower() != _BEARER:
            raise Refused("the header is not Bearer and a token")
        text = authorization[len(_BEARER) :].strip()
        if len(text) > MOST_CHARACTERS or _TOKEN.fullmatch(text) is None:
            raise Refused("this is no token")
        head, payload, signature = text.split(".")
        header = _object(head)
        algorithm = header.get("alg")
        if algorithm not in ALGORITHMS:
            raise Refused(f"the algorithm must be one of {', '.join(ALGORITHMS)}, was {algorithm!r}")
        if "crit" in header:
            raise Refused(f"extensions are not understood: {header['crit']!r}")
        key_id = header.get("kid")
        if not isinstance(key_id, str) or not key_id:
            raise Refused("it names no key")
        return cls(key_id, algorithm, f"{head}.{payload}".encode(), decoded(signature), payload)

    def claims(self, key: PublicKey) -> dict[str, Any]:
        """Give what the token says, once its signature is found to be right.

        Raises:
            Refused: It is not, or what was signed is no object.
        """
        if not key.verifies(self.signature, self.content):
            raise Refused("the signature is wrong")
        return _object(self.payload)


def check(claims: Mapping[str, Any], rules: Rules, now: float) -> None:
    """Check whose token it is, for whom, and until when.

    Raises:
        Refused: One of these is wrong.
    """
    if claims.get("iss") != rules.issuer:
        raise Refused(f"the issuer must be {rules.issuer}, was {claims.get('iss')!r}")
    if not set(_texts(claims.get("aud"))) & set(rules.audiences):
        raise Refused(f"the audience must be one of {', '.join(rules.audiences)}, was {claims.get('aud')!r}")
    if now >= _time(claims, "exp") + LEEWAY_SECONDS:
        raise Refused("it has expired")
    for name in ("nbf", "iat"):
        if name in claims and now < _time(claims, name) - LEEWAY_SECONDS:
            raise Refused(f"it is not valid yet: {name}")
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise Refused("it says of nobody")


def missing(claims: Mapping[str, Any], rules: Rules) -> str | None:
    """Give what a valid token lacks to be let through; None if it lacks nothing."""
    scopes = {scope for name in ("scope", "scp") for text in _texts(claims.get(name)) for scope in text.split()}
    if rules.scopes and not scopes & set(rules.scopes):
        return f"one of the scopes {', '.join(rules.scopes)}"
    for name, values in rules.claims.items():
        if not set(_texts(claims.get(name))) & set(values):
            return f"one of {', '.join(values)} in the claim {name}"
    return None


def _time(claims: Mapping[str, Any], name: str) -> float:
    found = claims.get(name)
    if not isinstance(found, int | float) or isinstance(found, bool) or not 0 <= found < 2**53:
        raise Refused(f"{name} must be seconds since 1970, was {found!r}")
    return float(found)


def _texts(value: Any) -> Sequence[str]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str)]


def _object(segment: str) -> dict[str, Any]:
    try:
        found = json.loads(decoded(segment), object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise Refused("a part is no JSON") from error
    if not isinstance(found, dict):
        raise Refused("a part is no JSON object")
    return found


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise Refused("a part says something twice")
    return dict(pairs)
