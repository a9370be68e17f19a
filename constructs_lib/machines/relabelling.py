"""The relabelling machine: has a labelling job of Ground Truth made of the rows that the model was unsure of.

Input: ``{"run_id", "workload", "as_of"}``. Output: ``{"labelled", "rows", "labels"}``.

A job is named by the export, so whoever finds its name taken has started it before. It ends by itself when the rows
are labelled or no longer offered; what has been labelled until then is taken in.
"""

from __future__ import annotations

from dataclasses import dataclass

from constructs_lib.asl import (
    UNNAMED_SAGEMAKER,
    Catch,
    State,
    choice,
    go_to,
    jsonata,
    machine,
    now_seconds,
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
    own_failure,
    run_record,
    text,
)
from constructs_lib.names.relabelled import ATTRIBUTE
from constructs_lib.names.relabelling_file import GroundTruth

JOBS = "label"
"""What the names of labelling jobs go on with behind the workload's prefix."""

FINAL_ERRORS = ("BadFile", "LabellingFailed")
"""Errors that another try would meet again."""

_DAY = 24 * HOUR
_POLL_SECONDS = 15 * MINUTE
_GRACE_SECONDS = 12 * HOUR
_CALL_MINUTES = 16
_TAKEN = "SageMaker.ResourceInUseException"
_IN_PARALLEL = 1000
_RUNNING = "$job.status in ['Initializing', 'InProgress', 'Stopping']"


@dataclass(frozen=True)
class LabellingParts:
    """Names what the relabelling machine works with; ARNs and URIs may be tokens.

    Args:
        choose_arn: The function that chooses rows.
        import_arn: The function that takes answers in.
        asked: The labelling job, as the workload file says.
        role_arn: Role of the job.
        key_arn: Encrypts what the job writes.
        template_uri: What people see, ``s3://…``.
        labels_uri: What people choose from, ``s3://…``.
        output_uri: Where the job writes, ``s3://…/``.
    """

    choose_arn: str
    import_arn: str
    asked: GroundTruth
    role_arn: str
    key_arn: str
    template_uri: str
    labels_uri: str
    output_uri: str


def relabelling_machine(s: Surroundings, p: LabellingParts) -> State:
    """Returns the definition."""
    in_time = f"{now_seconds()} < $deadline"
    return machine(
        f"Has rows of {s.workload} labelled that the model was unsure of",
        {
            "ChooseRows": choose_rows(p),
            "HasRows": choice([("$chosen.rows > 0", "CreateJob")], default="RecordNothing"),
            "CreateJob": create_job(s, p),
            "WaitForLabels": wait(_POLL_SECONDS),
            "DescribeJob": describe_job(s),
            "JobEnded": choice(
                [
                    (f"{_RUNNING} and {in_time}", "WaitForLabels"),
                    (f"{_RUNNING} and $not($stopped)", "StopJob"),
                    (_RUNNING, "JobStuck"),
                    ("$job.status != 'Failed' and $job.output_uri != 'none'", "ImportLabels"),
                ],
                default="JobFailed",
            ),
            "StopJob": go_to("WaitForLabels", stop_job(s)),
            "JobStuck": own_failure("LabellingStuck", f"{job_name(s)} & ' was told to stop and has not'"),
            "JobFailed": own_failure("LabellingFailed", f"{job_name(s)} & ' is ' & $job.status & ': ' & $job.reason"),
            "ImportLabels": import_labels(p),
            "RecordRun": record_run(s, "'labelled'"),
            "Labelled": succeed(
                {"labelled": True, "rows": jsonata("$chosen.rows"), "labels": jsonata("$summary.labels")}
            ),
            "RecordNothing": run_record(
                s, "relabelling", {"status": "'nothing to label'", "as_of": "$states.input.as_of"}
            ),
            "Idle": succeed({"labelled": False, "rows": 0, "labels": 0}),
            **failure_states(s, "relabelling", final=FINAL_ERRORS, resume_at="ChooseRows"),
        },
        timeout=(p.asked.max_days + 2) * _DAY,
    )


def job_name(s: Surroundings) -> str:
    """The JSONata of the labelling job's name."""
    return f"{text(f'{s.prefix}{JOBS}-')} & $chosen.run"


