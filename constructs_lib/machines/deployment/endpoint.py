"""What the machine sees of the endpoint, and what it asks of it: to be made, to be updated, to be removed."""

from __future__ import annotations

from constructs_lib.asl import (
    FAILURE_STATE,
    JSON,
    UNNAMED_SAGEMAKER,
    State,
    choice,
    expression,
    go_to,
    jsonata,
    now_seconds,
    remember,
    task,
)
from constructs_lib.machines.common import CALL_SECONDS, HOUR, failure_kept, own_failure, text
from constructs_lib.machines.deployment.parts import VARIANT, DeploymentParts
from constructs_lib.machines.deployment.strategy import Rollout, deployment_config

IN_PROGRESS = "['Creating', 'Updating', 'SystemUpdating', 'RollingBack', 'Deleting']"
HALF_BACK = "UpdateRollbackFailed"
"""Neither the rolling deployment nor its rollback went through: old and new instances serve side by side."""

_SETTLE_SECONDS = 2 * HOUR
_CREATION_SECONDS = 1 * HOUR
_MOST_RESTORES = 60
"""How often the machine tries again to go back, where there are no machines for that or it is refused: two hours."""

_TRY_AGAIN = ("in-progress", "Rate exceeded", "ThrottlingException")
"""What a refusal says that is none of the request's fault: another change goes on, or there were too many requests."""

PREVIOUS = "$previous != 'none' ? $previous : ($live.config != 'none' ? $live.config : $endpoint.config)"
"""The JSONata of what to go back to: what was verified, not what a deployment that was cancelled has left."""

AT_ONCE = Rollout("all_at_once", 1)
"""How the machine goes back: the whole traffic, and no longer than SageMaker makes it."""


def begin_rollout() -> State:
    """Sets out: nothing is created or replaced yet."""
    return remember(
        {
            "created": False,
            "compared": False,
            "restores": 0,
            "previous": "none",
            "endpoint": {"status": "unknown", "config": "none"},
            "deadline": settled_by(),
        }
    )


def settled_by() -> JSON:
    """Until when others may change the endpoint before nobody waits any longer."""
    return jsonata(f"{now_seconds()} + {_SETTLE_SECONDS}")


def describe_endpoint(p: DeploymentParts) -> State:
    """Looks at the endpoint before touching it."""
    return task(
        "aws-sdk:sagemaker:describeEndpoint",
        {"EndpointName": p.endpoint_name},
        timeout=CALL_SECONDS,
        assign=seen_endpoint(),
        on_failure="EndpointMissing",
    )


def look_again(p: DeploymentParts, failure: str = "failure", on_failure: str = FAILURE_STATE) -> State:
    """Looks how far the endpoint is.

    Args:
        failure: The variable that keeps an error.
        on_failure: Where to go when it cannot be looked at.
    """
    return task(
        "aws-sdk:sagemaker:describeEndpoint",
        {"EndpointName": p.endpoint_name},
        timeout=CALL_SECONDS,
        assign=seen_endpoint(),
        on_failure=on_failure,
        failure=failure,
        retry_also=UNNAMED_SAGEMAKER,
    )


def seen_endpoint() -> dict[str, JSON]:
    """The variable that keeps an endpoint's state, configuration and reason of failure."""
    result = "$states.result"
    return {
        "endpoint": {
            "status": jsonata(f"{result}.EndpointStatus"),
            "config": jsonata(f"[{result}.EndpointConfigName, ''][0]"),
            "reason": jsonata(f"[{result}.FailureReason, 'no reason given'][0]"),
        }
    }


def endpoint_missing() -> State:
    """The first deployment finds no endpoint."""
    return choice([("$contains($failure.cause, 'Could not find')", "CreateEndpoint")], default=FAILURE_STATE)


