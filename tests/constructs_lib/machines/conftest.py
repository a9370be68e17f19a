import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from constructs_lib.asl import State
from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.jobs import JobPlace
from stacks.toolchain import find_node

find_node()

ROOT = Path(__file__).parents[3]
Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Walk:
    """What an execution did: its states in order, the calls of its tasks, and how it ended."""

    status: str
    path: list[str]
    calls: list[dict[str, Any]]
    seconds: int
    output: Any = None
    error: str | None = None
    cause: str | None = None

    def arguments(self, state: str) -> Any:
        """The arguments of the last call of a task."""
        return [call["arguments"] for call in self.calls if call["state"] == state][-1]


Walker = Callable[..., Walk]


def node() -> str:
    return os.environ.get("JSII_NODE") or shutil.which("node") or "node"


@pytest.fixture(scope="session")
def walking() -> Iterator[subprocess.Popen[str]]:
    """The program that walks; one for all walks, since starting it takes longer than a walk."""
    script = [node(), str(Path(__file__).parent / "walk.js"), str(ROOT / "node_modules")]
    with subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


@pytest.fixture
def walk(walking: subprocess.Popen[str]) -> Walker:
    """Walks a definition with scripted answers of its tasks."""

    def walk(
        definition: State,
        given: Mapping[str, Any],
        answers: Mapping[str, Sequence[Answer]],
        *,
        name: str = "0123456789abcdef-1",
        redrives: int = 0,
    ) -> Walk:
        asked = {"definition": definition, "input": given, "answers": answers, "name": name, "redrives": redrives}
        assert walking.stdin is not None and walking.stdout is not None
        walking.stdin.write(f"{json.dumps(asked)}\n")
        walking.stdin.flush()
        done = json.loads(walking.stdout.readline())
        assert "problem" not in done, done["problem"]
        return Walk(**done)

    return walk


@pytest.fixture
def surroundings() -> Surroundings:
    return Surroundings(
        stage="dev",
        workload="flight_delays",
        prefix="dev-flight-delays-",
        account="000000000000",
        runs_table="runs",
        leases_table="leases",
        audit_table="audit",
        topic_arn="arn:aws:sns:us-east-1:000000000000:on-call",
    )


@pytest.fixture
def place() -> JobPlace:
    return JobPlace(
        image_uri="683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0",
        subnets=["subnet-1", "subnet-2"],
        security_group="sg-1",
        key_arn="arn:aws:kms:us-east-1:000000000000:key/lake",
        job_code_uri="s3://assets/jobs.zip",
        artefacts_bucket="artefacts",
    )
