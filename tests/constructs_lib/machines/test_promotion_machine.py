import json
from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.promotion import PromotionParts, promotion_machine
from constructs_lib.machines.signing import TAMPERED, SigningParts

SOURCE = "arn:aws:sagemaker:us-east-1:111111111111:model-package/dev-flight-delays-models/7"
PACKAGE = "arn:aws:sagemaker:us-east-1:222222222222:model-package/staging-flight-delays-models/1"
GIVEN = {"run_id": "any-event", "workload": "flight_delays"}
PULLED = {
    "containers": [{"Image": "image", "ModelDataUrl": "s3://own/models/a/model.tar.gz", "Environment": {}}],
    "properties": {"run_id": "run-1", "model_sha256": "a" * 64, "statement_uri": "s3://own/s.json"},
    "evaluation_uri": "s3://own/evaluation.json",
}


def result(value: Any) -> list[dict[str, Any]]:
    return [{"result": value}]


def any_answers(**changed: Any) -> dict[str, Any]:
    """A model that is new and in order."""
    return {
        "FindModel": result({"Payload": {"source_arn": SOURCE}}),
        "PullModel": result({"Payload": PULLED}),
        "VerifyModel": result({"Payload": {"statement_sha256": "5" * 64}}),
        "RegisterModel": result({"ModelPackageArn": PACKAGE}),
        **{
            name: result({})
            for name in ("RecordPromotion", "RecordAudit", "RecordRun", "CountRegistered", "RecordRefusal")
        },
        "RecordFailure": result({}),
        "NotifyFailure": result({}),
        **changed,
    }


@pytest.fixture
def definition(surroundings: Surroundings) -> dict[str, Any]:
    parts = PromotionParts("pull", SigningParts("sign", "verify"), "staging-flight-delays-models", "ml.m5.large")
    return promotion_machine(surroundings, parts)


def test_an_approved_model_is_verified_and_registered_as_one_that_waits(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers())
    assert done.status == "SUCCEEDED", done.cause
    assert done.arguments("PullModel")["Payload"] == {"source_arn": SOURCE}
    assert done.arguments("VerifyModel")["Payload"] == {name: PULLED[name] for name in ("containers", "properties")}
    request = done.arguments("RegisterModel")
    assert request["ModelApprovalStatus"] == "PendingManualApproval"
    assert request["InferenceSpecification"]["Containers"] == PULLED["containers"]
    assert request["CustomerMetadataProperties"] == PULLED["properties"]
    assert request["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"] == PULLED["evaluation_uri"]
    assert len(request["ClientToken"]) == 36
    assert done.path.index("VerifyModel") < done.path.index("RegisterModel")
    assert done.output == {"promoted": True, "source_arn": SOURCE, "model_package_arn": PACKAGE}


def test_a_promotion_is_on_record_and_in_the_audit_trail(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers())
    written = done.arguments("RecordPromotion")
    assert written["Key"] == {"run": {"S": f"promoted#{SOURCE}"}}
    assert written["ExpressionAttributeValues"][":status"] == {"S": "promoted"}
    audit = done.arguments("RecordAudit")["Item"]
    assert audit["event"] == {"S": "model-promoted#any-event"}
    assert (audit["promoted_from"], audit["model_package_arn"]) == ({"S": SOURCE}, {"S": PACKAGE})


def test_registering_is_asked_for_under_the_same_token_by_every_execution(
    definition: dict[str, Any], walk: Any
) -> None:
    tokens = {
        walk(definition, {**GIVEN, "run_id": run}, any_answers()).arguments("RegisterModel")["ClientToken"]
        for run in ("one", "two")
    }
    assert len(tokens) == 1


def test_nothing_new_is_no_failure(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(FindModel=result({"Payload": {"source_arn": "none"}})))
    assert done.status == "SUCCEEDED"
    assert done.output == {"promoted": False, "source_arn": "none", "model_package_arn": "none"}
    assert "PullModel" not in done.path


@pytest.mark.parametrize("state", ["PullModel", "VerifyModel"])
@pytest.mark.parametrize("error", TAMPERED)
def test_a_model_that_was_tampered_with_is_refused_once_and_for_all(
    definition: dict[str, Any], walk: Any, error: str, state: str
) -> None:
    told = json.dumps({"errorType": error, "errorMessage": "not what was signed"})
    done = walk(definition, GIVEN, any_answers(**{state: [{"error": error, "cause": told}]}))
    assert (done.status, done.error, done.cause) == ("FAILED", error, "not what was signed")
    written = done.arguments("RecordRefusal")
    assert written["Key"] == {"run": {"S": f"promoted#{SOURCE}"}}
    assert written["ExpressionAttributeValues"][":status"] == {"S": "refused"}
    assert "RegisterModel" not in done.path


def test_any_other_failure_is_tried_again_next_time(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(PullModel=[{"error": "AccessDenied", "cause": "the key says no"}]))
    assert done.status == "FAILED"
    assert "RecordRefusal" not in done.path
