"""Go back to a version of the model that has served before; who wants it and why is kept."""

from __future__ import annotations

import getpass
import json
import secrets

from local.aws import Aws
from local.errors import UserError
from local.lineage import LineageReader
from local.outputs import Outputs
from local.settings import Settings


def actor_or_user(actor: str | None) -> str:
    """Who goes back: whoever is named, otherwise the user of this machine.

    Raises:
        UserError: The name is empty.
    """
    found = getpass.getuser() if actor is None else actor
    if not found.strip():
        raise UserError(f"--actor is {found!r} (allowed: whoever goes back, such as ada)")
    return found


def start_rollback(
    settings: Settings, aws: Aws, outputs: Outputs, *, version: str | None, actor: str, reason: str
) -> str:
    """Start the deployment machine; returns the ARN of its execution.

    Args:
        version: Number or ARN of the version to go back to. Default: the one that served before the present one.

    Raises:
        UserError: There is no such version, or no reason.
    """
    if not reason.strip():
        raise UserError(f"--reason is {reason!r} (allowed: why the present model has to go, in a few words)")
    wish = {"action": "rollback", "actor": actor, "reason": reason, "triggered_by": "rollback"}
    if version is not None:
        wish["model_package_arn"] = LineageReader(settings, aws, outputs).model(version).arn
    run_id = f"rollback-{secrets.token_hex(4)}"
    started = aws.client("stepfunctions").start_execution(
        stateMachineArn=outputs.deployment_machine_arn,
        name=run_id,
        input=json.dumps({"run_id": run_id, "workload": settings.workload, **wish}),
    )
    return str(started["executionArn"])
