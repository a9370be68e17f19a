"""Ask for a training of the newest batch; whether there is one is up to the workload's policy."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import Any

from local.aws import Aws
from local.errors import Failure, UserError
from local.outputs import Outputs
from local.settings import Settings

_STARTED_SECONDS = 60.0
_POLL_SECONDS = 0.5


def ask_for_training(
    settings: Settings,
    aws: Aws,
    outputs: Outputs,
    *,
    actor: str,
    reason: str,
    as_of: dt.datetime | None,
    search: bool = False,
) -> str:
    """Put the event on the bus; returns the id of the run that it starts.

    Args:
        as_of: What stands for "now" to the policy. Default: the time of the event.
        search: Whether hyperparameters are to be searched, where not every training does so.

    Raises:
        UserError: The workload has no policy, no batch has landed, or there is no reason.
        Failure: Nothing was started.
    """
    if outputs.retraining_function_name is None:
        raise UserError(
            f"workload {settings.workload} has no policy of trainings (allowed: a key in workload.yaml, such as "
            "retraining: {cooldown_days: 7}; then deploy)"
        )
    if not reason.strip():
        raise UserError(f"--reason is {reason!r} (allowed: why the model is to be trained again, in a few words)")
    key = _newest(settings, aws, outputs)
    if key is None:
        raise UserError(f"no batch of {settings.workload} has landed (allowed: land one first, which trains by itself)")
    detail: dict[str, Any] = {"workload": settings.workload, "by": actor, "reason": reason}
    if search:
        detail["search"] = True
    if as_of is not None:
        detail["as_of"] = as_of.astimezone(dt.UTC).isoformat()
    entry = {"Source": "gapless", "DetailType": "Retrain Requested", "Detail": json.dumps(detail)}
    (answer,) = aws.client("events").put_events(Entries=[entry])["Entries"]
    if "EventId" not in answer:
        raise Failure(f"the event bus did not take the request: {answer.get('ErrorMessage')}")
    deadline = time.monotonic() + _STARTED_SECONDS
    while time.monotonic() < deadline:
        attempt = _item(aws, outputs, f"start#{key}").get("reruns", {}).get("M", {}).get(answer["EventId"])
        if attempt is not None:
            return f"{key[:16]}-{attempt['N']}"
        time.sleep(_POLL_SECONDS)
    raise Failure(
        f"the request was not taken up within {_STARTED_SECONDS:.0f} s; does the policy's triggers name manual? "
        "python -m local status shows the queues"
    )


def _newest(settings: Settings, aws: Aws, outputs: Outputs) -> str | None:
    key: str | None = _item(aws, outputs, f"newest#{settings.workload}").get("key", {}).get("S")
    return key


def _item(aws: Aws, outputs: Outputs, name: str) -> dict[str, Any]:
    found = aws.client("dynamodb").get_item(TableName=outputs.runs_table, Key={"run": {"S": name}}, ConsistentRead=True)
    item: dict[str, Any] = found.get("Item", {})
    return item
