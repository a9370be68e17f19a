"""The commands of ``python -m local runs``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from local.datasets.show import changes
from local.executions import await_end
from local.runs import show
from local.runs.difference import difference
from local.runs.read import RunReader
from local.runs.replay import start_replay
from local.steps import Platform, platform

app = typer.Typer(help="The training runs: list, show, compare, replay.", invoke_without_command=True)
console = Console(highlight=False, soft_wrap=True)

RunName = Annotated[str, typer.Argument(help="A run, or its first characters.")]
Minutes = Annotated[float, typer.Option(help="Give up watching after this many minutes.")]
Tolerance = Annotated[
    float | None,
    typer.Option(min=0.0, help="How far predictions and metrics may differ. Default: a millionth."),
]


@app.callback()
def default(context: typer.Context) -> None:
    """List the runs unless something else is asked for."""
    if context.invoked_subcommand is None:
        list_runs(context)


@app.command(name="list")
def list_runs(context: typer.Context) -> None:
    """List every run of the model pipeline with its metrics, oldest first."""
    found = _reader(platform(context.obj)).all()
    if not found:
        console.print("no model was trained yet")
        return
    console.print(show.listing(found))


@app.command(name="show")
def show_run(context: typer.Context, run: RunName) -> None:
    """Show what a run was made of, how good its model is, and how the gate judged it."""
    reader = _reader(platform(context.obj))
    found = reader.find(run)
    console.print(show.page(found, reader.trials(found)))


@app.command()
def compare(context: typer.Context, before: RunName, after: RunName) -> None:
    """Show in what two runs differ: made of, hyperparameters, machine, metrics, gate, environment, model."""
    reader = _reader(platform(context.obj))
    one, other = reader.find(before), reader.find(after)
    console.print(changes(difference(one, other), one.run_id, other.run_id, what="runs"))


@app.command()
def replay(context: typer.Context, run: RunName, tolerance: Tolerance = None, timeout: Minutes = 60.0) -> None:
    """Train again by the record of a run, and compare model, predictions and metrics with the recorded ones."""
    target = platform(context.obj)
    original = _reader(target).find(run)
    arn = start_replay(target.settings, target.aws, target.outputs, original, tolerance)
    with console.status("replaying") as status:
        ended = await_end(
            target.aws,
            "model",
            arn,
            what="replay",
            timeout_seconds=timeout * 60,
            show=lambda state: status.update(f"replaying: {state}"),
        )
    console.print(show.replayed(ended.output["replayed"]))
    console.print("nothing was registered")


def _reader(target: Platform) -> RunReader:
    return RunReader(target.settings, target.aws, target.outputs)
