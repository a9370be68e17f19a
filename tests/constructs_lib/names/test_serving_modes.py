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
SEGMENTS = {"kind": "multi_model", "segment": "plan", "values": ["basic", "pro"]}
PLANS = {"features": {"visits": "int", "spent": "double", "plan": "string"}}


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
        ({"mode": "edge"}, "serving.mode: allowed: 'real_time', 'serverless', 'asynchronous', 'multi_model', was"),
        ({"mode": "multi_model"}, "serving.mode.segment: is required"),
        ({"mode": {**SEGMENTS, "values": ["a", "a"]}}, "serving.mode.values: 'a' is given twice"),
        ({"mode": {**SEGMENTS, "values": ["a/b", "c"]}}, "serving.mode.values.0: must match"),
        ({"mode": {**SEGMENTS, "segment": "plam"}}, "serving.mode.segment: 'plam' is not a feature; did you mean"),
        ({"mode": {**SEGMENTS, "segment": "visits"}}, "a segment is a feature of type string, was int"),
        ({"mode": SEGMENTS, "instance_type": "ml.g5.xlarge"}, "are served by Triton alone, was ml.g5.xlarge"),
        (
            {"mode": SEGMENTS, "rollout": "shadow"},
            "allowed with mode multi_model: all_at_once, canary, linear, rolling, ab",
        ),
        ({"mode": "inference_components"}, "allowed: real_time, serverless, asynchronous, multi_model"),
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
    assert says in refusal(serving=serving, **PLANS)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            {"model": {"kind": "built_in", "algorithm": "xgboost"}, "training": {"hyperparameters": {"num_round": 5}}},
            "a set that a training script makes, was model.kind: built_in (allowed: script)",
        ),
        ({"monitoring": {"backend": "model_monitor"}}, "AWS monitors endpoints of a single model only"),
        ({"model": {"image": "pytorch:2.6.0"}}, "was model.image: pytorch:2.6.0 (allowed: xgboost:3.0-5"),
    ],
)
def test_several_models_come_from_a_script_in_an_image_that_serves_several(more: dict[str, Any], says: str) -> None:
    assert says in refusal(serving={"mode": SEGMENTS}, **PLANS, **more)


@pytest.mark.parametrize("target", ["requests_per_minute", "cpu_percent"])
def test_an_endpoint_of_several_models_follows_what_one_of_a_single_model_does(target: str) -> None:
    asked = parsed(serving={"mode": SEGMENTS, "scaling": {"max": 3, target: 60}}, **PLANS)
    assert asked.serving.scaling is not None and asked.serving.scaling.follows == (target, 60.0)


def test_a_model_per_segment_is_looked_at_by_segment() -> None:
    by_plan = {"column": "plan", "values": ["basic", "pro"], "bins": None}
    asked = parsed(serving={"mode": SEGMENTS}, gate={"slices": {"floor": 0.5}}, **PLANS)
    assert asked.evaluation_options()["slices"] == [by_plan]
    own = {"column": "plan", "values": ["pro"], "bins": None}
    given = parsed(serving={"mode": SEGMENTS}, evaluation={"slices": [own]}, **PLANS)
    assert given.evaluation_options()["slices"] == [own]
    assert parsed(**PLANS).evaluation_options()["slices"] == []


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
