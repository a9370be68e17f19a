"""Make the model of a recorded run again and compare it with the recorded one; nothing is registered."""

from __future__ import annotations

import json
import secrets

from local.aws import Aws
from local.outputs import Outputs
from local.runs.read import Run
from local.settings import Settings


def start_replay(settings: Settings, aws: Aws, outputs: Outputs, run: Run, tolerance: float | None) -> str:
    """Start the model machine; returns the ARN of its execution.

    Args:
        tolerance: By how much predictions and metrics may differ. Default: what the machine allows.
    """
    run_id = f"p{run.run_id[:8]}-{secrets.token_hex(4)}"
    given = {"run_id": run_id, "workload": settings.workload, "replay": run.run_id, "triggered_by": "replay"}
    allowed = {} if tolerance is None else {"tolerance": tolerance}
    started = aws.client("stepfunctions").start_execution(
        stateMachineArn=outputs.model_machine_arn, name=run_id, input=json.dumps(given | allowed)
    )
    return str(started["executionArn"])
