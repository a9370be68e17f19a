"""The commands of ``python -m local``."""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.text import Text

from local import status as look
from local.datasets import commands as datasets
from local.demo import DemoOptions, run_demo
from local.errors import Failure, UserError
from local.execute import run_command
from local.flights import Months
from local.ingestion import path_of, read_paths, replay_path, start_path, waiting
from local.interrupts import leave_on_signals
from local.landing import last_landed
from local.logs import log_lines
from local.predict import curl_command, golden_request, invocations_url, predict, read_request, with_values
from local.redrive import redrive
from local.server_process import StartOptions, clear, log_tail, running, stop
from local.settings import CHECKOUT, Settings
from local.steps import (
    LandRequest,
    attach,
    platform,
    reader_of,
    step_deploy,
    step_land,
    step_publish,
    step_report,
    step_run,
    step_synth,
    step_up,
)

app = typer.Typer(
    help="The platform on this machine, against a local AWS: no account, no Docker.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(datasets.app, name="datasets")
ingest = typer.Typer(help="The ingestion paths of the workload, by hand.", no_args_is_help=True)
app.add_typer(ingest, name="ingest")
console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

_FILE_LOGS = ("server", "synth", "bootstrap", "deploy")

WaitScale = Annotated[float, typer.Option(help="Seconds that a second of waiting in a state machine lasts here.")]
Engine = Annotated[str, typer.Option(help="What runs Glue jobs: sail or spark.")]
MonthsOption = Annotated[str, typer.Option(help="Months of 2013: one such as 4, or a span such as 1-4.")]
Sample = Annotated[int | None, typer.Option(help="Take this many flights, spread evenly. Default: all.")]
IngestionPath = Annotated[str, typer.Argument(help="batches, or a source of the workload.")]
Minutes = Annotated[float, typer.Option(help="Give up watching after this many minutes.")]


@app.callback()
def main_options(
    context: typer.Context,
    state_dir: Annotated[Path, typer.Option(help="Where the platform keeps everything.")] = CHECKOUT / ".gapless",
    stage: Annotated[str, typer.Option(help="The stage to deploy and use.")] = "dev",
    workload: Annotated[str, typer.Option(help="The workload to use.")] = "flight_delays",
) -> None:
    """Read what all commands share."""
    context.obj = Settings(state_dir.absolute(), stage, workload)


@app.command()
def up(context: typer.Context, wait_scale: WaitScale = 0.02, engine: Engine = "sail") -> None:
    """Start the local AWS; does nothing if it runs."""
    step_up(context.obj, StartOptions(wait_scale, engine), console)


@app.command()
def deploy(context: typer.Context) -> None:
    """Synthesise, deploy the stacks with the CDK CLI, publish the workload's scripts."""
    aws = attach(context.obj)
    templates = step_synth(context.obj, console)
    step_deploy(context.obj, aws, templates.folder, console)
    step_publish(platform(context.obj), console)


@app.command()
def publish(context: typer.Context) -> None:
    """Publish the workload's scripts; what is in workload.yaml is deployed instead."""
    step_publish(platform(context.obj), console)


@app.command()
def land(
    context: typer.Context,
    months: MonthsOption = "1-4",
    sample: Sample = None,
    folder: Annotated[
        str | None, typer.Option(help="Folder of the landing zone. Default: named by the months.")
    ] = None,
    as_of: Annotated[str | None, typer.Option(help="UTC instant, ISO 8601. Default: the end of the months.")] = None,
) -> None:
    """Land a batch of real flights; that starts the pipelines."""
    request = LandRequest(Months.parse(months), sample, folder, parse_instant(as_of))
    step_land(platform(context.obj), request, console)


@app.command()
def run(
    context: typer.Context,
    redrive_failed: Annotated[bool, typer.Option("--redrive", help="First take up a failed run again.")] = False,
    timeout: Minutes = 30.0,
) -> None:
    """Watch what the last landed batch set off, to the end."""
    target = platform(context.obj)
    landed = last_landed(context.obj)
    if redrive_failed:
        machine = redrive(target.aws, reader_of(target, landed).read())
        console.print(f"took up the {machine} pipeline again")
    step_run(target, landed, console, timeout_seconds=timeout * 60)


@app.command(name="predict")
def predict_command(
    context: typer.Context,
    file: Annotated[Path | None, typer.Option(help="JSON: features, a list of them, or a whole request.")] = None,
    values: Annotated[list[str] | None, typer.Option("--set", help="Change a feature: distance=500.")] = None,
    curl: Annotated[bool, typer.Option(help="Print a signed curl command instead of asking.")] = False,
) -> None:
    """Ask the served model; without a file, the first golden request."""
    request = read_request(file) if file is not None else golden_request(context.obj)
    request = with_values(request, values or [])
    target = platform(context.obj)
    if curl:
        console.print(curl_command(target.aws.server, target.outputs, request), markup=False)
        return
    answer = predict(target.aws, target.outputs, request)
    console.print(json.dumps(answer.response), markup=False)
    url = invocations_url(target.aws.server, target.outputs)
    console.print(f"{answer.milliseconds:.1f} ms from variant {answer.variant} at {url}", style="dim")


@app.command()
def status(context: typer.Context) -> None:
    """Show server, stacks, pipelines, live model, queues and alarms."""
    settings: Settings = context.obj
    server = running(settings)
    if server is None:
        console.print(f"no local AWS runs for {settings.state_dir}")
        return
    aws = attach(settings)
    groups = {
        "server": [look.Line(server.endpoint, "RUNNING", f"process {server.pid}")],
        "stacks": look.stack_lines(aws),
    }
    try:
        outputs = platform(settings).outputs
    except UserError as error:
        console.print(look.render(groups))
        console.print(str(error))
        return
    groups["pipelines"] = look.machine_lines(aws, outputs)
    groups["live"] = list(look.live_lines(settings, aws, outputs))
    groups["queues"] = list(look.queue_lines(aws, outputs))
    groups["alarms"] = look.alarm_lines(aws, outputs)
    console.print(look.render(groups))


@app.command()
def logs(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A pipeline, execution, job, function, endpoint, or: server, deploy.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")] = False,
) -> None:
    """Show the log of something."""
    settings: Settings = context.obj
    if name in _FILE_LOGS:
        console.print(log_tail(settings.log_dir / f"{name}.log", lines=1000), markup=False)
        return
    target = platform(settings)
    for line in log_lines(target.aws, target.outputs, name, follow=follow):
        console.print(line, markup=False)


@app.command(name="exec", context_settings={"allow_interspersed_args": False})
def exec_command(
    context: typer.Context,
    command: Annotated[list[str], typer.Argument(help="What to run, such as: python workloads/…/notebook.py.")],
) -> None:
    """Run a command that sees the local AWS and no other: a notebook, a script, the AWS CLI."""
    raise typer.Exit(run_command(context.obj, command))


@app.command()
def report(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="File to write. Default: report.html of the state directory.")
    ] = None,
) -> None:
    """Write one HTML file about the run of the last landed batch."""
    settings: Settings = context.obj
    step_report(platform(settings), last_landed(settings), out or settings.report_file, console)


