"""The commands of ``python -m local datasets``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from local.datasets import show
from local.datasets.difference import difference
from local.datasets.read import DatasetReader
from local.datasets.replay import start_replay
from local.executions import await_end
from local.steps import Platform, platform

app = typer.Typer(help="The published datasets: list, show, diff, replay.", invoke_without_command=True)
console = Console(highlight=False, soft_wrap=True)

Version = Annotated[str, typer.Argument(help="A version, or its first digits.")]
Minutes = Annotated[float, typer.Option(help="Give up watching after this many minutes.")]


@app.callback()
def default(context: typer.Context) -> None:
    """List the datasets unless something else is asked for."""
    if context.invoked_subcommand is None:
        list_datasets(context)


@app.command(name="list")
def list_datasets(context: typer.Context) -> None:
    """List every dataset in order of as_of, with the models and the training runs that use it."""
    reader = _reader(platform(context.obj))
    found = [reader.describe(dataset) for dataset in reader.all()]
    if not found:
        console.print("no dataset was published yet")
        return
    console.print(show.listing(found, reader.uses()))


@app.command(name="show")
def show_dataset(context: typer.Context, version: Version) -> None:
    """Show what a dataset was made of, what is in it, and who uses it."""
    reader = _reader(platform(context.obj))
    dataset = reader.find(version)
    console.print(show.page(reader.describe(dataset), reader.uses().get(dataset.version, show.NOBODY)))


@app.command()
def diff(context: typer.Context, before: Version, after: Version) -> None:
    """Show in what two datasets differ: scripts, contract, engine, inputs, rows, schema, profile."""
    reader = _reader(platform(context.obj))
    one, other = (reader.describe(reader.find(version)) for version in (before, after))
    console.print(show.changes(difference(one, other), one.dataset.version, other.dataset.version))


@app.command()
def replay(context: typer.Context, version: Version, timeout: Minutes = 30.0) -> None:
    """Make a dataset again by a new attempt, and compare every split's rows with the published ones."""
    target = platform(context.obj)
    dataset = _reader(target).find(version)
    arn = start_replay(target.settings, target.aws, target.outputs, dataset)
    with console.status("replaying") as status:
        ended = await_end(
            target.aws,
            "data",
            arn,
            what="replay",
            timeout_seconds=timeout * 60,
            show=lambda state: status.update(f"replaying: {state}"),
        )
    for name, split in ended.output["replayed"]["splits"].items():
        console.print(f"{name}: {split['rows']:,} rows, the same digest {split['digest']}")
    console.print(f"replayed {dataset.version} as attempt {ended.output['replayed']['attempt']}; nothing was published")


def _reader(target: Platform) -> DatasetReader:
    return DatasetReader(target.settings, target.aws, target.outputs)
