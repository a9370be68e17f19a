"""The part of the report about the trials by which the newest hyperparameters were found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.report.charts import trail_chart
from local.report.content import Content
from local.report.html import Cell, Fixed, Html, code, figure, paragraph, table


def trials(content: Content) -> list[Html]:
    """The trials of the newest tuning, as a picture and as a table; nothing where nothing was tuned."""
    if not content.trials:
        return []
    run = next(run for run in reversed(content.runs) if run.tuning)
    tuning, best = run.tuning, run.text("training_job")
    told = paragraph(
        f"Run {run.run_id} has tried {tuning['trials']} times, by the strategy {tuning['strategy']}; "
        f"{tuning['completed']} trials came to their end."
    )
    head = ["Trial", "Status", str(tuning["metric"]), "Seconds", "Hyperparameters"]
    return [
        told,
        *_picture(content, str(tuning["metric"])),
        table("Trials, in the order of their start", head, [_row(trial, best) for trial in content.trials]),
    ]


def _picture(content: Content, metric: str) -> list[Html]:
    measured = [(place, trial) for place, trial in enumerate(content.trials, 1) if "objective" in trial]
    if len(measured) < 2:
        return []
    chart = trail_chart(
        [str(place) for place, _ in measured],
        [trial["objective"] for _, trial in measured],
        [trial["status"] == "Completed" for _, trial in measured],
        metric,
        {"came to its end": True, "stopped": False},
    )
    return [figure(chart, f"{metric} of each trial on the validation rows, as the training reported it last")]


def _row(trial: Mapping[str, Any], best: str) -> list[Cell]:
    told = ", ".join(f"{name}={value}" for name, value in sorted(trial.get("hyperparameters", {}).items()))
    status = f"{trial['status']}, the best" if trial["name"] == best else str(trial["status"])
    return [
        code(str(trial["name"])),
        status,
        Fixed(trial.get("objective"), 4),
        Fixed(trial.get("seconds"), 0),
        code(told),
    ]
