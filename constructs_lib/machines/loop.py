"""The loop machine: for a landed batch, runs the data machine, then the model machine, one batch at a time.

Input, as the starter gives it: ``{"run_id", "workload", "batch_uri", "as_of", "bundle", "triggered_by"}``, and where
somebody asked for a training ``asked``: ``{"trigger", "as_of", "reason", "by", "event"}``.
Output: the model machine's. The approval of the model, not this machine, starts the deployment.

Where the workload has a policy of trainings, it is asked between the two machines, whoever has caused the run, and is
told how the training came out. A run that it lets not train ends well, with the same output as that of a model that was
turned down, and ``decision``: why.
"""

from __future__ import annotations

from dataclasses import dataclass

from constructs_lib.asl import (
    FAILURE_STATE,
    JSON,
    Catch,
    State,
    choice,
    go_to,
    jsonata,
    machine,
    now_seconds,
    redrives,
    remember,
    retries,
    succeed,
    task,
    wait,
)
from constructs_lib.machines import data, model
from constructs_lib.machines.common import (
    CALL_SECONDS,
    CONDITION_FAILED,
    HOUR,
    MINUTE,
    Surroundings,
    failure_states,
    own_failure,
    release_lease,
    run_record,
)

FINAL_ERRORS = (*data.FINAL_ERRORS, *model.FINAL_ERRORS)
"""Errors of the nested machines that a redrive would meet again."""

_LEASE_SECONDS = 48 * HOUR
_WAIT_SECONDS = 60 * HOUR
_LEASE_POLL_SECONDS = 3 * MINUTE
"""Asking for the lease takes 9 events, and an execution ends when it has 25,000: that is 45 hours at one a minute."""
_DATA_SECONDS = 13 * HOUR
_MODEL_SECONDS = 25 * HOUR


@dataclass(frozen=True)
class LoopParts:
    """Names the machines that the loop runs; both may be tokens.

    Args:
        data_machine_arn: Makes the dataset.
        model_machine_arn: Makes the model.
        decide_retrain_arn: The function that answers for the policy of trainings. Default: every batch trains.
    """

    data_machine_arn: str
    model_machine_arn: str
    decide_retrain_arn: str | None = None


def loop_machine(s: Surroundings, p: LoopParts) -> State:
    """Returns the definition."""
    asking, unchanged, told, failed = policy_states(s, p.decide_retrain_arn)
    return machine(
        f"Runs the data and the model pipeline of {s.workload} for a landed batch",
        {
            "Begin": remember({"patience": jsonata(f"{now_seconds()} + {_WAIT_SECONDS}")}),
            "AcquireLease": acquire_lease(s),
            "RunData": run_data(p),
            **asking,
            "RunModel": run_model(p, decided=bool(asking)),
            "RecordRun": record_run(s, decided=bool(asking)),
            **told,
            "IsApproved": choice([("$outcome.approved", "AwaitDeployment")], default="ReleaseLease"),
            "AwaitDeployment": succeed(jsonata("$outcome")),
            "ReleaseLease": release_lease(s, "$states.input.run_id", on_failure="Done"),
            "Done": succeed(jsonata("$outcome")),
            **unchanged,
            "LeaseTaken": choice([(f"{now_seconds()} < $patience", "WaitForLease")], default="LeaseTimeout"),
            "WaitForLease": go_to("AcquireLease", wait(_LEASE_POLL_SECONDS)),
            "LeaseTimeout": own_failure("LeaseTimeout", "'another run has held the lease for too long'"),
            **failure_states(
                s,
                "loop",
                final=FINAL_ERRORS,
                resume_at="Begin",
                release={
                    **failed,
                    "ReleaseLeaseOfFailed": release_lease(s, "$states.input.run_id", on_failure="ResumeOrFail"),
                },
            ),
        },
        timeout=5 * 24 * HOUR,
    )


def policy_states(
    s: Surroundings, function_arn: str | None
) -> tuple[dict[str, State], dict[str, State], dict[str, State], dict[str, State]]:
    """Returns the states that ask the policy, end a run that it lets not train, and tell it of an end, good and bad."""
    if function_arn is None:
        return {}, {}, {}, {}
    judged = jsonata("$outcome.registered ? 'promoted' : 'refused'")
    return (
        {
            "AskPolicy": ask_policy(function_arn),
            "MayTrain": choice([("$decided.retrain", "RunModel")], default="RecordUnchanged"),
        },
        {
            "RecordUnchanged": record_unchanged(s),
            "ReleaseUntrained": release_lease(s, "$states.input.run_id", on_failure="Unchanged"),
            "Unchanged": succeed(
                {
                    "approved": False,
                    "registered": False,
                    "model_package_arn": "none",
                    "rules": [],
                    "decision": jsonata("$decided.text"),
                }
            ),
        },
        {"TellPolicy": tell_policy(function_arn, judged)},
        {
            "TellPolicyOfFailure": tell_policy(
                function_arn, "failed", on_failure="ReleaseLeaseOfFailed", failure="tell_failure"
            )
        },
    )


