"""What a model's signature covers: a statement, the canonical text of which is signed by a key of KMS.

A statement is ``{"format", "workload", "properties", "containers", "evaluated_sha256", "evaluation_sha256"}``.
``properties`` say what the model was made of, text by text, as in the package's ``CustomerMetadataProperties``; each
container is ``{"image", "environment", "artefact_sha256"}``, the digest of the archive's bytes, or None where the image
brings the model along; ``evaluated_sha256`` tells which of the archives was evaluated.
Equal statements have equal texts (keys sorted, ASCII, no white space), and so equal digests. What is kept beside the
artefacts is ``{"statement", "key", "algorithm", "signature"}``, the signature in base64.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from gapless_lambda.landing import OTHERWISE, is_code
from gapless_lambda.s3 import Address, read_json

FORMAT = "gapless-model/1"
ALGORITHM = "ECDSA_SHA_256"
OF_SIGNATURE = ("statement_uri", "signature", "signing_key", "model_uri")
"""Properties of a package that say how it was signed, and where the archive is that was evaluated; each has at most 256
characters."""

_CHUNK = 1 << 20


class Container(TypedDict):
    """One container as the statement has it."""

    image: str
    environment: Mapping[str, str]
    artefact_sha256: str | None


class Statement(TypedDict):
    """What is signed."""

    format: str
    workload: str
    properties: Mapping[str, str]
    containers: Sequence[Container]
    evaluated_sha256: str
    evaluation_sha256: str


class Signed(TypedDict):
    """A statement with its signature, as it is kept."""

    statement: Statement
    key: str
    algorithm: str
    signature: str


def canonical(statement: Statement) -> bytes:
    """Give the one text of a statement."""
    return json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def digest(statement: Statement) -> bytes:
    """Give the SHA-256 of a statement's text, 32 bytes: what is signed."""
    return hashlib.sha256(canonical(statement)).digest()


def container(given: Mapping[str, Any], artefact_sha256: str | None) -> Container:
    """Give a container of an inference specification as the statement has it."""
    environment = given.get("Environment") or {}
    return {"image": given["Image"], "environment": dict(environment), "artefact_sha256": artefact_sha256}


def sign(kms: Any, key_arn: str, statement: Statement) -> Signed:
    """Have KMS sign a statement."""
    made = kms.sign(KeyId=key_arn, Message=digest(statement), MessageType="DIGEST", SigningAlgorithm=ALGORITHM)
    signature = base64.b64encode(made["Signature"]).decode("ascii")
    return {"statement": statement, "key": key_arn, "algorithm": ALGORITHM, "signature": signature}


def fits(kms: Any, key_arn: str, statement: Statement, signature: str) -> bool:
    """Tell whether a signature (base64) is this key's, of this statement."""
    try:
        raw = base64.b64decode(signature, validate=True)
    except ValueError:
        return False
    if not raw:
        return False
    try:
        answer = kms.verify(
            KeyId=key_arn,
            Message=digest(statement),
            MessageType="DIGEST",
            Signature=raw,
            SigningAlgorithm=ALGORITHM,
        )
    except kms.exceptions.KMSInvalidSignatureException:
        return False
    return answer["SignatureValid"] is True


def keep(s3: Any, signed: Signed, models: Address) -> tuple[Address, Signed]:
    """Write a signed statement beside the archives, unless it is there; give its address and what is there.

    Args:
        models: Where the archives are, a key that ends in ``/``.
    """
    named = digest(signed["statement"]).hex()
    run_id = signed["statement"]["properties"]["run_id"]
    address = Address(models.bucket, f"{models.key}statements/{run_id}/{named}.json")
    try:
        s3.put_object(
            Bucket=address.bucket,
            Key=address.key,
            Body=json.dumps(signed, sort_keys=True).encode(),
            ContentType="application/json",
            IfNoneMatch="*",
        )
    except ClientError as error:
        if not is_code(error, OTHERWISE):
            raise
        kept: Signed = read_json(s3, address)
        return address, kept
    return address, signed


def evaluation_address(models: Address, run_id: str, sha256: str) -> Address:
    """Give the address of the evaluation that a statement speaks of."""
    return Address(models.bucket, f"{models.key}statements/{run_id}/evaluation-{sha256}.json")


def sha256_of(body: Any) -> str:
    """Give the SHA-256 of a stream of S3, in hex, holding a megabyte of it at a time."""
    found = hashlib.sha256()
    for chunk in body.iter_chunks(_CHUNK):
        found.update(chunk)
    return found.hexdigest()
