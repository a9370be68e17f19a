"""A project of somebody else: a copy of this one with another workload, deployed to a local AWS of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
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
    "delivery",
)
LINKED = (".venv", ".venv-server", "node_modules")
EVERYTHING = ROOT / "tests" / "everything" / "workloads"
PLAIN = ROOT / "tests" / "everything" / "plain"
FLIGHTS = ROOT / "workloads" / "flight_delays"
LOANS = ROOT / "workloads" / "loan_approval"


def make_project(
    folder: Path,
    *,
    stage: dict[str, Any],
    replaced: Mapping[str, str] = MappingProxyType({}),
    workloads: Path = EVERYTHING,
    added: Sequence[Path] = (LOANS,),
) -> Path:
    """Copy the application with other workloads, by default those of ``tests/everything`` and ``loan_approval``.

    Scripts that a workload of the first folder lacks are plain, or of flights.

    Args:
        folder: Where to; it must not exist.
        stage: Settings of the stage ``every``, as in ``cdk.json``.
        replaced: Texts of ``workload.yaml`` to what stands in their place.
        workloads: The folder of workloads.
        added: Folders of workloads that are added to it last, as they are.
    """
    folder.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy2(source, folder / name)
    for name in LINKED:
        (folder / name).symlink_to((ROOT / name).resolve())
    settings = json.loads((folder / "cdk.json").read_text())
    settings["context"]["stages"] = {STAGE: stage}
    (folder / "cdk.json").write_text(json.dumps(settings))
    shutil.copytree(workloads, folder / "workloads")
    for workload in (folder / "workloads").iterdir():
        _complete(workload, replaced)
    for each in added:
        shutil.copytree(each, folder / "workloads" / each.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def _complete(workload: Path, replaced: Mapping[str, str]) -> None:
    for script in (PLAIN / "features.py", PLAIN / "golden.json", FLIGHTS / "train.py", FLIGHTS / "inference.py"):
        if not (workload / script.name).exists():
            shutil.copy2(script, workload / script.name)
    file = workload / "workload.yaml"
    text = file.read_text()
    for old, new in replaced.items():
        text = text.replace(old, new)
    file.write_text(text)


@contextmanager
def deployed_project(root: Path, state_dir: Path, workload: str = WORKLOAD) -> Iterator[Live]:
    """Deploy a project by its own command line, seen from a workload; its local AWS ends with the context."""
    settings = Settings(state_dir, STAGE, workload)
    start(settings, StartOptions(tied=True), lambda _: None)
    try:
        deployed = type_command(settings, "deploy", root=root)
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        target = platform(settings)
        yield Live(target, OnCall.subscribe(target), root)
    finally:
        stop(settings)


def of_workload(live: Live, workload: str) -> Live:
    """The same platform with another of its workloads, whose scripts are published."""
    settings = replace(live.settings, workload=workload)
    published = type_command(settings, "publish", root=live.root)
    assert published.returncode == 0, published.stdout + published.stderr
    return replace(live, platform=platform(settings))


def data_input(live: Live, batch: OrderBatch, folder: str) -> dict[str, Any]:
    """Put a batch where it sets nothing off; returns an input of the data machine for it."""
    batch = replace(batch, workload=live.workload)
    place = f"{live.zone('landing')}{folder}/"
    for key, body in batch.files.items():
        live.write(place + key, body)
    live.write(f"{place}.batch.json", json.dumps(batch.document()).encode())
    return {"batch_uri": f"{place}.batch.json", "as_of": batch.as_of, "bundle": live.bundle}


def land(live: Live, batch: OrderBatch, folder: str) -> str:
    """Land a batch below the workload's landing prefix; returns its idempotency key."""
    batch = replace(batch, workload=live.workload)
    place = f"{live.zone('landing')}{folder}/"
    for key, body in batch.files.items():
        live.write(place + key, body)
    live.write(f"{place}_batch.json", json.dumps(batch.document()).encode())
    return batch_key(batch.document())
