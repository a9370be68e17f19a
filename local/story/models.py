"""Trains by the workload's own script, as a training job runs it, and asks what came out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from constructs_lib.names.model_file import ScriptModel, allows_pickle
from constructs_lib.names.workload_file import WorkloadFile
from evaluate import predictions_of
from gapless_sagemaker.artefact import Limits
from gapless_sagemaker.model import LoadedModel, load
from local.errors import UserError
from local.processes import child
from local.server.sagemaker.archive import pack
from local.server.sagemaker.children import Sandbox, command
from local.server.sagemaker.jobs import script_mode
from local.settings import CHECKOUT, REGION
from local.story.paths import PATIENT

_PROGRAM: Final = "train.py"
_IN_SCRIPTS: Final = CHECKOUT / "sagemaker_jobs" / "in_scripts"
_KEPT: Final = ("PATH", "LANG", "TZ")
_GROUP: Final = "homogeneousCluster"

Prediction = dict[str, Any]


class TrainingFailed(Exception):
    """The training script failed; the text is what it left as the reason."""


@dataclass(frozen=True)
class Model:
    """A trained model.

    Attributes:
        name: In decisions and on the page, ``m3`` for the one of step 3.
        folder: Holds ``model.tar.gz`` under ``model`` and the splits that it was made of.
        window_days: Days of events that it was made of; None for all.
        rows: Rows per split.
    """

    name: str
    folder: Path
    window_days: int | None
    rows: dict[str, int]

    @property
    def archive(self) -> Path:
        """The folder of the archive."""
        return self.folder / "model"

    def split(self, name: str) -> Path:
        """The folder of a split."""
        return self.folder / "dataset" / name


def check_trains_by_script(workload: WorkloadFile, workload_dir: Path) -> None:
    """See that a story can train the workload.

    Raises:
        UserError: Its model is made by something else than its own script, or cannot be asked in this process.
    """
    model = workload.model
    if not isinstance(model, ScriptModel) or not model.evaluated_in_process:
        image = f" in {model.image}" if isinstance(model, ScriptModel) else ""
        raise UserError(
            f"model of {workload.name} is made by kind {model.kind}{image}; a story trains by train.py in an image of "
            "XGBoost or scikit-learn (kinds script and pipeline)"
        )
    for name in (_PROGRAM, "inference.py"):
        if not (workload_dir / name).is_file():
            raise UserError(f"there is no {workload_dir / name}; a story trains by it")


def train(workload: WorkloadFile, workload_dir: Path, folder: Path) -> None:
    """Train on the splits in ``folder/dataset``; leave ``folder/model/model.tar.gz``.

    Raises:
        TrainingFailed: The script failed.
    """
    sandbox = Sandbox(folder / "job")
    for name in ("model", "output/data", "output/intermediate", "input/config"):
        sandbox.make(name)
    for name in ("train", "validation"):
        shutil.copytree(folder / "dataset" / name, sandbox.path(f"input/data/{name}"), copy_function=os.link)
    script = script_mode.Script.of(_hyperparameters(workload))
    script_mode.lay_out_code(sandbox, workload_dir)
    log = folder / "training.log"
    with (
        log.open("wb") as output,
        child(
            command(Path(sys.executable), ["python", script.program, *sandbox.re_root_all(script.arguments())]),
            env=_environment(workload, sandbox, script),
            cwd=sandbox.path("code"),
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        status = process.wait()
    if status:
        reason = sandbox.path("output/failure")
        told = reason.read_text(errors="replace") if reason.is_file() else log.read_text(errors="replace")[-500:]
        raise TrainingFailed(f"{told.strip() or f'exit code {status}'} (log: {log})")
    pack(sandbox.path("model"), folder / "model" / "model.tar.gz")


def _hyperparameters(workload: WorkloadFile) -> dict[str, str]:
    target = {"target": workload.target} if workload.target is not None else {}
    return {**workload.training.texts(), **target, script_mode.PROGRAM: _PROGRAM}


def _environment(workload: WorkloadFile, sandbox: Sandbox, script: script_mode.Script) -> dict[str, str]:
    """What the container sees: the toolkit's variables, where the platform's packages are, and the guard's rules."""
    host = "algo-1"
    group = {"instance_group_name": _GROUP, "instance_type": workload.training.instance_type, "hosts": [host]}
    resources = {
        "current_host": host,
        "current_instance_type": workload.training.instance_type,
        "current_group_name": _GROUP,
        "hosts": [host],
        "instance_groups": [group],
        "network_interface_name": "eth0",
    }
    inputs = {name: {"TrainingInputMode": "File", "RecordWrapperType": "None"} for name in ("train", "validation")}
    toolkit = script_mode.environment(
        sandbox,
        script,
        job_name=sandbox.folder.parent.name,
        region=REGION,
        framework_module="",
        resource_config=resources,
        input_data_config=inputs,
        python_path=str(_IN_SCRIPTS),
    )
    guard = workload.training.guard
    rules = {"GAPLESS_GUARD": guard.rules_json()} if guard is not None and guard.watch == "script" else {}
    own = str(sandbox.folder)
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    plain = {"HOME": own, "TMPDIR": own, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **PATIENT}
    return {**kept, **plain, **toolkit, **rules}


def open_model(workload: WorkloadFile, model: Model, scratch: Path) -> LoadedModel:
    """Load a model as the evaluation does: unpacked with distrust, through its own ``inference.py``."""
    return load(model.archive, scratch, Limits(pickles=allows_pickle(workload.model)))


def ask(model: LoadedModel, rows: pa.Table) -> list[Prediction]:
    """Give the model's answers to rows."""
    return predictions_of(model, rows, "model") if rows.num_rows else []


def write_capture(
    folder: Path, instances: Sequence[dict[str, Any]], answers: Sequence[Prediction], times: Sequence[str]
) -> None:
    """Write what was served as an endpoint captures it: one request per row, named by its number."""
    folder.mkdir(parents=True)
    with (folder / "served.jsonl").open("w", encoding="utf-8") as file:
        for number, (instance, answer, at) in enumerate(zip(instances, answers, times, strict=True)):
            line = {
                "captureData": {
                    "endpointInput": {"encoding": "JSON", "data": json.dumps({"instances": [instance]})},
                    "endpointOutput": {"encoding": "JSON", "data": json.dumps({"predictions": [answer]})},
                },
                "eventMetadata": {"inferenceId": str(number), "inferenceTime": at},
                "eventVersion": "0",
            }
            file.write(f"{json.dumps(line)}\n")
