"""Going back by score: the version that served before is better on the rows whose truth is known by now.

The monitor's job scores it only where the answers of the serving model are worse than they have to be. A version whose
approval was taken back is no candidate, so two versions cannot take turns. Where another version has come to serve
while the job ran, nobody goes back: that one was not judged.
"""

from __future__ import annotations

from typing import Literal

from constructs_lib.asl import UNNAMED_SAGEMAKER, Catch, State, choice, go_to, jsonata, task
from constructs_lib.machines.common import (
    CALL_SECONDS,
    Surroundings,
    artefact_of_package,
    find_live,
    find_object,
    text,
)

Way = Literal["propose", "perform"]

NOTHING = {"earlier_uri": "none", "earlier_there": False}
"""Variables before an earlier version was looked for."""

ACTOR = "the monitor"
CAUSE = "score"

_EARLIER = "$previous_arn"


def finding_states(s: Surroundings, bucket: str, following: str) -> dict[str, State]:
    """Returns the states that look for the version that served before; whatever goes wrong leaves it out.

    Args:
        bucket: Where models lie.
        following: The state to go on with.
    """
    candidate = f"$labelled and {_EARLIER} != 'none' and {_EARLIER} != $live_arn"
    key = f"$substringAfter($earlier_uri, '{bucket}/')"
    found = find_object(s, bucket, key, "earlier_there", on_failure=following, failure="earlier_failure")
    return {
        "HasEarlier": choice([(candidate, "DescribeEarlier")], default=following),
        "DescribeEarlier": describe_earlier(following),
        "IsEarlierApproved": choice([("$earlier_uri != 'none'", "FindEarlier")], default=following),
        "FindEarlier": go_to(following, found),
    }


def describe_earlier(following: str) -> State:
    """Finds out where the archive of the earlier version is, if the version is still approved."""
    return task(
        "aws-sdk:sagemaker:describeModelPackage",
        {"ModelPackageName": jsonata(_EARLIER)},
        timeout=CALL_SECONDS,
        assign={
            "earlier_uri": jsonata(
                f"$states.result.ModelApprovalStatus = 'Approved' ? {artefact_of_package()} : 'none'"
            )
        },
        on_failure=following,
        failure="earlier_failure",
        retry_also=UNNAMED_SAGEMAKER,
    )


def rollback_states(s: Surroundings, way: Way, deployment_machine_arn: str, following: str) -> dict[str, State]:
    """Returns the states that propose to go back to a better version, or do it.

    Args:
        way: Which of the two.
        deployment_machine_arn: Goes back.
        following: The state to go on with.
    """
    doing = (
        {"ProposeRollback": go_to(following, propose(s, deployment_machine_arn))}
        if way == "propose"
        else {"BeginRollback": go_to(following, begin_rollback(s, deployment_machine_arn, following))}
    )
    return {
        "IsEarlierBetter": choice([("$found.earlier.better = true", "ReadLiveAgain")], default=following),
        "ReadLiveAgain": find_live(s, "still_live_arn"),
        "StillServes": choice([("$still_live_arn = $live_arn", "AuditScore")], default=following),
        "AuditScore": audit_score(s, way),
        **doing,
    }


def audit_score(s: Surroundings, way: Way) -> State:
    """Writes into the audit trail which version is better than the one that serves, and by how much."""
    kind = "rollback-proposed" if way == "propose" else "rollback-by-score"
    return task(
        "dynamodb:putItem",
        {
            "TableName": s.audit_table,
            "Item": {
                "workload": {"S": s.workload},
                "event": {"S": jsonata(f"'{kind}#' & $states.input.run_id")},
                "model_package_arn": {"S": jsonata(_EARLIER)},
                "serving": {"S": jsonata("$live_arn")},
                "by": {"S": ACTOR},
                "reason": {"S": jsonata("$found.earlier.text")},
                "report_uri": {"S": jsonata("$report_uri")},
                "at": {"S": jsonata("$states.input.as_of")},
            },
        },
        timeout=CALL_SECONDS,
    )


def propose(s: Surroundings, deployment_machine_arn: str) -> State:
    """Tells the topic which version is better, and how to go back to it."""
    wish = (
        f"$string({{'action': 'rollback', 'actor': 'you', 'reason': $found.earlier.text, "
        f"'model_package_arn': {_EARLIER}}})"
    )
    command = f"'aws stepfunctions start-execution --state-machine-arn {deployment_machine_arn} --input ' & $quoted"
    message = (
        f"{{'machine': 'monitoring', 'event': 'a version that served before is better', "
        f"'workload': {text(s.workload)}, 'run_id': $states.input.run_id, 'serving': $live_arn, "
        f"'better': {_EARLIER}, 'reason': $found.earlier.text, 'report_uri': $report_uri, 'command': {command}}}"
    )
    return task(
        "sns:publish",
        {
            "TopicArn": s.topic_arn,
            "Subject": f"{s.prefix}monitoring proposes a rollback",
            "Message": jsonata(f'($quoted := "\'" & {wish} & "\'"; $string({message}))'),
        },
        timeout=CALL_SECONDS,
    )


def begin_rollback(s: Surroundings, deployment_machine_arn: str, following: str) -> State:
    """Starts the deployment machine, which goes back; one start per run of the monitor."""
    wish = {
        "run_id": jsonata("$states.input.run_id & '-score'"),
        "workload": s.workload,
        "action": "rollback",
        "cause": CAUSE,
        "actor": ACTOR,
        "reason": jsonata("$found.earlier.text"),
        "model_package_arn": jsonata(_EARLIER),
        "triggered_by": "monitoring",
    }
    return task(
        "states:startExecution",
        {
            "StateMachineArn": deployment_machine_arn,
            "Name": jsonata("$states.input.run_id & '-score'"),
            "Input": wish,
        },
        timeout=CALL_SECONDS,
        catch=[Catch(["StepFunctions.ExecutionAlreadyExistsException"], following)],
    )
