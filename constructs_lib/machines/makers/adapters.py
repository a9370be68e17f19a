"""Adapters around an algorithm: the job that makes them and what it reads, and the containers that serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from constructs_lib.asl import JSON, State, jsonata
from constructs_lib.machines.common import Surroundings, get_json
from constructs_lib.machines.jobs import (
    IN,
    MESSAGE,
    OUT,
    channel,
    folder_of_dataset,
    input_files,
    processing_job,
    result_uri,
)
from constructs_lib.machines.makers.parts import ModelParts
from constructs_lib.machines.spending import processing_spent
from constructs_lib.names.encoding import ANSWER_ADAPTER, REQUEST_ADAPTER, adapter_environment

FOLDER = "encoded"
"""Where encoded splits and adapters lie among the workload's artefacts: a folder per dataset, and in it per try."""

_MINUTES = 120
_SPLITS = "$states.input.dataset.splits"


def encode(s: Surroundings, p: ModelParts, options: Mapping[str, str], *, own: bool) -> State:
    """Encodes the splits and packs the adapters.

    Args:
        options: Arguments of the job, name to value, beside its folders.
        own: Whether the workload's own ``adapters.py`` does it.
    """
    folders = {"train": f"{IN}/train", "validation": f"{IN}/validation", **({"code": f"{IN}/code"} if own else {})}
    arguments = {**folders, **options, "output": OUT, "message": MESSAGE}
    bundle = jsonata(p.place.bundle_uri(s, "$states.input.bundle.bundle"))
    return processing_job(
        s,
        p.place,
        replace(p.jobs, minutes=_MINUTES),
        kind="encode",
        command="encode",
        role_arn=p.processing_role_arn,
        image_uri=p.place.image_uri,
        arguments=[word for name, value in arguments.items() for word in (f"--{name}", value)],
        inputs=[
            input_files("job", p.place.job_code_uri),
            *(
                input_files(name, jsonata(f"{_SPLITS}.{name}.manifest_uri"), manifest=True)
                for name in ("train", "validation")
            ),
            *([input_files("code", bundle)] if own else []),
        ],
        output_prefix=FOLDER,
        output_folder=folder_of_dataset(),
        assign={"encoded_id": jsonata(folder_of_dataset()), **processing_spent("encoding")},
    )


def read_encoded(s: Surroundings, p: ModelParts) -> State:
    """Reads what follows from the encoded training split: hyperparameters, and the digest of the adapters."""
    return get_json(
        s,
        p.place.artefacts_bucket,
        f"'{s.workload}/{FOLDER}/' & $encoded_id & '/encoded.json'",
        {
            "encoded": jsonata("$parse($states.result.Body).hyperparameters"),
            "adapters_sha256": jsonata("$parse($states.result.Body).adapters_sha256"),
        },
    )


def encoded_channels(
    s: Surroundings, p: ModelParts, content_types: Mapping[str, str], splits: Mapping[str, str] | None = None
) -> list[JSON]:
    """The channels of a training that reads what was encoded.

    Args:
        content_types: Channel to what it holds.
        splits: Channel to what was encoded for it, where that has another name. Default: nothing has.
    """
    encoded = {name: name for name in content_types} | dict(splits or {})
    return [
        {**channel(name, jsonata(encoded_uri(s, p, f"{encoded[name]}/"))), "ContentType": kind}
        for name, kind in content_types.items()
    ]


def adapted(s: Surroundings, p: ModelParts, adapter_image: str, algorithm: Sequence[JSON]) -> list[JSON]:
    """The containers of an inference pipeline: an adapter, the algorithm's own ones, an adapter.

    Args:
        adapter_image: The framework image that the adapters run in.
        algorithm: What is between the adapters, as ``InferenceSpecification.Containers`` has it.
    """
    return [
        _adapter(s, p, adapter_image, REQUEST_ADAPTER),
        *algorithm,
        _adapter(s, p, adapter_image, ANSWER_ADAPTER),
    ]


def _adapter(s: Surroundings, p: ModelParts, image: str, program: str) -> JSON:
    return {
        "Image": image,
        "ModelDataUrl": jsonata(encoded_uri(s, p, "adapters/model.tar.gz")),
        "Environment": adapter_environment(program, jsonata("$adapters_sha256")),
    }


def encoded_uri(s: Surroundings, p: ModelParts, path: str) -> str:
    """The JSONata of something that was encoded in this try."""
    return f"'{result_uri(s, p.place, FOLDER)}' & $encoded_id & '/{path}'"
