"""Make a published dataset again and compare it with the published one; nothing is published."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable

from local.aws import Aws
from local.datasets.read import Dataset
from local.errors import Failure
from local.executions import RUNNING, SUCCEEDED, Execution, read_execution
from local.outputs import Outputs
from local.settings import Settings

_POLL_SECONDS = 0.5


def replay_input(workload: str, version: str, run_id: str) -> dict[str, object]:
    """What the data machine takes to make a dataset again: everything else it reads from the published manifest."""
    return {"run_id": run_id, "workload": workload, "replay": True, "version": version, "triggered_by": "replay"}


def start_replay(settings: Settings, aws: Aws, outputs: Outputs, dataset: Dataset) -> str:
    """Start the data machine; returns the ARN of its execution."""
    run_id = f"r{dataset.version[:8]}-{secrets.token_hex(4)}"
    started = aws.client("stepfunctions").start_execution(
        stateMachineArn=outputs.data_machine_arn,
        name=run_id,
        input=json.dumps(replay_input(settings.workload, dataset.version, run_id)),
    )
    return str(started["executionArn"])


def await_replay(aws: Aws, arn: str, *, timeout_seconds: float, show: Callable[[str], None]) -> Execution:
    """Wait for the end of a replay.

    Args:
        show: Told the name of the state that the machine is in.

    Raises:
        Failure: The machine failed, the rows differ among the reasons, or did not end in time.
    """
    deadline = time.monotonic() + timeout_seconds
    while (execution := read_execution(aws, "data", arn)).status == RUNNING:
        if execution.states:
            show(execution.states[-1].name)
        if time.monotonic() > deadline:
            raise Failure(f"the replay {execution.name} has not ended within {timeout_seconds:.0f} s; it goes on")
        time.sleep(_POLL_SECONDS)
    if execution.status != SUCCEEDED:
        raise Failure(f"the replay {execution.name} failed: {execution.error}: {execution.cause}")
    return execution
