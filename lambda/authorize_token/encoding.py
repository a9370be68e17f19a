"""How parts of tokens and keys are written: base64url without padding (RFC 7515, 2)."""

from __future__ import annotations

import base64
import binascii
from typing import Any


class Refused(Exception):
    """The token is none that the issuer has given for this API, or no longer; the message says why, for the log."""


def decoded(text: Any) -> bytes:
    """Decode base64url without padding; each value has one spelling only.

    Raises:
        Refused: It is not, or not in that spelling.
    """
    try:
        found = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise Refused("a part is not base64url") from error
    if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != text:
        raise Refused("a part is not base64url as it is to be written")
    return found


def number(text: Any) -> int:
    """Decode a number, largest byte first.

    Raises:
        Refused: It is none.
    """
    return int.from_bytes(decoded(text))
