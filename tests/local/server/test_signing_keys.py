"""Keys that sign: the local KMS makes signatures that anybody can check with the public key."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gapless_lambda.statement import FORMAT, Signed, Statement, canonical, fits, sign

if TYPE_CHECKING:
    from tests.local.conftest import LocalServer

STATEMENT: Statement = {
    "format": FORMAT,
    "workload": "orders",
    "properties": {"run_id": "run-1", "note": "grüße"},
    "containers": [{"image": "image", "environment": {"A": "b" * 5000}, "artefact_sha256": None}],
    "evaluated_sha256": "a" * 64,
    "evaluation_sha256": "e" * 64,
}
"""One that is too long to be signed whole: KMS takes at most 4,096 bytes."""


@pytest.fixture(scope="module")
def signed(local_server: LocalServer) -> Signed:
    kms = local_server.client("kms")
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    return sign(kms, key, STATEMENT)


def public_key(server: LocalServer, signed: Signed) -> Any:
    return serialization.load_der_public_key(server.client("kms").get_public_key(KeyId=signed["key"])["PublicKey"])


def test_the_public_key_alone_verifies_a_statement(local_server: LocalServer, signed: Signed) -> None:
    """With nothing of ours: whoever has statement, signature and public key can check it."""
    public = public_key(local_server, signed)
    signature = base64.b64decode(signed["signature"])
    public.verify(signature, canonical(STATEMENT), ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        public.verify(signature, canonical(STATEMENT) + b" ", ec.ECDSA(hashes.SHA256()))


def test_a_signature_fits_its_statement_and_no_other(local_server: LocalServer, signed: Signed) -> None:
    kms = local_server.client("kms")
    assert fits(kms, signed["key"], STATEMENT, signed["signature"])
    assert not fits(kms, signed["key"], {**STATEMENT, "workload": "returns"}, signed["signature"])
    assert not fits(kms, signed["key"], STATEMENT, base64.b64encode(b"none").decode())


def test_who_may_verify_may_not_sign(local_server: LocalServer, signed: Signed) -> None:
    keys = local_server.user({"Effect": "Allow", "Action": "kms:Verify", "Resource": signed["key"]})
    kms = local_server.client_as("kms", *keys)
    assert fits(kms, signed["key"], STATEMENT, signed["signature"])
    with pytest.raises(ClientError, match="not authorized to perform: kms:Sign"):
        sign(kms, signed["key"], STATEMENT)
