"""Whether a model package is what was signed: the questions, in the order in which they are asked.

``SignatureMissing``
    The package names a statement and a signature, and the statement is there.
``WrongKey``
    It was signed by the key that is trusted.
``StatementTampered``
    The signature is this key's, of exactly this statement.
``PackageDiffers``
    Workload, properties and containers of the package are those of the statement.
``ArtefactTampered``
    The bytes of every archive have the digest that the statement says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from gapless_lambda.landing import ABSENT, is_code
from gapless_lambda.s3 import parse_uri, read_json
from gapless_lambda.statement import OF_SIGNATURE, Signed, Statement, container, fits, sha256_of


class SignatureMissing(Exception):
    """The package was never signed, or its statement is gone."""


class WrongKey(Exception):
    """The package was signed by another key than this stage's."""


class StatementTampered(Exception):
    """The statement is not the one that was signed."""


class PackageDiffers(Exception):
    """The package says something else of the model than the statement."""


class ArtefactTampered(Exception):
    """An archive is not the one that was signed."""


@dataclass(frozen=True)
class Described:
    """What a package says of itself: ``InferenceSpecification.Containers`` and ``CustomerMetadataProperties``."""

    containers: Sequence[Mapping[str, Any]]
    properties: Mapping[str, str]


@dataclass(frozen=True)
class Trust:
    """Whom a package has to come from.

    Attributes:
        workload: Whose model it is.
        models_uri: Where archives and statements are, ``s3://<bucket>/<workload>/models/``.
        key_arn: The key that signs there.
    """

    workload: str
    models_uri: str
    key_arn: str


def stated(s3: Any, kms: Any, package: Described, trust: Trust) -> Statement:
    """Give the statement of a package; its archives have not been read yet.

    Raises:
        SignatureMissing: There is none.
        WrongKey: Another key signed it.
        StatementTampered: The signature does not fit.
        PackageDiffers: The package says something else.
    """
    signed = read_signed(s3, package.properties, trust.models_uri)
    statement = check_signature(kms, signed, package.properties, trust.key_arn)
    found = differences(statement, package, trust.workload)
    if found:
        raise PackageDiffers("; ".join(found))
    return statement


def read_signed(s3: Any, properties: Mapping[str, str], models_uri: str) -> Signed:
    """Read the statement that a package names.

    Raises:
        SignatureMissing: None is named, or it is gone.
        StatementTampered: It lies somewhere else, or is no statement.
    """
    missing = [name for name in OF_SIGNATURE if not properties.get(name)]
    if missing:
        raise SignatureMissing(f"the package has no {', '.join(missing)}: it was not signed")
    uri = properties["statement_uri"]
    if not uri.startswith(f"{models_uri}statements/"):
        raise StatementTampered(f"the statement is at {uri}; allowed is below {models_uri}statements/")
    try:
        signed: Signed = read_json(s3, parse_uri(uri))
    except ClientError as error:
        if not is_code(error, ABSENT):
            raise
        raise SignatureMissing(f"there is no statement at {uri}") from error
    except ValueError as error:
        raise StatementTampered(str(error)) from error
    if not isinstance(signed, dict) or set(signed) != {"statement", "key", "algorithm", "signature"}:
        raise StatementTampered(f"{uri} is no signed statement")
    return signed


def check_signature(kms: Any, signed: Signed, properties: Mapping[str, str], key_arn: str) -> Statement:
    """Give the statement once it is known to be what this stage's key has signed.

    Raises:
        WrongKey: Another key has.
        StatementTampered: The signature is of something else.
    """
    for key in (signed["key"], properties["signing_key"]):
        if key != key_arn:
            raise WrongKey(f"signed by {key}; allowed is {key_arn}")
    statement = signed["statement"]
    if not fits(kms, key_arn, statement, properties["signature"]):
        raise StatementTampered(f"the signature is not that of {properties['statement_uri']}")
    return statement


def differences(statement: Statement, package: Described, workload: str) -> list[str]:
    """Say in what a package differs from its statement, archives left aside; nothing when they agree."""
    found = [] if statement["workload"] == workload else [f"the workload is {workload}, not {statement['workload']}"]
    for name, said in statement["properties"].items():
        given = package.properties.get(name)
        if given != said:
            found.append(f"{name} is {given!r}, not {said!r}")
    expected = [{**each, "artefact_sha256": None} for each in statement["containers"]]
    given_containers = [container(each, None) for each in package.containers]
    if given_containers != expected:
        found.append(f"the containers are {given_containers}, not {expected}")
    return found


def check_archives(s3: Any, statement: Statement, package: Described) -> None:
    """Read the archives and compare their digests.

    Raises:
        ArtefactTampered: One is another, is gone, or is there without having been signed.
        PackageDiffers: The archive that the package calls the evaluated one is not.
    """
    digests: dict[str | None, str | None] = {None: None}
    for given, said in zip(package.containers, statement["containers"], strict=True):
        uri = given.get("ModelDataUrl")
        if uri not in digests:
            digests[uri] = _digest_at(s3, str(uri))
        if digests[uri] != said["artefact_sha256"]:
            raise ArtefactTampered(f"{uri} has the SHA-256 {digests[uri]}; signed is {said['artefact_sha256']}")
    evaluated = package.properties["model_uri"]
    if digests.get(evaluated) != statement["evaluated_sha256"]:
        raise PackageDiffers(f"model_uri is {evaluated}; evaluated was {statement['evaluated_sha256']}")


def _digest_at(s3: Any, uri: str) -> str:
    address = parse_uri(uri)
    try:
        return sha256_of(s3.get_object(Bucket=address.bucket, Key=address.key)["Body"])
    except ClientError as error:
        if not is_code(error, ABSENT):
            raise
        raise ArtefactTampered(f"{uri} is gone") from error
