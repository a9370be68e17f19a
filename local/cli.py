"""The commands of ``python -m local``."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.text import Text

from local import relabel, scoring
from local import status as look
from local.batch_folder import read_batch
from local.clock import account_now, move_clock
from local.datasets import commands as datasets
from local.deliveries import delivery_lines
from local.demo import DemoOptions, run_demo
from local.errors import Failure, UserError
from local.execute import run_command
from local.executions import await_end
from local.experiments import experiments_url
from local.flights import Months
from local.ingestion import path_of, read_paths, replay_path, start_path, waiting
from local.instants import parse_instant
from local.interrupts import leave_on_signals
from local.landing import check_folder, last_landed
from local.lineage import LineageReader, downstream, upstream
from local.logs import log_lines
from local.monitor import found_by, record_of, start_monitoring
from local.predict import (
    api_curl_command,
    api_document,
    curl_command,
    golden_request,
    invocations_url,
    model_of,
    predict,
    read_request,
    with_values,
)
from local.redrive import redrive
from local.retrain import ask_for_training
from local.rollback import actor_or_user, start_rollback
from local.runs import commands as runs
from local.server_process import StartOptions, clear, log_tail, running, stop
from local.settings import CHECKOUT, Settings
from local.steps import (
    LandRequest,
    attach,
    platform,
    reader_of,
    step_deploy,
    step_destroy,
    step_land,
    step_land_batch,
    step_publish,
    step_report,
    step_run,
    step_synth,
    step_up,
    watch_run,
)
from local.story.paths import extend_path

app = typer.Typer(
    help="The platform on this machine, against a local AWS: no account, no Docker.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(datasets.app, name="datasets")
app.add_typer(relabel.app, name="relabel")
app.add_typer(runs.app, name="runs")
ingest = typer.Typer(help="The ingestion paths of the workload, by hand.", no_args_is_help=True)
app.add_typer(ingest, name="ingest")
console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

_FILE_LOGS = ("server", "synth", "bootstrap", "deploy", "destroy")

WaitScale = Annotated[float, typer.Option(help="Seconds that a second of waiting in a state machine lasts here.")]
Engine = Annotated[str, typer.Option(help="What runs Glue jobs: sail or spark.")]
Spot = Annotated[int, typer.Option(help="How often a training on spot machines loses them, after a checkpoint.")]
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
def up(
    context: typer.Context,
    wait_scale: WaitScale = 0.02,
    engine: Engine = "sail",
    spot_interruptions: Spot = 0,
    clock: Annotated[
        str | None, typer.Option(help="What time it is in a new account: ISO 8601. Default: the machine's time.")
    ] = None,
) -> None:
    """Start the local AWS; does nothing if it runs."""
    moment = parse_instant(clock, "--clock")
    step_up(context.obj, StartOptions(wait_scale, engine, spot_interruptions=spot_interruptions, clock=moment), console)


@app.command()
def clock(
    context: typer.Context,
    moment: Annotated[str | None, typer.Argument(help="Set it to this later instant: ISO 8601.")] = None,
) -> None:
    """Say what time it is in the account of the local AWS, or set it forward; what is due by then becomes due."""
    later = parse_instant(moment, "the clock cannot be set to")
    attach(context.obj)
    if later is not None:
        move_clock(context.obj, later)
    console.print(account_now(context.obj).strftime("%Y-%m-%dT%H:%M:%SZ"))


@app.command()
def deploy(context: typer.Context) -> None:
    """Synthesise, deploy the stacks with the CDK CLI, publish the workload's scripts."""
    aws = attach(context.obj)
    templates = step_synth(context.obj, console)
    step_deploy(context.obj, aws, templates.folder, console)
    step_publish(platform(context.obj), console)


