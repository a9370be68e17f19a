"""What the machine writes down: what serves, what has served, and who brought it about."""

from __future__ import annotations

from collections.abc import Mapping

from constructs_lib.asl import JSON, State, jsonata, now_seconds, task
from constructs_lib.machines.common import CALL_SECONDS, HOUR, Surroundings, earlier_packages, record, run_record, text
from constructs_lib.machines.deployment.parts import DeploymentParts

GIVEN = "$states.input"
_ITEM = "$states.result.Item"

EARLIER_KEPT = 10
"""So many versions that served before are remembered; those that were rejected since are among them."""


def served_key() -> str:
    """The JSONata of the item that says of a package that it has served."""
    return f"'served#' & {GIVEN}.model_package_arn"


def read_live(s: Surroundings) -> State:
    """Reads what serves, as the last deployment that went well has written it."""
    names = {
        "config": "config",
        "package": "model_package_arn",
        "previous_package": "previous_package_arn",
        "since": "since",
        "scaling": "scaling",
    }
    values = {name: jsonata(f"[{_ITEM}.{attribute}.S, 'none'][0]") for name, attribute in names.items()}
    return read_item(
        s,
        text(f"live#{s.workload}"),
        {
            "live": {
                **values,
                "earlier_packages": jsonata(earlier_packages(_ITEM)),
                "probation_until": jsonata(f"[{_ITEM}.probation_until.S, '0'][0]"),
            }
        },
    )


def read_item(s: Surroundings, key: str, assign: Mapping[str, JSON]) -> State:
    """Reads an item of the runs table; ``$states.result.Item`` is missing where there is none."""
    return task(
        "dynamodb:getItem",
        {"TableName": s.runs_table, "Key": {"run": {"S": jsonata(key)}}, "ConsistentRead": True},
        timeout=CALL_SECONDS,
        assign=assign,
    )


def record_served(s: Surroundings) -> State:
    """Writes down that this package has served: somebody may go back to it, by the golden answers that it gave."""
    return record(
        s,
        served_key(),
        {
            "workload": text(s.workload),
            "config": "$config_name",
            "golden_uri": "$golden_uri",
            "since": "$states.context.State.EnteredTime",
        },
    )


def record_live(s: Surroundings, p: DeploymentParts) -> State:
    """Writes down what serves now, and who wanted it."""
    return record(
        s,
        text(f"live#{s.workload}"),
        {
            "workload": text(s.workload),
            "endpoint": text(p.endpoint_name),
            "config": "$config_name",
            "model": "$model_name",
            "model_package_arn": f"{GIVEN}.model_package_arn",
            "model_sha256": "$package.model_sha256",
            "run_id": "$package.run_id",
            "since": "$states.context.State.EnteredTime",
            "cause": "$by.cause",
            "actor": "$by.actor",
            "reason": "$by.reason",
            **({"probation_until": probation_until(p.probation_hours)} if p.probation_hours is not None else {}),
        },
    )


def probation_until(hours: int) -> str:
    """The JSONata of the epoch second at which late labels lose their say, as a text.

    Who was gone back to is on no probation: labels about the version that was left must not take it back as well.
    """
    return f"$string($rollback ? 0 : {now_seconds()} + {hours * HOUR})"


def record_previous(s: Surroundings) -> State:
    """Writes down the last good configuration, which is kept, and its version; the same one again is none before.

    Of all versions that served before, a rollback does not add the one that was left: its approval is taken back.
    """
    same = f"$live.package = {GIVEN}.model_package_arn"
    before = f"{same} ? $live.previous_package : $live.package"
    left = "$append($rollback ? [] : [$live.package], $live.earlier_packages)"
    others = f"$filter({left}, function($each) {{ $each != 'none' and $each != {GIVEN}.model_package_arn }})"
    return record(
        s,
        text(f"live#{s.workload}"),
        {
            "previous_config": "$previous",
            "previous_package_arn": before,
            "earlier_package_arns": f"($others := {others}; $string([$others[[0..{EARLIER_KEPT - 1}]]]))",
        },
    )


def record_run(s: Surroundings, p: DeploymentParts) -> State:
    """Completes the run's record."""
    return run_record(
        s,
        "deployment",
        {
            "status": "'succeeded'",
            "model_package_arn": f"{GIVEN}.model_package_arn",
            "model_sha256": "$package.model_sha256",
            "image": "$package.image",
            "endpoint": text(p.endpoint_name),
            "config": "$config_name",
            "golden_uri": "$golden_uri",
            "cause": "$by.cause",
            "actor": "$by.actor",
            "reason": "$by.reason",
        },
    )


def done(p: DeploymentParts) -> Mapping[str, JSON]:
    """The machine's output."""
    return {
        "endpoint": p.endpoint_name,
        "config": jsonata("$config_name"),
        "model_package_arn": jsonata(f"{GIVEN}.model_package_arn"),
    }
