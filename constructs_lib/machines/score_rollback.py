"""Going back by score: a version that served before is better on the rows whose truth is known by now.

The monitor's job scores those that are kept only where the answers of the serving model are worse than they have to be,
and the best of those that are better is the one to go back to. A version whose approval was taken back is no candidate,
so no two versions can take turns. Where another version has come to serve while the job ran, nobody goes back: that one
was not judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from constructs_lib.asl import JSON, UNNAMED_SAGEMAKER, Catch, State, choice, for_each, go_to, jsonata, succeed, task
from constructs_lib.machines.common import (
    CALL_SECONDS,
    Surroundings,
    artefact_of_package,
    find_live,
    find_object,
    text,
)
from constructs_lib.machines.jobs import IN, input_files
from constructs_lib.names.monitoring_file import MOST_ROLLBACK_VERSIONS

Way = Literal["propose", "perform"]

NOTHING: dict[str, JSON] = {"earlier": []}
"""Variables before earlier versions were looked for."""

ACTOR = "the monitor"
CAUSE = "score"

_BEST = "$earlier[$found.earlier.place].arn"
_AT_ONCE = 3


@dataclass(frozen=True)
class GoingBack:
    """Whether and how to go back by score.

    Args:
        way: Whether to propose or to perform a rollback to a version that is better.
        deployment_machine_arn: The machine that goes back.
        versions: How many versions are scored at most, those that served last.
    """

    way: Way
    deployment_machine_arn: str
    versions: int = MOST_ROLLBACK_VERSIONS


def finding_states(s: Surroundings, bucket: str, versions: int, following: str) -> dict[str, State]:
    """Returns the states that look for versions that served before; whatever goes wrong with one leaves it out.

    Args:
        bucket: Where models lie.
        versions: How many are wanted at most.
        following: The state to go on with.
    """
    others = "$filter($earlier_arns, function($each) { $each != 'none' and $each != $live_arn })"
    found = "$filter($states.result, function($each) { $each.uri != 'none' })"
    look = for_each(
        f"[{others}]",
        version_states(s, bucket),
        at_once=_AT_ONCE,
        assign={"earlier": jsonata(f"($kept := {found}; [$kept[[0..{versions - 1}]]])")},
        on_failure=following,
    )
    return {
        "MayHaveEarlier": choice([("$labelled", "LookForEarlier")], default=following),
        "LookForEarlier": go_to(following, look),
    }


def version_states(s: Surroundings, bucket: str) -> dict[str, State]:
    """Returns the states that look whether a version is still approved and its archive still there."""
    key = f"$substringAfter($earlier_uri, '{bucket}/')"
    return {
        "DescribeEarlier": describe_earlier(),
        "IsEarlierApproved": choice([("$earlier_uri != 'none'", "FindEarlier")], default="NotKept"),
        "FindEarlier": find_object(s, bucket, key, "earlier_there", on_failure="NotKept", failure="earlier_failure"),
        "IsEarlierThere": choice([("$earlier_there", "Kept")], default="NotKept"),
        "Kept": succeed({"arn": jsonata("$states.input"), "uri": jsonata("$earlier_uri")}),
        "NotKept": succeed({"arn": jsonata("$states.input"), "uri": "none"}),
    }


def describe_earlier() -> State:
    """Finds out where the archive of an earlier version is, if the version is still approved."""
    return task(
        "aws-sdk:sagemaker:describeModelPackage",
        {"ModelPackageName": jsonata("$states.input")},
        timeout=CALL_SECONDS,
        assign={
            "earlier_uri": jsonata(
                f"$states.result.ModelApprovalStatus = 'Approved' ? {artefact_of_package()} : 'none'"
            )
        },
        on_failure="NotKept",
        failure="earlier_failure",
        retry_also=UNNAMED_SAGEMAKER,
    )


def job_parts(versions: int) -> list[tuple[str, list[JSON], list[JSON]]]:
    """Returns what the monitor's job is given of each earlier version: whether it is, the arguments and the inputs."""
    found: list[tuple[str, list[JSON], list[JSON]]] = []
    for place in range(versions):
        name = f"earlier{place + 1}"
        files = input_files(name, jsonata(f"$earlier[{place}].uri"))
        found.append((f"$count($earlier) > {place}", ["--earlier", f"{IN}/{name}"], [files]))
    return found


def rollback_states(s: Surroundings, asked: GoingBack, following: str) -> dict[str, State]:
    """Returns the states that propose to go back to the best of the better versions, or do it.

    Args:
        s: What is around.
        asked: Which of the two, and who goes back.
        following: The state to go on with.
    """
    arn = asked.deployment_machine_arn
    doing = (
        {"ProposeRollback": go_to(following, propose(s, arn))}
        if asked.way == "propose"
        else {"BeginRollback": go_to(following, begin_rollback(s, arn, following))}
    )
    return {
        "IsEarlierBetter": choice([("$found.earlier.better = true", "ReadLiveAgain")], default=following),
        "ReadLiveAgain": find_live(s, "still_live_arn"),
        "StillServes": choice([("$still_live_arn = $live_arn", "AuditScore")], default=following),
        "AuditScore": audit_score(s, asked.way),
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
                "model_package_arn": {"S": jsonata(_BEST)},
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
        f"'model_package_arn': {_BEST}}})"
    )
    command = f"'aws stepfunctions start-execution --state-machine-arn {deployment_machine_arn} --input ' & $quoted"
    message = (
        f"{{'machine': 'monitoring', 'event': 'a version that served before is better', "
        f"'workload': {text(s.workload)}, 'run_id': $states.input.run_id, 'serving': $live_arn, "
        f"'better': {_BEST}, 'reason': $found.earlier.text, 'report_uri': $report_uri, 'command': {command}}}"
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
        "model_package_arn": jsonata(_BEST),
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
