"""The model machine: turns a dataset into a registered model, or into a reasoned rejection.

Input: ``{"run_id", "workload", "as_of", "bundle": {"bundle", "uri", "commit"}, "dataset": <a published manifest>}``.
Output: ``{"approved", "registered", "model_package_arn" (``none`` when rejected), "rules"}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from constructs_lib.asl import (
    JSON,
    UNNAMED_SAGEMAKER,
    State,
    attempt,
    choice,
    expression,
    go_to,
    jsonata,
    machine,
    remember,
    succeed,
    task,
)
from constructs_lib.machines.common import (
    CALL_SECONDS,
    HOUR,
    MINUTE,
    Surroundings,
    failure_states,
    get_json,
    put_metrics,
    run_key,
    run_record,
    text,
)
from constructs_lib.machines.jobs import (
    IN,
    MESSAGE,
    OUT,
    JobLimits,
    JobPlace,
    LustrePlace,
    channel,
    input_files,
    lustre_channel,
    processing_job,
    result_uri,
    training_job,
)
from constructs_lib.machines.pins import pin_states
from constructs_lib.names import metrics

FINAL_ERRORS = ("BadGate", "BadTestSplit", "UnsafeArtefact")
"""Errors that lie in the dataset, the scripts or the workload file."""

SERVING = {
    "SAGEMAKER_PROGRAM": "inference.py",
    "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
    "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
}
"""Environment of the container that serves."""

_SUBMITTED = "/opt/ml/input/data/code/sourcedir.tar.gz"
_EVALUATION_MINUTES = 60


@dataclass(frozen=True)
class ModelParts:
    """Names what the model machine works with; ARNs, URIs and the place may be tokens.

    Args:
        place: Where jobs run.
        datasets_bucket: Where datasets are, and the pins of those who read them.
        group_name: The model package group.
        judge_model_arn: The function that judges.
        training_role_arn, processing_role_arn: Roles of the jobs.
        target: The column that is predicted.
        training: Machine and time limit of a training run.
        hyperparameters: Of the training script, the seed among them, as texts.
        gate: What a model must reach: ``metric``, ``floor``, ``better_than_champion``, ``tolerance``.
        approval: Whether a model that passed the gate is approved at once or by a person.
        serving_instance_type: What it is meant to be served on.
        lustre: The file system that training reads from. Default: it reads from S3.
    """

    place: JobPlace
    datasets_bucket: str
    group_name: str
    judge_model_arn: str
    training_role_arn: str
    processing_role_arn: str
    target: str
    training: JobLimits
    hyperparameters: Mapping[str, str]
    gate: Mapping[str, JSON]
    approval: Literal["automatic", "manual"]
    serving_instance_type: str
    lustre: LustrePlace | None = None


def model_machine(s: Surroundings, p: ModelParts) -> State:
    """Returns the definition."""
    return machine(
        f"Turns a dataset of {s.workload} into a registered model, or rejects it",
        {
            "Begin": remember({"model_uri": "none", "champion_uri": "none", "champion_arn": "none"}),
            "FindEarlierRun": find_earlier_run(s),
            "AlreadyDone": already_done(),
            **pin_states(s, bucket=p.datasets_bucket, following="FindChampion"),
            "FindChampion": find_champion(p),
            "HasChampion": has_champion(),
            "LookFurther": go_to("HasChampion", find_champion(p, {"NextToken": jsonata("$more_packages")})),
            "DescribeChampion": describe_champion(),
            "AlreadyTrained": choice([("$model_uri != 'none'", "Evaluate")], default="Train"),
            "Train": train(s, p),
            "Evaluate": evaluate(s, p),
            "ReadEvaluation": read_evaluation(s, p),
            "PublishMetrics": put_metrics(s, {metrics.MODEL_AUC: "$evaluation.metrics.auc"}),
            "JudgeModel": judge_model(p),
            "Passed": choice([("$verdict.passed", "RegisterModel")], default="RecordRejection"),
            "RegisterModel": register_model(p),
            "RecordRun": record_run(s, p),
            "CountRegistered": put_metrics(s, {metrics.MODEL_REGISTERED: "1"}),
            **approval_states(p),
            "RecordRejection": record_rejection(s),
            "RememberRejection": remember_rejection(s, p),
            "CountRejected": put_metrics(s, {metrics.GATE_REJECTED: "1"}),
            "Rejected": succeed(outcome(approved=False, registered=False)),
            **failure_states(s, "model", final=FINAL_ERRORS, resume_at="FindEarlierRun"),
        },
        timeout=24 * HOUR,
    )


def find_earlier_run(s: Surroundings) -> State:
    """Reads this run's record: has an earlier try registered or rejected a model already?"""
    item = "$states.result.Item"
    return task(
        "dynamodb:getItem",
        {"TableName": s.runs_table, "Key": {"run": {"S": jsonata(run_key("model"))}}, "ConsistentRead": True},
        timeout=CALL_SECONDS,
        assign={
            "earlier": jsonata(f"[{item}.status.S, 'none'][0]"),
            "model_package_arn": jsonata(f"[{item}.model_package_arn.S, 'none'][0]"),
            "verdict": {"rules": jsonata(f"$exists({item}.rules.S) ? $parse({item}.rules.S) : []")},
        },
    )