def choose_rows(p: LabellingParts) -> State:
    """Chooses rows; the same instant gives the same rows."""
    return task(
        "lambda:invoke",
        {"FunctionName": p.choose_arn, "Payload": {"as_of": jsonata("$states.input.as_of")}},
        timeout=_CALL_MINUTES * MINUTE,
        assign={"chosen": jsonata("$states.result.Payload"), "stopped": False},
    )


def create_job(s: Surroundings, p: LabellingParts) -> State:
    """Starts the job."""
    lifetime = p.asked.max_days * _DAY
    deadline = {"deadline": jsonata(f"{now_seconds()} + {lifetime + _GRACE_SECONDS}")}
    return task(
        "aws-sdk:sagemaker:createLabelingJob",
        {
            "LabelingJobName": jsonata(job_name(s)),
            "LabelAttributeName": ATTRIBUTE,
            "InputConfig": {"DataSource": {"S3DataSource": {"ManifestS3Uri": jsonata("$chosen.tasks_uri")}}},
            "OutputConfig": {"S3OutputPath": p.output_uri, "KmsKeyId": p.key_arn},
            "RoleArn": p.role_arn,
            "LabelCategoryConfigS3Uri": p.labels_uri,
            "HumanTaskConfig": {
                "WorkteamArn": p.asked.work_team,
                "UiConfig": {"UiTemplateS3Uri": p.template_uri},
                "PreHumanTaskLambdaArn": p.asked.prepares,
                "AnnotationConsolidationConfig": {"AnnotationConsolidationLambdaArn": p.asked.consolidates},
                "TaskTitle": p.asked.title,
                "TaskDescription": p.asked.instruction,
                "NumberOfHumanWorkersPerDataObject": p.asked.workers_per_row,
                "TaskTimeLimitInSeconds": p.asked.task_minutes * MINUTE,
                "TaskAvailabilityLifetimeInSeconds": lifetime,
                "MaxConcurrentTaskCount": _IN_PARALLEL,
            },
        },
        timeout=CALL_SECONDS,
        assign=deadline,
        catch=[Catch([_TAKEN], "WaitForLabels", deadline)],
    )


def describe_job(s: Surroundings) -> State:
    """Asks how far the job is, and where its output is."""
    job = "$states.result"
    return task(
        "aws-sdk:sagemaker:describeLabelingJob",
        {"LabelingJobName": jsonata(job_name(s))},
        timeout=CALL_SECONDS,
        assign={
            "job": {
                "status": jsonata(f"{job}.LabelingJobStatus"),
                "reason": jsonata(f"[{job}.FailureReason, 'no reason is given'][0]"),
                "output_uri": jsonata(f"[{job}.LabelingJobOutput.OutputDatasetS3Uri, 'none'][0]"),
            }
        },
        retry_also=UNNAMED_SAGEMAKER,
    )


def stop_job(s: Surroundings) -> State:
    """Lets a job end that takes longer than its rows are offered; what is labelled stays."""
    return task(
        "aws-sdk:sagemaker:stopLabelingJob",
        {"LabelingJobName": jsonata(job_name(s))},
        timeout=CALL_SECONDS,
        assign={"stopped": True},
    )


def import_labels(p: LabellingParts) -> State:
    """Takes in what the job wrote."""
    return task(
        "lambda:invoke",
        {
            "FunctionName": p.import_arn,
            "Payload": {"uri": jsonata("$job.output_uri"), "time": jsonata("$states.context.State.EnteredTime")},
        },
        timeout=_CALL_MINUTES * MINUTE,
        assign={"summary": jsonata("$states.result.Payload")},
    )


def record_run(s: Surroundings, status: str) -> State:
    """Completes the run's record."""
    return run_record(
        s,
        "relabelling",
        {
            "status": status,
            "as_of": "$states.input.as_of",
            "job": job_name(s),
            "rows": "$string($chosen.rows)",
            "manifest_uri": "$chosen.manifest_uri",
            "accepted": "$string($summary.accepted)",
            "refused": "$string($summary.refused)",
        },
    )
