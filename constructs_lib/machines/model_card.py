"""What a model package tells people: its card, and where its evaluation report is."""

from __future__ import annotations

from constructs_lib.asl import JSON, State, jsonata
from constructs_lib.machines.common import Surroundings, get_json
from constructs_lib.machines.jobs import result_uri
from constructs_lib.machines.makers.parts import ModelParts

_MOST_LETTERS = 2000


def read_model_card(s: Surroundings, p: ModelParts) -> State:
    """Reads the card that the evaluation wrote, as ``$card``."""
    return get_json(
        s,
        p.place.artefacts_bucket,
        f"'{s.workload}/evaluations/' & $evaluation_id & '/model_card.json'",
        {
            "card": jsonata("$parse($states.result.Body)"),
            "report_uri": jsonata(f"'{result_uri(s, p.place, 'evaluations')}' & $evaluation_id & '/report.html'"),
        },
    )


def model_card() -> dict[str, JSON]:
    """The member ``ModelCard`` of a request that registers a model: what was evaluated, and what it was made of."""
    more = {
        "model_overview": "$merge([$card.model_overview, {'model_artifact': [$model_uri]}])",
        "training_details": _training(),
        "additional_information": f"$merge([$card.additional_information, {{'custom_details': {_details()}}}])",
    }
    members = ", ".join(f"'{name}': {value}" for name, value in more.items())
    return {
        "ModelCardStatus": "PendingReview",
        "ModelCardContent": jsonata(f"$string($merge([$card, {{{members}}}]))"),
    }


def _training() -> str:
    """The JSONata of what the model was trained on, and with what."""
    splits = "$states.input.dataset.splits"
    hyperparameters = "[$each($hyperparameters, function($value, $name) {{'name': $name, 'value': $value}})]"
    return (
        f"{{'training_job_details': {{'training_datasets': [{splits}.train.manifest_uri], "
        "'training_environment': {'container_image': [$training_image]}, "
        f"'hyper_parameters': {hyperparameters}}}}}"
    )


def _details() -> str:
    """The JSONata of the run, as texts."""
    details = {
        "run": "$states.input.run_id",
        "training_job": "$training_job",
        "dataset_version": "$states.input.dataset.version",
        "bundle": "$states.input.bundle.bundle",
        "commit": "$states.input.bundle.commit",
        "evaluation_report": "$report_uri",
        "gate": f"$substring($join($verdict.rules.reason, '; '), 0, {_MOST_LETTERS})",
    }
    return "{" + ", ".join(f"'{name}': {value}" for name, value in details.items()) + "}"