def already_done() -> State:
    """Goes on behind what an earlier try has done."""
    return choice(
        [("$earlier = 'registered'", "CountRegistered"), ("$earlier = 'rejected'", "Rejected")], default="PinDataset"
    )


def find_champion(p: ModelParts, page: Mapping[str, JSON] | None = None) -> State:
    """Looks for the model that was approved last.

    Args:
        page: Says which page of the list to read. Default: the first.
    """
    return task(
        "aws-sdk:sagemaker:listModelPackages",
        {
            "ModelPackageGroupName": p.group_name,
            "ModelApprovalStatus": "Approved",
            "SortBy": "CreationTime",
            "SortOrder": "Descending",
            "MaxResults": 100,
            **(page or {}),
        },
        timeout=CALL_SECONDS,
        assign={
            "champion_arn": jsonata("[$states.result.ModelPackageSummaryList.ModelPackageArn, 'none'][0]"),
            "more_packages": jsonata("[$states.result.NextToken, 'none'][0]"),
        },
        retry_also=UNNAMED_SAGEMAKER,
    )


def has_champion() -> State:
    """Looks at the next page when there is none on this: SageMaker may apply the status to a page that it has cut."""
    return choice(
        [("$champion_arn != 'none'", "DescribeChampion"), ("$more_packages != 'none'", "LookFurther")],
        default="AlreadyTrained",
    )


def describe_champion() -> State:
    """Finds out where the champion's artefact is."""
    return task(
        "aws-sdk:sagemaker:describeModelPackage",
        {"ModelPackageName": jsonata("$champion_arn")},
        timeout=CALL_SECONDS,
        assign={"champion_uri": jsonata("$states.result.InferenceSpecification.Containers[0].ModelDataUrl")},
        retry_also=UNNAMED_SAGEMAKER,
    )


def train(s: Surroundings, p: ModelParts) -> State:
    """Trains by the bundle's script on the train and validation splits."""
    splits = "$states.input.dataset.splits"
    return training_job(
        s,
        p.place,
        p.training,
        role_arn=p.training_role_arn,
        channels=[
            *(split_channel(p, name, f"{splits}.{name}.manifest_uri") for name in ("train", "validation")),
            channel("code", jsonata(p.place.bundle_uri(s, "$states.input.bundle.bundle"))),
        ],
        hyperparameters={
            **p.hyperparameters,
            "target": p.target,
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": _SUBMITTED,
            "sagemaker_container_log_level": "20",
        },
        assign={
            "model_uri": jsonata("$states.result.ModelArtifacts.S3ModelArtifacts"),
            "training_job": jsonata("$states.result.TrainingJobName"),
        },
    )


def split_channel(p: ModelParts, name: str, manifest_uri: str) -> dict[str, JSON]:
    """One split as a channel: the files that its manifest lists, or its folder on the file system."""
    if p.lustre is None:
        return channel(name, jsonata(manifest_uri), manifest=True)
    return lustre_channel(name, manifest_uri, p.lustre)


def evaluate(s: Surroundings, p: ModelParts) -> State:
    """Evaluates model and champion on the held-back test split."""
    arguments = ["--model", f"{IN}/model", "--test", f"{IN}/test", "--target", p.target]
    results = ["--output", OUT, "--message", MESSAGE]
    inputs = [
        input_files("job", p.place.job_code_uri),
        input_files("model", jsonata("$model_uri")),
        input_files("test", jsonata("$states.input.dataset.splits.test.manifest_uri"), manifest=True),
    ]
    champion = [input_files("champion", jsonata("$champion_uri"))]
    return processing_job(
        s,
        p.place,
        JobLimits(p.training.instance_type, _EVALUATION_MINUTES),
        kind="eval",
        command="evaluate",
        role_arn=p.processing_role_arn,
        image_uri=p.place.image_uri,
        arguments=jsonata(with_champion([*arguments, *results], ["--champion", f"{IN}/champion"])),
        inputs=jsonata(with_champion(inputs, champion)),
        output_prefix="evaluations",
        assign={"evaluation_id": jsonata(attempt())},
    )


def with_champion(always: JSON, more: JSON) -> str:
    """The JSONata of a list that is longer when there is a champion."""
    return f"$champion_uri = 'none' ? {expression(always)} : $append({expression(always)}, {expression(more)})"


def read_evaluation(s: Surroundings, p: ModelParts) -> State:
    """Keeps the figures of the evaluation; curves and importances stay in its file."""
    read = "$parse($states.result.Body)"
    return get_json(
        s,
        p.place.artefacts_bucket,
        f"'{s.workload}/evaluations/' & $evaluation_id & '/evaluation.json'",
        {
            "evaluation": jsonata(
                f"($e := {read}; {{'metrics': $e.metrics, 'rows': $e.rows, 'model_sha256': $e.model.sha256, "
                "'champion_metrics': $type($e.champion) = 'object' ? $e.champion.metrics : null})"
            ),
            "evaluation_uri": jsonata(
                f"'{result_uri(s, p.place, 'evaluations')}' & $evaluation_id & '/evaluation.json'"
            ),
        },
    )


