"""What a workload file may say of modes of serving, of scaling and of batch scoring."""

from __future__ import annotations

from typing import Any

import pytest

from constructs_lib.names.serving_modes import Serverless
from constructs_lib.names.workload_file import WorkloadFile, WorkloadFileError

CHURN: dict[str, Any] = {
    "name": "churn",
    "owner": "growth@example.com",
    "target": "churned",
    "event_time": "seen_at",
    "sources": {
        "customers": {
            "key": ["customer"],
            "columns": {
                "customer": "string",
                "seen_at": "timestamp",
                "visits": "int",
                "spent": "double",
                "churned": "boolean",
            },
        }
    },
    "features": {"visits": "int", "spent": "double"},
}


def parsed(**more: Any) -> WorkloadFile:
    return WorkloadFile.parse({**CHURN, **more})


def refusal(**more: Any) -> str:
    with pytest.raises(WorkloadFileError) as error:
        parsed(**more)
    return str(error.value)


def test_a_mode_may_be_given_by_its_name_or_with_its_settings() -> None:
    assert parsed(serving={"mode": "serverless"}).serving.mode == Serverless()
    asked = {"kind": "serverless", "memory_mb": 4096, "max_concurrency": 20, "provisioned_concurrency": 2}
    wanted = Serverless(memory_mb=4096, max_concurrency=20, provisioned_concurrency=2)
    assert parsed(serving={"mode": asked}).serving.mode == wanted


@pytest.mark.parametrize(
    ("serving", "says"),
    [
        ({"mode": "edge"}, "serving.mode: allowed: 'real_time', 'serverless', 'asynchronous', was"),
        ({"mode": "multi_model"}, "serving.mode: multi_model is not offered: the models of such an endpoint share"),
        ({"mode": {"kind": "multi_model"}}, "no rollout could hold it back"),
        ({"mode": "inference_components"}, "allowed: real_time, serverless, asynchronous"),
        ({"mode": {"kind": "serverless", "memory_gb": 2}}, "serving.mode.memory_gb: 'memory_gb' is not a known key"),
        (
            {"mode": {"kind": "serverless", "max_concurrency": 2, "provisioned_concurrency": 3}},
            "serving.mode.provisioned_concurrency: 3 is more than max_concurrency, 2",
        ),
        ({"mode": "serverless", "instance_count": 2}, "serving.instance_count: a serverless endpoint has no machines"),
        ({"mode": "serverless", "rollout": "canary"}, "serving.rollout: canary moves traffic by shares"),
        ({"mode": "asynchronous", "capture_percent": 5}, "serving.capture_percent: SageMaker captures nothing of it"),
        ({"scaling": {"max": 3}}, "serving.scaling.requests_per_minute: nothing says what is followed"),
        (
            {"scaling": {"min": 0, "max": 3, "cpu_percent": 60}},
            "an endpoint of mode real_time keeps a machine",
        ),
        ({"scaling": {"min": 4, "max": 3, "cpu_percent": 60}}, "serving.scaling.min: 4 is more than max, 3"),
        ({"scaling": {"min": 2, "max": 3, "cpu_percent": 60}}, "serving.scaling.max: the endpoint begins with"),
        (
            {"scaling": {"max": 3, "waiting_requests": 5}},
            "serving.scaling.waiting_requests: has no meaning with mode real_time",
        ),
        (
            {"scaling": {"max": 3, "cpu_percent": 60, "requests_per_minute": 9}},
            "one thing can be followed, requests_per_minute is given as well",
        ),
        (
            {"scaling": {"max": 3, "set_times": {"night": {"at": "noon", "min": 1}}}},
            "must be a schedule such as rate(1 hour)",
        ),
        (
            {"scaling": {"max": 3, "set_times": {"night": {"at": "rate(1 day)"}}}},
            "serving.scaling.set_times.night.min: or max must be given",
        ),
    ],
)
def test_refuses_what_a_mode_cannot_do(serving: dict[str, Any], says: str) -> None:
    assert says in refusal(serving=serving)


def test_a_serverless_endpoint_has_no_room_for_several_containers() -> None:
    built_in = {"kind": "built_in", "algorithm": "xgboost"}
    found = refusal(model=built_in, serving={"mode": "serverless"}, training={"hyperparameters": {"num_round": 5}})
    assert "serving.mode: a serverless endpoint runs one container" in found


@pytest.mark.parametrize(
    ("scoring", "says"),
    [
        ({"on_new_data": False}, "batch_scoring.on_new_data: is false and there is no schedule"),
        ({"keep": ["visits"]}, "batch_scoring.keep: column 'visits' is part of every row"),
        ({"keep": ["churned"]}, "batch_scoring.keep: column 'churned' is what is predicted"),
        ({"keep": ["note", "note"]}, "batch_scoring.keep: column 'note' is given twice"),
        ({"max_payload_mb": 60, "concurrent_requests": 2}, "2 requests of 60 MB are 120 MB at once"),
        ({"schedule": {"at": "daily"}}, "batch_scoring.schedule.at: must be a schedule such as rate(1 hour)"),
        (
            {"schedule": {"at": "rate(1 day)", "time_zone": "Berlin"}},
            "schedule.time_zone: must be UTC or",
        ),
    ],
)
def test_refuses_batch_scoring_that_cannot_be(scoring: dict[str, Any], says: str) -> None:
    assert says in refusal(batch_scoring=scoring)


def test_the_table_of_predictions_has_what_was_asked_and_what_was_answered() -> None:
    assert parsed().prediction_columns() == {}
    assert parsed(batch_scoring={"keep": ["note"]}).prediction_columns() == {
        "input": "struct<customer:string,visits:int,spent:double,note:string>",
        "sagemakeroutput": "struct<predictions:array<struct<probability:double,label:boolean>>>",
    }
    few = parsed(batch_scoring={"join": "key", "strategy": "multi_record"}).prediction_columns()
    assert few == {"input": "struct<customer:string>", "sagemakeroutput": "struct<probability:double,label:boolean>"}
