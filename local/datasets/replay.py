"""Make a published dataset again and compare it with the published one; nothing is published."""

from __future__ import annotations

import json
import secrets

from local.aws import Aws
from local.datasets.read import Dataset
from local.outputs import Outputs
from local.settings import Settings


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