def ask_policy(function_arn: str) -> State:
    """Asks whether this run trains."""
    return task(
        "lambda:invoke",
        {
            "FunctionName": function_arn,
            "Payload": {
                **_told("decide"),
                "decision_id": jsonata(f"$states.context.Execution.Name & '-' & {redrives()}"),
                "event": jsonata("[$states.input.asked.event, $states.input.triggered_by.event, ''][0]"),
                "dataset": {"version": jsonata("$dataset.version"), "splits": jsonata("$dataset.splits")},
            },
        },
        timeout=2 * MINUTE,
        assign={"decided": jsonata("$states.result.Payload")},
    )


def tell_policy(function_arn: str, outcome: str, *, on_failure: str = FAILURE_STATE, failure: str = "failure") -> State:
    """Tells how the training of this run came out; it may never have begun."""
    return task(
        "lambda:invoke",
        {"FunctionName": function_arn, "Payload": {**_told("ended"), "outcome": outcome}},
        timeout=2 * MINUTE,
        on_failure=on_failure,
        failure=failure,
    )


def _told(action: str) -> dict[str, JSON]:
    return {
        "action": action,
        "run_id": jsonata("$states.input.run_id"),
        "as_of": jsonata("$states.input.as_of"),
        "asked": jsonata("$exists($states.input.asked) ? $states.input.asked : {}"),
    }


def acquire_lease(s: Surroundings) -> State:
    """Takes the workload's lease when it is free, has run out, or is ours already."""
    return task(
        "dynamodb:putItem",
        {
            "TableName": s.leases_table,
            "Item": {
                "lease": {"S": s.workload},
                "owner": {"S": jsonata("$states.input.run_id")},
                "expires": {"N": jsonata(f"$string({now_seconds()} + {_LEASE_SECONDS})")},
            },
            "ConditionExpression": "attribute_not_exists(lease) OR expires < :now OR #owner = :owner",
            "ExpressionAttributeNames": {"#owner": "owner"},
            "ExpressionAttributeValues": {
                ":now": {"N": jsonata(f"$string({now_seconds()})")},
                ":owner": {"S": jsonata("$states.input.run_id")},
            },
        },
        timeout=CALL_SECONDS,
        catch=[Catch(CONDITION_FAILED, "LeaseTaken")],
    )


def run_data(p: LoopParts) -> State:
    """Makes the dataset."""
    return nested(
        p.data_machine_arn,
        "d",
        {},
        timeout=_DATA_SECONDS,
        assign={"dataset": jsonata("$states.result.Output.dataset")},
    )


def run_model(p: LoopParts, *, decided: bool) -> State:
    """Makes the model.

    Args:
        decided: Whether a policy has let the run train, and said whether to search hyperparameters.
    """
    return nested(
        p.model_machine_arn,
        "m",
        {"dataset": "$dataset", **({"search": "$decided.search"} if decided else {})},
        timeout=_MODEL_SECONDS,
        assign={"outcome": jsonata("$states.result.Output")},
    )


def nested(machine_arn: str, letter: str, more: dict[str, str], *, timeout: int, assign: dict[str, JSON]) -> State:
    """Runs another machine to its end, with our input and more.

    Args:
        machine_arn: The machine.
        letter: Tells its executions from those of other machines: ``<run_id>-<letter><redrives>-<retries>``.
        more: Name to JSONata, added to the input.
        timeout: Seconds.
        assign: Variables to set from the finished execution.
    """
    added = ", ".join(
        ["'AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID': $states.context.Execution.Id"]
        + [f"'{name}': {value}" for name, value in more.items()]
    )
    return task(
        "states:startExecution.sync:2",
        {
            "StateMachineArn": machine_arn,
            "Name": jsonata(f"$states.input.run_id & '-{letter}' & {redrives()} & '-' & {retries()}"),
            "Input": jsonata(f"$merge([$states.input, {{{added}}}])"),
        },
        timeout=timeout,
        assign=assign,
    )


def record_run(s: Surroundings, *, decided: bool) -> State:
    """Completes the run's record.

    Args:
        decided: Whether a policy has let the run train.
    """
    return run_record(
        s,
        "loop",
        {
            **_went_in(),
            "outcome": "$outcome.approved ? 'approved' : ($outcome.registered ? 'awaits approval' : 'rejected')",
            "model_package_arn": "$outcome.model_package_arn",
            **(_decision() if decided else {}),
        },
    )


def record_unchanged(s: Surroundings) -> State:
    """Completes the record of a run that was not to train."""
    return run_record(s, "loop", {**_went_in(), "outcome": "'did not retrain'", **_decision()})


def _went_in() -> dict[str, str]:
    return {
        "status": "'succeeded'",
        "as_of": "$states.input.as_of",
        "batch_uri": "$states.input.batch_uri",
        "bundle": "$states.input.bundle.bundle",
        "commit": "$states.input.bundle.commit",
        "dataset_version": "$dataset.version",
    }


def _decision() -> dict[str, str]:
    return {
        "trigger": "$decided.trigger",
        "decision": "$substring($decided.text, 0, 4000)",
        "decision_rules": "$substring($string($decided.rules), 0, 8000)",
        "search": "$string($decided.search)",
    }
