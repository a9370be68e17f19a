"""The guard's machine: looks at a training that runs, about once a minute, and stops it when a rule is broken.

Input: SageMaker's event of a training job that has begun to train.
Output: ``{"job_name", "stopped", "rule", "finding"}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from constructs_lib.asl import (
    JSON,
    UNNAMED_SAGEMAKER,
    Catch,
    State,
    choice,
    go_to,
    jsonata,
    machine,
    now_seconds,
    remember,
    succeed,
    task,
    wait,
)
from constructs_lib.machines.common import (
    CALL_SECONDS,
    HOUR,
    MINUTE,
    Surroundings,
    failure_states,
    put_metrics,
    record,
    run_key,
    text,
)
from constructs_lib.names import metrics

_MOST_LOOKS = 1000
"""An execution's history has room for 25,000 events, and a look takes less than 20."""

_ALREADY_OVER = "SageMaker.SageMakerException"


@dataclass(frozen=True)
class GuardParts:
    """Says what the guard's machine works with.

    Args:
        watch_training_arn: The function that looks.
        backend: Who judges: our rules over the job's log, or SageMaker Debugger.
        rules: The rules, as the function takes them.
        patterns: Where the losses stand in the log.
        most_minutes: How long a training may run.
    """

    watch_training_arn: str
    backend: Literal["log", "debugger"]
    rules: Mapping[str, JSON]
    patterns: Mapping[str, JSON]
    most_minutes: int

    @property
    def pause_seconds(self) -> int:
        """Seconds between two looks."""
        return max(MINUTE, self.most_minutes * MINUTE // _MOST_LOOKS)


def guard_machine(s: Surroundings, p: GuardParts) -> State:
    """Returns the definition."""
    return machine(
        f"Watches the trainings of {s.workload}, and stops one that gets nowhere",
        {
            "Begin": {**remember({"seen": {}}), "Output": jsonata(job_of_event())},
            "Look": look(p),
            "Judge": choice([("$look.verdict = 'over'", "Over"), ("$look.verdict = 'stop'", "Stop")], default="Pause"),
            "Pause": go_to("Look", wait(p.pause_seconds)),
            "Over": succeed(outcome(stopped=False)),
            "Stop": stop(),
            "RecordStop": record_stop(s),
            "AuditStop": audit_stop(s),
            "CountStop": put_metrics(s, {metrics.TRAINING_STOPPED: "1"}),
            "NotifyStop": notify_stop(s),
            "Stopped": succeed(outcome(stopped=True)),
            **failure_states(s, "guard", final=(), resume_at="Look"),
        },
        timeout=p.most_minutes * MINUTE + 6 * HOUR,
    )


def job_of_event() -> str:
    """The JSONata of what the machine goes on with: the job, which is what its records go by."""
    name = "$states.input.detail.TrainingJobName"
    return f"{{'run_id': {name}, 'job_name': {name}}}"


def look(p: GuardParts) -> State:
    """Has the function look at the job."""
    return task(
        "lambda:invoke",
        {
            "FunctionName": p.watch_training_arn,
            "Payload": {
                "job_name": jsonata("$states.input.job_name"),
                "backend": p.backend,
                "rules": dict(p.rules),
                "patterns": dict(p.patterns),
                "seen": jsonata("$seen"),
                "now": jsonata(now_seconds()),
            },
        },
        timeout=3 * MINUTE,
        assign={
            "seen": jsonata("$states.result.Payload.seen"),
            "look": jsonata("$sift($states.result.Payload, function($v, $k) {$k != 'seen'})"),
        },
    )


def stop() -> State:
    """Stops the job; one that has ended meanwhile needs no stopping."""
    return task(
        "aws-sdk:sagemaker:stopTrainingJob",
        {"TrainingJobName": jsonata("$states.input.job_name")},
        timeout=CALL_SECONDS,
        catch=[Catch([_ALREADY_OVER], "RecordStop")],
        retry_also=UNNAMED_SAGEMAKER,
    )


def record_stop(s: Surroundings) -> State:
    """Writes down why the training was stopped, under the job's name."""
    return record(
        s,
        run_key("guard"),
        {
            "workload": text(s.workload),
            "execution": "$states.context.Execution.Id",
            "status": "'stopped'",
            "rule": "$look.rule",
            "finding": "$look.finding",
        },
    )


def audit_stop(s: Surroundings) -> State:
    """Writes the stop into the audit trail."""
    return task(
        "dynamodb:putItem",
        {
            "TableName": s.audit_table,
            "Item": {
                "workload": {"S": s.workload},
                "event": {"S": jsonata("'training-stopped#' & $states.input.job_name")},
                "rule": {"S": jsonata("$look.rule")},
                "finding": {"S": jsonata("$look.finding")},
                "at": {"S": jsonata("$states.context.State.EnteredTime")},
            },
        },
        timeout=CALL_SECONDS,
    )


def notify_stop(s: Surroundings) -> State:
    """Tells the topic which training was stopped, and why."""
    message = (
        f"{{'machine': 'guard', 'workload': {text(s.workload)}, 'training_job': $states.input.job_name, "
        "'rule': $look.rule, 'finding': $look.finding, 'execution': $states.context.Execution.Id}"
    )
    return task(
        "sns:publish",
        {
            "TopicArn": s.topic_arn,
            "Subject": f"{s.prefix}guard stopped a training",
            "Message": jsonata(f"$string({message})"),
        },
        timeout=CALL_SECONDS,
    )


def outcome(*, stopped: bool) -> dict[str, JSON]:
    """The machine's output."""
    return {
        "job_name": jsonata("$states.input.job_name"),
        "stopped": stopped,
        "rule": jsonata("$look.rule"),
        "finding": jsonata("$look.finding"),
    }
