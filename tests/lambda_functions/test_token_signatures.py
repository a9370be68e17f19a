"""What each kind of key has signed: against ``cryptography`` and ``joserfc``, published vectors, and what is forged."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import permutations
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from joserfc import jwk as oracle_keys
from joserfc import jwt as oracle

from authorize_token.curves import NEUTRAL, P256, P384, Curve
from authorize_token.encoding import Refused, decoded
from authorize_token.handler import decide
from authorize_token.keys import Keys
from authorize_token.public_keys import ALGORITHMS, EcKey, public_key
from authorize_token.tokens import Rules

ISSUER = "https://login.example.com"
NOW = 1_700_000_000.0
RULES = Rules(ISSUER, ("predictions",), (), {})
CLAIMS = {"iss": ISSUER, "aud": "predictions", "sub": "user-1", "exp": int(NOW) + 300}


@dataclass(frozen=True)
class OnCurve:
    """A curve, as this project and as ``cryptography`` have it."""

    curve: Curve
    theirs: ec.EllipticCurve
    digest: hashes.HashAlgorithm
    name: str


CURVES = {
    "ES256": OnCurve(P256, ec.SECP256R1(), hashes.SHA256(), "P-256"),
    "ES384": OnCurve(P384, ec.SECP384R1(), hashes.SHA384(), "P-384"),
}
PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
RSA_PADDINGS: dict[str, padding.AsymmetricPadding] = {"RS256": padding.PKCS1v15(), "PS256": PSS}


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key pair whose modulus leaves room above it, where numbers have the same size."""
    made = (rsa.generate_private_key(65_537, bits) for _ in range(1000))
    return next(each for each in made if 10 * each.public_key().public_numbers().n < 9 * 2**bits)


@cache
def ec_key(algorithm: str, secret: int = 0) -> ec.EllipticCurvePrivateKey:
    """A key pair, of a given secret or any."""
    theirs = CURVES[algorithm].theirs
    return ec.derive_private_key(secret, theirs) if secret else ec.generate_private_key(theirs)


def text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def point(curve: Curve, x: int, y: int) -> dict[str, Any]:
    return {"x": text(x.to_bytes(curve.size)), "y": text(y.to_bytes(curve.size))}


def ec_jwk(algorithm: str, key: ec.EllipticCurvePrivateKey | None = None, **changes: Any) -> dict[str, Any]:
    on, public = CURVES[algorithm], (key or ec_key(algorithm)).public_key().public_numbers()
    return {"kty": "EC", "crv": on.name, "kid": "k1", "use": "sig", **point(on.curve, public.x, public.y)} | changes


