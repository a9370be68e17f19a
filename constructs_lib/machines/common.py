"""What the machines of a workload share: their surroundings, and what every one of them does when it fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from constructs_lib.asl import (
    FAILURE_STATE,
    JSON,
    UNNAMED_S3,
    State,
    choice,
    fail,
    go_to,
    jsonata,
    redrives,
    remember,
    task,
)
from constructs_lib.names import metrics
from constructs_lib.names.naming import MAX_LENGTH

CALL_SECONDS = 60
"""Timeout of a call that answers at once."""

MINUTE = 60
HOUR = 60 * MINUTE

_OF_FAILURE = ("error", "cause", "failed_state", "input")

CONDITION_FAILED = (
    "DynamoDB.ConditionalCheckFailedException",
    "DynamoDb.ConditionalCheckFailedException",
)
"""A conditional write met another state of the table than it asked for."""


@dataclass(frozen=True)
class Surroundings:
    """Names what is around all machines of one workload; every value but prefix and workload may be a token.

    Args:
        stage: Value of the metrics' dimension.
        workload: The workload.
        prefix: What the names of run-time things start with, such as ``dev-flight-delays-``.
        account: Owner of every bucket that is used.
        runs_table, leases_table, audit_table: DynamoDB tables.
        topic_arn: Who is told of failures.
    """

    stage: str
    workload: str
    prefix: str
    account: str
    runs_table: str
    leases_table: str
    audit_table: str
    topic_arn: str

    def name_of(self, part: str) -> str:
        """Returns the name of a run-time thing: the prefix and a part, such as ``dev-flight-delays-live``."""
        return f"{self.prefix}{part}"


def room_for_attempt(prefix: str, kind: str) -> int:
    """Returns how many characters ``<prefix><kind>-`` leaves for the id of an attempt in a job's name.

    Raises:
        ValueError: Fewer than 20 are left.
    """
    room = MAX_LENGTH - len(prefix) - len(kind) - 1
    if room < 20:
        raise ValueError(
            f"prefix {prefix!r} leaves {room} characters for the id of a {kind} job, at least 20 are needed"
        )
    return room


def get_json(s: Surroundings, bucket: str, key: str, assign: Mapping[str, JSON]) -> State:
    """Reads an object of at most 200 KB; ``$parse($states.result.Body)`` is its content.

    Args:
        key: The JSONata of the key.
    """
    return task(
        "aws-sdk:s3:getObject",
        {"Bucket": bucket, "Key": jsonata(key), "ExpectedBucketOwner": s.account},
        timeout=CALL_SECONDS,
        assign=assign,
        retry_also=UNNAMED_S3,
    )


def find_object(
    s: Surroundings, bucket: str, key: str, found: str, *, on_failure: str = FAILURE_STATE, failure: str = "failure"
) -> State:
    """Looks whether there is an object; nothing is read.

    Args:
        key: The JSONata of the key.
        found: The variable that gets the answer, true or false.
        on_failure, failure: As in ``task``.
    """
    return task(
        "aws-sdk:s3:listObjectsV2",
        {"Bucket": bucket, "Prefix": jsonata(key), "MaxKeys": 1, "ExpectedBucketOwner": s.account},
        timeout=CALL_SECONDS,
        assign={found: jsonata("$states.result.KeyCount > 0")},
        on_failure=on_failure,
        failure=failure,
        retry_also=UNNAMED_S3,
    )


def find_live(s: Surroundings, variable: str, *, earlier: str | None = None) -> State:
    """Asks for the record of the model that serves; the variable gets its package's ARN, ``none`` if nothing serves.

    Args:
        earlier: The variable that gets the packages which served before, the last one first. Default: nobody asks for
            them.
    """
    item = "$states.result.Item"
    more = {earlier: jsonata(earlier_packages(item))} if earlier is not None else {}
    return task(
        "dynamodb:getItem",
        {"TableName": s.runs_table, "Key": {"run": {"S": f"live#{s.workload}"}}, "ConsistentRead": True},
        timeout=CALL_SECONDS,
        assign={variable: jsonata(f"[{item}.model_package_arn.S, 'none'][0]"), **more},
    )


def earlier_packages(item: str) -> str:
    """The JSONata of the packages that served before, the last one first, by the record of what serves.

    Args:
        item: The JSONata of the record; records of older releases name the last one only.
    """
    kept, last = f"{item}.earlier_package_arns.S", f"{item}.previous_package_arn.S"
    return f"$exists({kept}) ? $parse({kept}) : [{last}]"


def put_metrics(
    s: Surroundings, values: Mapping[str, str], *, on_failure: str = FAILURE_STATE, failure: str = "failure"
) -> State:
    """Publishes figures of the workload.

    Args:
        values: Metric name to the JSONata of its value, a number.
        on_failure, failure: As in ``task``.
    """
    dimensions = [{"Name": name, "Value": value} for name, value in metrics.dimensions(s.stage, s.workload).items()]
    data = [{"MetricName": name, "Value": jsonata(value), "Dimensions": dimensions} for name, value in values.items()]
    return task(
        "aws-sdk:cloudwatch:putMetricData",
        {"Namespace": metrics.NAMESPACE, "MetricData": data},
        timeout=CALL_SECONDS,
        on_failure=on_failure,
        failure=failure,
    )


def record(
    s: Surroundings,
    item: str,
    values: Mapping[str, str],
    *,
    remove: Sequence[str] = (),
    on_failure: str = FAILURE_STATE,
    failure: str = "failure",
) -> State:
    """Writes attributes of an item of the runs table; writing them twice is harmless.

    Args:
        item: The JSONata of the key.
        values: Attribute to the JSONata of its value, a text. Numbers and objects are written as ``$string`` of them.
        remove: Attributes that are no longer true. Default: none.
        on_failure, failure: As in ``task``.
    """
    names = list(values)
    update = "SET " + ", ".join(f"#{name} = :{name}" for name in names)
    if remove:
        update += " REMOVE " + ", ".join(f"#{name}" for name in remove)
    return task(
        "dynamodb:updateItem",
        {
            "TableName": s.runs_table,
            "Key": {"run": {"S": jsonata(item)}},
            "UpdateExpression": update,
            "ExpressionAttributeNames": {f"#{name}": name for name in (*names, *remove)},
            "ExpressionAttributeValues": {f":{name}": {"S": jsonata(value)} for name, value in values.items()},
        },
        timeout=CALL_SECONDS,
        on_failure=on_failure,
        failure=failure,
    )


def run_record(s: Surroundings, machine: str, values: Mapping[str, str]) -> State:
    """Completes the record of this run, the item ``<machine>#<run_id>``: what went in, what came out.

    What an earlier, failed try wrote about its failure is removed.
    """
    return record(
        s,
        run_key(machine),
        {
            "workload": text(s.workload),
            "execution": "$states.context.Execution.Id",
            "started": "$states.context.Execution.StartTime",
            "triggered_by": "$exists($states.input.triggered_by) ? $string($states.input.triggered_by) : 'by hand'",
            **values,
        },
        remove=_OF_FAILURE,
    )


def run_key(machine: str) -> str:
    """The JSONata of a machine's item of the runs table."""
    return f"'{machine}#' & $states.input.run_id"


