"""Trainings of a story: one container on this machine, as a training job of the local AWS runs it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from local.server.own_images import OwnImage
from local.server.sagemaker.archive import BadArchive
from local.server.sagemaker.children import Child, Ending, Outcome, Sandbox
from local.server.sagemaker.jobs import script_mode
from local.server.sagemaker.jobs.machines import Machine, failed, machines_of
from local.server.sagemaker.jobs.runner import RunningJob
from local.server.sagemaker.jobs.training_container import (
    failure_of,
    given_environment,
    hosts_of,
    lay_out,
    program_of,
)
from local.story.bench import NOBODY, Bench
from local.story.models import TrainingFailed, keep

STREAM: Final = "training"


@dataclass(frozen=True)
class Asked:
    """What a training is asked for.

    Attributes:
        image: The address of the image, by which is told what runs in its place.
        channels: Name to the folder with what it holds.
        content_types: Of channels that have one.
        code: The folder of the script, in script mode.
        own: The image, where the workload brings it.
    """

    image: str
    instance_type: str
    seconds: int
    hyperparameters: Mapping[str, str]
    channels: Mapping[str, Path]
    content_types: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    code: Path | None = None
    own: OwnImage | None = None


def run_training(bench: Bench, asked: Asked, folder: Path) -> None:
    """Train, and keep what was made as the model of a folder, whose name is the job's.

    Raises:
        TrainingFailed: The container failed, or took too long.
    """
    job = RunningJob(_request(asked, folder.name), Sandbox(folder / "job"), NOBODY)
    [machine] = machines_of(job, hosts_of(job.document), 0)
    lay_out(machine)
    for name, source in asked.channels.items():
        link_channel(source, machine.sandbox, name)
    try:
        outcome, script = _run(bench, asked, machine)
    except (script_mode.BadScript, BadArchive) as error:
        raise TrainingFailed(str(error)) from error
    log = bench.log_of(folder.name, STREAM)
    if failed(outcome):
        told = failure_of(machine, script, outcome) or outcome.tail[-500:]
        raise TrainingFailed(f"{told.strip() or f'exit code {outcome.code}'} (log: {log})")
    if outcome.ending is not Ending.EXITED:
        raise TrainingFailed(f"training.max_runtime_minutes: {asked.seconds / 60:g} were not enough (log: {log})")
    keep(machine.sandbox.path("model"), folder)


def link_channel(source: Path, sandbox: Sandbox, name: str) -> None:
    """Make a folder a channel of a container."""
    shutil.copytree(source, sandbox.path(f"input/data/{name}"), copy_function=os.link)


def _request(asked: Asked, name: str) -> dict[str, Any]:
    """The request of a training job, as far as its container can tell."""
    types = {channel: {"ContentType": kind} for channel, kind in asked.content_types.items()}
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": asked.image},
        "HyperParameters": dict(asked.hyperparameters),
        "InputDataConfig": [
            {"ChannelName": channel, "DataSource": {"S3DataSource": {}}, **types.get(channel, {})}
            for channel in asked.channels
        ],
        "ResourceConfig": {"InstanceType": asked.instance_type, "InstanceCount": 1},
        "Environment": dict(asked.environment),
    }


def _run(bench: Bench, asked: Asked, machine: Machine) -> tuple[Outcome, script_mode.Script | None]:
    def lay_out_code(_script: script_mode.Script) -> None:
        script_mode.lay_out_code(
            machine.sandbox, asked.code if asked.code is not None else machine.sandbox.path("code")
        )

    program = program_of(machine, bench.settings, asked.own, lay_out_code)
    name = machine.document["TrainingJobName"]
    child = Child(
        bench,
        program.argv,
        env=machine.sandbox.environment(bench, NOBODY, isolated=True)
        | {"TRAINING_JOB_NAME": name}
        | given_environment(machine)
        | program.environment,
        cwd=program.cwd,
        group=name,
        stream=STREAM,
    )
    try:
        return child.wait(asked.seconds, 0), program.script
    except BaseException:
        child.end(0)
        raise