def rsa_jwk(algorithm: str | None, key: rsa.RSAPrivateKey | None = None) -> dict[str, Any]:
    public = (key or rsa_key()).public_key().public_numbers()
    n = text(public.n.to_bytes((public.n.bit_length() + 7) // 8))
    return {"kty": "RSA", "kid": "k1", "n": n, "e": "AQAB"} | ({"alg": algorithm} if algorithm else {})


def jwk_of(algorithm: str) -> dict[str, Any]:
    return ec_jwk(algorithm) if algorithm in CURVES else rsa_jwk(algorithm)


def raw(curve: Curve, r: int, s: int) -> bytes:
    return r.to_bytes(curve.size) + s.to_bytes(curve.size)


def pair(algorithm: str, content: bytes, key: ec.EllipticCurvePrivateKey | None = None) -> tuple[int, int]:
    return decode_dss_signature((key or ec_key(algorithm)).sign(content, ec.ECDSA(CURVES[algorithm].digest)))


def sign(algorithm: str, content: bytes) -> bytes:
    """What the owner of the key of an algorithm makes of a content."""
    if algorithm in CURVES:
        return raw(CURVES[algorithm].curve, *pair(algorithm, content))
    return rsa_key().sign(content, RSA_PADDINGS[algorithm], hashes.SHA256())


def token(head: Mapping[str, Any], signer: Callable[[bytes], bytes]) -> str:
    """The value of the header Authorization with a token."""
    content = ".".join(text(json.dumps(each).encode()) for each in ({"kid": "k1"} | dict(head), CLAIMS))
    return f"Bearer {content}.{text(signer(content.encode()))}"


def signed(algorithm: str, **head: Any) -> str:
    return token({"alg": algorithm} | head, lambda content: sign(algorithm, content))


def keys(*listed: Mapping[str, Any]) -> Keys:
    return Keys(ISSUER, lambda url: {"keys": list(listed)} if url == "keys" else {"issuer": ISSUER, "jwks_uri": "keys"})


def effect(authorization: str, *listed: Mapping[str, Any]) -> str:
    found = decide(authorization, "arn:method", RULES, keys(*listed), NOW)
    return str(found["policyDocument"]["Statement"][0]["Effect"])


def accepts(key: ec.EllipticCurvePublicKey, digest: hashes.HashAlgorithm, r: int, s: int, content: bytes) -> bool:
    """What ``cryptography`` says of a signature."""
    try:
        key.verify(encode_dss_signature(r, s), content, ec.ECDSA(digest))
    except (InvalidSignature, ValueError):
        return False
    return True


# --- what counts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_of_each_algorithm_counts_whoever_made_it(algorithm: str) -> None:
    private = ec_key(algorithm) if algorithm in CURVES else rsa_key()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    made = oracle.encode(
        {"alg": algorithm, "kid": "k1"}, CLAIMS, oracle_keys.import_key(pem.decode(), jwk_of(algorithm)["kty"]),
        algorithms=[algorithm],
    )  # fmt: skip
    assert effect(f"Bearer {made}", jwk_of(algorithm)) == "Allow"
    assert effect(signed(algorithm), jwk_of(algorithm)) == "Allow"
    oracle.decode(signed(algorithm).removeprefix("Bearer "), oracle_keys.import_key(jwk_of(algorithm)), [algorithm])


def test_a_key_of_rsa_that_does_not_say_otherwise_is_one_of_rs256() -> None:
    assert effect(signed("RS256"), rsa_jwk(None)) == "Allow"
    with pytest.raises(Refused, match="no key 'k1' of PS256"):
        effect(signed("PS256"), rsa_jwk(None))


def test_keys_of_several_algorithms_may_have_one_id_and_two_of_one_may_not() -> None:
    listed = [jwk_of(algorithm) for algorithm in ALGORITHMS]
    assert [effect(signed(algorithm), *listed) for algorithm in ALGORITHMS] == ["Allow"] * len(ALGORITHMS)
    with pytest.raises(Refused, match="no key 'k1' of ES256"):
        effect(signed("ES256"), *listed, ec_jwk("ES256", ec_key("ES256", 7)))


def test_the_token_of_rfc_7515_counts() -> None:
    content = (
        b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
        b"cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    )
    signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    key = public_key(
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        }
    )
    assert key is not None
    assert key.verifies(decoded(signature), content)
    assert not key.verifies(decoded(signature), content + b"x")


# --- what does not -------------------------------------------------------------------------------------------------


def by_a_secret(secret: bytes, **head: Any) -> str:
    return token({"alg": "HS256"} | head, lambda content: hmac.digest(secret, content, "sha256"))


def public_secrets() -> list[bytes]:
    """How a public key can be written, to be taken for a secret."""
    public, numbers = ec_key("ES256").public_key(), ec_key("ES256").public_key().public_numbers()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return [
        public.public_bytes(serialization.Encoding.PEM, spki),
        public.public_bytes(serialization.Encoding.DER, spki),
        raw(P256, numbers.x, numbers.y),
        json.dumps(ec_jwk("ES256")).encode(),
    ]


@pytest.mark.parametrize("which", range(4))
def test_a_public_key_is_no_secret(which: int) -> None:
    secret = public_secrets()[which]
    with pytest.raises(Refused, match="algorithm must be one of RS256, PS256, ES256, ES384, was 'HS256'"):
        effect(by_a_secret(secret), ec_jwk("ES256"))
    with pytest.raises(Refused, match="signature is wrong"):
        effect(by_a_secret(secret, alg="ES256"), ec_jwk("ES256"))
    with pytest.raises(Refused, match="no key"):
        effect(signed("ES256"), {"kty": "oct", "kid": "k1", "k": text(secret)})


@pytest.mark.parametrize("named", ["none", "None", "ES512", "ES256K", "EdDSA", "es256", "", None, ["ES256"], {}, 256])
def test_an_algorithm_that_is_not_on_the_list_is_refused(named: Any) -> None:
    with pytest.raises(Refused, match="algorithm must be one of"):
        effect(signed("ES256", alg=named), ec_jwk("ES256"))


@pytest.mark.parametrize(("signs", "named"), list(permutations(ALGORITHMS, 2)))
def test_a_token_is_judged_by_the_algorithm_of_its_key(signs: str, named: str) -> None:
    with pytest.raises(Refused, match=f"no key 'k1' of {named}"):
        effect(signed(signs, alg=named), jwk_of(signs))
    with pytest.raises(Refused, match="signature is wrong"):
        effect(signed(signs, alg=named), jwk_of(named))


def test_a_token_brings_no_key() -> None:
    mine = ec_key("ES256", 5)
    head = {"alg": "ES256", "jwk": ec_jwk("ES256", mine), "jku": "https://evil.example.com", "x5c": ["MIIB"]}
    with pytest.raises(Refused, match="signature is wrong"):
        effect(token(head, lambda content: raw(P256, *pair("ES256", content, mine))), ec_jwk("ES256"))


def malformed(curve: Curve, r: int, s: int) -> dict[str, bytes]:
    """What can be made of a signature that is right."""
    right = raw(curve, r, s)
    return {
        "nothing": b"",
        "DER": encode_dss_signature(r, s),
        "without its last byte": right[:-1],
        "without its first byte": right[1:],
        "one byte more": right + b"\0",
        "longer numbers": b"\0" + r.to_bytes(curve.size) + b"\0" + s.to_bytes(curve.size),
        "a longer s": r.to_bytes(curve.size) + b"\0" + s.to_bytes(curve.size),
        "turned round": raw(curve, s, r),
        "zeros": bytes(2 * curve.size),
        "r is zero": raw(curve, 0, s),
        "s is zero": raw(curve, r, 0),
        "ones": raw(curve, 1, 1),
        "the order twice": raw(curve, curve.order, curve.order),
        "r is the order": raw(curve, curve.order, s),
        "s is the order": raw(curve, r, curve.order),
        "r is the opposite": raw(curve, curve.order - r, s),
        "another r": raw(curve, r ^ 1, s),
        "another s": raw(curve, r, s ^ 1),
    }


@pytest.mark.parametrize("algorithm", CURVES)
@pytest.mark.parametrize("how", malformed(P256, 1, 1))
def test_a_signature_is_two_numbers_of_the_right_size_and_range(algorithm: str, how: str) -> None:
    curve, key = CURVES[algorithm].curve, EcKey.of(ec_jwk(algorithm))
    r, s = pair(algorithm, b"content")
    assert key is not None
    assert key.verifies(raw(curve, r, s), b"content")
    assert not key.verifies(malformed(curve, r, s)[how], b"content")
    bad = token({"alg": algorithm}, lambda content: malformed(curve, *pair(algorithm, content))[how])
    with pytest.raises(Refused):
        effect(bad, ec_jwk(algorithm))


def affine(curve: Curve, point: tuple[int, int, int]) -> tuple[int, int]:
    x, y, z = point
    back = pow(z, -1, curve.prime)
    return x * back % curve.prime, y * back % curve.prime


def root(curve: Curve, x: int) -> int | None:
    """The coordinate that belongs to another, if there is such a point."""
    square = (x**3 - 3 * x + curve.b) % curve.prime
    y = pow(square, (curve.prime + 1) // 4, curve.prime)
    return y if y * y % curve.prime == square else None


def hashed(digest: hashes.HashAlgorithm, content: bytes = b"content") -> bytes:
    made = hashes.Hash(digest)
    made.update(content)
    return made.finalize()


def key_for(on: OnCurve, point: tuple[int, int], r: int, s: int) -> ec.EllipticCurvePublicKey:
    """The key by which ``(r, s)`` is right for ``content``, where ``r`` comes of a point R: ``(s R - e G) / r``."""
    e, inverse = int.from_bytes(hashed(on.digest)), pow(r, -1, on.curve.order)
    times, others = -e * inverse % on.curve.order, s * inverse % on.curve.order
    return ec.EllipticCurvePublicNumbers(
        *affine(on.curve, on.curve.combined(times, others, (*point, 1))), on.theirs
    ).public_key()


@pytest.mark.parametrize("algorithm", CURVES)
def test_a_number_above_the_order_is_refused_where_what_is_left_of_it_counts(algorithm: str) -> None:
    """Both still have the size of a coordinate, as they are small."""
    on = CURVES[algorithm]
    x, y = affine(on.curve, on.curve.combined(2, 0, NEUTRAL))
    r, s = x % on.curve.order, 1
    public = key_for(on, (x, y), r, s)
    key = EcKey(on.curve, public.public_numbers().x, public.public_numbers().y, algorithm)
    for value, counts in (((r, s), True), ((r, s + on.curve.order), False)):
        assert key.verifies(raw(on.curve, *value), b"content") is counts
        assert accepts(public, on.digest, *value, b"content") is counts
    assert not key.verifies(r.to_bytes(on.curve.size) + b"\1", b"content")


@pytest.mark.parametrize("algorithm", CURVES)
def test_a_signature_whose_point_is_the_neutral_one_is_refused(algorithm: str) -> None:
    """Whoever owns a key can choose it so: the opposite of ``e G / r``."""
    on = CURVES[algorithm]
    r, e = 3, int.from_bytes(hashed(on.digest))
    public = ec_key(algorithm, -e * pow(r, -1, on.curve.order) % on.curve.order).public_key()
    key = EcKey(on.curve, public.public_numbers().x, public.public_numbers().y, algorithm)
    assert not accepts(public, on.digest, r, 5, b"content")
    assert not key.verifies(raw(on.curve, r, 5), b"content")


@pytest.mark.parametrize("algorithm", CURVES)
def test_a_coordinate_above_the_order_counts_as_what_is_left_of_it(algorithm: str) -> None:
    """Once in 2**128 signatures the point's coordinate lies between the order and the prime."""
    on, curve = CURVES[algorithm], CURVES[algorithm].curve
    x, y = next((x, y) for x in range(curve.order + 1, curve.prime) if (y := root(curve, x)) is not None)
    r, s = x - curve.order, 12_345
    public = key_for(on, (x, y), r, s)
    numbers = public.public_numbers()
    assert accepts(public, on.digest, r, s, b"content")
    assert EcKey(curve, numbers.x, numbers.y, algorithm).verifies(raw(curve, r, s), b"content")


@pytest.mark.parametrize("algorithm", CURVES)
@pytest.mark.parametrize("secret", [1, 2, 3, -1, -2, 0xDEADBEEF])
def test_keys_beside_the_generator_are_judged_as_elsewhere(algorithm: str, secret: int) -> None:
    """Where a point is added to itself or to its opposite."""
    on = CURVES[algorithm]
    private = ec_key(algorithm, secret % on.curve.order)
    numbers = private.public_key().public_numbers()
    key = EcKey.of(ec_jwk(algorithm, private))
    assert key == EcKey(on.curve, numbers.x, numbers.y, algorithm)
    for content in (b"", b"content", bytes(1000)):
        r, s = pair(algorithm, content, private)
        for value in ((r, s), (r, on.curve.order - s), (s, r), (r, s ^ 2)):
            assert key.verifies(raw(on.curve, *value), content) == accepts(
                private.public_key(), on.digest, *value, content
            )
        assert key.verifies(raw(on.curve, r, s), content)


@pytest.mark.parametrize("algorithm", CURVES)
def test_points_are_added_as_elsewhere(algorithm: str) -> None:
    curve = CURVES[algorithm].curve
    for secret in (1, 2, 3, 4, 2**200 + 7, curve.order - 1, curve.order - 5):
        x, y, z = curve.combined(secret, 0, NEUTRAL)
        public = ec_key(algorithm, secret).public_key().public_numbers()
        assert (x, y) == (public.x * z % curve.prime, public.y * z % curve.prime)
        assert curve.has(public.x, public.y)
        opposite = (x, -y % curve.prime, z)
        assert curve.add((x, y, z), opposite)[2] == 0
        neutral = curve.add(NEUTRAL, (x, y, z))
        assert neutral[0] * z % curve.prime == x * neutral[2] % curve.prime
    assert curve.combined(curve.order, 0, NEUTRAL)[2] == 0


# --- keys ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"crv": "P-384"},
        {"crv": "P-521"},
        {"crv": "secp256k1"},
        {"crv": None},
        {"crv": ["P-256"]},
        {"kty": "RSA"},
        {"kty": "OKP"},
        {"kty": "oct"},
        {"alg": "ES384"},
        {"alg": "RS256"},
        {"alg": "HS256"},
        {"alg": ["ES256"]},
        {"use": "enc"},
        {"d": text(bytes(32))},
        {"x": None},
        {"y": None},
        {"y": "?"},
        point(P256, 0, 0),
        point(P256, 1, 1),
        point(P384, 1, 1),
        {"x": text(b"\0" + bytes(32))},
    ],
)
def test_a_key_that_is_no_point_of_its_curve_or_for_something_else_is_none(changes: dict[str, Any]) -> None:
    given = ec_jwk("ES256", **changes)
    assert public_key(given) is None
    with pytest.raises(Refused, match="no key"):
        effect(signed("ES256"), given)


@pytest.mark.parametrize("algorithm", CURVES)
def test_a_point_beside_the_curve_is_no_key(algorithm: str) -> None:
    public, curve = ec_key(algorithm).public_key().public_numbers(), CURVES[algorithm].curve
    beside = ec_jwk(algorithm, **point(curve, public.x, public.y ^ 1))
    assert public_key(beside) is None
    with pytest.raises(ValueError, match=r"."):
        oracle_keys.import_key(beside).get_op_key("verify")


def test_a_coordinate_has_one_spelling() -> None:
    """Of the right size, and below the prime: another spelling of the same number, modulo the prime, is refused."""
    x, y = 5, root(P256, 5)
    assert y is not None
    assert public_key(ec_jwk("ES256", **point(P256, x, y))) is not None
    assert public_key(ec_jwk("ES256", **point(P256, x + P256.prime, y))) is None
    for other in (point(P256, x, y) | {"x": text(b"\x05")}, point(P256, x, y) | {"y": text(b"\0" + y.to_bytes(32))}):
        assert public_key(ec_jwk("ES256", **other)) is None


@pytest.mark.parametrize("missing", ["x", "y", "crv", "kty"])
def test_a_key_without_its_parts_is_none(missing: str) -> None:
    assert public_key({name: value for name, value in ec_jwk("ES256").items() if name != missing}) is None


# --- RSA -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", RSA_PADDINGS)
def test_a_signature_by_rsa_has_one_spelling(algorithm: str) -> None:
    """Neither a byte more nor the modulus added makes another one of it."""
    key, n = public_key(rsa_jwk(algorithm)), rsa_key().public_key().public_numbers().n
    made = ((content, sign(algorithm, content)) for content in (b"%d" % i for i in range(1000)))
    content, signature = next(each for each in made if int.from_bytes(each[1]) + n < 2**2048)
    assert key is not None
    assert key.verifies(signature, content)
    assert not key.verifies(b"\0" + signature, content)
    assert not key.verifies((int.from_bytes(signature) + n).to_bytes(256), content)


@pytest.mark.parametrize("bits", [2048, 2049, 2050, 2055])
def test_a_block_of_any_size_is_judged_as_elsewhere(bits: int) -> None:
    """In RFC 8017, 9.1.2, the block has one bit less than the modulus: here 7, 8, 1 and 6 bits of its first byte."""
    private, key = rsa_key(bits), public_key(rsa_jwk("PS256", rsa_key(bits)))
    assert key is not None
    for content in (b"", b"content"):
        signature = private.sign(content, PSS, hashes.SHA256())
        assert key.verifies(signature, content)
        assert not key.verifies(signature, content + b"x")


@pytest.mark.parametrize(
    "made_with",
    [
        padding.PSS(padding.MGF1(hashes.SHA256()), 31),
        padding.PSS(padding.MGF1(hashes.SHA256()), 0),
        padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.MAX_LENGTH),
        padding.PSS(padding.MGF1(hashes.SHA1()), 32),  # noqa: S303
        padding.PKCS1v15(),
    ],
)
def test_a_salt_of_another_length_and_another_mask_are_refused(made_with: padding.AsymmetricPadding) -> None:
    key = public_key(rsa_jwk("PS256"))
    assert key is not None
    assert not key.verifies(rsa_key().sign(b"content", made_with, hashes.SHA256()), b"content")


