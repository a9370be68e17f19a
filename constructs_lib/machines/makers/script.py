"""The workload's own script in a framework image."""

from __future__ import annotations

from dataclasses import dataclass, replace

from constructs_lib.asl import JSON, State, jsonata
from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.jobs import channel, file_name, lustre_channel
from constructs_lib.machines.makers.made import Made, train_once
from constructs_lib.machines.makers.parts import ModelParts
from constructs_lib.machines.makers.tuning import training_states
from constructs_lib.names.encoding import SERVING
from constructs_lib.names.segments import segment_variables

_SUBMITTED = "/opt/ml/input/data/code/sourcedir.tar.gz"
_PLATFORM = "platform"
_IN_SCRIPTS = "in_scripts"
"""The folder of the job code that holds what scripts may import, and nothing that could hide a module of theirs."""


@dataclass(frozen=True)
class ScriptMaker:
    """Trains by the bundle's ``train.py`` and serves by its ``inference.py``, in images of the same framework.

    Args:
        image_uri: The image that trains; may be a token.
        serving_image_uri: The image that serves; may be a token. Default: the same.
    """

    image_uri: str
    serving_image_uri: str | None = None

    def states(self, s: Surroundings, p: ModelParts) -> dict[str, State]:
        """Returns the states that train."""
        return training_states(s, p, asked(s, p, self.image_uri, self.serving_image_uri or self.image_uri))


def train(s: Surroundings, p: ModelParts, image_uri: str, serving_image_uri: str) -> State:
    """Trains once by the bundle's script on the train and validation splits."""
    return train_once(s, p, asked(s, p, image_uri, serving_image_uri))


def asked(s: Surroundings, p: ModelParts, image_uri: str, serving_image_uri: str) -> Made:
    """What a training by the bundle's script is asked for."""
    return Made(
        replace(p.place, image_uri=image_uri),
        channels=[
            *(split_channel(p, name, split_uri(name)) for name in ("train", "validation")),
            channel("code", jsonata(p.place.bundle_uri(s, "$states.input.bundle.bundle"))),
            channel(_PLATFORM, p.place.job_code_uri),
        ],
        hyperparameters={
            **p.hyperparameters,
            **({"target": p.target} if p.target is not None else {}),
            **p.switches,
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": _SUBMITTED,
            "sagemaker_container_log_level": "20",
        },
        kept=p.hyperparameters,
        assign=trained(image_uri, serving_image_uri),
        more=told_members(p),
    )


def trained(image_uri: str, serving_image_uri: str) -> dict[str, JSON]:
    """What a finished training job, the state's result, leaves behind: the variables that a maker sets, all but
    ``hyperparameters``."""
    artefact = jsonata("$states.result.ModelArtifacts.S3ModelArtifacts")
    return {
        "model_uri": artefact,
        "training_job": jsonata("$states.result.TrainingJobName"),
        "training_image": image_uri,
        "containers": [{"Image": serving_image_uri, "ModelDataUrl": artefact, "Environment": dict(SERVING)}],
    }


def split_uri(name: str) -> str:
    """The JSONata of the manifest of a split."""
    return f"$states.input.dataset.splits.{name}.manifest_uri"


def told_members(p: ModelParts) -> dict[str, JSON]:
    """What a request tells a script beside hyperparameters: where the platform's packages are, the rules of the guard,
    which rows to learn from, of which segments there are models, and what Debugger is to do."""
    code = f"/opt/ml/input/data/{_PLATFORM}/{file_name(p.place.job_code_uri)}/{_IN_SCRIPTS}"
    rules = p.watched.rules_json if p.watched is not None else None
    debugger = p.watched.debugger if p.watched is not None else None
    environment = {
        "PYTHONPATH": code,
        **({"GAPLESS_GUARD": rules} if rules is not None else {}),
        **({"GAPLESS_WINDOW": p.window} if p.window is not None else {}),
        **segment_variables(p.segments_json),
    }
    return {"Environment": environment, **(debugger or {})}


def split_channel(p: ModelParts, name: str, manifest_uri: str) -> dict[str, JSON]:
    """One split as a channel: the files that its manifest lists, or its folder on the file system."""
    if p.lustre is None:
        return channel(name, jsonata(manifest_uri), manifest=True)
    return lustre_channel(name, manifest_uri, p.lustre)