def endpoint_ready(clearing: str) -> State:
    """Updates what serves, clears away what failed, and waits for whatever else goes on there.

    Args:
        clearing: The first state of clearing away.
    """
    return choice(
        [
            ("$endpoint.status = 'InService' and $endpoint.config = $config_name", "GoldenAfter"),
            (f"$endpoint.status in ['InService', '{HALF_BACK}']", "DescribeServing"),
            ("$endpoint.status = 'Failed'", clearing),
            (f"$endpoint.status in {IN_PROGRESS} and {now_seconds()} < $deadline", "WaitForEndpoint"),
        ],
        default="EndpointBusy",
    )


def describe_serving() -> State:
    """Reads how many instances the configuration in service was declared to have, and which model it serves."""
    variant = f"$states.result.ProductionVariants[VariantName = '{VARIANT}']"
    return task(
        "aws-sdk:sagemaker:describeEndpointConfig",
        {"EndpointConfigName": jsonata("$endpoint.config")},
        timeout=CALL_SECONDS,
        assign={
            "serving": {
                "count": jsonata(f"[{variant}.InitialInstanceCount, 0][0]"),
                "model": jsonata(f"[{variant}.ModelName, 'none'][0]"),
            }
        },
        retry_also=UNNAMED_SAGEMAKER,
    )


def ask_alarms(p: DeploymentParts, on_failure: str = FAILURE_STATE) -> State:
    """Asks which of the endpoint's alarms are on: an alarm that is on already could not stop a rollout.

    Args:
        on_failure: Where to go when they cannot be asked.
    """
    return task(
        "aws-sdk:cloudwatch:describeAlarms",
        {"AlarmNames": list(p.alarm_names), "StateValue": "ALARM"},
        timeout=CALL_SECONDS,
        assign={"noisy": jsonata("[$states.result.MetricAlarms.AlarmName]")},
        on_failure=on_failure,
    )


def alarms_quiet(following: str, *others: tuple[str, str]) -> State:
    """Changes nothing while an alarm is on, unless it is to get rid of what set it off.

    Args:
        others: Pairs of a condition and the state to go to while an alarm is on.
    """
    return choice([("$rollback or $count($noisy) = 0", following), *others], default="AlarmAlreadyOn")


def alarm_already_on() -> State:
    return own_failure("AlarmAlreadyOn", "'alarms on before anything was changed: ' & $join($noisy, ', ')")


def update_endpoint(p: DeploymentParts) -> State:
    """Replaces the old fleet by a guarded rollout.

    Where an alarm is on already, somebody goes back because of it, and it must not undo that. From the mixture that a
    failed rollback has left there is no rolling on.
    """
    guarded = deployment_config(p.rollout, p.alarm_names)
    back = deployment_config(AT_ONCE, [])
    config = expression(guarded)
    if p.rollout.strategy == "rolling":
        whole = deployment_config(AT_ONCE, p.alarm_names)
        config = f"$endpoint.status = '{HALF_BACK}' ? {expression(whole)} : {config}"
    config = f"$rollback and $count($noisy) > 0 ? {expression(back)} : ({config})"
    return task(
        "aws-sdk:sagemaker:updateEndpoint",
        {
            "EndpointName": p.endpoint_name,
            "EndpointConfigName": jsonata("$config_name"),
            **retained(p, f"$serving.count != {p.fleet.instance_count}"),
            "DeploymentConfig": jsonata(config),
        },
        timeout=CALL_SECONDS,
        assign={
            "previous": jsonata(PREVIOUS),
            "since": jsonata("$states.context.State.EnteredTime"),
            "deadline": jsonata(f"{now_seconds()} + {p.rollout.seconds + HOUR}"),
        },
        on_failure="UpdateRefused",
    )


def retained(p: DeploymentParts, resized: str = "false") -> dict[str, JSON]:
    """Keeps the desired instance count, which scaling may have changed, and nothing else of the old variant.

    Args:
        resized: The JSONata of whether the workload's file asks for another number of instances than before, which
            then counts, unless the number follows the requests anyhow.
    """
    if p.fleet.on_demand is not None:
        return {}
    resized = resized if p.scaling is None else "false"
    always = [{"VariantPropertyType": "DesiredWeight"}, {"VariantPropertyType": "DataCaptureConfig"}]
    count = [{"VariantPropertyType": "DesiredInstanceCount"}]
    excluded = f"{resized} ? {expression([*always, *count])} : {expression(always)}"
    return {
        "RetainAllVariantProperties": True,
        "ExcludeRetainedVariantProperties": always if resized == "false" else jsonata(excluded),
    }


