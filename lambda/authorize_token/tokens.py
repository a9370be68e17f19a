"""JSON Web Tokens that an OpenID provider has signed: RS256 and nothing else, checked by RFC 7515, 7518 and 7519.

A signature of RSASSA-PKCS1-v1_5 is verified by the one comparison that leaves nothing to parse: what the key makes of
the signature has to be the whole block that RFC 8017 (8.2.2, 9.2) builds from the digest. No secret is involved.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ALGORITHM = "RS256"
MOST_CHARACTERS = 8_192
LEAST_BITS, MOST_BITS = 2_048, 8_192
LEEWAY_SECONDS = 60
"""How far the clocks of the issuer and this one may be apart."""

_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
"""What stands before a digest of SHA-256: its ``DigestInfo`` (RFC 8017, 9.2, note 1)."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_BEARER = "bearer "


class Refused(Exception):
    """The token is none that the issuer has given for this API, or no longer; the message says why, for the log."""


@dataclass(frozen=True)
class RsaKey:
    """A public key."""

    modulus: int
    exponent: int

    @classmethod
    def of(cls, jwk: Mapping[str, Any]) -> RsaKey | None:
        """Read a key of a set (RFC 7517); None if it is none that signs with RS256, or too weak."""
        if jwk.get("kty") != "RSA" or jwk.get("use", "sig") != "sig" or jwk.get("alg", ALGORITHM) != ALGORITHM:
            return None
        try:
            key = cls(_number(jwk["n"]), _number(jwk["e"]))
        except (KeyError, Refused):
            return None
        strong = LEAST_BITS <= key.modulus.bit_length() <= MOST_BITS and key.modulus % 2 == 1
        return key if strong and key.exponent % 2 == 1 and 65_537 <= key.exponent < 2**32 else None

    def verifies(self, signature: bytes, content: bytes) -> bool:
        """Tell whether the owner of the key has signed the content."""
        size = (self.modulus.bit_length() + 7) // 8
        number = int.from_bytes(signature)
        if len(signature) != size or number >= self.modulus:
            return False
        info = _SHA256_INFO + hashlib.sha256(content).digest()
        expected = b"\x00\x01" + b"\xff" * (size - len(info) - 3) + b"\x00" + info
        return hmac.compare_digest(pow(number, self.exponent, self.modulus).to_bytes(size), expected)


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
        if header.get("alg") != ALGORITHM:
            raise Refused(f"the algorithm must be {ALGORITHM}, was {header.get('alg')!r}")
        if "crit" in header:
            raise Refused(f"extensions are not understood: {header['crit']!r}")
        key_id = header.get("kid")
        if not isinstance(key_id, str) or not key_id:
            raise Refused("it names no key")
        return cls(key_id, f"{head}.{payload}".encode(), _decoded(signature), payload)

    def claims(self, key: RsaKey) -> dict[str, Any]:
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
        found = json.loads(_decoded(segment), object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise Refused("a part is no JSON") from error
    if not isinstance(found, dict):
        raise Refused("a part is no JSON object")
    return found


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise Refused("a part says something twice")
    return dict(pairs)


def _number(text: Any) -> int:
    return int.from_bytes(_decoded(text))


def _decoded(text: Any) -> bytes:
    """Decode base64url without padding; each value has one spelling only."""
    try:
        found = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise Refused("a part is not base64url") from error
    if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != text:
        raise Refused("a part is not base64url as it is to be written")
    return found
