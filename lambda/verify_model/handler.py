"""Finds out whether a model package is what was signed; reads the archives to the last byte and changes nothing.

Invoked by the model machine right before a model is registered, and by the deployment machine before anything of the
endpoint is touched, with what the package says (or is to say) of itself. What is asked, and with which error each
question fails, says :mod:`gapless_lambda.verification`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from gapless_lambda.clients import client
from gapless_lambda.log import get_logger
from gapless_lambda.settings import read_settings
from gapless_lambda.statement import digest
from gapless_lambda.verification import Described, Trust, check_archives, stated

log = get_logger(__name__)


class Event(TypedDict):
    """A package's ``InferenceSpecification.Containers`` and ``CustomerMetadataProperties``."""

    containers: Sequence[Mapping[str, Any]]
    properties: Mapping[str, str]


class Result(TypedDict):
    """The SHA-256 of the statement that holds, in hex."""

    statement_sha256: str


@dataclass(frozen=True)
class Settings:
    """The environment: the workload, ``s3://<bucket>/<workload>/models/``, and the key that signs."""

    workload: str
    models_uri: str
    signing_key_arn: str


def handler(event: Event, context: Any) -> Result:  # noqa: ARG001
    """Ask all of it; raise at the first answer that is no."""
    settings, s3 = read_settings(Settings), client("s3")
    package = Described(event["containers"], event["properties"])
    trust = Trust(settings.workload, settings.models_uri, settings.signing_key_arn)
    statement = stated(s3, client("kms"), package, trust)
    check_archives(s3, statement, package)
    log.info("model is what was signed", extra={"statement_uri": event["properties"]["statement_uri"]})
    return {"statement_sha256": digest(statement).hex()}