@app.command()
def down(
    context: typer.Context,
    clear_state: Annotated[
        bool, typer.Option("--clear", help="Remove everything that the platform remembers.")
    ] = False,
) -> None:
    """Stop the local AWS; its state stays unless cleared."""
    settings: Settings = context.obj
    console.print("stopped the local AWS" if stop(settings) else "no local AWS was running")
    if clear_state:
        clear(settings)
        console.print(f"removed {settings.state_dir}")


@app.command()
def demo(
    context: typer.Context,
    months: MonthsOption = "1-4",
    sample: Sample = None,
    keep: Annotated[bool, typer.Option(envvar="KEEP", help="Leave everything running at the end.")] = False,
    timeout: Minutes = 30.0,
) -> None:
    """Do all of it: up, deploy, land, run, predict, report, down."""
    options = DemoOptions(LandRequest(Months.parse(months), sample), keep, timeout * 60)
    run_demo(context.obj, options, console)


@ingest.command(name="list")
def ingest_list(context: typer.Context) -> None:
    """Show each ingestion path, with what waits to be done and what was given up."""
    aws = attach(context.obj)
    for path in read_paths(context.obj, aws).values():
        counts = f"{waiting(aws, path.queue)} waiting, {waiting(aws, path.failed)} given up"
        console.print(f"{path.name} ({path.kind}): {counts}")


@ingest.command(name="start")
def ingest_start(context: typer.Context, path: IngestionPath) -> None:
    """Do now what the path's schedule does later."""
    aws = attach(context.obj)
    start_path(aws, path_of(context.obj, aws, path), dt.datetime.now(dt.UTC))
    console.print(f"started {path}")


@ingest.command(name="replay")
def ingest_replay(context: typer.Context, path: IngestionPath) -> None:
    """Do again what the path has given up."""
    aws = attach(context.obj)
    moved = replay_path(aws, path_of(context.obj, aws, path))
    console.print(f"moved {moved} messages of {path} back to its queue")


def parse_instant(text: str | None) -> dt.datetime | None:
    """An ISO 8601 instant in UTC; one without an offset is taken as UTC.

    Raises:
        UserError: The text is something else.
    """
    if text is None:
        return None
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise UserError(f"--as-of {text!r} (allowed: ISO 8601 such as 2013-05-01T04:00:00Z)") from error
    return found.astimezone(dt.UTC) if found.tzinfo else found.replace(tzinfo=dt.UTC)


def main() -> None:
    """Run a command; exit code 0 if it did its work, 1 if that failed, 2 if it was asked for wrongly."""
    leave_on_signals()
    try:
        app()
    except UserError as error:
        _tell(str(error), 2)
    except (Failure, ClientError, BotoCoreError) as error:
        _tell(str(error), 1)


def _tell(message: str, code: int) -> None:
    errors.print(Text("error: ", style="bold red") + Text(message))
    sys.exit(code)
