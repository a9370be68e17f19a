"""One local server for all tests below this folder, and a way to start another one."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

ROOT = Path(__file__).parents[2]
SERVER_PYTHON = ROOT / ".venv-server" / "bin" / "python"


@dataclass
class LocalServer:
    """A running server, its files and its clients."""

    process: subprocess.Popen[bytes]
    state_dir: Path
    document: dict[str, Any]
    _clients: dict[str, Any] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        return str(self.document["endpoint"])

    @property
    def ca_file(self) -> str:
        return str(self.document["ca_file"])

    @property
    def log(self) -> str:
        return (self.state_dir / "server.log").read_text()

    def client(self, service: str) -> Any:
        """A client as the root user."""
        if service not in self._clients:
            keys = self.document["credentials"]
            self._clients[service] = self.client_as(service, keys["access_key_id"], keys["secret_access_key"])
        return self._clients[service]

    def client_as(self, service: str, access_key: str, secret_key: str, token: str | None = None) -> Any:
        """A client with the given keys."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=self.document["region"],
            verify=self.ca_file,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            aws_session_token=token,
            config=Config(inject_host_prefix=False, retries={"total_max_attempts": 1}),
        )

    def role(self, service: str, *statements: dict[str, Any], trust: dict[str, Any] | None = None) -> str:
        """Make a role that ``service`` may assume, with the given statements; returns its ARN."""
        iam = self.client("iam")
        name = f"role-{uuid.uuid4().hex[:10]}"
        trusted = trust or {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trusted]})
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        if statements:
            policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
            iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=policy)
        return arn

    def user(self, *statements: dict[str, Any]) -> tuple[str, str]:
        """Make a user with the given statements; returns access key and secret."""
        iam = self.client("iam")
        name = f"user-{uuid.uuid4().hex[:10]}"
        iam.create_user(UserName=name)
        policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        iam.put_user_policy(UserName=name, PolicyName="inline", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def stop(self) -> None:
        """Stop it as ``down`` does."""
        self.process.terminate()
        self.process.wait(30)


def free_port() -> int:
    """A port on the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_server(state_dir: Path, *options: str, program: Sequence[str] = ("-m", "local.server")) -> LocalServer:
    """Start a server and wait until it is ready; ``program`` is what its Python runs."""
    state_dir.mkdir(parents=True, exist_ok=True)
    argv = [str(SERVER_PYTHON), *program, "--state-dir", str(state_dir), "--port", str(free_port())]
    with (state_dir / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [
                *argv,
                "--job-python",
                sys.executable,
                *(options or ("--wait-scale", "0.02", "--spot-interruptions", "1")),
            ],
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    ready = state_dir / "server.json"
    deadline = time.monotonic() + 60
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"the server did not start:\n{(state_dir / 'server.log').read_text()}")
        time.sleep(0.05)
    return LocalServer(process, state_dir, json.loads(ready.read_text()))


@pytest.fixture(scope="session")
def local_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """The server that tests share: make what you need under names of your own."""
    server = start_server(tmp_path_factory.mktemp("local-server"))
    yield server
    server.stop()


@pytest.fixture
def start_local_server() -> Iterator[Callable[..., LocalServer]]:
    """Starts servers of the test's own on a state directory, with options; they are stopped after the test."""
    servers: list[LocalServer] = []

    def start(state_dir: Path, *options: str) -> LocalServer:
        servers.append(start_server(state_dir, *options))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[LocalServer]:
    """A server of the test's own, for tests that stop it."""
    server = start_server(tmp_path / "state")
    yield server
    if server.process.poll() is None:
        server.stop()


@pytest.fixture(scope="session")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Source and receiver of models, each a server of its own."""
    from tests.local.two_accounts import two_accounts  # which takes the CDK

    with two_accounts(tmp_path_factory.mktemp("accounts")) as found:
        yield found
