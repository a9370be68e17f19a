"""Run any command against the local AWS."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from local.environment import aws_env
from local.errors import UserError
from local.server_process import connect
from local.settings import Settings


def run_command(settings: Settings, command: Sequence[str]) -> int:
    """Run a command in an environment in which the local AWS is the only one; returns its exit code.

    Of the user's own environment it gets the path, after that of the platform, and the kind of terminal.

    Raises:
        UserError: The local AWS does not run, or there is no such command.
    """
    env = aws_env(settings, connect(settings))
    env["PATH"] = os.pathsep.join([env["PATH"], os.environ.get("PATH", "")])
    env["TERM"] = os.environ.get("TERM", "dumb")
    program = shutil.which(command[0], path=env["PATH"])
    if program is None:
        raise UserError(f"there is no command {command[0]!r}")
    return subprocess.run([program, *command[1:]], env=env, check=False).returncode