def judge_model(p: ModelParts) -> State:
    """Judges the figures by the workload's gate."""
    return task(
        "lambda:invoke",
        {
            "FunctionName": p.judge_model_arn,
            "Payload": {
                "metrics": jsonata("$evaluation.metrics"),
                "champion_metrics": jsonata("$evaluation.champion_metrics"),
                "gate": dict(p.gate),
            },
        },
        timeout=2 * MINUTE,
        assign={"verdict": jsonata("$states.result.Payload")},
    )


def register_model(p: ModelParts) -> State:
    """Registers the model with its metrics and where it came from; repeating the request registers nothing twice."""
    return task(
        "aws-sdk:sagemaker:createModelPackage",
        {
            "ModelPackageGroupName": p.group_name,
            "ModelPackageDescription": jsonata("'Run ' & $states.input.run_id"),
            "ModelApprovalStatus": "PendingManualApproval",
            "ClientToken": jsonata("$substring($states.context.Execution.Name, 0, 36)"),
            "InferenceSpecification": {
                "Containers": [
                    {"Image": p.place.image_uri, "ModelDataUrl": jsonata("$model_uri"), "Environment": SERVING}
                ],
                "SupportedContentTypes": ["application/json"],
                "SupportedResponseMIMETypes": ["application/json"],
                "SupportedRealtimeInferenceInstanceTypes": [p.serving_instance_type],
                "SupportedTransformInstanceTypes": [p.serving_instance_type],
            },
            "ModelMetrics": {
                "ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": jsonata("$evaluation_uri")}}
            },
            "CustomerMetadataProperties": {
                "run_id": jsonata("$states.input.run_id"),
                "dataset_version": jsonata("$states.input.dataset.version"),
                "bundle": jsonata("$states.input.bundle.bundle"),
                "commit": jsonata("$states.input.bundle.commit"),
                "model_sha256": jsonata("$evaluation.model_sha256"),
                "training_job": jsonata("$training_job"),
            },
        },
        timeout=CALL_SECONDS,
        assign={"model_package_arn": jsonata("$states.result.ModelPackageArn")},
    )


def record_run(s: Surroundings, p: ModelParts) -> State:
    """Writes the run's record: what the model was made of and how good it is."""
    return run_record(s, "model", {**made_of(p), "status": "'registered'", "model_package_arn": "$model_package_arn"})


def record_rejection(s: Surroundings) -> State:
    """Writes into the audit trail which rules the model broke."""
    return task(
        "dynamodb:putItem",
        {
            "TableName": s.audit_table,
            "Item": {
                "workload": {"S": s.workload},
                "event": {"S": jsonata("'model-rejected#' & $states.input.run_id")},
                "rules": {"S": jsonata("$string($verdict.rules)")},
                "metrics": {"S": jsonata("$string($evaluation.metrics)")},
                "at": {"S": jsonata("$states.context.State.EnteredTime")},
            },
        },
        timeout=CALL_SECONDS,
    )


def remember_rejection(s: Surroundings, p: ModelParts) -> State:
    """Writes the run's record of a model that was not good enough."""
    return run_record(s, "model", {**made_of(p), "status": "'rejected'"})


def made_of(p: ModelParts) -> dict[str, str]:
    """The JSONata of what a run's record says of a model."""
    return {
        "as_of": "$states.input.as_of",
        "bundle": "$states.input.bundle.bundle",
        "commit": "$states.input.bundle.commit",
        "dataset_version": "$states.input.dataset.version",
        "image": text(p.place.image_uri),
        "hyperparameters": f"$string({expression(p.hyperparameters)})",
        "training_job": "$training_job",
        "model_uri": "$model_uri",
        "model_sha256": "$evaluation.model_sha256",
        "metrics": "$string($evaluation.metrics)",
        "evaluation_uri": "$evaluation_uri",
        "rules": "$string($verdict.rules)",
        "champion": "$champion_arn",
    }


def approval_states(p: ModelParts) -> dict[str, State]:
    """Approves the model at once, or leaves that to a person. The approval itself starts the deployment."""
    if p.approval == "manual":
        return {"AwaitsApproval": succeed(outcome(approved=False, registered=True))}
    return {
        "ApproveModel": task(
            "aws-sdk:sagemaker:updateModelPackage",
            {
                "ModelPackageArn": jsonata("$model_package_arn"),
                "ModelApprovalStatus": "Approved",
                "ApprovalDescription": "Passed the gate; the workload approves automatically",
            },
            timeout=CALL_SECONDS,
        ),
        "Approved": succeed(outcome(approved=True, registered=True)),
    }


def outcome(*, approved: bool, registered: bool) -> dict[str, JSON]:
    """The machine's output."""
    return {
        "approved": approved,
        "registered": registered,
        "model_package_arn": jsonata("$model_package_arn"),
        "rules": jsonata("$verdict.rules"),
    }