def refused(following: str, otherwise: str = FAILURE_STATE) -> State:
    """Tries again what was refused because of something else that goes on; any other refusal is a failure.

    Args:
        following: Where to go to try again.
        otherwise: Where to go when it is refused for good, or has been for too long.
    """
    return choice([(f"({_for_now('failure')}) and {now_seconds()} < $deadline", following)], default=otherwise)


def _for_now(failure: str) -> str:
    """The JSONata of whether something was refused only because of something else that goes on.

    Args:
        failure: The variable that keeps the refusal.
    """
    return " or ".join(f"$contains(${failure}.cause, {text(each)})" for each in _TRY_AGAIN)


def create_endpoint(p: DeploymentParts) -> State:
    """Makes the endpoint: from now on a failure removes it again."""
    return task(
        "aws-sdk:sagemaker:createEndpoint",
        {"EndpointName": p.endpoint_name, "EndpointConfigName": jsonata("$config_name")},
        timeout=CALL_SECONDS,
        assign={
            "created": True,
            "since": jsonata("$states.context.State.EnteredTime"),
            "deadline": jsonata(f"{now_seconds()} + {_CREATION_SECONDS}"),
        },
        on_failure="CreateRefused",
    )


def rollout_over(
    following: str = "GoldenAfter", config: str = "$config_name", waiting: str = "WaitForRollout"
) -> State:
    """Goes on when the endpoint serves the *new* configuration; serving the old one again is a silent rollback."""
    return choice(
        [
            (f"$endpoint.status = 'InService' and $endpoint.config = {config}", following),
            ("$endpoint.status in ['InService', 'Failed'] and $contains($endpoint.reason, 'apacity')", "NoCapacity"),
            ("$endpoint.status = 'InService'", "SilentRollback"),
            (f"$endpoint.status in {IN_PROGRESS} and {now_seconds()} < $deadline", waiting),
            (f"$endpoint.status in {IN_PROGRESS}", "RolloutStuck"),
            (f"$endpoint.status = '{HALF_BACK}'", "RollbackFailed"),
        ],
        default="EndpointFailed",
    )


def watch_predictions(p: DeploymentParts) -> dict[str, State]:
    """Returns the state that has the predictions of old and new fleet together compared with those before.

    Its metric sets an alarm off that takes the rollout back; when it fails, the other alarms remain.
    """
    if p.watch_predictions_arn is None:
        return {}
    given = {"since": jsonata("$since"), "as_of": jsonata("$states.context.State.EnteredTime")}
    watched = task(
        "lambda:invoke",
        {"FunctionName": p.watch_predictions_arn, "Payload": given},
        timeout=2 * CALL_SECONDS,
        on_failure="DescribeRollout",
        failure="watch_failure",
    )
    return {"WatchPredictions": watched}


def silent_rollback() -> State:
    """The endpoint serves, but the old configuration: an alarm went off and SageMaker took the new one back.

    The old one is what was there, which need not be what was verified: an experiment whose winner this was to be, or
    what a deployment that was cancelled has left.
    """
    return failure_kept(
        "SilentRollback",
        "'the endpoint serves ' & $endpoint.config & ' instead of the new configuration: ' & $endpoint.reason",
    )


def no_capacity() -> State:
    """AWS had no machines; the model is not to blame, and a redrive tries again."""
    return failure_kept("NoCapacity", "'the endpoint serves as before: ' & $endpoint.reason")


def rollback_failed() -> State:
    """SageMaker could go neither on nor back; the machine goes back by a second fleet."""
    return failure_kept("RollbackFailed", "'old and new instances serve side by side: ' & $endpoint.reason")


