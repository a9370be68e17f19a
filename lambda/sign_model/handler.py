"""Seals a model that passed the gate, and signs a statement of what it is.

Invoked by the model machine between gate and registration. Sealing copies each archive to where training cannot write,
``<workload>/models/<sha256>/model.tar.gz``, named by its bytes; the statement says these digests, the images and the
environments, what the model was made of and how it was evaluated (:mod:`gapless_lambda.statement`). The statement lies
beside the archives with its signature, ``<workload>/models/statements/<run_id>/<digest>.json``, written once: whoever
asks for the same statement again gets the same signature, so that registering is repeatable. A copy of the evaluation
lies there too.

The archive that was evaluated has to be the one that is sealed: the evaluation's digest of its bytes is compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.s3 import parse_uri
from gapless_lambda.sealing import Archive, read_archive, seal
from gapless_lambda.settings import read_settings
from gapless_lambda.statement import (
    FORMAT,
    Statement,
    canonical,
    container,
    evaluation_address,
    keep,
    sign,
)
from gapless_lambda.verification import ArtefactTampered

log = get_logger(__name__)


class BadContainer(Exception):
    """A container keeps its model in a way that cannot be sealed."""


class Evaluated(TypedDict):
    """What was evaluated: the archive's address, the SHA-256 of its bytes, and the address of the evaluation."""

    model_uri: str
    archive_sha256: str
    evaluation_uri: str


class Event(TypedDict):
    """A model: what it was made of (all texts, ``run_id`` among them), what serves it, how it was evaluated."""

    properties: Mapping[str, str]
    containers: Sequence[Mapping[str, Any]]
    evaluated: Evaluated


class Result(TypedDict):
    """The containers with the addresses of the sealed archives, the evaluated one's, and how the model was signed."""

    containers: list[Mapping[str, Any]]
    statement_uri: str
    signature: str
    signing_key: str
    model_uri: str


@dataclass(frozen=True)
class Settings:
    """The environment: the workload, ``s3://<bucket>/<workload>/models/``, and the key that signs."""

    workload: str
    models_uri: str
    signing_key_arn: str


def artefact_of(given: Mapping[str, Any]) -> str | None:
    """Give the address of a container's archive; None where the image brings the model along.

    Raises:
        BadContainer: The model is kept in another way than as one archive.
    """
    other = sorted({"ModelDataSource", "AdditionalModelDataSources"} & given.keys())
    if other:
        raise BadContainer(f"{', '.join(other)} of container {given['Image']!r}; allowed is ModelDataUrl")
    return given.get("ModelDataUrl")


def check_evaluated(archives: Mapping[str, Archive], evaluated: Evaluated) -> None:
    """Compare the evaluated archive with the one that is there now.

    Raises:
        ArtefactTampered: They differ, or no container serves it.
    """
    uri = evaluated["model_uri"]
    if uri not in archives:
        raise ArtefactTampered(f"{uri} was evaluated, but is served by no container; served: {', '.join(archives)}")
    if archives[uri].sha256 != evaluated["archive_sha256"]:
        raise ArtefactTampered(
            f"{uri} has the SHA-256 {archives[uri].sha256}; what was evaluated has {evaluated['archive_sha256']}"
        )


def handler(event: Event, context: Any) -> Result:  # noqa: ARG001
    """Seal, state and sign."""
    settings, s3 = read_settings(Settings), client("s3")
    models = parse_uri(settings.models_uri)
    uris = [artefact_of(each) for each in event["containers"]]
    archives = {uri: read_archive(s3, uri) for uri in dict.fromkeys(uris) if uri is not None}
    check_evaluated(archives, event["evaluated"])
    evaluation = parse_uri(event["evaluated"]["evaluation_uri"])
    evidence = s3.get_object(Bucket=evaluation.bucket, Key=evaluation.key)["Body"].read()
    statement: Statement = {
        "format": FORMAT,
        "workload": settings.workload,
        "properties": dict(event["properties"]),
        "containers": [
            container(each, archives[uri].sha256 if uri is not None else None)
            for each, uri in zip(event["containers"], uris, strict=True)
        ],
        "evaluated_sha256": event["evaluated"]["archive_sha256"],
        "evaluation_sha256": hashlib.sha256(evidence).hexdigest(),
    }
    sealed = {uri: seal(s3, archive, models) for uri, archive in archives.items()}
    beside = evaluation_address(models, event["properties"]["run_id"], statement["evaluation_sha256"])
    s3.put_object(Bucket=beside.bucket, Key=beside.key, Body=evidence, ContentType="application/json")
    address, signed = keep(s3, sign(client("kms"), settings.signing_key_arn, statement), models)
    log.info("model signed", extra={"statement": canonical(statement).decode(), "statement_uri": str(address)})
    return {
        "containers": [
            {**each, "ModelDataUrl": sealed[uri]} if uri is not None else dict(each)
            for each, uri in zip(event["containers"], uris, strict=True)
        ],
        "statement_uri": str(address),
        "signature": signed["signature"],
        "signing_key": signed["key"],
        "model_uri": sealed[event["evaluated"]["model_uri"]],
    }
