"""A rejected model package is told to the policy of trainings, where the workload has one."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest

from gapless_lambda.clients import client
from start_execution import handler as starter
from start_execution.retraining import NotTold, tell_of_rejection
from tests.lambda_functions.test_start_execution import PACKAGE, World, approval, aws, deliver, world

__all__ = ["aws", "world"]

POLICY = "arn:aws:lambda:us-east-1:123456789012:function:decide"
MADE = {"CustomerMetadataProperties": {"run_id": "run-1"}}


class Functions:
    """Lambda, which keeps what it was told."""

    def __init__(self, error: str | None = None) -> None:
        self.told: list[Any] = []
        self._error = error

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        self.told.append((FunctionName, json.loads(Payload)))
        failed = {"FunctionError": "Unhandled"} if self._error is not None else {}
        return {"Payload": io.BytesIO((self._error or "{}").encode()), **failed}


@pytest.fixture
def functions(world: World, monkeypatch: pytest.MonkeyPatch) -> Functions:
    """Lambda in the place of AWS's; the package that is decided on was made by a run."""
    made = Functions()
    described = {**world.sagemaker.describe_model_package(ModelPackageName=PACKAGE), **MADE}
    sagemaker = SimpleNamespace(describe_model_package=lambda **_: described)
    played: dict[str, Any] = {"lambda": made, "sagemaker": sagemaker}
    monkeypatch.setattr(starter, "client", lambda service: played.get(service) or client(service))
    return made


def test_a_rejection_is_told_and_an_approval_is_not(functions: Functions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DECIDE_RETRAIN_ARN", POLICY)
    assert deliver(approval("Rejected"), approval(id="e3"), approval("PendingManualApproval", id="e4")) == []
    assert functions.told == [(POLICY, {"action": "taken_back", "run_id": "run-1"})]


def test_another_change_of_a_rejected_package_is_no_decision(
    functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DECIDE_RETRAIN_ARN", POLICY)
    event = approval("Rejected")
    event["detail"]["UpdatedModelPackageFields"] = ["CustomerMetadataProperties"]
    assert deliver(event) == []
    assert functions.told == []


def test_without_a_policy_nobody_is_told(functions: Functions) -> None:
    assert deliver(approval("Rejected")) == []
    assert functions.told == []


def test_an_event_that_the_policy_could_not_be_told_of_comes_again(
    functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DECIDE_RETRAIN_ARN", POLICY)
    monkeypatch.setattr(functions, "_error", '{"errorMessage": "Busy"}')
    assert deliver(approval("Rejected")) == ["0"]


def test_says_whose_rejection_was_not_told() -> None:
    with pytest.raises(NotTold, match="function:decide was not told that the model of run-1 was taken back: boom"):
        tell_of_rejection(Functions("boom"), POLICY, MADE)


def test_a_package_that_was_made_elsewhere_is_nobodys_training() -> None:
    functions = Functions()
    tell_of_rejection(functions, POLICY, {})
    assert functions.told == []