def artefact_of_package() -> str:
    """The JSONata of a model package's artefact, as ``describeModelPackage`` gives it.

    Of several containers the first may be one that only turns requests into another form.
    """
    package = "$states.result"
    own = f"{package}.CustomerMetadataProperties.model_uri"
    return f"[{own}, {package}.InferenceSpecification.Containers[0].ModelDataUrl][0]"


def text(value: str) -> str:
    """The JSONata of a fixed text.

    Raises:
        ValueError: The text holds a quote or a backslash.
    """
    if "'" in value or "\\" in value:
        raise ValueError(f"text must hold neither quotes nor backslashes, got: {value!r}")
    return f"'{value}'"


def release_lease(s: Surroundings, owner: str, *, on_failure: str) -> State:
    """Gives the workload's lease back, when it is still the owner's.

    Args:
        owner: The JSONata of the owner's run id.
        on_failure: Where to go when the table cannot be reached: the lease then runs out by itself.
    """
    return task(
        "dynamodb:deleteItem",
        {
            "TableName": s.leases_table,
            "Key": {"lease": {"S": s.workload}},
            "ConditionExpression": "#owner = :owner",
            "ExpressionAttributeNames": {"#owner": "owner"},
            "ExpressionAttributeValues": {":owner": {"S": jsonata(owner)}},
        },
        timeout=CALL_SECONDS,
        failure="release_failure",
        on_failure=on_failure,
    )


def own_failure(error: str, cause: str) -> State:
    """Fails the run by an error of the platform's own.

    Args:
        error: Its name.
        cause: The JSONata of the message.
    """
    return go_to(FAILURE_STATE, failure_kept(error, cause))


