"""What AWS's training toolkit does inside a framework image: finds the script, its arguments and its environment."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.server.sagemaker.archive import unpack
from local.server.sagemaker.children import Sandbox

PROGRAM = "sagemaker_program"
SUBMIT_DIRECTORY = "sagemaker_submit_directory"
TUNING_METRIC = "_tuning_objective_metric"
"""What SageMaker tells every trial of a tuning beside its hyperparameters."""

_LOG_LEVEL = "sagemaker_container_log_level"
_OF_THE_PLATFORM = (
    PROGRAM,
    SUBMIT_DIRECTORY,
    _LOG_LEVEL,
    TUNING_METRIC,
    "sagemaker_job_name",
    "sagemaker_region",
    "sagemaker_s3_output",
    "sagemaker_default_user_module_name",
)
_PREFIX = "sagemaker_"
_CODE = "/opt/ml/code"
_INFO = 20
_LONGEST_MESSAGE = 500


class BadScript(Exception):
    """The script of a job cannot be run; the text says why."""


def decode_all(hyperparameters: Mapping[str, str]) -> dict[str, Any]:
    """Hyperparameters as the toolkit reads them: JSON where a value is JSON, text otherwise."""
    return {name: _decode(text) for name, text in hyperparameters.items()}


def _decode(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def command_line(hyperparameters: Mapping[str, Any]) -> list[str]:
    """``--name value`` pairs in the order of the names; a name of one letter gets one hyphen."""
    words: list[str] = []
    for name in sorted(hyperparameters):
        words += [f"--{name}" if len(name) > 1 else f"-{name}", _argument(hyperparameters[name])]
    return words


def _argument(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}={item}" for key, item in sorted(value.items()))
    return "" if value is None else str(value)


@dataclass(frozen=True)
class Script:
    """A script with its hyperparameters, ready to run in a sandbox."""

    program: str
    code: str
    log_level: int
    user: dict[str, Any]
    framework: dict[str, Any]

    @classmethod
    def of(cls, hyperparameters: Mapping[str, str]) -> Script:
        """Read the hyperparameters of a job.

        Raises:
            BadScript: ``sagemaker_program`` is not a Python file.
        """
        values = decode_all(hyperparameters)
        program = str(values.get(PROGRAM, ""))
        if not program.endswith(".py"):
            raise BadScript(f"sagemaker_program must be a Python file, not {program!r}")
        reserved = {name: value for name, value in values.items() if name.startswith((_PREFIX, TUNING_METRIC))}
        return cls(
            program=program,
            code=str(values.get(SUBMIT_DIRECTORY, _CODE)),
            log_level=int(values.get(_LOG_LEVEL, _INFO)),
            user={name: value for name, value in values.items() if name not in reserved},
            framework={name: value for name, value in reserved.items() if name not in _OF_THE_PLATFORM},
        )

    def arguments(self) -> list[str]:
        """The arguments of the script."""
        return command_line(self.user)

    def shown_command(self) -> str:
        """The command as the toolkit's error shows it."""
        return shlex.join(["/usr/bin/python3", self.program, *self.arguments()])

    def error_text(self, code: int, tail: str) -> str:
        """What the toolkit writes to ``/opt/ml/output/failure`` when the script fails."""
        message = tail[-_LONGEST_MESSAGE:]
        return f'ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "{message}"\nCommand "{self.shown_command()}"'


def lay_out_code(sandbox: Sandbox, source: Path) -> Path:
    """Put the user's code into ``/opt/ml/code``: from a folder, an archive or one file; returns that folder.

    Raises:
        BadScript: There is nothing at ``source``, or it asks for packages to be installed.
        BadArchive: The archive cannot be unpacked.
    """
    code = sandbox.make(_CODE)
    if source.is_dir():
        if source != code:
            shutil.copytree(source, code, dirs_exist_ok=True)
    elif not source.exists():
        shown = str(source).replace(str(sandbox.root), "/opt/ml")
        raise BadScript(f"there is no code at {shown} (hyperparameter {SUBMIT_DIRECTORY})")
    elif tarfile.is_tarfile(source):
        unpack(source, code)
    else:
        shutil.copy2(source, code)
    if (code / "requirements.txt").exists():
        raise BadScript("requirements.txt asks for packages to be installed, which a local job cannot do")
    return code