@app.command()
def destroy(
    context: typer.Context,
    only_list: Annotated[bool, typer.Option("--list", help="Only say what would stay, and why.")] = False,
) -> None:
    """Destroy the stage's stacks with the CDK CLI, and list what stays and why."""
    step_destroy(context.obj, attach(context.obj), console, only_list=only_list)


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
    files: Annotated[
        Path | None, typer.Option(help="Land the batch in this folder instead: its _batch.json and what that names.")
    ] = None,
) -> None:
    """Land a batch of real flights, or one of your own; that starts the pipelines."""
    if files is not None:
        batch = read_batch(files, context.obj.workload)
        step_land_batch(platform(context.obj), batch, check_folder(folder or files.resolve().name), console)
        return
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
    api: Annotated[bool, typer.Option(help="Print a curl command that asks the workload's API.")] = False,
) -> None:
    """Ask the served model; without a file, the first golden request."""
    request = read_request(file) if file is not None else golden_request(context.obj)
    request = with_values(request, values or [])
    target = platform(context.obj)
    if api:
        console.print(api_curl_command(target.aws, target.outputs, request), markup=False)
        return
    model = model_of(context.obj, request)
    if curl:
        console.print(curl_command(target.aws.server, target.outputs, request, model), markup=False)
        return
    answer = predict(target.aws, target.outputs, request, model)
    console.print(json.dumps(answer.response), markup=False)
    url = invocations_url(target.aws.server, target.outputs)
    console.print(f"{answer.milliseconds:.1f} ms from variant {answer.variant} at {url}", style="dim")


@app.command(name="openapi")
def openapi_command(context: typer.Context) -> None:
    """Print the OpenAPI document of the workload's API."""
    target = platform(context.obj)
    console.print(api_document(target.aws, target.outputs), markup=False)


@app.command()
def score(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="CSV, JSON lines or Parquet: keys and features of rows.")],
    folder: Annotated[
        str | None, typer.Option(help="Folder of the landing zone. Default: named by the first file.")
    ] = None,
    as_of: Annotated[str | None, typer.Option(help="UTC instant, ISO 8601. Default: now.")] = None,
    show: Annotated[int, typer.Option(min=0, help="Print so many scored rows.")] = 3,
    timeout: Minutes = 30.0,
) -> None:
    """Score files of rows by batch transform, and wait for the predictions."""
    target = platform(context.obj)
    machine = scoring.machine_of(context.obj, target.aws)
    delivery = scoring.read_delivery(files, parse_instant(as_of) or account_now(context.obj).replace(microsecond=0))
    key = scoring.deliver(context.obj, target.aws, target.outputs, delivery, folder or files[0].name)
    done = scoring.wait_for(target.aws, machine, key, timeout * 60)
    manifest, rows = scoring.read_predictions(target.aws, done.output["manifest_uri"])
    console.print(f"scored {manifest['rows']} rows by {manifest['model_package_arn'].partition('/')[2]}")
    console.print(done.output["manifest_uri"], style="dim")
    for row in itertools.islice(rows, show):
        console.print(json.dumps(row, ensure_ascii=False), markup=False)


@app.command()
def rollback(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why the present model has to go; it is kept.")],
    version: Annotated[
        str | None, typer.Argument(help="Number or ARN of a version that has served. Default: the one before.")
    ] = None,
    actor: Annotated[str | None, typer.Option(help="Who goes back. Default: the user of this machine.")] = None,
    timeout: Minutes = 30.0,
) -> None:
    """Let a version of the model serve again that has served before."""
    target = platform(context.obj)
    arn = start_rollback(
        target.settings, target.aws, target.outputs, version=version, actor=actor_or_user(actor), reason=reason
    )
    with console.status("going back") as status:
        ended = await_end(
            target.aws,
            "deployment",
            arn,
            what="rollback",
            timeout_seconds=timeout * 60,
            show=lambda state: status.update(f"going back: {state}"),
        )
    console.print(f"{ended.output['model_package_arn']} serves again, by {ended.output['config']}")


@app.command()
def retrain(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why the model is to be trained again; it is kept.")],
    actor: Annotated[str | None, typer.Option(help="Who asks. Default: the user of this machine.")] = None,
    as_of: Annotated[str | None, typer.Option(help="What stands for now to the policy. Default: now.")] = None,
    search: Annotated[bool, typer.Option("--search", help="Search hyperparameters (tuning.when: on_search).")] = False,
    timeout: Minutes = 30.0,
) -> None:
    """Ask for a training of the newest batch, and watch what the workload's policy makes of it."""
    target = platform(context.obj)
    run_id = ask_for_training(
        target.settings,
        target.aws,
        target.outputs,
        actor=actor_or_user(actor),
        reason=reason,
        as_of=parse_instant(as_of),
        search=search,
    )
    watch_run(target, run_id, console, timeout_seconds=timeout * 60)


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
    groups["deliveries"] = list(delivery_lines(settings, aws))
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