def failure_kept(error: str, cause: str) -> State:
    """Keeps an error of the platform's own as a catch would; arguments as for ``own_failure``."""
    return remember(
        {
            "failure": {
                "error": error,
                "cause": jsonata(cause),
                "state": jsonata("$states.context.State.Name"),
                "input": jsonata("$states.input"),
                "redrives": jsonata(redrives()),
            }
        }
    )


def failure_states(
    s: Surroundings,
    machine: str,
    *,
    final: Sequence[str],
    resume_at: str,
    release: Mapping[str, State] | None = None,
) -> dict[str, State]:
    """Returns the states that end every failed run: explain, record, notify, release, and fail or be taken up again.

    Step Functions redrives an execution from the state in which it ended, and a Fail state only fails again. So only
    errors that a redrive would meet again end in ``Fail``. Every other error ends in the choice ``ResumeOrFail``, whose
    condition raises it; when the execution is redriven, the same choice leads back to work.

    Args:
        machine: Name of the machine, as in ``<machine>#<run_id>``.
        final: Errors that lie in the input: the platform's own.
        resume_at: The state that a redriven execution goes on with; everything done before is found again.
        release: States between the notification and the end. Default: none.
    """
    return {
        FAILURE_STATE: explain_failure(final),
        "RecordFailure": record_failure(s, machine),
        "NotifyFailure": notify_failure(s, machine, following=next(iter(release)) if release else "ResumeOrFail"),
        **(release or {}),
        "ResumeOrFail": resume_or_fail(final, resume_at),
        "Fail": fail(jsonata("$failure.error"), jsonata("$failure.cause")),
    }


def explain_failure(final: Sequence[str]) -> State:
    """Finds the message and the true name of the error in what the service reported.

    A job, a build, a function or a nested execution that failed is reported as a JSON document. A job can only give its
    error a name by starting its message with it (``BadSchema: …``).
    """
    cause = "$failure.cause"
    document = f"$substring({cause}, 0, 1) = '{{' and $substring({cause}, -1) = '}}' ? $parse({cause}) : {{}}"
    build = "$d.Build.Phases[PhaseStatus != 'SUCCEEDED'].Contexts.Message"
    reasons = f"$d.errorMessage, $d.ErrorMessage, $d.ExitMessage, $d.FailureReason, $d.Cause, {build}"
    told = f"[{reasons}, $failure.cause][0]"
    named = f"[[{', '.join(text(name) for name in final)}][$contains($told, $ & ': ')], $d.Error, $failure.error][0]"
    return remember(
        {
            "failure": jsonata(
                f"($d := {document}; $told := {told}; $merge([$failure, {{'error': {named}, 'cause': $told}}]))"
            )
        }
    )


def record_failure(s: Surroundings, machine: str) -> State:
    """Writes into the run's record that it failed, where and why, with the input."""
    return record(
        s,
        run_key(machine),
        {
            "workload": text(s.workload),
            "execution": "$states.context.Execution.Id",
            "started": "$states.context.Execution.StartTime",
            "status": "'failed'",
            "error": "$failure.error",
            "cause": "$substring($failure.cause, 0, 4000)",
            "failed_state": "$failure.state",
            "input": "$substring($string($failure.input), 0, 8000)",
        },
        on_failure="NotifyFailure",
        failure="record_failure",
    )


def notify_failure(s: Surroundings, machine: str, *, following: str) -> State:
    """Tells the topic what failed, with error and input; when that fails too, the machine's alarm remains."""
    message = (
        "{'machine': '" + machine + "', 'workload': " + text(s.workload) + ", 'run_id': $states.input.run_id, "
        "'execution': $states.context.Execution.Id, 'state': $failure.state, 'error': $failure.error, "
        "'cause': $substring($failure.cause, 0, 4000), 'input': $failure.input}"
    )
    return task(
        "sns:publish",
        {
            "TopicArn": s.topic_arn,
            "Subject": f"{s.prefix}{machine} failed",
            "Message": jsonata(f"$string({message})"),
        },
        timeout=CALL_SECONDS,
        on_failure=following,
        failure="notify_failure",
    )


def resume_or_fail(final: Sequence[str], resume_at: str) -> State:
    """Ends the run: by its own errors in Fail, otherwise by raising the error here, so that a redrive can go on."""
    ended = f"$failure.error in [{', '.join(text(name) for name in final)}]"
    raised = "$error($failure.state & ' failed: ' & $failure.error & ': ' & $failure.cause)"
    return choice(
        [(ended, "Fail"), (f"{redrives()} > $failure.redrives ? true : {raised}", resume_at)],
        default="Fail",
    )
