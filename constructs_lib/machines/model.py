"""The model machine: turns a dataset into a registered model, or into a reasoned rejection.

Input: ``{"run_id", "workload", "as_of", "bundle": {"bundle", "uri", "commit"}, "dataset": <a published manifest>}``,
and ``search``: whether hyperparameters are to be searched, where not every run does so.
Output: ``{"approved", "registered", "model_package_arn" (``none`` when rejected), "rules"}``.

A run can be repeated: see :mod:`constructs_lib.machines.reproduction`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
    artefact_of_package,
    failure_states,
    get_json,
    put_metrics,
    run_key,
    run_record,
)
from constructs_lib.machines.experiment_log import log_failed_states, log_states
from constructs_lib.machines.image_scan import FINAL_ERRORS as SCAN_ERRORS
from constructs_lib.machines.images import FINAL_ERRORS as IMAGE_ERRORS
from constructs_lib.machines.images import image_states
from constructs_lib.machines.jobs import (
    IN,
    MESSAGE,
    OUT,
    input_files,
    processing_job,
    result_uri,
)
from constructs_lib.machines.makers.parts import ModelParts
from constructs_lib.machines.makers.pinned_scripts import FINAL_ERRORS as SCRIPT_ERRORS
from constructs_lib.machines.makers.reuse import BEGUN as NOT_REUSED
from constructs_lib.machines.makers.tuning import BEGUN
from constructs_lib.machines.model_card import model_card, read_model_card
from constructs_lib.machines.packing import BEGUN as NOT_PACKED
from constructs_lib.machines.packing import packing_states
from constructs_lib.machines.pins import pin_states
from constructs_lib.machines.reproduction import FINAL_ERRORS as REPRODUCTION_ERRORS
from constructs_lib.machines.reproduction import (
    RECORDED_IMAGES,
    WANTED,
    comparing_states,
    original_states,
    remaking_states,
    remember_training,
)
from constructs_lib.machines.scoring import scoring_states
from constructs_lib.machines.signing import FINAL_ERRORS as SIGNING_ERRORS
from constructs_lib.machines.signing import package_properties, signed_properties, signing_states
from constructs_lib.machines.spending import NOTHING, estimate, processing_spent
from constructs_lib.machines.verdict import write_verdict
from constructs_lib.names import metrics
from constructs_lib.names.prices import Component

FINAL_ERRORS = (
    *("BadAdapters", "BadFacet", "BadGate", "BadPredictions", "BadSplit", "BadTestSplit", "ImageMissing"),
    *("TrainingStopped", "UnsafeArtefact"),
    *IMAGE_ERRORS,
    *SCAN_ERRORS,
    *SCRIPT_ERRORS,
    *REPRODUCTION_ERRORS,
    *SIGNING_ERRORS,
)
"""Errors that lie in the dataset, the scripts, the image or the workload file."""

BAD_WINDOW = "BadWindow"
"""The error of an evaluation whose model does not say which window it was trained on."""

JUDGED = ("problem", "rows", "metrics", "intervals", "champion", "calibration", "slices", "bias", "limits")
"""What the machine keeps of ``evaluation.json``."""


def model_machine(s: Surroundings, p: ModelParts) -> State:
    """Returns the definition."""
    making, scoring = p.maker.states(s, p), score_states(s, p)
    evaluating = {**scoring, "Evaluate": evaluate(s, p)}
    if p.evaluated_by_maker:  # which made the model; a replay makes it without the maker
        first = next(iter(evaluating))
        evaluating = {"IsEvaluated": choice([(WANTED, first)], default="ReadEvaluation"), **evaluating}
    remembered = remember_training(p)
    made = {**packing_states(s, p, following=next(iter(remembered))), **remembered}
    images = image_states(p.images, recorded=RECORDED_IMAGES, following="IsReplay")
    return machine(
        f"Turns a dataset of {s.workload} into a registered model, or rejects it",
        {
            "Begin": remember(begun(p)),
            "FindEarlierRun": find_earlier_run(s),
            "AlreadyDone": already_done(p),
            **original_states(s, p, following="PinDataset"),
            **pin_states(s, bucket=p.datasets_bucket, following=next(iter(images))),
            **images,
            "IsReplay": choice([(WANTED, "ReadDataset")], default="FindChampion"),
            **remaking_states(s, p, searching=next(iter(making)), following=next(iter(made))),
            "FindChampion": find_champion(p),
            "HasChampion": has_champion(),
            "LookFurther": go_to("HasChampion", find_champion(p, {"NextToken": jsonata("$more_packages")})),
            "DescribeChampion": describe_champion(),
            "AlreadyTrained": choice([("$model_uri != 'none'", next(iter(made)))], default=next(iter(making))),
            **making,
            **made,
            **evaluating,
            "ReadEvaluation": read_evaluation(s, p),
            "WasReplay": choice([(WANTED, "CompareModels")], default="PublishMetrics"),
            **comparing_states(s, made_of()),
            "PublishMetrics": publish_metrics(s, p),
            "JudgeModel": judge_model(p),
            "WriteVerdict": write_verdict(s, p.place.artefacts_bucket),
            "Passed": choice([("$verdict.passed", "ReadModelCard")], default="RecordRejection"),
            "ReadModelCard": read_model_card(s, p),
            **signing_states(p.signing),
            "RegisterModel": register_model(p),
            "RecordRun": record_run(s, p),
            "CountRegistered": put_metrics(s, {metrics.MODEL_REGISTERED: "1"}),
            **approval_states(p),
            "RecordRejection": record_rejection(s),
            "RememberRejection": remember_rejection(s, p),
            "CountRejected": put_metrics(s, {metrics.GATE_REJECTED: "1"}),
            **log_states(p, "LogRejected", following="Rejected"),
            "Rejected": succeed(outcome(approved=False, registered=False)),
            **failure_states(
                s,
                "model",
                final=FINAL_ERRORS if p.window is None else (*FINAL_ERRORS, BAD_WINDOW),
                resume_at="FindEarlierRun",
                release=log_failed_states(p, following="ResumeOrFail"),
            ),
        },
        timeout=24 * HOUR,
    )


def begun(p: ModelParts) -> dict[str, JSON]:
    """What is not there yet."""
    return {
        **NOTHING,
        "model_uri": "none",
        "champion_uri": "none",
        "champion_arn": "none",
        "images": {},
        **(BEGUN if p.tuning is not None else {}),
        **(NOT_REUSED if p.tuning is not None and p.tuning.space is not None else {}),
        **(NOT_PACKED if p.serving_script_uri is not None else {}),
    }


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


def already_done(p: ModelParts) -> State:
    """Goes on behind what an earlier try has done."""
    rejected = next(iter(log_states(p, "LogRejected", following="Rejected")), "Rejected")
    return choice(
        [
            (WANTED, "FindOriginal"),
            ("$earlier = 'registered'", "CountRegistered"),
            ("$earlier = 'rejected'", rejected),
        ],
        default="PinDataset",
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
        assign={
            "champion_uri": jsonata(artefact_of_package()),
            "champion_containers": [{"ModelPackageName": jsonata("$champion_arn")}],
        },
        retry_also=UNNAMED_SAGEMAKER,
    )


def score_states(s: Surroundings, p: ModelParts) -> dict[str, State]:
    """Returns the states that have a model answer the test split which the evaluation cannot load; none otherwise."""
    if p.scoring is None:
        return {}
    return scoring_states(
        s,
        p.place,
        p.scoring,
        processing_role_arn=p.processing_role_arn,
        jobs=p.jobs,
        target=p.target,
    )


def with_champion(always: list[JSON], champion: list[JSON]) -> JSON:
    """A list that is longer when there is a champion."""
    longer = f"$append({expression(always)}, {expression(champion)})"
    return jsonata(f"$champion_uri = 'none' ? {expression(always)} : {longer}")


def evaluate(s: Surroundings, p: ModelParts, listed: Callable[[list[JSON], list[JSON]], JSON] = with_champion) -> State:
    """Evaluates model and champion on the held-back test split.

    Args:
        listed: Puts a list together: of what is always in it, and what comes with a champion. Default: by JSONata.
    """
    arguments = [
        *("--model", f"{IN}/model", "--test", f"{IN}/test", "--options", f"{IN}/options"),
        *("--version", jsonata("$states.input.dataset.version")),
    ]
    results = ["--output", OUT, "--message", MESSAGE, *(["--allow_pickle"] if p.allow_pickle else [])]
    inputs = [
        input_files("job", p.place.job_code_uri),
        input_files("model", jsonata("$model_uri")),
        input_files("test", jsonata("$states.input.dataset.splits.test.manifest_uri"), manifest=True),
        input_files("options", p.evaluation_options_uri),
    ]
    if p.reads_train:
        arguments += ["--train", f"{IN}/train"]
        inputs.append(input_files("train", jsonata("$states.input.dataset.splits.train.manifest_uri"), manifest=True))
    champion = [input_files("champion", jsonata("$champion_uri"))]
    of_champion = ["--champion", f"{IN}/champion"]
    if p.scoring is not None:
        arguments += ["--predictions", f"{IN}/predictions"]
        inputs.append(input_files("predictions", jsonata("$predictions_uri")))
        of_champion += ["--champion_predictions", f"{IN}/champion_predictions"]
        champion.append(input_files("champion_predictions", jsonata("$champion_predictions_uri")))
    return processing_job(
        s,
        p.place,
        p.jobs,
        kind="eval",
        command="evaluate",
        role_arn=p.processing_role_arn,
        image_uri=p.place.image_uri,
        arguments=listed([*arguments, *results], of_champion),
        inputs=listed(inputs, champion),
        output_prefix="evaluations",
        assign={"evaluation_id": jsonata(attempt()), **processing_spent("evaluation")},
    )


def read_evaluation(s: Surroundings, p: ModelParts) -> State:
    """Keeps the figures of the evaluation and where they were measured; files and importances stay in its file."""
    names = JUDGED if p.window is None else (*JUDGED, "window")
    kept = ", ".join(f"'{name}': $e.{name}" for name in names)
    return get_json(
        s,
        p.place.artefacts_bucket,
        f"'{s.workload}/evaluations/' & $evaluation_id & '/evaluation.json'",
        {
            "evaluation": jsonata(
                f"($e := $parse($states.result.Body); {{'model_sha256': $e.model.sha256, "
                f"'archive_sha256': $e.model.archive_sha256, {kept}}})"
            ),
            "environment": jsonata("$parse($states.result.Body).environment"),
            "cost": jsonata(estimate(machines_of(p))),
            "evaluation_uri": jsonata(
                f"'{result_uri(s, p.place, 'evaluations')}' & $evaluation_id & '/evaluation.json'"
            ),
        },
    )


def machines_of(p: ModelParts) -> list[tuple[Component, str]]:
    """What the run's jobs run on, by use."""
    scoring: list[tuple[Component, str]] = (
        [("Transform", p.scoring.limits.instance_type)] if p.scoring is not None else []
    )
    return [("Training", p.training.instance_type), ("Processing", p.jobs.instance_type), *scoring]


