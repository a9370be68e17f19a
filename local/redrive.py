"""Find the run that a batch set off, and take up a failed one again."""

from __future__ import annotations

from typing import Any

from local.aws import Aws
from local.chain import Chain
from local.errors import UserError
from local.outputs import Outputs


def run_id_of(aws: Aws, outputs: Outputs, key: str) -> str:
    """The id of the newest run of an idempotency key; that of the first one before the starter has seen the batch."""
    return f"{key[:16]}-{_start_of(aws, outputs, key).get('attempt', {}).get('N', '1')}"


def was_started(aws: Aws, outputs: Outputs, key: str) -> bool:
    """Whether the starter has seen this batch already, wherever it was landed."""
    return bool(_start_of(aws, outputs, key))


def _start_of(aws: Aws, outputs: Outputs, key: str) -> dict[str, Any]:
    asked = {"run": {"S": f"start#{key}"}}
    found: dict[str, Any] = aws.client("dynamodb").get_item(TableName=outputs.runs_table, Key=asked).get("Item", {})
    return found


def redrive(aws: Aws, chain: Chain) -> str:
    """Continue a failed run in the state in which it failed; returns which pipeline was taken up.

    Raises:
        UserError: The run has not failed.
    """
    loop, failed = chain.of("loop"), chain.failed
    if failed is None:
        raise UserError(f"run {chain.run_id} has not failed ({chain.outcome()}); there is nothing to take up again")
    deployment = failed.machine == "deployment"
    target = failed if deployment or loop is None else loop
    aws.client("stepfunctions").redrive_execution(executionArn=target.arn)
    return target.machine
