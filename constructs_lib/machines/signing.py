"""What passed the gate is sealed and signed, and verified before it is registered and before it is deployed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from constructs_lib.asl import JSON, State, jsonata, task
from constructs_lib.machines.common import MINUTE

MODELS = "models"
"""Where sealed archives and signed statements are, below the workload's folder of artefacts."""

READING_SECONDS = 15 * MINUTE
"""How long a function may take to read all archives of a model: the longest that a function can run."""

TAMPERED = ("ArtefactTampered", "PackageDiffers", "SignatureMissing", "StatementTampered", "WrongKey")
"""Errors of a model that is not what was signed."""

FINAL_ERRORS = (*TAMPERED, "BadContainer")
"""Errors that a redrive would meet again."""


@dataclass(frozen=True)
class SigningParts:
    """Names the functions; ARNs may be tokens.

    Args:
        sign_model_arn: Seals and signs.
        verify_model_arn: Verifies.
    """

    sign_model_arn: str
    verify_model_arn: str


def package_properties() -> dict[str, JSON]:
    """What a package says of what the model was made of, each a text; the signature covers it."""
    return {
        "run_id": jsonata("$states.input.run_id"),
        "dataset_version": jsonata("$states.input.dataset.version"),
        "bundle": jsonata("$states.input.bundle.bundle"),
        "commit": jsonata("$states.input.bundle.commit"),
        "model_sha256": jsonata("$evaluation.model_sha256"),
        "training_job": jsonata("$training_job"),
    }


def signed_properties() -> dict[str, JSON]:
    """What a package says of its signature, and where the archive is that was evaluated."""
    return {name: jsonata(f"$signed.{name}") for name in ("statement_uri", "signature", "signing_key", "model_uri")}


def signing_states(p: SigningParts) -> dict[str, State]:
    """Returns the states between gate and registration; ``$signed.containers`` is what is to be registered."""
    properties: Mapping[str, JSON] = {**package_properties(), **signed_properties()}
    return {
        "SignModel": sign_model(p),
        "VerifyModel": verify_model(p, jsonata("$signed.containers"), properties),
    }


def sign_model(p: SigningParts) -> State:
    """Seals the evaluated archives and signs what the model is; signing it again gives the same signature."""
    return task(
        "lambda:invoke",
        {
            "FunctionName": p.sign_model_arn,
            "Payload": {
                "properties": package_properties(),
                "containers": jsonata("$containers"),
                "evaluated": {
                    "model_uri": jsonata("$model_uri"),
                    "archive_sha256": jsonata("$evaluation.archive_sha256"),
                    "evaluation_uri": jsonata("$evaluation_uri"),
                },
            },
        },
        timeout=READING_SECONDS + MINUTE,
        assign={"signed": jsonata("$states.result.Payload")},
    )


def verify_model(p: SigningParts, containers: JSON, properties: JSON) -> State:
    """Reads the archives of a package, or of what is to become one, and finds out whether it is what was signed."""
    return task(
        "lambda:invoke",
        {"FunctionName": p.verify_model_arn, "Payload": {"containers": containers, "properties": properties}},
        timeout=READING_SECONDS + MINUTE,
    )
