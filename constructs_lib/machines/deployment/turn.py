"""One deployment at a time: whoever changes the endpoint has the turn, and until it has ended the others wait.

SageMaker takes one update at a time but does not know when a deployment is over: golden requests and the record come
after the update. The turn needs no giving back: who has it is asked whether its execution still runs, so that one that
was cancelled or has failed stands in nobody's way.
"""

from __future__ import annotations

from constructs_lib.asl import UNNAMED_SFN, Catch, State, choice, go_to, jsonata, now_seconds, task, wait
from constructs_lib.machines.common import CALL_SECONDS, CONDITION_FAILED, Surroundings, failure_kept, text
from constructs_lib.machines.deployment.records import GIVEN, read_item, read_live

_ME = "$states.context.Execution.Id"
_NOBODY = "nobody"
_FORGOTTEN = ["Sfn.ExecutionDoesNotExistException"]
_IN_TIME = f"{now_seconds()} < $deadline"


def turn_states(s: Surroundings, following: str, busy: str) -> dict[str, State]:
    """Returns the states that wait for the turn and take it; what serves is read again, since it may have changed.

    Args:
        following: Where to go on.
        busy: Where to go when the turn does not come in time.
    """
    serves = f"$rollback and $live.package = {GIVEN}.model_package_arn"
    return {
        "ReadTurn": read_turn(s),
        "IsFree": choice([(f"$turn in ['{_NOBODY}', {_ME}]", "TakeTurn")], default="DescribeHolder"),
        "DescribeHolder": describe_holder(),
        "HolderEnded": choice([("$holder != 'RUNNING'", "TakeTurn"), (_IN_TIME, "WaitForTurn")], default="NoTurn"),
        "TakeTurn": take_turn(s),
        "ReadLiveAgain": read_live(s),
        "StillToGo": choice([(serves, "NeverServed")], default=following),
        "TurnTaken": choice([(_IN_TIME, "WaitForTurn")], default="NoTurn"),
        "WaitForTurn": go_to("ReadTurn", wait(60)),
        "NoTurn": go_to(busy, failure_kept("EndpointBusy", "'another deployment has not ended: ' & $turn")),
    }


def read_turn(s: Surroundings) -> State:
    """Reads which execution had the turn last."""
    holder = f"[$states.result.Item.execution.S, '{_NOBODY}'][0]"
    return read_item(s, _key(s), {"turn": jsonata(holder)})


def describe_holder() -> State:
    """Asks whether the deployment that has the turn still runs."""
    return task(
        "aws-sdk:sfn:describeExecution",
        {"ExecutionArn": jsonata("$turn")},
        timeout=CALL_SECONDS,
        assign={"holder": jsonata("$states.result.Status")},
        catch=[Catch(_FORGOTTEN, "TakeTurn")],
        retry_also=UNNAMED_SFN,
    )


def take_turn(s: Surroundings) -> State:
    """Takes the turn, unless somebody was quicker since it was looked at."""
    return task(
        "dynamodb:updateItem",
        {
            "TableName": s.runs_table,
            "Key": {"run": {"S": jsonata(_key(s))}},
            "UpdateExpression": "SET #execution = :me",
            "ConditionExpression": "attribute_not_exists(#execution) OR #execution = :seen OR #execution = :me",
            "ExpressionAttributeNames": {"#execution": "execution"},
            "ExpressionAttributeValues": {":me": {"S": jsonata(_ME)}, ":seen": {"S": jsonata("$turn")}},
        },
        timeout=CALL_SECONDS,
        catch=[Catch(CONDITION_FAILED, "TurnTaken")],
    )


def leave_turn(s: Surroundings) -> State:
    """Lets others have the turn while an experiment of hours or days runs; a deployment that begins then ends it."""
    return task(
        "dynamodb:updateItem",
        {
            "TableName": s.runs_table,
            "Key": {"run": {"S": jsonata(_key(s))}},
            "UpdateExpression": "SET #execution = :nobody",
            "ConditionExpression": "#execution = :me",
            "ExpressionAttributeNames": {"#execution": "execution"},
            "ExpressionAttributeValues": {":me": {"S": jsonata(_ME)}, ":nobody": {"S": _NOBODY}},
        },
        timeout=CALL_SECONDS,
        on_failure="TakeBack",
    )


def _key(s: Surroundings) -> str:
    return text(f"turn#{s.workload}")
