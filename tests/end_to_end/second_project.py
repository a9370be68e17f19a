"""A project of somebody else: a copy of this one with another workload, deployed to a local AWS of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local.landing import batch_key
from local.server_process import StartOptions, start, stop
from local.settings import Settings
from local.steps import platform
from tests.end_to_end.live import ROOT, Live, OnCall, type_command
from tests.everything.orders import OrderBatch

STAGE = "every"
WORKLOAD = "orders"
COPIED = (
    "app.py",
    "cdk.json",
    "package.json",
    "package-lock.json",
    "stacks",
    "constructs_lib",
    "lambda",
    "glue_jobs",
    "sagemaker_jobs",
    "local",
)
LINKED = (".venv", ".venv-server", "node_modules")
EVERYTHING = ROOT / "tests" / "everything" / "workloads" / WORKLOAD
FLIGHTS = ROOT / "workloads" / "flight_delays"


def make_project(folder: Path, *, stage: dict[str, Any], workload_yaml: str) -> Path:
    """Copy the application, with ``orders`` and whatever lies beside it as its workloads.

    The training and the serving of ``orders`` are those of flights.

    Args:
        folder: Where to; it must not exist.
        stage: Settings of the stage ``every``, as in ``cdk.json``.
        workload_yaml: The text of its ``workload.yaml``.
    """
    folder.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    for name in LINKED:
        (folder / name).symlink_to((ROOT / name).resolve())
    settings = json.loads((folder / "cdk.json").read_text())
    settings["context"]["stages"] = {STAGE: stage}
    (folder / "cdk.json").write_text(json.dumps(settings))
    shutil.copytree(EVERYTHING.parent, folder / "workloads")
    for script in ("train.py", "inference.py"):
        shutil.copy2(FLIGHTS / script, folder / "workloads" / WORKLOAD / script)
    (folder / "workloads" / WORKLOAD / "workload.yaml").write_text(workload_yaml)
    return folder


@contextmanager
def deployed_project(root: Path, state_dir: Path) -> Iterator[Live]:
    """Deploy a project by its own command line; its local AWS ends with the context."""
    settings = Settings(state_dir, STAGE, WORKLOAD)
    start(settings, StartOptions(tied=True), lambda _: None)
    try:
        deployed = type_command(settings, "deploy", root=root)
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        target = platform(settings)
        yield Live(target, OnCall.subscribe(target), root)
    finally:
        stop(settings)


def data_input(live: Live, batch: OrderBatch, folder: str) -> dict[str, Any]:
    """Put a batch where it sets nothing off; returns an input of the data machine for it."""
    place = f"{live.zone('landing')}{folder}/"
    for key, body in batch.files.items():
        live.write(place + key, body)
    live.write(f"{place}.batch.json", json.dumps(batch.document()).encode())
    return {"batch_uri": f"{place}.batch.json", "as_of": batch.as_of, "bundle": live.bundle}


def land(live: Live, batch: OrderBatch, folder: str) -> str:
    """Land a batch below the workload's landing prefix; returns its idempotency key."""
    place = f"{live.zone('landing')}{folder}/"
    for key, body in batch.files.items():
        live.write(place + key, body)
    live.write(f"{place}_batch.json", json.dumps(batch.document()).encode())
    return batch_key(batch.document())