def environment(
    sandbox: Sandbox,
    script: Script,
    *,
    job_name: str,
    region: str,
    framework_module: str,
    resource_config: Mapping[str, Any],
    input_data_config: Mapping[str, Any],
    python_path: str = "",
) -> dict[str, str]:
    """The ``SM_*`` variables that the toolkit sets, and the few others beside them.

    Args:
        python_path: The job's own ``PYTHONPATH``, which the toolkit keeps behind the folder of the code.
    """
    facts = _facts(sandbox, script, job_name, framework_module, resource_config, input_data_config)
    channels = {f"channel_{name}": path for name, path in facts["channel_input_dirs"].items()}
    hyperparameters = {f"hp_{name}": value for name, value in script.user.items()}
    shown = {name: value for name, value in facts.items() if name in _SHOWN}
    named = {
        **shown,
        "hps": script.user,
        "channels": sorted(facts["channel_input_dirs"]),
        "framework_params": script.framework,
        "training_env": facts,
        "user_args": script.arguments(),
        **channels,
        **hyperparameters,
    }
    return {f"SM_{name.upper()}": _variable(value) for name, value in named.items()} | {
        "PYTHONPATH": os.pathsep.join([str(sandbox.path(_CODE)), *([python_path] if python_path else [])]),
        "CURRENT_HOST": str(resource_config["current_host"]),
        "SAGEMAKER_JOB_NAME": job_name,
        "SAGEMAKER_REGION": region,
    }


_SHOWN = (
    "hosts",
    "network_interface_name",
    "user_entry_point",
    "resource_config",
    "input_data_config",
    "output_data_dir",
    "current_host",
    "current_instance_type",
    "current_instance_group",
    "current_instance_group_hosts",
    "instance_groups",
    "instance_groups_dict",
    "distribution_instance_groups",
    "is_hetero",
    "module_name",
    "log_level",
    "framework_module",
    "input_dir",
    "input_config_dir",
    "output_dir",
    "num_cpus",
    "num_gpus",
    "model_dir",
    "module_dir",
    "output_intermediate_dir",
)


def _facts(
    sandbox: Sandbox,
    script: Script,
    job_name: str,
    framework_module: str,
    resource_config: Mapping[str, Any],
    input_data_config: Mapping[str, Any],
) -> dict[str, Any]:
    root = str(sandbox.root)
    groups = {group["instance_group_name"]: group for group in resource_config["instance_groups"]}
    return {
        "additional_framework_parameters": script.framework,
        "channel_input_dirs": {name: f"{root}/input/data/{name}" for name in input_data_config},
        "current_host": resource_config["current_host"],
        "current_instance_group": resource_config["current_group_name"],
        "current_instance_group_hosts": resource_config["hosts"],
        "current_instance_type": resource_config["current_instance_type"],
        "distribution_hosts": [],
        "distribution_instance_groups": [],
        "framework_module": framework_module,
        "hosts": resource_config["hosts"],
        "hyperparameters": script.user,
        "input_config_dir": f"{root}/input/config",
        "input_data_config": dict(input_data_config),
        "input_dir": f"{root}/input",
        "instance_groups": sorted(groups),
        "instance_groups_dict": groups,
        "is_hetero": False,
        "is_master": resource_config["current_host"] == resource_config["hosts"][0],
        "is_modelparallel_enabled": None,
        "job_name": job_name,
        "log_level": script.log_level,
        "master_hostname": resource_config["hosts"][0],
        "model_dir": f"{root}/model",
        "module_dir": sandbox.re_root(script.code),
        "module_name": script.program.removesuffix(".py"),
        "network_interface_name": resource_config["network_interface_name"],
        "num_cpus": os.cpu_count() or 1,
        "num_gpus": 0,
        "output_data_dir": f"{root}/output/data",
        "output_dir": f"{root}/output",
        "output_intermediate_dir": f"{root}/output/intermediate",
        "resource_config": dict(resource_config),
        "user_entry_point": script.program,
    }


def _variable(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
