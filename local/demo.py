"""The whole path in one command, and a table of where the time went."""

from __future__ import annotations

import datetime as dt
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from local.errors import Failure, UserError
from local.interrupts import undisturbed
from local.memory import PeakMemory
from local.predict import golden_request, model_of, predict
from local.report.evaluation import headline
from local.server_process import StartOptions, clear, has_state, running, stop
from local.settings import Settings
from local.steps import (
    LandRequest,
    Platform,
    platform,
    step_deploy,
    step_land,
    step_publish,
    step_report,
    step_run,
    step_synth,
    step_up,
)

_T = TypeVar("_T")
_GIB = 1024**3


@dataclass(frozen=True)
class DemoOptions:
    """What the demonstration does.

    Args:
        landing: Which flights it lands.
        keep: Leave server and state as they are at the end.
        timeout_seconds: How long the pipelines may take.
        wait_scale: What a second of waiting in a state machine lasts. Default: as everywhere.
        clock: What time it is in the account. Default: what the machine's clock says.
    """

    landing: LandRequest
    keep: bool
    timeout_seconds: float
    wait_scale: float = StartOptions.wait_scale
    clock: dt.datetime | None = None


@dataclass
class Record:
    """What the demonstration measured; ``demo.json`` holds the same.

    Args:
        seconds: Per phase, in the order in which they ran.
        facts: Everything else.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def timed(self, phase: str, step: Callable[[], _T]) -> _T:
        """Run a step and note how long it took."""
        begun = time.monotonic()
        found = step()
        self.seconds[phase] = round(time.monotonic() - begun, 2)
        return found


def run_demo(settings: Settings, options: DemoOptions, console: Console) -> Record:
    """Run every step, then leave the machine as it was found, unless asked to keep everything.

    A server that ran before goes on, and state that was there before stays. After a failure the state stays for a
    look, and the server too if everything is to be kept; the next demonstration clears what a failed one has left.

    Raises:
        Failure: A step failed.
        UserError: Something that a step needs is missing.
    """
    record, begun = Record(), time.monotonic()
    with borrowed(settings, options, record), PeakMemory({os.getpid()}) as memory:
        target = prepare(settings, options, record, memory, console)
        _run(target, options, record, console)
        record.facts |= {"peak_memory_bytes": memory.peak_bytes, "memory_at_peak": memory.at_peak}
    record.facts["total_seconds"] = round(time.monotonic() - begun, 2)
    summary_file(settings).write_text(json.dumps({"seconds": record.seconds, **record.facts}, indent=2))
    console.print(summary(record))
    if options.keep:
        console.print("everything keeps running: try `python -m local predict`, `status`, `logs`; `down` stops it")
    return record


def summary_file(settings: Settings) -> Path:
    """Where the measurements of the last demonstration are."""
    return settings.cli_dir / "demo.json"


@contextmanager
def borrowed(settings: Settings, options: DemoOptions, record: Record) -> Iterator[None]:
    """Give back the machine as it was: stop a server that did not run before, clear state that was not there."""
    was_running = running(settings) is not None
    leftover = settings.cli_dir / "demo-unfinished"
    if leftover.is_file() and not was_running:
        clear(settings, keep_cache=True)
    had_state = has_state(settings)
    settings.prepare()
    if not had_state:
        leftover.touch()
    finished = keep = False
    try:
        yield
        finished, keep = True, options.keep
    except (Failure, UserError):
        keep = options.keep
        raise
    finally:
        with undisturbed():
            if finished:
                leftover.unlink(missing_ok=True)
            if not was_running and not keep:
                record.timed("down", lambda: _take_down(settings, forget=finished and not had_state))


def _take_down(settings: Settings, *, forget: bool) -> None:
    stop(settings)
    if forget:
        clear(settings, keep_cache=True)


def prepare(settings: Settings, options: DemoOptions, record: Record, memory: PeakMemory, console: Console) -> Platform:
    """Start the server, deploy and publish."""
    aws = record.timed(
        "up",
        lambda: step_up(
            settings, StartOptions(options.wait_scale, tied=not options.keep, clock=options.clock), console
        ),
    )
    memory.roots.add(aws.server.pid)
    templates = record.timed("synth", lambda: step_synth(settings, console))
    deployed = step_deploy(settings, aws, templates.folder, console, other_workloads=False)
    record.seconds |= {"bootstrap": round(deployed.bootstrap_seconds, 2), "deploy": round(deployed.deploy_seconds, 2)}
    target = platform(settings)
    record.timed("publish", lambda: step_publish(target, console))
    return target


def _run(target: Platform, options: DemoOptions, record: Record, console: Console) -> None:
    landed = record.timed("land", lambda: step_land(target, options.landing, console))
    begun = time.monotonic()
    chain = step_run(target, landed, console, timeout_seconds=options.timeout_seconds)
    record.seconds["pipelines"] = round(time.monotonic() - begun, 2)
    if chain.of("deployment") is None:
        raise Failure(f"no model was deployed: {chain.outcome()}")
    request = golden_request(target.settings)
    model = model_of(target.settings, request)
    prediction = record.timed("predict", lambda: predict(target.aws, target.outputs, request, model))
    record.facts["landing_to_prediction_seconds"] = round(record.seconds["land"] + time.monotonic() - begun, 2)
    console.print(
        f"first prediction after {record.facts['landing_to_prediction_seconds']:.1f} s: {prediction.response}"
    )
    content = record.timed("report", lambda: step_report(target, landed, target.settings.report_file, console))
    record.facts |= {
        "run_id": chain.run_id,
        "pipeline_seconds": {item.machine: round(item.seconds, 2) for item in chain.executions if item.seconds},
        "prediction_milliseconds": round(prediction.milliseconds, 2),
        "metric": headline(content.evaluation) if content.evaluation else None,
        "dataset_version": content.dataset_version,
    }


def summary(record: Record) -> Table:
    """What took how long, and what came out."""
    table = Table(
        title="summary", title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False
    )
    table.add_column(min_width=22)
    table.add_column(justify="right")
    for phase, seconds in record.seconds.items():
        table.add_row(phase, f"{seconds:.1f} s")
        if phase == "pipelines":
            for machine, took in record.facts["pipeline_seconds"].items():
                table.add_row(f"  {machine}", f"{took:.1f} s")
    table.add_section()
    table.add_row("total", f"{record.facts['total_seconds']:.1f} s")
    table.add_row("landing to prediction", f"{record.facts['landing_to_prediction_seconds']:.1f} s")
    table.add_row("prediction", f"{record.facts['prediction_milliseconds']:.1f} ms")
    if record.facts["metric"] is not None:
        name, value = record.facts["metric"]
        table.add_row(f"{name}, unseen rows", f"{value:.3f}")
    table.add_row("dataset version", str(record.facts.get("dataset_version") or "-"))
    peak = record.facts["peak_memory_bytes"]
    table.add_row("peak memory", f"{peak / _GIB:.2f} GiB" if peak else "not measured on this system")
    return table