def block(content: bytes, before: int = 1, last: int = 0xBC, above: int = 0) -> int:
    """What PS256 signs with the key of 2048 bits, with parts that may be wrong."""
    salt = bytes(range(32))
    shown = sha256(bytes(8) + sha256(content).digest() + salt).digest()
    size = 256 - 32 - 1
    made = b"".join(sha256(shown + each.to_bytes(4)).digest() for each in range(7))[:size]
    data = (before << 256) | int.from_bytes(salt)
    masked = (data ^ int.from_bytes(made)) & ((1 << (8 * size - 1)) - 1)
    return (above << 2047) | (masked << 264) | (int.from_bytes(shown) << 8) | last


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, True),
        ({"last": 0xBD}, False),
        ({"before": 2}, False),
        ({"before": 1 | 1 << 80}, False),
        ({"before": 0}, False),
        ({"above": 1}, False),
    ],
)
def test_every_part_of_the_block_counts(changes: dict[str, int], counts: bool) -> None:
    private, key = rsa_key().private_numbers(), public_key(rsa_jwk("PS256"))
    n = private.public_numbers.n
    content = next(each for each in (b"%d" % i for i in range(100)) if block(each, **changes) < n)
    signature = pow(block(content, **changes), private.d, n).to_bytes(256)
    assert key is not None
    assert key.verifies(signature, content) is counts
    try:
        rsa_key().public_key().verify(signature, content, PSS, hashes.SHA256())
    except InvalidSignature:
        assert not counts
    else:
        assert counts
