"""Algorithms that AWS ships as scripts: their archives are copied into the workload's own bucket, and checked.

Jobs reach no bucket of another account, and nobody but AWS decides what is in its own. So a run begins with a copy of
each archive, made by S3 itself, which also tells the SHA-256 of what it has copied: if that is not the pinned one, the
run fails before anything was started. The copies are named by their digest and stay, so that a run can be repeated.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from constructs_lib.asl import (
    JSON,
    UNNAMED_S3,
    State,
    choice,
    expression,
    fail,
    for_each,
    jsonata,
    raise_again,
    succeed,
    task,
)
from constructs_lib.machines.common import MINUTE, Surroundings
from constructs_lib.machines.jobs import JobPlace, channel

FOLDER: Final = "algorithms"
"""Where the copies lie among the workload's artefacts."""

FINAL_ERRORS = ("ScriptsChanged",)
"""Errors that another try would meet again: AWS's archive is not the one that was pinned."""

MODEL_TYPE: Final = "application/x-sagemaker-model"
"""What the SageMaker SDK calls the content of a channel with a model to begin with."""

_COPY_SECONDS = 15 * MINUTE
_FAILURE = "copy_failure"
_UNSEEN = "unseen"


@dataclass(frozen=True)
class PinnedArchive:
    """An archive in AWS's bucket.

    Args:
        bucket: The bucket; may be a token.
        key: Its key.
        sha256: Its digest, hexadecimal. Default: whoever pinned it has not seen it, and nothing is compared.
    """

    bucket: str
    key: str
    sha256: str | None = None

    def copied_to(self, s: Surroundings) -> str:
        """The key of the copy; the file has the same name."""
        return f"{s.workload}/{FOLDER}/{self.sha256 or _UNSEEN}/{self.key}"

    def uri(self, s: Surroundings, place: JobPlace) -> str:
        """Where the copy is, ``s3://…``."""
        return f"s3://{place.artefacts_bucket}/{self.copied_to(s)}"


@dataclass(frozen=True)
class PinnedScripts:
    """Says what an algorithm of scripts is trained and served by.

    Args:
        training_script, model: What trains, and what the training begins with.
        serving_script: What serves, where the training does not put it into the model's archive. Default: it does.
        hyperparameters: Those of the script, with their defaults.
        settings: Hyperparameters that tell the image how to start the script.
        environment: What the container that serves is told.
    """

    training_script: PinnedArchive
    model: PinnedArchive
    serving_script: PinnedArchive | None = None
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def archives(self) -> tuple[PinnedArchive, ...]:
        """All archives."""
        serving = (self.serving_script,) if self.serving_script is not None else ()
        return (self.training_script, self.model, *serving)

    def channels(self, s: Surroundings, place: JobPlace) -> list[JSON]:
        """The channels of a training that has no network: the script, and what it begins with."""
        return [
            channel("code", self.training_script.uri(s, place)),
            {**channel("model", self.model.uri(s, place)), "ContentType": MODEL_TYPE},
        ]


def copy_scripts(s: Surroundings, place: JobPlace, scripts: PinnedScripts) -> State:
    """Copies the archives; one that was copied before is copied again, to the same place."""
    items: list[JSON] = [
        {
            "source": f"{each.bucket}/{each.key}",
            "key": each.copied_to(s),
            "sha256": base64.b64encode(bytes.fromhex(each.sha256)).decode() if each.sha256 is not None else _UNSEEN,
        }
        for each in scripts.archives
    ]
    told = "'ScriptsChanged: s3://' & $states.input.source & ' has the SHA-256 ' & $copied_sha256 & ', pinned is '"
    return for_each(
        expression(items),
        {
            "CopyScript": _copy(s, place),
            "IsPinned": choice(
                [(f"$states.input.sha256 in [$copied_sha256, '{_UNSEEN}']", "Copied")],
                default="ScriptsChanged",
            ),
            "Copied": succeed(),
            "ScriptsChanged": fail("ScriptsChanged", jsonata(f"{told} & $states.input.sha256 & ' (base64)'")),
            "CopyFailed": raise_again(_FAILURE),
        },
        at_once=3,
    )


def _copy(s: Surroundings, place: JobPlace) -> State:
    return task(
        "aws-sdk:s3:copyObject",
        {
            "Bucket": place.artefacts_bucket,
            "Key": jsonata("$states.input.key"),
            "CopySource": jsonata("$states.input.source"),
            "ChecksumAlgorithm": "SHA256",
            "TaggingDirective": "REPLACE",
            "ExpectedBucketOwner": s.account,
        },
        timeout=_COPY_SECONDS,
        assign={"copied_sha256": jsonata("$states.result.CopyObjectResult.ChecksumSHA256")},
        on_failure="CopyFailed",
        failure=_FAILURE,
        retry_also=UNNAMED_S3,
    )
