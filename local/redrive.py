"""Find the run that a batch set off, and take up a failed one again."""

from __future__ import annotations

from local.aws import Aws
from local.chain import Chain
from local.errors import UserError
from local.outputs import Outputs


def run_id_of(aws: Aws, outputs: Outputs, key: str) -> str:
    """The id of the newest run of an idempotency key; that of the first one before the starter has seen the batch."""
    found = aws.client("dynamodb").get_item(TableName=outputs.runs_table, Key={"run": {"S": f"start#{key}"}})
    attempt = found.get("Item", {}).get("attempt", {}).get("N", "1")
    return f"{key[:16]}-{attempt}"


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
