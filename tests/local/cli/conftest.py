"""A server that the command line has started, with a stand-in for the workload's stack; and hostile settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from local.aws import Aws
from local.server_process import StartOptions, start, stop
from local.settings import Settings
from tests.local.cli.hostile import Hostile
from tests.local.cli.stand_in import STACK, template

ROOT = Path(__file__).parents[3]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A running local AWS that the tests of a module share; nothing is deployed."""
    found = Settings(tmp_path_factory.mktemp("platform") / "state")
    start(found, StartOptions(tied=True), lambda _: None)
    yield found
    stop(found)


@pytest.fixture(scope="module")
def aws(settings: Settings) -> Aws:
    """Clients of it."""
    from local.server_process import connect

    return Aws(connect(settings))


@pytest.fixture(scope="module")
def stack(aws: Aws) -> str:
    """The stand-in for the workload's stack, complete."""
    client = aws.client("cloudformation")
    client.create_stack(StackName=STACK, TemplateBody=json.dumps(template()), Capabilities=["CAPABILITY_IAM"])
    client.get_waiter("stack_create_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    return STACK


@pytest.fixture
def run_command() -> Run:
    """Types a command; returns what it printed and its exit code."""

    def run(state_dir: Path, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "local", "--state-dir", str(state_dir), *arguments]
        return subprocess.run(
            command,
            cwd=ROOT,
            env=dict(env if env is not None else os.environ) | {"COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return run


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Hostile]:
    """Settings that lead away from the local AWS."""
    found = Hostile(tmp_path / "hostile")
    yield found
    found.trap.close()
