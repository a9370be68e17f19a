"""The container of a training, whoever runs it: what lies in its folder, what is run, and why it has failed.

Requests are those of ``CreateTrainingJob``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from local.server.host import Settings
from local.server.own_images import OwnImage, copy_files
from local.server.sagemaker.algorithms import training_command
from local.server.sagemaker.children import Outcome, command
from local.server.sagemaker.images import require_framework
from local.server.sagemaker.jobs import script_mode
from local.server.sagemaker.jobs.machines import Machine
from local.server.sagemaker.jobs.training_requests import built_in
from local.server.sagemaker.store import Document

FOLDERS = ("model", "output/data", "output/intermediate", "input/data", "code")
"""What every container finds below ``/opt/ml`` beside its channels."""

LayOutCode = Callable[[script_mode.Script], None]
"""Puts the user's code into ``/opt/ml/code``."""


@dataclass(frozen=True)
class Program:
    """What a container runs.

    Attributes:
        environment: What it sees beside what every container does and what the request gives.
        script: In script mode.
    """

    argv: list[str]
    cwd: Path
    environment: dict[str, str] = field(default_factory=dict)
    script: script_mode.Script | None = None


def lay_out(machine: Machine) -> None:
    """Make the folders and the configuration of a container; its channels are still empty."""
    sandbox, document = machine.sandbox, machine.document
    for folder in FOLDERS:
        sandbox.make(folder)
    config = sandbox.make("input/config")
    for name, content in (
        ("hyperparameters", document.get("HyperParameters", {})),
        ("inputdataconfig", _input_data_config(document)),
        ("resourceconfig", _resource_config(machine)),
    ):
        (config / f"{name}.json").write_text(json.dumps(content))


def program_of(machine: Machine, settings: Settings, own: OwnImage | None, lay_out_code: LayOutCode) -> Program:
    """Give what a container runs.

    Args:
        own: The image, where it was built here.
        lay_out_code: Called in script mode.

    Raises:
        BadScript: The script cannot be run.
        BadArchive: Its archive cannot be unpacked.
        ServiceError: The image is none that is stood in for.
    """
    document, sandbox = machine.document, machine.sandbox
    algorithm, code, python = document["AlgorithmSpecification"], sandbox.path("code"), settings.job_python
    if own is not None:
        argv = command(python, sandbox.re_root_all(own.train))
        return Program(argv, copy_files(own, sandbox.folder / "image"))
    if "ContainerEntrypoint" in algorithm:
        entry = [*algorithm["ContainerEntrypoint"], *algorithm.get("ContainerArguments", [])]
        return Program(command(python, sandbox.re_root_all(entry)), code)
    name = built_in(document)
    if name is not None:
        return Program(command(python, training_command(name, sandbox.root)), code)
    script = script_mode.Script.of(document.get("HyperParameters", {}))
    lay_out_code(script)
    argv = command(python, ["python", script.program, *sandbox.re_root_all(script.arguments())])
    return Program(argv, code, _toolkit_environment(machine, settings, script), script)


def given_environment(machine: Machine) -> dict[str, str]:
    """Give what the request has a container see."""
    given: dict[str, str] = machine.document.get("Environment", {})
    return {name: machine.sandbox.re_root(value) for name, value in given.items()}


def failure_of(machine: Machine, script: script_mode.Script | None, outcome: Outcome) -> str:
    """Give the reason: what the container wrote to ``/opt/ml/output/failure``, or what the toolkit writes for it."""
    file = machine.sandbox.path("output/failure")
    if file.is_file():
        return file.read_text(errors="replace").strip()
    return script.error_text(outcome.code, outcome.tail) if script is not None else ""


def hosts_of(document: Document) -> list[str]:
    """Give the names of the machines that a request asks for."""
    return [f"algo-{number + 1}" for number in range(document["ResourceConfig"]["InstanceCount"])]


def _toolkit_environment(machine: Machine, settings: Settings, script: script_mode.Script) -> dict[str, str]:
    document = machine.document
    framework = require_framework(document["AlgorithmSpecification"]["TrainingImage"], settings.job_python)
    return script_mode.environment(
        machine.sandbox,
        script,
        job_name=document["TrainingJobName"],
        region=settings.region,
        framework_module=framework.training_module,
        resource_config=_resource_config(machine),
        input_data_config=_input_data_config(document),
        python_path=given_environment(machine).get("PYTHONPATH", ""),
    )


def _input_data_config(document: Document) -> Document:
    return {
        channel["ChannelName"]: {
            "TrainingInputMode": "File",
            "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
                "S3DataDistributionType", "FullyReplicated"
            ),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
            **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {}),
        }
        for channel in document.get("InputDataConfig", [])
    }


def _resource_config(machine: Machine) -> Document:
    instance_type, hosts = machine.document["ResourceConfig"]["InstanceType"], hosts_of(machine.document)
    group = {"instance_group_name": "homogeneousCluster", "instance_type": instance_type, "hosts": hosts}
    return {
        "current_host": machine.host,
        "current_instance_type": instance_type,
        "current_group_name": "homogeneousCluster",
        "hosts": hosts,
        "instance_groups": [group],
        "network_interface_name": "eth0",
    }
