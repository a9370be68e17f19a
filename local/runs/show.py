"""Training runs as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from local.datasets.show import SHORT
from local.runs.difference import figure
from local.runs.read import Run

_FACTS = (
    "status",
    "started",
    "triggered_by",
    "as_of",
    "commit",
    "bundle",
    "dataset_version",
    "image",
    "seed",
    "training_job",
    "search",
    "tuned_by",
    "window",
    "model_uri",
    "model_sha256",
    "model_package_arn",
    "champion",
    "evaluation_uri",
    "cost_usd_estimate",
    "cost_assumption",
    "replay_of",
    "replayed",
    "error",
    "cause",
)


def listing(runs: Sequence[Run]) -> RenderableType:
    """A row per run, oldest first."""
    table = _table("run", "started", "status", "dataset", "commit", "model", "metrics")
    for run in runs:
        status = f"{run.text('status')} of {run.record['replay_of']}" if run.is_replay else run.text("status")
        short = [run.text(name)[:SHORT] for name in ("dataset_version", "commit", "model_sha256")]
        metrics = ", ".join(f"{name} {value:.4f}" for name, value in run.metrics.items()) or "-"
        table.add_row(run.run_id, run.text("started")[:19], status, *short, metrics)
    return table


def page(run: Run, trials: Sequence[Mapping[str, Any]] = ()) -> RenderableType:
    """Everything about one run but the list of its packages, of which there is the digest.

    Args:
        trials: Of its tuning. Default: nothing was tuned.
    """
    facts = {"run": run.run_id} | {name: run.record[name] for name in _FACTS if name in run.record}
    environment = run.parsed("environment")
    parts: list[RenderableType] = [_facts(facts)]
    for title, found in (
        ("hyperparameter", run.parsed("hyperparameters")),
        ("metric", run.metrics),
        ("environment", {name: value for name, value in environment.items() if name != "packages"}),
    ):
        if found:
            parts += ["", _pairs(title, found)]
    jobs = run.parsed("cost_basis").get("jobs", [])
    if jobs:
        parts += ["", _costs(run, jobs)]
    if run.rules:
        rules = _table("rule", "passed", "reason")
        for rule in run.rules:
            rules.add_row(str(rule["rule"]), "yes" if rule["passed"] else "no", str(rule["reason"]))
        parts += ["", rules]
    if run.tuning:
        facts = {name: value for name, value in run.tuning.items() if name != "best"}
        parts += ["", _pairs("tuning", facts)]
    if trials:
        parts += ["", _trials(trials, run.text("training_job"))]
    return Group(*parts)


def _trials(trials: Sequence[Mapping[str, Any]], best: str) -> Table:
    """A row per trial; the one that became the model is marked."""
    table = _table("trial", "status", "objective", "seconds", "hyperparameters")
    for trial in trials:
        name = f"{trial['name']} *" if trial["name"] == best else str(trial["name"])
        told = ", ".join(f"{key}={value}" for key, value in sorted(trial.get("hyperparameters", {}).items()))
        measured = [figure(trial[key]) if key in trial else "-" for key in ("objective", "seconds")]
        table.add_row(name, str(trial["status"]), *measured, told or "-")
    return table


def replayed(result: Mapping[str, Any]) -> str:
    """How a replay went, in a sentence."""
    if result["identical"]:
        return f"run {result['run']} again gave the same model, byte for byte: {result['model_sha256']}"
    return (
        f"run {result['run']} again gave a model of other bytes, {result['model_sha256']}, with the same predictions: "
        f"the largest difference is {result['difference']:.3g}, allowed is {result['tolerance']:.3g}"
    )


def _costs(run: Run, jobs: Sequence[Mapping[str, Any]]) -> RenderableType:
    """What each job took, and what as many seconds cost on AWS by the table of prices."""
    table = _table("job", "machines", "seconds", "USD an hour", "price of", "USD")
    for job in jobs:
        machines = f"{job.get('instance_count', '?')} x {job.get('instance_type', 'unknown')}"
        values = (job.get(name) for name in ("seconds", "usd_per_hour", "price_of", "usd"))
        table.add_row(str(job["job"]), machines, *("unknown" if value is None else str(value) for value in values))
    region = run.parsed("cost_basis").get("region", "-")
    note = f"what the same seconds of the same machines cost on AWS in {region}; nothing was paid on this machine"
    assumed = dict.fromkeys(job["assumption"] for job in jobs if "assumption" in job)
    return Group(table, *(Text(f"assumed: {each}") for each in assumed), Text(note, style="dim"))


def _facts(facts: Mapping[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in facts.items():
        table.add_row(Text(name.replace("_", " "), style="bold"), value)
    return table


def _pairs(title: str, found: Mapping[str, Any]) -> Table:
    table = _table(title, "value")
    for name, value in found.items():
        table.add_row(name, figure(value))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
