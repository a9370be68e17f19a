"""Run the real CDK CLI against the local AWS, and nothing else."""

from __future__ import annotations

import re
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.environment import aws_env, node
from local.errors import Failure, UserError
from local.processes import child
from local.server_file import Server
from local.settings import CHECKOUT, Settings

_CLI = CHECKOUT / "node_modules" / "aws-cdk" / "bin" / "cdk"
_TAIL_LINES = 25
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_EVENT = re.compile(
    r"^(?P<stack>[\w-]+) \|\s*(?P<done>\d+)(?:/\d+)? \| [^|]+ \| (?P<status>[A-Z_]+)\s*"
    r"\| (?P<type>\S+)\s*\| (?P<what>.*)$"
)


@dataclass(frozen=True)
class StackEvent:
    """One resource of one stack changed its status.

    Args:
        stack: Name of the stack.
        done: How many resources of the stack are done; the stack itself counts as one.
        status: CloudFormation's word, such as ``CREATE_COMPLETE``.
        resource: Type and path of the resource.
    """

    stack: str
    done: int
    status: str
    resource: str


def parse_event(line: str) -> StackEvent | None:
    """Read a line of ``--progress events``; ``None`` if it is something else."""
    found = _EVENT.match(line)
    if found is None:
        return None
    resource = f"{found['type']} {found['what'].strip()}"
    return StackEvent(found["stack"], int(found["done"]), found["status"], resource)


def run_cdk(
    settings: Settings, server: Server, arguments: Sequence[str], *, log: Path, on_line: Callable[[str], None]
) -> None:
    """Run the CLI of ``node_modules``; every line goes to the log and to ``on_line``, without colours.

    Raises:
        Failure: It ended with an error; the message has the end of its output.
        UserError: The CLI has not been installed.
    """
    if not _CLI.is_file():
        raise UserError(f"the CDK CLI has not been installed ({_CLI} is missing); `make demo` installs it")
    command = [str(node()), str(_CLI), *arguments, "--no-color", "--no-notices"]
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    env = aws_env(settings, server)
    with (
        log.open("w") as file,
        child(command, env=env, cwd=settings.cli_dir, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process,
    ):
        assert process.stdout is not None  # noqa: S101 - asked for above
        for raw in process.stdout:
            line = _COLOUR.sub("", raw.decode(errors="replace")).rstrip()
            file.write(line + "\n")
            tail.append(line)
            on_line(line)
        code = process.wait()
    if code != 0:
        output = "\n".join(f"  {line}" for line in tail)
        raise Failure(f"`cdk {arguments[0]}` ended with exit code {code}\nthe end of {log}:\n{output}")
