"""What the commands about training runs and the report tell of records, without a platform."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from rich.console import Console

from local.datasets.difference import Change
from local.errors import UserError
from local.experiments import experiments_url
from local.report.runs import metrics_of, runs
from local.runs.difference import difference
from local.runs.read import Run, RunReader
from local.runs.show import listing, page, replayed
from local.settings import Settings
from tests.local.cli.report_fixture import any_content, any_runs

RULES = [{"rule": "floor", "passed": True, "reason": "auc is 0.77"}]


def run(run_id: str = "0123456789abcdef-1", **changed: Any) -> Run:
    record = {
        "status": "registered",
        "started": "2026-01-01T00:00:00.123Z",
        "commit": "c0ffee",
        "bundle": "b" * 64,
        "dataset_version": "d" * 32,
        "image": "registry/xgboost:3.2-0",
        "seed": "2013",
        "hyperparameters": {"eta": "0.1"},
        "metrics": {"auc": 0.7712345678, "rows": 10},
        "rules": RULES,
        "training": {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1}},
        "environment": {"python": "3.11.9", "packages_sha256": "e" * 64, "packages": {"numpy": "2.1"}},
        "model_sha256": "a" * 64,
        **changed,
    }
    return Run(run_id, {name: v if isinstance(v, str) else json.dumps(v) for name, v in record.items()})


def text(shown: Any) -> str:
    console = Console(width=250, highlight=False)
    with console.capture() as captured:
        console.print(shown)
    return captured.get()


TRIALS: list[dict[str, Any]] = [
    {"name": "t-1", "status": "Completed", "objective": 0.7, "seconds": 12, "hyperparameters": {"eta": "0.1"}},
    {"name": "t-2", "status": "Failed", "hyperparameters": {"eta": "0.2"}, "reason": "boom"},
]


def test_a_page_shows_how_the_hyperparameters_were_found() -> None:
    tuning = {"name": "tuning", "strategy": "Bayesian", "trials": 2, "best": {"name": "t-1"}}
    lines = text(page(run(tuning=tuning, training_job="t-1"), TRIALS)).splitlines()
    assert any(line.split() == ["strategy", "Bayesian"] for line in lines)
    assert [line.split() for line in lines[-2:]] == [
        ["t-1", "*", "Completed", "0.7", "12", "eta=0.1"],
        ["t-2", "Failed", "-", "-", "eta=0.2"],
    ]


def test_the_report_shows_the_trials_of_the_newest_tuning() -> None:
    tuning = {"strategy": "Bayesian", "metric": "auc", "trials": 2, "completed": 1}
    more = {**TRIALS[1], "status": "Stopped", "objective": 0.41237}
    content = any_content(runs=(run(tuning=tuning, training_job="t-1"),), trials=(TRIALS[0], more))
    part = runs(content).text
    assert "has tried 2 times, by the strategy Bayesian" in part
    assert "Completed, the best" in part and "0.4124" in part and "eta=0.2" in part
    assert part.count("<svg") == 1
    assert "Hyperparameters" not in runs(any_content()).text


class Table:
    """A runs table with these items."""

    def __init__(self, *items: dict[str, str]) -> None:
        self.items = items

    def client(self, _service: str) -> Table:
        return self

    def get_paginator(self, _operation: str) -> Table:
        return self

    def paginate(self, **_asked: Any) -> list[dict[str, Any]]:
        return [{"Items": [{name: {"S": value} for name, value in item.items()}]} for item in self.items]


def reader(*items: dict[str, str]) -> RunReader:
    found: Any = Table(*items)
    outputs: Any = type("Outputs", (), {"runs_table": "runs"})
    settings: Any = type("Settings", (), {"workload": "flights"})
    return RunReader(settings, found, outputs)


def test_a_run_does_not_differ_from_itself() -> None:
    assert difference(run(), run()) == {}


def test_tells_what_two_runs_were_made_of_how_where_and_how_good_they_are() -> None:
    environment = {"python": "3.12.1", "packages_sha256": "f" * 64, "packages": {"numpy": "2.2", "scipy": "1.0"}}
    after = run(
        seed="7",
        hyperparameters={"eta": "0.2", "depth": "3"},
        metrics={"auc": 0.75, "rows": 10},
        rules=[{"rule": "floor", "passed": False, "reason": "auc is 0.75"}],
        training={"ResourceConfig": {"InstanceType": "ml.c5.large", "InstanceCount": 1}},
        environment=environment,
        model_sha256="f" * 64,
    )
    assert difference(run(), after) == {
        "made of": [Change("seed", "2013", "7")],
        "hyperparameters": [Change("depth", "-", "3"), Change("eta", "0.1", "0.2")],
        "machine": [Change("InstanceType", "ml.m5.large", "ml.c5.large")],
        "metrics": [Change("auc", "0.771235", "0.75")],
        "gate": [Change("floor", "passed: auc is 0.77", "broken: auc is 0.75")],
        "environment": [
            Change("numpy", "2.1", "2.2"),
            Change("python", "3.11.9", "3.12.1"),
            Change("scipy", "-", "1.0"),
        ],
        "model": [Change("model_sha256", "a" * 64, "f" * 64)],
    }


def test_lists_runs_with_their_metrics_and_replays_as_such() -> None:
    lines = text(listing([run(), run("p0", status="replayed", replay_of="0123456789abcdef-1")])).splitlines()
    assert "registered" in lines[1] and "auc 0.7712" in lines[1]
    assert "replayed of 0123456789abcdef-1" in lines[2]


def test_shows_a_run_without_the_list_of_its_packages() -> None:
    shown = text(page(run()))
    for told in ("c0ffee", "registry/xgboost:3.2-0", "0.771235", "auc is 0.77", "3.11.9", "e" * 64):
        assert told in shown
    assert "numpy" not in shown


def test_shows_what_each_job_took_and_that_nothing_was_paid_here() -> None:
    training = {"job": "training", "instance_type": "ml.m5.large", "instance_count": 2, "seconds": 360}
    priced = {**training, "usd_per_hour": 0.115, "price_of": "2026-08-11", "usd": 0.023}
    assumed = {"job": "scoring 1", "assumption": "that of Processing"}
    basis = {"region": "us-east-1", "jobs": [priced, {"job": "search"}, assumed]}
    shown = text(page(run(cost_usd_estimate="0.023", cost_basis=basis)))
    assert "cost usd estimate" in shown
    words = {line.split()[0]: line.split() for line in shown.splitlines() if line.split()}
    assert words["training"] == ["training", "2", "x", "ml.m5.large", "360", "0.115", "2026-08-11", "0.023"]
    assert words["search"][-4:] == ["unknown"] * 4
    assert "assumed: that of Processing" in shown
    assert "on AWS in us-east-1; nothing was paid on this machine" in shown


def test_shows_a_run_that_failed_before_it_had_a_model() -> None:
    failed = Run("f-1", {"status": "failed", "started": "2026-01-01T00:00:00Z", "error": "BadGate", "cause": "none"})
    assert "BadGate" in text(page(failed)) and "failed" in text(listing([failed]))


def test_tells_how_a_replay_went() -> None:
    same = {"run": "r", "identical": True, "model_sha256": "a" * 64}
    assert replayed(same) == f"run r again gave the same model, byte for byte: {'a' * 64}"
    close = {"run": "r", "identical": False, "model_sha256": "f", "difference": 1e-8, "tolerance": 1e-6}
    assert "the largest difference is 1e-08, allowed is 1e-06" in replayed(close)


def test_finds_a_run_by_its_first_characters() -> None:
    items = [{"run": "model#abcd1-1", "started": "2"}, {"run": "model#abcd1-10", "started": "1"}]
    assert [each.run_id for each in reader(*items).all()] == ["abcd1-10", "abcd1-1"]
    assert reader(*items).find("abcd1-1").run_id == "abcd1-1"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("abc", "run 'abc' is too short, at least 4 characters are needed"),
        ("abcd", "run 'abcd' fits several runs"),
        ("nothing", r"run 'nothing' is no run of the model pipeline \(allowed: abcd1-1, abcd2-1\)"),
    ],
)
def test_refuses_what_names_no_run(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        reader({"run": "model#abcd1-1", "started": "1"}, {"run": "model#abcd2-1", "started": "2"}).find(name)


def test_the_report_compares_runs_as_picture_and_table_and_leaves_replays_out() -> None:
    part = runs(any_content()).text
    assert "first-1" in part and "second-1" in part and "replay-1" not in part
    assert "<svg" in part and "0.7654" in part and "0.7012" in part
    assert metrics_of(any_runs()) == ["auc", "brier"]


def test_the_report_of_a_first_run_has_a_table_and_no_picture() -> None:
    part = runs(any_content(runs=any_runs()[:1])).text
    assert "first-1" in part and "<svg" not in part


def test_a_stage_that_tracks_no_experiments_says_how_it_would(tmp_path: Path) -> None:
    class NoStack(Table):
        def describe_stacks(self, **_asked: Any) -> Any:
            raise ClientError({"Error": {"Code": "ValidationError", "Message": "no stack"}}, "DescribeStacks")

    aws: Any = NoStack()
    with pytest.raises(UserError, match=r"stage dev tracks no experiments; give it the key tracking in cdk\.json"):
        experiments_url(Settings(tmp_path, "dev", "flights"), aws)


def test_the_report_shows_the_cost_of_each_run_and_once_what_it_assumes() -> None:
    assumed = run(cost_usd_estimate="0.115", cost_assumption="that of Processing is assumed")
    part = runs(any_content(runs=(assumed, assumed, run(cost_assumption="none")))).text
    assert "USD on AWS" in part and "0.115" in part
    assert part.count("Assumed in the cost: that of Processing is assumed.") == 1
    assert "Assumed" not in runs(any_content(runs=(run(cost_assumption="none"),))).text
