"""Puts the script that serves a model into the model's archive, where the training has not done so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from constructs_lib.asl import JSON, State, attempt, choice, jsonata
from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.jobs import IN, MESSAGE, OUT, input_files, processing_job, result_uri
from constructs_lib.machines.makers.parts import ModelParts
from constructs_lib.machines.spending import processing_spent

FOLDER = "training/packed"
"""Where packed archives lie among the workload's artefacts: below those of trainings, and read by the same roles."""

BEGUN: Mapping[str, JSON] = {"packed_uri": "none"}
"""Variables before there is a packed archive."""

_MINUTES = 60


def packing_states(s: Surroundings, p: ModelParts, *, following: str) -> dict[str, State]:
    """Returns the states that pack the model unless that is done; none where there is nothing to pack.

    Args:
        following: The state to go on with.
    """
    if p.serving_script_uri is None:
        return {}
    return {
        "IsPacked": choice([("$packed_uri = $model_uri", following)], default="PackModel"),
        "PackModel": _pack(s, p, p.serving_script_uri),
    }


def _pack(s: Surroundings, p: ModelParts, script_uri: str) -> State:
    """Packs model and script; whatever was to serve the model serves the packed one from then on."""
    folders = {"model": f"{IN}/model", "code": f"{IN}/code", "output": OUT, "message": MESSAGE}
    packed = f"'{result_uri(s, p.place, FOLDER)}' & {attempt()} & '/model.tar.gz'"
    serves = "$c.ModelDataUrl = $model_uri ? $merge([$c, {'ModelDataUrl': $packed}]) : $c"
    return processing_job(
        s,
        p.place,
        replace(p.jobs, minutes=_MINUTES),
        kind="pack",
        command="pack_code",
        role_arn=p.processing_role_arn,
        image_uri=p.place.image_uri,
        arguments=[
            *(word for name, value in folders.items() for word in (f"--{name}", value)),
            *(["--allow_pickle"] if p.allow_pickle else []),
        ],
        inputs=[
            input_files("job", p.place.job_code_uri),
            input_files("model", jsonata("$model_uri")),
            input_files("code", script_uri),
        ],
        output_prefix=FOLDER,
        assign={
            "packed_uri": jsonata(packed),
            "model_uri": jsonata(packed),
            "containers": jsonata(f"($packed := {packed}; [$map($containers, function($c) {{{serves}}})])"),
            **processing_spent("packing"),
        },
    )
