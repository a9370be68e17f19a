"""The public keys of an OpenID provider: asked once, kept, and asked again when a token names a new one."""

from __future__ import annotations

import http.client
import json
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from authorize_token.encoding import Refused
from authorize_token.public_keys import PublicKey, public_key
from gapless_lambda.log import get_logger

FRESH_SECONDS = 900
"""So long keys are used without asking."""

STALE_SECONDS = 6 * 3600
"""So long keys are used while the issuer does not answer. A key that it has withdrawn since counts until then."""

PAUSE_SECONDS = 30
"""An issuer is not asked more often, whatever tokens name."""

ANSWER_SECONDS = 3.0
MOST_BYTES = 256 << 10
CONFIGURATION = "/.well-known/openid-configuration"

log = get_logger(__name__)

Name = tuple[str, str]
"""Id and algorithm of a key: keys of different types may have one id (RFC 7517, 4.5)."""


class Unavailable(Exception):
    """The issuer's keys cannot be had just now, so nothing can be said of a token."""


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    """Follows nothing: keys come from where the issuer says, or not at all."""

    def redirect_request(self, *_: Any) -> None:
        return None


def fetch(url: str) -> Any:
    """Get a JSON document over HTTPS.

    Raises:
        Unavailable: There is no such answer.
    """
    if urlsplit(url).scheme != "https":
        raise Unavailable(f"{url} is not https")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirection())
    request = urllib.request.Request(url, headers={"Accept": "application/json", "User-Agent": "gapless"})  # noqa: S310
    try:
        with opener.open(request, timeout=ANSWER_SECONDS) as answer:
            body = answer.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            raise Unavailable(f"{url} answers with more than {MOST_BYTES} bytes")
        return json.loads(body)
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
        raise Unavailable(f"{url}: {type(error).__name__}: {error}") from error


@dataclass
class Keys:
    """The keys of one issuer.

    Args:
        issuer: Its address, whose configuration names that of the keys (OpenID Connect Discovery 1.0).
        get: Gets a document.
        clock: Seconds, from any beginning.
    """

    issuer: str
    get: Callable[[str], Any] = fetch
    clock: Callable[[], float] = time.monotonic
    _known: Mapping[Name, PublicKey] = field(default_factory=dict)
    _asked_at: float | None = None
    _answered_at: float | None = None

    def key(self, key_id: str, algorithm: str) -> PublicKey:
        """Give the key of an id that is one of an algorithm.

        Raises:
            Refused: The issuer has no such key.
            Unavailable: The issuer cannot be asked.
        """
        key = self._known.get((key_id, algorithm))
        if key is not None and self._age() < FRESH_SECONDS:
            return key
        failed: Unavailable | None = None
        if self._asked_at is None or self.clock() - self._asked_at >= PAUSE_SECONDS:
            try:
                self._ask()
            except Unavailable as error:
                failed = error
                log.warning("the issuer's keys cannot be had", extra={"error": str(error)})
        key = self._known.get((key_id, algorithm))
        if key is not None and self._age() < STALE_SECONDS:
            return key
        if failed is not None or self._answered_at is None or self._answered_at != self._asked_at:
            raise Unavailable(f"the keys of {self.issuer} cannot be had") from failed
        raise Refused(f"the issuer has no key {key_id!r} of {algorithm}")

    def _age(self) -> float:
        return float("inf") if self._answered_at is None else self.clock() - self._answered_at

    def _ask(self) -> None:
        self._asked_at = self.clock()
        found = self.get(self.issuer.removesuffix("/") + CONFIGURATION)
        if not isinstance(found, dict) or found.get("issuer") != self.issuer:
            raise Unavailable(f"the configuration of {self.issuer} is that of another issuer")
        content = self.get(str(found.get("jwks_uri")))
        listed = content.get("keys") if isinstance(content, dict) else None
        if not isinstance(listed, list):
            raise Unavailable(f"{found.get('jwks_uri')} has no list of keys")
        self._known = _by_name(listed)
        self._answered_at = self._asked_at


def _by_name(listed: list[Any]) -> dict[Name, PublicKey]:
    """Give the keys that can be used; of a name that stands for several of them, none."""
    found: dict[Name, PublicKey] = {}
    several: set[Name] = set()
    for each in listed:
        key = public_key(each) if isinstance(each, dict) else None
        if key is not None and isinstance(each.get("kid"), str):
            name = (each["kid"], key.algorithm)
            several |= {name} & found.keys()
            found[name] = key
    return {name: key for name, key in found.items() if name not in several}
