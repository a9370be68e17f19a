"""A training that gets nowhere is stopped from outside, whatever runs in it."""

from __future__ import annotations

import json
from typing import Any

from constructs_lib.names.naming import runtime_name
from tests.end_to_end.live import Live, eventually

EXPLODES = (
    "import time; "
    "[print(f'[{step}] train-logloss:{loss}', flush=True) for step, loss in enumerate((0.7, 0.6, 0.5, 8.0))]; "
    "time.sleep(300)"
)


def start_training(live: Live, name: str) -> None:
    """Start a container that is no script of ours, under the role and the name of the workload's trainings."""
    deployed = live.client("stepfunctions").describe_state_machine(stateMachineArn=live.outputs.model_machine_arn)
    request = json.loads(deployed["definition"])["States"]["Train"]["Arguments"]
    request |= {
        "TrainingJobName": name,
        "AlgorithmSpecification": {
            "TrainingImage": request["AlgorithmSpecification"]["TrainingImage"],
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3", "-c", EXPLODES],
        },
        "HyperParameters": {},
    }
    for member in ("InputDataConfig", "Environment"):
        del request[member]
    live.client("sagemaker").create_training_job(**request)


def test_a_training_that_explodes_is_stopped_recorded_and_told(kept: Live) -> None:
    name = runtime_name("every", kept.workload, "train-explodes")
    start_training(kept, name)

    record = eventually(lambda: kept.item(kept.outputs.runs_table, "run", f"guard#{name}"), "the record", seconds=60)
    seen = "loss of point 4 is 8, 16.0 times the best (0.5); allowed are 5"
    assert record["status"] == "stopped", record
    assert (record["rule"], record["finding"]) == ("exploding", seen)

    def ended() -> dict[str, Any] | None:
        job: dict[str, Any] = kept.client("sagemaker").describe_training_job(TrainingJobName=name)
        return job if job["TrainingJobStatus"] not in ("InProgress", "Stopping") else None

    assert eventually(ended, f"the end of {name}", seconds=60)["TrainingJobStatus"] == "Stopped"
    notice = kept.on_call.notice(lambda notice: notice.get("training_job") == name)
    assert (notice["machine"], notice["rule"], notice["finding"]) == ("guard", "exploding", seen)
