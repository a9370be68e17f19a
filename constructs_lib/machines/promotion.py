"""The promotion machine: takes over the newest model that another stage has approved, and lets people here decide.

Input: ``{"run_id", "workload"}``.
Output: ``{"promoted", "source_arn", "model_package_arn"}``, the last ``none`` where there was nothing new.
"""

from __future__ import annotations

from dataclasses import dataclass

from constructs_lib.asl import JSON, State, choice, jsonata, machine, remember, succeed, task
from constructs_lib.machines.common import (
    CALL_SECONDS,
    HOUR,
    MINUTE,
    Surroundings,
    failure_states,
    put_metrics,
    record,
    run_record,
    text,
)
from constructs_lib.machines.signing import READING_SECONDS, TAMPERED, SigningParts, verify_model
from constructs_lib.names import metrics


@dataclass(frozen=True)
class PromotionParts:
    """Names what the promotion machine works with; ARNs may be tokens.

    Args:
        pull_model_arn: The function that takes models over.
        signing: The functions that sign and verify models.
        group_name: The model package group of this stage.
        serving_instance_type: What models are meant to be served on here.
    """

    pull_model_arn: str
    signing: SigningParts
    group_name: str
    serving_instance_type: str


def promotion_machine(s: Surroundings, p: PromotionParts) -> State:
    """Returns the definition."""
    return machine(
        f"Takes over models of {s.workload} that another stage has approved",
        {
            "Begin": remember({"source_arn": "none", "model_package_arn": "none"}),
            "FindModel": find_model(p),
            "HasNew": choice([("$source_arn != 'none'", "PullModel")], default="NothingNew"),
            "PullModel": pull_model(p),
            "VerifyModel": verify_model(p.signing, jsonata("$pulled.containers"), jsonata("$pulled.properties")),
            "RegisterModel": register_model(p),
            "RecordPromotion": record_promotion(s, "'promoted'"),
            "RecordAudit": record_audit(s, "model-promoted"),
            "RecordRun": record_run(s),
            "CountRegistered": put_metrics(s, {metrics.MODEL_REGISTERED: "1"}),
            "Promoted": succeed(outcome(promoted=True)),
            "NothingNew": succeed(outcome(promoted=False)),
            **failure_states(
                s,
                "promotion",
                final=TAMPERED,
                resume_at="FindModel",
                release={
                    "IsRefused": is_refused(),
                    "RecordRefusal": record_promotion(
                        s, "'refused'", on_failure="ResumeOrFail", failure="refusal_failure"
                    ),
                },
            ),
        },
        timeout=2 * HOUR,
    )


def find_model(p: PromotionParts) -> State:
    """Finds the newest approved model of the other stage, unless it was taken over before or refused."""
    return task(
        "lambda:invoke",
        {"FunctionName": p.pull_model_arn, "Payload": {}},
        timeout=2 * MINUTE,
        assign={"source_arn": jsonata("$states.result.Payload.source_arn")},
    )


def pull_model(p: PromotionParts) -> State:
    """Verifies it, copies what belongs to it, and signs it anew."""
    return task(
        "lambda:invoke",
        {"FunctionName": p.pull_model_arn, "Payload": {"source_arn": jsonata("$source_arn")}},
        timeout=READING_SECONDS + MINUTE,
        assign={"pulled": jsonata("$states.result.Payload")},
    )


def register_model(p: PromotionParts) -> State:
    """Registers the model as one that waits for approval; repeating the request registers nothing twice."""
    return task(
        "aws-sdk:sagemaker:createModelPackage",
        {
            "ModelPackageGroupName": p.group_name,
            "ModelPackageDescription": jsonata("'Promoted from ' & $source_arn"),
            "ModelApprovalStatus": "PendingManualApproval",
            "ClientToken": jsonata("$substring($hash($source_arn, 'SHA-256'), 0, 36)"),
            "InferenceSpecification": {
                "Containers": jsonata("$pulled.containers"),
                "SupportedContentTypes": ["application/json"],
                "SupportedResponseMIMETypes": ["application/json"],
                "SupportedRealtimeInferenceInstanceTypes": [p.serving_instance_type],
                "SupportedTransformInstanceTypes": [p.serving_instance_type],
            },
            "ModelMetrics": {
                "ModelQuality": {
                    "Statistics": {"ContentType": "application/json", "S3Uri": jsonata("$pulled.evaluation_uri")}
                }
            },
            "CustomerMetadataProperties": jsonata("$pulled.properties"),
        },
        timeout=CALL_SECONDS,
        assign={"model_package_arn": jsonata("$states.result.ModelPackageArn")},
    )


def record_promotion(s: Surroundings, status: str, **where: str) -> State:
    """Writes down what became of the other stage's package, so that it is not taken over again.

    Args:
        status: The JSONata of it.
        where: ``on_failure`` and ``failure``, as in ``task``.
    """
    values = {"status": status, "workload": text(s.workload), "model_package_arn": "$model_package_arn"}
    return record(s, "'promoted#' & $source_arn", values, **where)


def record_audit(s: Surroundings, what: str) -> State:
    """Writes into the audit trail which model came from where."""
    return task(
        "dynamodb:putItem",
        {
            "TableName": s.audit_table,
            "Item": {
                "workload": {"S": s.workload},
                "event": {"S": jsonata(f"'{what}#' & $states.input.run_id")},
                "model_package_arn": {"S": jsonata("$model_package_arn")},
                "promoted_from": {"S": jsonata("$source_arn")},
                "at": {"S": jsonata("$states.context.State.EnteredTime")},
            },
        },
        timeout=CALL_SECONDS,
    )


def record_run(s: Surroundings) -> State:
    """Completes the run's record."""
    values = {
        "status": "'succeeded'",
        "promoted_from": "$source_arn",
        "model_package_arn": "$model_package_arn",
        "model_sha256": "$pulled.properties.model_sha256",
        "statement_uri": "$pulled.properties.statement_uri",
    }
    return run_record(s, "promotion", values)


def is_refused() -> State:
    """Asks whether the model is at fault: one that was tampered with is not asked for again and again."""
    errors = ", ".join(text(error) for error in TAMPERED)
    return choice([(f"$failure.error in [{errors}]", "RecordRefusal")], default="ResumeOrFail")


def outcome(*, promoted: bool) -> dict[str, JSON]:
    """The machine's output."""
    return {
        "promoted": promoted,
        "source_arn": jsonata("$source_arn"),
        "model_package_arn": jsonata("$model_package_arn"),
    }
