import json
from typing import Any

import pytest

from constructs_lib.machines.common import Surroundings
from constructs_lib.machines.loop import LoopParts, loop_machine

RUN_ID = "0123456789abcdef-1"
GIVEN = {
    "run_id": RUN_ID,
    "workload": "flight_delays",
    "batch_uri": "s3://landing/flight_delays/april/_batch.json",
    "as_of": "2013-05-01T00:00:00Z",
    "bundle": {"bundle": "b" * 64, "uri": "s3://artefacts/bundle.tar.gz", "commit": "c0ffee"},
}
DATASET = {"version": "v1"}
APPROVED = {"approved": True, "registered": True, "model_package_arn": "arn:package/3", "rules": []}
REJECTED = {"approved": False, "registered": False, "model_package_arn": "none", "rules": []}
TAKEN = {"error": "DynamoDB.ConditionalCheckFailedException", "cause": "The conditional request failed"}
NOW = 1767225600  # 2026-01-01, when every walk starts


def result(value: Any) -> list[dict[str, Any]]:
    return [{"result": value}]


def any_answers(**changed: Any) -> dict[str, Any]:
    return {
        "AcquireLease": result({}),
        "RunData": result({"Output": {"dataset": DATASET, "phases": {}}}),
        "RunModel": result({"Output": APPROVED}),
        "RecordRun": result({}),
        "ReleaseLease": result({}),
        "RecordFailure": result({}),
        "NotifyFailure": result({}),
        "ReleaseLeaseOfFailed": result({}),
        **changed,
    }


@pytest.fixture
def definition(surroundings: Surroundings) -> dict[str, Any]:
    return loop_machine(surroundings, LoopParts("arn:data", "arn:model"))


def test_hands_the_dataset_to_the_model_machine(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers())
    started = done.arguments("RunModel")
    assert started["StateMachineArn"] == "arn:model"
    assert started["Input"]["dataset"] == DATASET
    assert started["Input"]["run_id"] == RUN_ID
    assert (
        started["Input"]["AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"]
        == f"arn:aws:states:us-east-1:000000000000:execution:dev:{RUN_ID}"
    )
    assert done.output == APPROVED


def test_nested_executions_are_named_after_the_run(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers())
    assert done.arguments("RunData")["Name"] == f"{RUN_ID}-d0-0"
    assert done.arguments("RunModel")["Name"] == f"{RUN_ID}-m0-0"


def test_takes_the_lease_when_it_is_free_over_or_its_own(definition: dict[str, Any], walk: Any) -> None:
    taken = walk(definition, GIVEN, any_answers()).arguments("AcquireLease")
    assert taken["ConditionExpression"] == "attribute_not_exists(lease) OR expires < :now OR #owner = :owner"
    assert taken["ExpressionAttributeValues"] == {":now": {"N": str(NOW)}, ":owner": {"S": RUN_ID}}
    assert taken["Item"]["lease"] == {"S": "flight_delays"}
    assert int(taken["Item"]["expires"]["N"]) > NOW + 38 * 3600


def test_waits_while_another_run_holds_the_lease(definition: dict[str, Any], walk: Any) -> None:
    done = walk(definition, GIVEN, any_answers(AcquireLease=[TAKEN, TAKEN, {"result": {}}]))
    assert done.status == "SUCCEEDED"
    assert done.path.count("WaitForLease") == 2


def test_waiting_for_the_lease_does_not_fill_the_history(definition: dict[str, Any]) -> None:
    patience = definition["States"]["Begin"]["Assign"]["patience"]
    seconds = int(patience.removesuffix(" %}").rpartition("+")[2])
    events = {"AcquireLease": 5, "LeaseTaken": 2, "WaitForLease": 2}
    rounds = seconds / definition["States"]["WaitForLease"]["Seconds"]
    assert rounds * sum(events.values()) < 25_000 / 2


def test_does_not_wait_for_the_lease_for_ever(definition: dict[str, Any], walk: Any) -> None:
    definition["States"]["WaitForLease"]["Seconds"] = 6 * 3600
    done = walk(definition, GIVEN, any_answers(AcquireLease=[TAKEN]))
    assert done.status == "FAILED"
    assert "LeaseTimeout" in str(done.cause)
    assert "RunData" not in done.path


def test_keeps_the_lease_for_the_deployment_of_an_approved_model(definition: dict[str, Any], walk: Any) -> None:
    assert "ReleaseLease" not in walk(definition, GIVEN, any_answers()).path


@pytest.mark.parametrize("outcome", [REJECTED, {**APPROVED, "approved": False}])
def test_gives_the_lease_back_when_nothing_will_be_deployed(
    definition: dict[str, Any], walk: Any, outcome: dict[str, Any]
) -> None:
    done = walk(definition, GIVEN, any_answers(RunModel=result({"Output": outcome})))
    assert done.status == "SUCCEEDED"
    released = done.arguments("ReleaseLease")
    assert released["Key"] == {"lease": {"S": "flight_delays"}}
    assert released["ConditionExpression"] == "#owner = :owner"
    assert released["ExpressionAttributeValues"] == {":owner": {"S": RUN_ID}}


def test_a_failed_run_tells_the_nested_machines_error_and_gives_the_lease_back(
    definition: dict[str, Any], walk: Any
) -> None:
    nested = {"Error": "BadBatch", "Cause": "source planes is missing", "Status": "FAILED", "Name": "x"}
    failed = {"error": "States.TaskFailed", "cause": json.dumps(nested)}
    done = walk(definition, GIVEN, any_answers(RunData=[failed]))
    assert (done.status, done.error, done.cause) == ("FAILED", "BadBatch", "source planes is missing")
    assert done.path.index("NotifyFailure") < done.path.index("ReleaseLeaseOfFailed")
    assert "RunModel" not in done.path


def test_a_redrive_takes_the_lease_again_and_starts_new_nested_executions(
    definition: dict[str, Any], walk: Any
) -> None:
    nested = {"Error": "States.QueryEvaluationError", "Cause": "D3137: PrepareDataset failed", "Status": "FAILED"}
    failed = {"error": "States.TaskFailed", "cause": json.dumps(nested)}
    done = walk(definition, GIVEN, any_answers(RunData=[failed, any_answers()["RunData"][0]]), redrives=1)
    assert done.status == "SUCCEEDED"
    assert done.path.count("AcquireLease") == 2
    assert done.arguments("RunData")["Name"] == f"{RUN_ID}-d1-0"


def test_records_what_became_of_the_run(definition: dict[str, Any], walk: Any) -> None:
    recorded = walk(definition, GIVEN, any_answers()).arguments("RecordRun")
    values = {key: value["S"] for key, value in recorded["ExpressionAttributeValues"].items()}
    assert recorded["Key"] == {"run": {"S": f"loop#{RUN_ID}"}}
    assert values[":outcome"] == "approved"
    assert values[":dataset_version"] == "v1"
    assert values[":triggered_by"] == "by hand"
