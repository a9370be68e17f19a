"""Tokens of an OpenID provider: what counts as one, and what the gateway is told where nobody can tell."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from authorize_token import handler as module
from authorize_token.encoding import Refused
from authorize_token.handler import Unauthorized, decide, handler
from authorize_token.keys import FRESH_SECONDS, PAUSE_SECONDS, STALE_SECONDS, Keys, Unavailable, fetch
from authorize_token.public_keys import public_key
from authorize_token.tokens import LEEWAY_SECONDS, Rules

ISSUER = "https://login.example.com/shop"
METHOD = "arn:aws:execute-api:us-east-1:000000000000:api/v1/POST/predictions"
NOW = 1_700_000_000.0
RULES = Rules(ISSUER, ("predictions", "other"), ("shop/ask",), {"team": ("sales", "risk")})
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": ["predictions"],
    "sub": "user-1",
    "exp": NOW + 300,
    "iat": NOW - 5,
    "scope": "openid shop/ask",
    "team": "sales",
}


@cache
def private_key(name: str = "k1", bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key pair; ``name`` tells them apart."""
    return rsa.generate_private_key(65_537, bits)


def text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def number(value: int) -> str:
    return text(value.to_bytes((value.bit_length() + 7) // 8))


def jwk(key: rsa.RSAPrivateKey, kid: str = "k1", **changes: Any) -> dict[str, Any]:
    public = key.public_key().public_numbers()
    return {
        "kty": "RSA",
        "kid": kid,
        "use": "sig",
        "alg": "RS256",
        "n": number(public.n),
        "e": number(public.e),
    } | changes


def signed(claims: Any, key: rsa.RSAPrivateKey | None = None, **header: Any) -> str:
    """The value of the header Authorization with a token."""
    head = {"alg": "RS256", "typ": "JWT", "kid": "k1"} | header
    content = f"{text(json.dumps(head).encode())}.{text(json.dumps(claims).encode())}"
    signature = (key or private_key()).sign(content.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"Bearer {content}.{text(signature)}"


class Provider:
    """An issuer: what it answers, and how often it was asked."""

    def __init__(self, *keys: dict[str, Any], issuer: str = ISSUER) -> None:
        self.keys, self.issuer, self.asked, self.down = list(keys), issuer, 0, False
        self.now = 0.0

    def get(self, url: str) -> Any:
        if self.down:
            raise Unavailable("down")
        if url == f"{ISSUER}/.well-known/openid-configuration":
            self.asked += 1
            return {"issuer": self.issuer, "jwks_uri": "https://login.example.com/keys"}
        assert url == "https://login.example.com/keys"
        return {"keys": self.keys}

    def known(self) -> Keys:
        return Keys(ISSUER, self.get, lambda: self.now)


def effect(authorization: str, keys: Keys | None = None) -> str:
    found = decide(authorization, METHOD, RULES, keys or Provider(jwk(private_key())).known(), NOW)
    (statement,) = found["policyDocument"]["Statement"]
    assert (statement["Action"], statement["Resource"]) == ("execute-api:Invoke", METHOD)
    return str(statement["Effect"])


def test_lets_a_token_of_the_issuer_through_for_this_method_only() -> None:
    assert effect(signed(CLAIMS)) == "Allow"
    assert (
        effect(signed({**CLAIMS, "aud": "other", "team": ["hr", "risk"], "scope": None, "scp": ["shop/ask"]}))
        == "Allow"
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://login.example.com/other"}, "issuer must be"),
        ({"aud": "somebody"}, "audience must be one of"),
        ({"aud": None}, "audience must be one of"),
        ({"exp": NOW - LEEWAY_SECONDS}, "expired"),
        ({"exp": None}, "exp must be seconds"),
        ({"exp": "2099-01-01"}, "exp must be seconds"),
        ({"exp": True}, "exp must be seconds"),
        ({"exp": float("inf")}, "exp must be seconds"),
        ({"nbf": NOW + LEEWAY_SECONDS + 1}, "not valid yet: nbf"),
        ({"iat": NOW + 3600}, "not valid yet: iat"),
        ({"sub": None}, "says of nobody"),
    ],
)
def test_refuses_what_is_signed_rightly_and_says_something_else(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        effect(signed({**CLAIMS, **changes}))


def test_clocks_may_differ_by_a_minute() -> None:
    assert effect(signed({**CLAIMS, "exp": NOW - LEEWAY_SECONDS + 1, "nbf": NOW + LEEWAY_SECONDS})) == "Allow"


@pytest.mark.parametrize("changes", [{"scope": "openid"}, {"scope": "shop/ask/more"}, {"team": "hr"}, {"team": None}])
def test_a_valid_token_that_lacks_a_scope_or_claim_is_denied(changes: dict[str, Any]) -> None:
    assert effect(signed({**CLAIMS, **changes})) == "Deny"


def forged_by_another_key() -> str:
    return signed(CLAIMS, private_key("another"))


def with_other_claims() -> str:
    head, _, signature = signed(CLAIMS).split(".")
    return f"{head}.{text(json.dumps({**CLAIMS, 'sub': 'admin'}).encode())}.{signature}"


def without_signature() -> str:
    head = text(json.dumps({"alg": "none", "kid": "k1"}).encode())
    return f"Bearer {head}.{text(json.dumps(CLAIMS).encode())}."


def none_with_a_signature() -> str:
    return signed(CLAIMS, alg="none")


def by_the_public_key_as_a_secret() -> str:
    head, payload = (text(json.dumps(each).encode()) for each in ({"alg": "HS256", "kid": "k1"}, CLAIMS))
    secret = private_key().public_key().public_numbers().n.to_bytes(256)
    return f"Bearer {head}.{payload}.{text(hmac.digest(secret, f'{head}.{payload}'.encode(), 'sha256'))}"


def with_its_own_key() -> str:
    mine = private_key("mine")
    return signed(CLAIMS, mine, jwk=jwk(mine), jku="https://evil.example.com/keys")


def with_padding_that_nobody_checks(between: bytes = b"\x00") -> str:
    """A block that a parser which looks for the digest alone would take: the padding is short, garbage follows."""
    head, payload, _ = signed(CLAIMS).removeprefix("Bearer ").split(".")
    info = bytes.fromhex("3031300d060960864801650304020105000420")
    digest = hashlib.sha256(f"{head}.{payload}".encode()).digest()
    block = b"\x00\x01" + b"\xff" * 8 + between + info + digest
    block += b"\x55" * (256 - len(block))
    private = private_key().private_numbers()
    made = pow(int.from_bytes(block), private.d, private.public_numbers.n).to_bytes(256)
    return f"Bearer {head}.{payload}.{text(made)}"


def with_a_signature_above_the_modulus() -> str:
    head, payload, signature = signed(CLAIMS).removeprefix("Bearer ").split(".")
    raw = int.from_bytes(base64.urlsafe_b64decode(signature + "=="))
    larger = raw + private_key().public_key().public_numbers().n
    return f"Bearer {head}.{payload}.{text(larger.to_bytes(257))}"


def with_a_spelling_of_its_own() -> str:
    """The last character of base64 has bits that stand for nothing."""
    token = signed(CLAIMS)
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(token[-1])
    return token[:-1] + "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last + 1]


@pytest.mark.parametrize(
    "forged",
    [
        forged_by_another_key,
        with_other_claims,
        without_signature,
        none_with_a_signature,
        by_the_public_key_as_a_secret,
        with_its_own_key,
        with_padding_that_nobody_checks,
        with_a_signature_above_the_modulus,
        with_a_spelling_of_its_own,
        lambda: signed(CLAIMS, alg="RS512"),
        lambda: signed(CLAIMS, crit=["exp"]),
        lambda: signed(CLAIMS, kid=None),
        lambda: signed([CLAIMS]),
        lambda: signed(CLAIMS).removeprefix("Bearer "),
        lambda: "Bearer a.b",
        lambda: "Bearer " + "a" * 9_000 + ".b.c",
        lambda: "Bearer a.b.c",
    ],
)
def test_what_the_issuer_has_not_signed_is_refused(forged: Callable[[], str]) -> None:
    with pytest.raises(Refused):
        effect(forged())


def test_what_is_said_twice_is_refused() -> None:
    head = text(b'{"alg":"RS256","kid":"k1"}')
    payload = text(json.dumps(CLAIMS).replace("{", '{"iss": "https://login.example.com/shop", ', 1).encode())
    signature = private_key().sign(f"{head}.{payload}".encode(), padding.PKCS1v15(), hashes.SHA256())
    with pytest.raises(Refused, match="twice"):
        effect(f"Bearer {head}.{payload}.{text(signature)}")


@pytest.mark.parametrize(
    "changes",
    [
        {"kty": "EC"},
        {"use": "enc"},
        {"alg": "RS512"},
        {"e": number(3)},
        {"e": number(65_538)},
        {"n": number(2**2048)},
        {"n": "?"},
        {"n": None},
        {"d": number(3)},
        {"n": number(private_key("weak", 1024).public_key().public_numbers().n)},
    ],
)
def test_a_key_that_is_weak_or_for_something_else_is_none(changes: dict[str, Any]) -> None:
    assert public_key(jwk(private_key(), **changes)) is None
    with pytest.raises(Refused, match="no key"):
        effect(signed(CLAIMS), Provider(jwk(private_key(), **changes)).known())


def test_two_keys_of_one_name_are_none() -> None:
    with pytest.raises(Refused, match="no key"):
        effect(signed(CLAIMS), Provider(jwk(private_key()), jwk(private_key("another"))).known())


# --- the issuer ----------------------------------------------------------------------------------------------------


def test_an_issuer_is_asked_once_for_many_tokens() -> None:
    provider = Provider(jwk(private_key()))
    keys = provider.known()
    for _ in range(3):
        assert effect(signed(CLAIMS), keys) == "Allow"
    assert provider.asked == 1


def test_a_new_key_is_found_and_unknown_ones_do_not_make_us_ask_all_the_time() -> None:
    provider = Provider(jwk(private_key()))
    keys = provider.known()
    effect(signed(CLAIMS), keys)
    provider.keys.append(jwk(private_key("new"), "k2"))
    rolled = signed(CLAIMS, private_key("new"), kid="k2")
    with pytest.raises(Refused, match="no key 'k2'"):
        effect(rolled, keys)
    provider.now += PAUSE_SECONDS
    assert effect(rolled, keys) == "Allow"
    for kid in ("x", "y", "z"):
        with pytest.raises(Refused):
            effect(signed(CLAIMS, kid=kid), keys)
    assert provider.asked == 2


def test_a_withdrawn_key_counts_no_longer() -> None:
    provider = Provider(jwk(private_key()))
    keys = provider.known()
    effect(signed(CLAIMS), keys)
    provider.keys.clear()
    provider.now += FRESH_SECONDS
    with pytest.raises(Refused):
        effect(signed(CLAIMS), keys)


def test_while_the_issuer_is_down_its_known_keys_count_for_some_hours_and_nothing_is_said_of_others() -> None:
    provider = Provider(jwk(private_key()))
    keys = provider.known()
    effect(signed(CLAIMS), keys)
    provider.down = True
    provider.now += FRESH_SECONDS
    assert effect(signed(CLAIMS), keys) == "Allow"
    for _ in range(2):
        with pytest.raises(Unavailable):
            effect(signed(CLAIMS, kid="k2"), keys)
    provider.now += STALE_SECONDS
    with pytest.raises(Unavailable):
        effect(signed(CLAIMS), keys)


def test_an_issuer_that_was_never_reached_lets_nobody_through_and_recovers() -> None:
    provider = Provider(jwk(private_key()))
    provider.down = True
    keys = provider.known()
    for _ in range(2):
        with pytest.raises(Unavailable):
            effect(signed(CLAIMS), keys)
    provider.down = False
    provider.now += PAUSE_SECONDS
    assert effect(signed(CLAIMS), keys) == "Allow"


def test_the_configuration_of_another_issuer_is_none() -> None:
    with pytest.raises(Unavailable):
        effect(signed(CLAIMS), Provider(jwk(private_key()), issuer="https://evil.example.com").known())


@pytest.mark.parametrize("url", ["http://login.example.com/keys", "file:///etc/hostname", "None"])
def test_keys_come_over_https_only(url: str) -> None:
    with pytest.raises(Unavailable, match="is not https"):
        fetch(url)


# --- the gateway's contract ----------------------------------------------------------------------------------------


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Provider:
    """The issuer that the handler asks."""
    provider = Provider(jwk(private_key()))
    keys = provider.known()
    rules = {"issuer": ISSUER, "audiences": ["predictions"], "scopes": [], "claims": {}}
    monkeypatch.setenv("RULES", json.dumps(rules))
    monkeypatch.setattr(module, "_keys", lambda _: keys)
    return provider


def asked(authorization: str) -> dict[str, Any]:
    return handler({"type": "TOKEN", "authorizationToken": authorization, "methodArn": METHOD}, None)


@pytest.mark.usefixtures("provider")
def test_a_bad_token_ends_in_the_word_that_the_gateway_knows() -> None:
    with pytest.raises(Unauthorized) as refused:
        asked(signed(CLAIMS))  # it has expired long ago
    assert str(refused.value) == "Unauthorized"
    assert asked(signed({**CLAIMS, "exp": 2**40}))["principalId"] == "user-1"


def test_an_issuer_that_is_down_is_no_word_about_the_token(provider: Provider) -> None:
    provider.down = True
    with pytest.raises(Unavailable):
        asked(signed({**CLAIMS, "exp": 2**40}))
