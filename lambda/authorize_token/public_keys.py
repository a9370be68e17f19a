"""Public keys of an issuer (RFC 7517, 7518), and what each has signed.

The algorithm belongs to the key: its type, its curve and its own ``alg`` say which one it is, and a key verifies by no
other. A signature by RSA is verified by what leaves nothing to parse: RS256 by the whole block that RFC 8017 (8.2.2,
9.2) builds from the digest, PS256 by the block of 9.1.2 with a salt of the one length that RFC 7518 (3.5) allows.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authorize_token.curves import P256, P384, Curve
from authorize_token.encoding import Refused, decoded, number

RSA_ALGORITHMS = ("RS256", "PS256")
EC_ALGORITHMS = {"ES256": ("P-256", P256, "sha256"), "ES384": ("P-384", P384, "sha384")}
"""Algorithm → its curve, by name and itself, and its digest (RFC 7518, 3.4)."""

ALGORITHMS = (*RSA_ALGORITHMS, *EC_ALGORITHMS)
"""What a token may be signed with. None of them knows a secret that both sides have."""

LEAST_BITS, MOST_BITS = 2_048, 8_192

_DIGEST_BYTES = 32
_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
"""What stands before a digest of SHA-256: its ``DigestInfo`` (RFC 8017, 9.2, note 1)."""


@dataclass(frozen=True)
class RsaKey:
    """A public key of RSA; without ``alg`` it is one of RS256."""

    modulus: int
    exponent: int
    algorithm: str

    @classmethod
    def of(cls, jwk: Mapping[str, Any]) -> RsaKey | None:
        """Read a key of a set; None if it is none that signs with these algorithms, or too weak."""
        algorithm = jwk.get("alg", RSA_ALGORITHMS[0])
        if jwk.get("kty") != "RSA" or algorithm not in RSA_ALGORITHMS:
            return None
        try:
            key = cls(number(jwk["n"]), number(jwk["e"]), algorithm)
        except (KeyError, Refused):
            return None
        strong = LEAST_BITS <= key.modulus.bit_length() <= MOST_BITS and key.modulus % 2 == 1
        return key if strong and key.exponent % 2 == 1 and 65_537 <= key.exponent < 2**32 else None

    def verifies(self, signature: bytes, content: bytes) -> bool:
        """Tell whether the owner of the key has signed the content."""
        signed = int.from_bytes(signature)
        if len(signature) != self._size or signed >= self.modulus:
            return False
        block = pow(signed, self.exponent, self.modulus)
        digest = hashlib.sha256(content).digest()
        return self._is_pss(block, digest) if self.algorithm == "PS256" else self._is_pkcs1(block, digest)

    @property
    def _size(self) -> int:
        return (self.modulus.bit_length() + 7) // 8

    def _is_pkcs1(self, block: int, digest: bytes) -> bool:
        info = _SHA256_INFO + digest
        expected = b"\x00\x01" + b"\xff" * (self._size - len(info) - 3) + b"\x00" + info
        return hmac.compare_digest(block.to_bytes(self._size), expected)

    def _is_pss(self, block: int, digest: bytes) -> bool:
        """Masked padding and salt, a digest, and the byte 0xbc, in one bit less than the modulus has."""
        bits, size = self.modulus.bit_length() - 1, 8 * _DIGEST_BYTES
        masked, found, last = block >> (size + 8), (block >> 8) % 2**size, block % 2**8
        if block >> bits or last != 0xBC:
            return False
        shown = found.to_bytes(_DIGEST_BYTES)
        mask = _mask(shown, (bits + 7) // 8 - _DIGEST_BYTES - 1)
        data = (masked ^ mask) % 2 ** (bits - size - 8)
        salt = (data % 2**size).to_bytes(_DIGEST_BYTES)
        expected = hashlib.sha256(bytes(8) + digest + salt).digest()
        return data >> size == 1 and hmac.compare_digest(shown, expected)


@dataclass(frozen=True)
class EcKey:
    """A public key on a curve."""

    curve: Curve
    x: int
    y: int
    algorithm: str

    @classmethod
    def of(cls, jwk: Mapping[str, Any]) -> EcKey | None:
        """Read a key of a set; None if it is none of these curves, or no point of its curve."""
        for algorithm, (name, curve, _) in EC_ALGORITHMS.items():
            if (jwk.get("kty"), jwk.get("crv"), jwk.get("alg", algorithm)) == ("EC", name, algorithm):
                return cls._on(curve, jwk, algorithm)
        return None

    @classmethod
    def _on(cls, curve: Curve, jwk: Mapping[str, Any], algorithm: str) -> EcKey | None:
        try:
            x, y = (decoded(jwk[name]) for name in ("x", "y"))
        except (KeyError, Refused):
            return None
        key = cls(curve, int.from_bytes(x), int.from_bytes(y), algorithm)
        return key if len(x) == len(y) == curve.size and curve.has(key.x, key.y) else None

    def verifies(self, signature: bytes, content: bytes) -> bool:
        """Tell whether the owner of the key has signed the content: ``r`` beside ``s`` (FIPS 186-5, 6.4.2)."""
        size, order = self.curve.size, self.curve.order
        if len(signature) != 2 * size:
            return False
        r, s = int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
        if not (0 < r < order and 0 < s < order):
            return False
        digest = int.from_bytes(hashlib.new(EC_ALGORITHMS[self.algorithm][2], content).digest())
        inverse = pow(s, -1, order)
        x, _, z = self.curve.combined(digest * inverse % order, r * inverse % order, (self.x, self.y, 1))
        return z != 0 and x * pow(z, -1, self.curve.prime) % self.curve.prime % order == r


PublicKey = RsaKey | EcKey


def public_key(jwk: Mapping[str, Any]) -> PublicKey | None:
    """Read a key of a set; None if it is none of ours, not for signatures, or no secret to anybody (``d``)."""
    if jwk.get("use", "sig") != "sig" or "d" in jwk:
        return None
    return RsaKey.of(jwk) or EcKey.of(jwk)


def _mask(seed: bytes, size: int) -> int:
    """Stretch a seed by SHA-256 (MGF1, RFC 8017, B.2.1)."""
    blocks = range(-(-size // _DIGEST_BYTES))
    made = b"".join(hashlib.sha256(seed + block.to_bytes(4)).digest() for block in blocks)
    return int.from_bytes(made[:size])
