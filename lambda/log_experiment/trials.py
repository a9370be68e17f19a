"""What MLflow is told of the trials of a tuning, out of the list that the run has left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from log_experiment.mlflow import PARENT

MOST = 100
"""Trials that are logged; the list itself has all of them."""

_STATUSES = {"Completed": "FINISHED", "Failed": "FAILED"}


@dataclass(frozen=True)
class ToldTrial:
    """What is logged of a trial; times are milliseconds since the epoch, status is MLflow's word."""

    name: str
    status: str
    started: int
    ended: int
    parameters: dict[str, str]
    metrics: list[dict[str, Any]]
    tags: dict[str, str]


def tell_trials(found: Mapping[str, Any], run: str, ended: int) -> Iterator[ToldTrial]:
    """Say what is logged of the trials.

    Args:
        found: The list: ``{"tuning": {"metric", …}, "trials": [{"name", "status", …}]}``.
        run: MLflow's run that they belong to.
        ended: When the run ended, in milliseconds since the epoch.
    """
    metric = str(found["tuning"]["metric"])
    for step, trial in enumerate(found["trials"][:MOST]):
        seconds = float(trial.get("seconds", 0))
        measured = [("seconds", seconds), *([(metric, float(trial["objective"]))] if "objective" in trial else [])]
        yield ToldTrial(
            name=str(trial["name"]),
            status=_STATUSES.get(trial["status"], "KILLED"),
            started=ended - round(seconds * 1000),
            ended=ended,
            parameters=dict(trial.get("hyperparameters", {})),
            metrics=[
                {"key": key.replace(":", "/"), "value": value, "timestamp": ended, "step": step}
                for key, value in measured
            ],
            tags={PARENT: run, "gapless.trial": str(trial["name"]), "gapless.reason": str(trial.get("reason", "none"))},
        )