def rollout_stuck() -> State:
    return failure_kept("RolloutStuck", "'the endpoint is still ' & $endpoint.status & ' after the deadline'")


def endpoint_failed() -> State:
    return failure_kept("EndpointFailed", "'the endpoint is ' & $endpoint.status & ': ' & $endpoint.reason")


def endpoint_busy() -> State:
    return failure_kept("EndpointBusy", "'the endpoint is ' & $endpoint.status & '; it has to be InService'")


def delete_endpoint(p: DeploymentParts) -> State:
    """Deletes an endpoint that failed: it serves nobody and cannot be updated."""
    return task("aws-sdk:sagemaker:deleteEndpoint", {"EndpointName": p.endpoint_name}, timeout=CALL_SECONDS)


def take_back() -> State:
    """After a failure: removes an endpoint that was created, goes back to the configuration that served before."""
    return choice(
        [
            ("$created", "RemoveEndpoint"),
            (
                f"$endpoint.status in ['InService', '{HALF_BACK}'] and $previous != 'none' "
                f"and ($endpoint.config != $previous or $endpoint.status = '{HALF_BACK}')",
                "RestorePrevious",
            ),
        ],
        default=FAILURE_STATE,
    )


def remove_endpoint(p: DeploymentParts) -> State:
    """Leaves no endpoint behind that was not there before."""
    return go_to(
        FAILURE_STATE,
        task(
            "aws-sdk:sagemaker:deleteEndpoint",
            {"EndpointName": p.endpoint_name},
            timeout=CALL_SECONDS,
            failure="remove_failure",
        ),
    )


def restore_previous(p: DeploymentParts) -> State:
    """Puts the configuration back that served before; at once, since the new one answers wrongly.

    No alarm guards it: one that the new configuration set off would bring that configuration back.
    """
    return task(
        "aws-sdk:sagemaker:updateEndpoint",
        {
            "EndpointName": p.endpoint_name,
            "EndpointConfigName": jsonata("$previous"),
            **retained(p),
            "DeploymentConfig": deployment_config(AT_ONCE, []),
        },
        timeout=CALL_SECONDS,
        assign={"deadline": jsonata(f"{now_seconds()} + {AT_ONCE.seconds}")},
        on_failure="RestoreRefused",
        failure="restore_failure",
        retry_also=UNNAMED_SAGEMAKER,
    )


def restore_refused() -> State:
    """Goes back later where another change goes on, such as one of the number of instances; else all is left."""
    again = f"({_for_now('restore_failure')}) and $restores < {_MOST_RESTORES}"
    return choice([(again, "WaitToRestore")], default=FAILURE_STATE)


def look_to_restore(p: DeploymentParts) -> State:
    """Looks whether what is to be replaced still serves, before it is tried again."""
    look = look_again(p, "restore_failure")
    moved = "$states.result.EndpointConfigName != $endpoint.config"
    return {**look, "Assign": {**look["Assign"], "moved": jsonata(moved), "restores": jsonata("$restores + 1")}}


def still_to_restore() -> State:
    """Leaves alone what somebody else has put there meanwhile."""
    return choice(
        [
            ("$moved", FAILURE_STATE),
            (f"$endpoint.status in {IN_PROGRESS} and $restores < {_MOST_RESTORES}", "WaitToRestore"),
            (f"$endpoint.status in ['InService', '{HALF_BACK}']", "RestorePrevious"),
        ],
        default=FAILURE_STATE,
    )


def restore_over() -> State:
    """Ends as the failure that it is, once the endpoint has settled or has not in time; without machines, tries on."""
    there = "$endpoint.status = 'InService' and $endpoint.config = $previous"
    return choice(
        [
            (f"$endpoint.status in {IN_PROGRESS} and {now_seconds()} < $deadline", "WaitForRestore"),
            (
                f"$not({there}) and $contains($endpoint.reason, 'apacity') and $restores < {_MOST_RESTORES}",
                "WaitToRestore",
            ),
        ],
        default=FAILURE_STATE,
    )
