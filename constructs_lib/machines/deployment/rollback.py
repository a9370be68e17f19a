"""Going back on purpose: to a version that has served, because somebody wants it and says why."""

from __future__ import annotations

from constructs_lib.asl import State, choice, jsonata, now_seconds, succeed, task
from constructs_lib.machines.common import CALL_SECONDS, Surroundings, own_failure, text
from constructs_lib.machines.deployment.records import GIVEN, read_item, served_key

ROLLBACK = "rollback"
PROBATION = "probation"
_LONGEST_REASON = 800


def begin(s: Surroundings) -> State:
    """Completes the input, so that a person needs to say no more than what they want, and notes who wants it."""
    asked = f"{GIVEN}.action = '{ROLLBACK}'"
    given = {name: f"[{GIVEN}.{name}, {text(other)}][0]" for name, other in (("actor", "nobody"), ("reason", "none"))}
    whole = f"{{'run_id': $states.context.Execution.Name, 'workload': {text(s.workload)}}}"
    return {
        "Type": "Pass",
        "Assign": {
            "package": {"run_id": "none"},
            "rollback": jsonata(asked),
            "golden_uri": "none",
            "by": {
                "cause": jsonata(f"{asked} ? [{GIVEN}.cause, 'rollback'][0] : 'approval'"),
                "actor": jsonata(f"$substring({asked} ? {given['actor']} : 'the approval', 0, 200)"),
                "reason": jsonata(
                    f"$substring({asked} ? {given['reason']} : 'the version was approved', 0, {_LONGEST_REASON})"
                ),
            },
        },
        "Output": jsonata(f"$merge([{whole}, {GIVEN}])"),
    }


def what_is_asked() -> State:
    """Tells a deployment from a rollback; a wish that is neither, or without actor and reason, is refused."""
    over = f"$rollback and $by.cause = '{PROBATION}' and $number($live.probation_until) <= {now_seconds()}"
    says = " and ".join(f"$exists({GIVEN}.{each}) and $trim({GIVEN}.{each}) != ''" for each in ("actor", "reason"))
    return choice(
        [
            (over, "ProbationOver"),
            (f"$rollback and {says}", "FindVersion"),
            (f"$not($exists({GIVEN}.action)) and $exists({GIVEN}.model_package_arn)", "DescribePackage"),
        ],
        default="BadRequest",
    )


def probation_over() -> State:
    """Labels that come after the probation change nothing: people were told by the alarm."""
    return succeed({"taken_back": False, "model_package_arn": jsonata("$live.package")})


def bad_request() -> State:
    return own_failure(
        "BadRequest",
        "'given is ' & $string($keys($states.input)) & '; allowed: model_package_arn, or action rollback with actor "
        "and reason, none of them empty'",
    )


def find_version() -> State:
    """Takes the version that served before the present one, where no other is asked for."""
    version = f"[{GIVEN}.model_package_arn, $live.previous_package][0]"
    return {"Type": "Pass", "Output": jsonata(f"$merge([{GIVEN}, {{'model_package_arn': {version}}}])")}


def read_served(s: Surroundings) -> State:
    """Asks whether the version has served, and for the golden answers that it gave then."""
    item = "$states.result.Item"
    return read_item(s, served_key(), {"golden_uri": jsonata(f"[{item}.golden_uri.S, 'none'][0]")})


def has_served() -> State:
    """Only a version that has served can be gone back to; the one that serves need not."""
    other = f"{GIVEN}.model_package_arn != $live.package"
    return choice([(f"$golden_uri != 'none' and {other}", "DescribePackage")], default="NeverServed")


def never_served() -> State:
    return own_failure(
        "NeverServed",
        f"{GIVEN}.model_package_arn = $live.package ? 'it serves already: ' & $live.package : "
        f"'no version of this name has served before: ' & {GIVEN}.model_package_arn",
    )


def audit_rollback(s: Surroundings) -> State:
    """Writes into the audit trail who went back from what to what, and why."""
    return task(
        "dynamodb:putItem",
        {
            "TableName": s.audit_table,
            "Item": {
                "workload": {"S": s.workload},
                "event": {"S": jsonata(f"'model-rolled-back#' & {GIVEN}.run_id")},
                "model_package_arn": {"S": jsonata(f"{GIVEN}.model_package_arn")},
                "rolled_back_from": {"S": jsonata("$live.package")},
                "cause": {"S": jsonata("$by.cause")},
                "actor": {"S": jsonata("$by.actor")},
                "reason": {"S": jsonata("$by.reason")},
                "execution": {"S": jsonata("$states.context.Execution.Id")},
                "at": {"S": jsonata("$states.context.State.EnteredTime")},
            },
        },
        timeout=CALL_SECONDS,
    )


def reject_left() -> State:
    """Takes the approval of the version back that was left: it would be the champion that no endpoint serves."""
    return task(
        "aws-sdk:sagemaker:updateModelPackage",
        {
            "ModelPackageArn": jsonata("$live.package"),
            "ModelApprovalStatus": "Rejected",
            "ApprovalDescription": jsonata("'RolledBack: ' & $by.cause & ' by ' & $by.actor & ': ' & $by.reason"),
        },
        timeout=CALL_SECONDS,
        on_failure="TellOfRollback",
        failure="reject_failure",
    )


def tell_of_rollback(s: Surroundings) -> State:
    """Tells the topic that another version serves, who wanted it and why."""
    message = (
        f"{{'machine': 'deployment', 'event': 'rolled back', 'workload': {text(s.workload)}, "
        f"'run_id': {GIVEN}.run_id, 'execution': $states.context.Execution.Id, 'from': $live.package, "
        f"'to': {GIVEN}.model_package_arn, 'cause': $by.cause, 'actor': $by.actor, 'reason': $by.reason}}"
    )
    return task(
        "sns:publish",
        {
            "TopicArn": s.topic_arn,
            "Subject": f"{s.prefix}deployment rolled back",
            "Message": jsonata(f"$string({message})"),
        },
        timeout=CALL_SECONDS,
        on_failure="RecordRun",
        failure="notify_failure",
    )
