"""What a workload file may say about trainings, and what it is told when it says something else."""

from typing import Any

import pytest

from constructs_lib.names.retraining_file import TRIGGERS, Retraining
from constructs_lib.names.workload_file import WorkloadFile, WorkloadFileError
from stacks.config import ROOT


def parsed(retraining: Any, **more: Any) -> WorkloadFile:
    content = WorkloadFile.load(ROOT / "workloads" / "flight_delays" / "workload.yaml").model_dump(
        mode="json", exclude_unset=True
    )
    return WorkloadFile.parse({**content, "retraining": retraining, **more})


def test_everything_has_a_default_and_without_the_section_there_is_no_policy() -> None:
    assert parsed({}).retraining == Retraining()
    assert parsed(None).retraining is None
    assert Retraining().triggers == TRIGGERS


def test_alarms_may_be_named_where_something_sets_them_off() -> None:
    found = parsed({"triggers": ["new_data", "drift"]}, monitoring={}).retraining
    assert found is not None
    assert found.alarms == ("drift",)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"cooldown": 3}, "retraining.cooldown: 'cooldown' is not a known key; did you mean 'cooldown_days'?"),
        ({"triggers": ["whim"]}, "retraining.triggers"),
        ({"triggers": []}, "retraining.triggers"),
        ({"triggers": ["manual", "manual"]}, "triggers: 'manual' is given twice"),
        ({"triggers": ["schedule"]}, "triggers: schedule may ask, but there is none; give retraining.schedule as well"),
        ({"triggers": ["manual"], "schedule": "rate(1 day)"}, 'schedule: "rate(1 day)" is given, but triggers lacks'),
        ({"schedule": "daily"}, "must be a schedule such as rate(1 hour)"),
        ({"triggers": ["bias"]}, "'bias' is an alarm of the monitor, and there is no monitoring"),
        ({"max_per_week": 0}, "retraining.max_per_week"),
        ({"backoff": 0.5}, "retraining.backoff"),
    ],
)
def test_mistakes_are_told_with_what_is_allowed(given: Any, told: str) -> None:
    with pytest.raises(WorkloadFileError) as refused:
        parsed(given)
    assert told in str(refused.value)


FACETS = {"facets": [{"column": "carrier", "values": ["UA"]}]}
NO_LABELS: dict[str, Any] = {"problem": "clustering", "target": None, "gate": {}, "evaluation": {}}


@pytest.mark.parametrize(
    ("asks", "monitoring", "more", "told"),
    [
        (
            "bias",
            {"backend": "model_monitor"},
            {"evaluation": FACETS},
            "retraining.triggers: 'bias' is an alarm that the monitor never sets off: backend: model_monitor does not "
            "look at it; builtin and clarify do (allowed: schedule, new_data, quality, drift, manual, new_code)",
        ),
        (
            "bias",
            {},
            {"evaluation": {}},
            "'bias' is an alarm that the monitor never sets off: there are no evaluation.",
        ),
        ("bias", {"backend": "clarify"}, {"evaluation": {"explanations": {}}}, "there are no evaluation.facets"),
        ("quality", {}, NO_LABELS, "'quality' is an alarm that the monitor never sets off: there are no labels with"),
        ("drift", {}, {"serving": {"mode": "serverless"}}, "(allowed: schedule, new_data, manual, new_code)"),
    ],
)
def test_refuses_an_alarm_that_the_backend_never_sets_off(
    asks: str, monitoring: Any, more: dict[str, Any], told: str
) -> None:
    with pytest.raises(WorkloadFileError) as refused:
        parsed({"triggers": ["new_data", asks]}, monitoring=monitoring, **more)
    assert told in str(refused.value)


@pytest.mark.parametrize("backend", ["builtin", "clarify"])
def test_an_alarm_that_the_backend_sets_off_may_ask(backend: str) -> None:
    found = parsed({"triggers": ["bias", "quality"]}, monitoring={"backend": backend}, evaluation=FACETS).retraining
    assert found is not None
    assert found.alarms == ("quality", "bias")


def test_who_names_no_trigger_gets_those_that_there_are() -> None:
    assert parsed({}, monitoring={"backend": "model_monitor"}).retraining == Retraining()
