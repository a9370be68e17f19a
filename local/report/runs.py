"""The part of the report about all training runs of the workload: which there were and how good their models are."""

from __future__ import annotations

from collections.abc import Sequence

from local.report.charts import trail_chart
from local.report.content import Content
from local.report.html import Cell, Fixed, Html, badge, code, figure, paragraph, section, table
from local.report.tuning import trials
from local.runs.read import Run

MOST_RUNS = 30
"""Of the newest runs; older ones are on the command line and in MLflow."""

_SHORT = 12


def runs(content: Content) -> Html:
    """The runs beside each other, as a picture of one metric and as a table of all."""
    newest = [run for run in content.runs if not run.is_replay][-MOST_RUNS:]
    if not newest:
        return section("runs", "Training runs", paragraph("No model was trained yet."))
    names = metrics_of(newest)
    head = ["Run", "As of", "Outcome", "Dataset", "Commit", "Model", "USD on AWS", *names]
    listed = table("Training runs, the newest last", head, [_row(run, names) for run in newest])
    return section("runs", "Training runs", *_picture(newest, names), listed, *_assumed(newest), *trials(content))


def metrics_of(found: Sequence[Run]) -> list[str]:
    """Every metric of some runs, those of the newest run first."""
    names = [name for run in reversed(found) for name in run.metrics]
    return list(dict.fromkeys(names))


def _picture(newest: Sequence[Run], names: Sequence[str]) -> list[Html]:
    measured = [run for run in newest if names and names[0] in run.metrics]
    if len(measured) < 2:
        return []
    labels = [run.text("as_of").partition("T")[0] for run in measured]
    chart = trail_chart(
        labels,
        [run.metrics[names[0]] for run in measured],
        [run.text("status") == "registered" for run in measured],
        names[0],
        {"registered": True, "not registered": False},
    )
    return [figure(chart, f"{names[0]} of each run on its own held-back rows, by the day that its data is of")]


def _row(run: Run, names: Sequence[str]) -> list[Cell]:
    status = run.text("status")
    short = [code(run.text(name)[:_SHORT]) for name in ("dataset_version", "commit", "model_sha256")]
    figures: list[Cell] = [Fixed(run.metrics.get(name), 4) for name in names]
    return [
        code(run.run_id),
        run.text("as_of").partition("T")[0],
        badge(status, good=status == "registered"),
        *short,
        run.text("cost_usd_estimate"),
        *figures,
    ]


def _assumed(newest: Sequence[Run]) -> list[Html]:
    """What the estimates of costs assume, once for all runs that do."""
    told = dict.fromkeys(run.text("cost_assumption") for run in newest)
    return [paragraph(f"Assumed in the cost: {each}.") for each in told if each not in ("none", "-")]