def publish_metrics(s: Surroundings, p: ModelParts) -> State:
    """Publishes the metric that decides, which every evaluation has."""
    metric = str(p.gate["metric"])
    return put_metrics(s, {metrics.of_model(metric): f"$evaluation.metrics.{metric}"})


def judge_model(p: ModelParts) -> State:
    """Judges the figures by the workload's gate."""
    return task(
        "lambda:invoke",
        {
            "FunctionName": p.judge_model_arn,
            "Payload": {
                "evaluation": jsonata("$evaluation"),
                "gate": dict(p.gate),
                "problem": p.problem,
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
                "Containers": jsonata("$signed.containers"),
                "SupportedContentTypes": ["application/json"],
                "SupportedResponseMIMETypes": ["application/json"],
                "SupportedRealtimeInferenceInstanceTypes": [p.serving_instance_type],
                "SupportedTransformInstanceTypes": [p.serving_instance_type],
            },
            "ModelCard": model_card(),
            "ModelMetrics": {
                "ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": jsonata("$evaluation_uri")}}
            },
            "CustomerMetadataProperties": {
                **package_properties(),
                **signed_properties(),
                "evaluation_report": jsonata("$report_uri"),
            },
        },
        timeout=CALL_SECONDS,
        assign={"model_package_arn": jsonata("$states.result.ModelPackageArn")},
    )