@app.command()
def lineage(
    context: typer.Context,
    dataset: Annotated[str | None, typer.Option(help="What was made of this version, or its first digits.")] = None,
    model: Annotated[str | None, typer.Option(help="What made the model with this number or ARN.")] = None,
    endpoint: Annotated[bool, typer.Option("--endpoint", help="What made the model that serves; the default.")] = False,
) -> None:
    """Show what came of what: files, datasets, models and endpoints."""
    if sum((dataset is not None, model is not None, endpoint)) > 1:
        raise UserError("one of --dataset, --model and --endpoint can be asked at a time")
    target = platform(context.obj)
    reader = LineageReader(target.settings, target.aws, target.outputs)
    if dataset is not None:
        console.print(downstream(reader.find_source(dataset), reader.models()))
        return
    for each in reader.served() if model is None else [reader.model(model)]:
        source = reader.source(each.dataset_version) if each.dataset_version is not None else None
        console.print(upstream(each, source))


@app.command()
def monitor(
    context: typer.Context,
    as_of: Annotated[str | None, typer.Option(help="Look at the window that ended last before this instant.")] = None,
    timeout: Minutes = 30.0,
) -> None:
    """Compare what the endpoint served in a window with the dataset behind its model."""
    target = platform(context.obj)
    arn, run_id = start_monitoring(target, parse_instant(as_of) or account_now(context.obj))
    with console.status("monitoring") as status:
        await_end(
            target.aws,
            "monitoring",
            arn,
            what="monitoring",
            timeout_seconds=timeout * 60,
            show=lambda state: status.update(f"monitoring: {state}"),
        )
    console.print(found_by(record_of(target, run_id)))


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
def experiments(
    context: typer.Context,
    browse: Annotated[bool, typer.Option("--open", help="Open the page in a browser as well.")] = False,
) -> None:
    """Print the address of MLflow's page, where runs are looked at and compared."""
    url = experiments_url(context.obj, attach(context.obj))
    console.print(url)
    if browse:
        typer.launch(url)


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


@app.command()
def story(
    context: typer.Context,
    workload: Annotated[str, typer.Argument(help="A workload, or the folder of one.")],
    every: Annotated[str | None, typer.Option(help="A step is a day, week, month, quarter or year.")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="A step is so many rows instead.")] = None,
    start: Annotated[
        str | None, typer.Option(help="When the first model serves: ISO 8601. Default: after a quarter of the history.")
    ] = None,
    label_delay: Annotated[
        float, typer.Option(min=0, help="Days after an event until it is known what came true.")
    ] = 1.0,
    data: Annotated[
        Path | None, typer.Option(help="A folder with a file per source. Default: what the workload's batch.py writes.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to. Default: in the state directory.")] = None,
    keep: Annotated[bool, typer.Option(help="Keep datasets and models of the story.")] = False,
    live: Annotated[
        bool,
        typer.Option(help="Deploy the flights as well, and show a canary and a sabotaged model that is taken back."),
    ] = False,
) -> None:
    """Tell what continuous training would have earned on a workload's own history, step by step."""
    settings: Settings = context.obj
    extend_path()
    from local.story.command import StoryRequest, find_workload, parse_schedule, run_story

    settings.prepare()
    folder = find_workload(workload)
    request = StoryRequest(
        workload_dir=folder,
        stage=settings.stage,
        schedule=parse_schedule(every, rows, parse_instant(start, "--start"), label_delay),
        data=data,
        output=(out or settings.state_dir / "story" / folder.name).absolute(),
        keep=keep,
        live=Settings(settings.state_dir / "live", settings.stage, "flight_delays") if live else None,
    )
    run_story(request, console)


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
    start_path(aws, path_of(context.obj, aws, path), account_now(context.obj))
    console.print(f"started {path}")


@ingest.command(name="replay")
def ingest_replay(context: typer.Context, path: IngestionPath) -> None:
    """Do again what the path has given up."""
    aws = attach(context.obj)
    moved = replay_path(aws, path_of(context.obj, aws, path))
    console.print(f"moved {moved} messages of {path} back to its queue")


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