def record_run(s: Surroundings, p: ModelParts) -> State:
    """Writes the run's record: what the model was made of and how good it is."""
    signed = {"archive_sha256": "$evaluation.archive_sha256", "statement_uri": "$signed.statement_uri"}
    registered = {"status": "'registered'", "model_package_arn": "$model_package_arn", **signed}
    return run_record(s, "model", {**made_of(), **tuned(p), **windowed(p), **registered})


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
    return run_record(s, "model", {**made_of(), **tuned(p), **windowed(p), "status": "'rejected'"})


def made_of() -> dict[str, str]:
    """The JSONata of what a run's record says of a model."""
    return {
        "as_of": "$states.input.as_of",
        "bundle": "$states.input.bundle.bundle",
        "commit": "$states.input.bundle.commit",
        "dataset_version": "$states.input.dataset.version",
        "image": "$training_image",
        "images": "$string($images)",
        "hyperparameters": "$string($hyperparameters)",
        "seed": "$exists($hyperparameters.seed) ? $hyperparameters.seed : 'none'",
        "training_job": "$training_job",
        "training": "$string($training)",
        "containers": "$string($containers)",
        "environment": "$string($environment)",
        "model_uri": "$model_uri",
        "model_sha256": "$evaluation.model_sha256",
        "metrics": "$string($evaluation.metrics)",
        "evaluation_uri": "$evaluation_uri",
        "rules": "$string($verdict.rules)",
        "champion": "$champion_arn",
        "cost_usd_estimate": "$string($cost.usd)",
        "cost_assumption": "$cost.assumption",
        "cost_basis": "$string($cost.basis)",
    }


def tuned(p: ModelParts) -> dict[str, str]:
    """The JSONata of what a run's record says of the tuning that found the model; nothing where there is none."""
    if p.tuning is None:
        return {}
    reused = {"search": "$search", "tuned_by": "$search = 'none' ? $tuned.name : $tuning_name"}
    return {"tuning": "$string($tuning)", **(reused if p.tuning.space is not None else {})}


def windowed(p: ModelParts) -> dict[str, str]:
    """The JSONata of what a run's record says of the window that was trained on; nothing where none is asked for."""
    return {} if p.window is None else {"window": "$string($evaluation.window)"}


def approval_states(p: ModelParts) -> dict[str, State]:
    """Approves the model at once, or leaves that to a person. The approval itself starts the deployment."""
    if p.approval == "manual":
        return {
            **log_states(p, "LogRegistered", following="AwaitsApproval"),
            "AwaitsApproval": succeed(outcome(approved=False, registered=True)),
        }
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
        **log_states(p, "LogRegistered", following="Approved"),
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
