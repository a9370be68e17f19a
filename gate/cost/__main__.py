"""``python -m gate.cost``: prints what each stage costs while nothing happens, and what a run of a workload costs."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from stacks.toolchain import prepare_synthesis

prepare_synthesis()

from aws_cdk import App  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from constructs_lib.names.naming import pascal_case  # noqa: E402
from constructs_lib.names.prices import HOURS_PER_MONTH, SOURCES, machine_hour  # noqa: E402
from constructs_lib.names.workload_file import WorkloadFile  # noqa: E402
from gate.assembly import StackTemplate, templates  # noqa: E402
from gate.cost.idle import (  # noqa: E402
    LATER_KEY_VERSIONS,
    Line,
    UnknownType,
    idle_lines,
    rotated_keys,
    stage_of,
    total,
    total_alone,
    with_one_workload,
)
from gate.cost.runs import ASSUMED_MINUTES, jobs_of_run, sum_of  # noqa: E402
from stacks.config import PlatformConfig, StageConfig, project_context  # noqa: E402
from stacks.config_parts import ConfigurationError  # noqa: E402
from stacks.platform import build_platform, read_rules, read_workloads  # noqa: E402

_UNKNOWN = "no sourced price"


def main() -> int:
    """Synthesises every stage and prints the tables; returns the exit code."""
    console = Console(highlight=False, width=120)
    try:
        with tempfile.TemporaryDirectory() as folder:
            app = App(context=project_context(), outdir=folder)
            config, workloads = PlatformConfig.read(app), read_workloads()
            build_platform(app, config, workloads, read_rules(workloads))
            app.synth()
            synthesised = templates(Path(folder))
        show(console, config.stages, synthesised, workloads)
    except (ConfigurationError, UnknownType) as error:
        console.print(str(error), markup=False)
        return 2
    _show_assumptions(console)
    return 0


def show(
    console: Console,
    stages: Iterable[StageConfig],
    synthesised: Sequence[StackTemplate],
    workloads: Sequence[WorkloadFile],
) -> None:
    """Prints what each stage costs while idle, and what a run of each workload costs in it."""
    for stage in stages:
        _show_stage(console, stage, synthesised, workloads)


def _show_stage(
    console: Console, stage: StageConfig, synthesised: Sequence[StackTemplate], workloads: Iterable[WorkloadFile]
) -> None:
    here = [workload.for_stage(stage.name) for workload in workloads]
    own = [template for template in synthesised if stage_of(template.stack) in (None, stage.name)]
    lines = [line for template in own for line in idle_lines(template, stage.billed_in)]
    table = Table("stack", "what", "units a month", "USD a month", title=f"{stage.name} in {stage.billed_in}, idle")
    for line in lines:
        table.add_row(line.stack, line.what, f"{line.units:g}", _usd(line.usd))
    _add_sums(table, stage, own, lines, here)
    console.print(table)
    runs = Table("workload", "job", "machines", f"USD in {ASSUMED_MINUTES} min", "USD at its limit", title="a run")
    for workload in here:
        jobs = jobs_of_run(workload, stage.billed_in)
        for job in jobs:
            limit = f"{_usd(job.most_usd)} ({job.most_minutes} min)"
            runs.add_row(workload.name, job.name, job.machines, _usd(job.assumed_usd, 4), limit)
        sums = [sum_of(job.assumed_usd for job in jobs), sum_of(job.most_usd for job in jobs)]
        shown = [f"{'' if known else 'at least '}{usd:.2f}" for usd, known in sums]
        runs.add_row(workload.name, "[bold]all[/bold]", "", *(f"[bold]{each}[/bold]" for each in shown))
        for assumption in dict.fromkeys(job.assumption for job in jobs if job.assumption is not None):
            runs.add_row(workload.name, "assumed in it", assumption, "", "")
    console.print(runs)


def _add_sums(
    table: Table, stage: StageConfig, own: list[StackTemplate], lines: list[Line], workloads: Iterable[WorkloadFile]
) -> None:
    table.add_section()
    unknown = any(line.usd is None for line in lines)
    table.add_row(
        "", "[bold]all of it, without endpoints[/bold]", "", f"{'at least ' if unknown else ''}{total(lines):.2f}"
    )
    rotated = rotated_keys(own) * LATER_KEY_VERSIONS
    table.add_row(
        "", f"and after two yearly rotations of keys, {rotated} versions more", "", f"{total(lines) + rotated:.2f}"
    )
    for workload in workloads:
        alone = with_one_workload(own, stage.name, pascal_case(workload.name))
        cost = total_alone(line for template in alone for line in idle_lines(template, stage.billed_in))
        table.add_row("", f"with {workload.name} alone, in an account of its own", "", f"{cost:.2f}")
        price = machine_hour(stage.billed_in, "Hosting", workload.serving.instance_type)
        count = workload.serving.instance_count
        hours = None if price is None else price.usd * count * HOURS_PER_MONTH
        what = f"its endpoint, once a model is live: {count} x {workload.serving.instance_type}"
        table.add_row("", what, f"{count * HOURS_PER_MONTH:g}", _usd(hours))


def _show_assumptions(console: Console) -> None:
    console.print("List prices on demand, without free tiers, discounts and taxes; from:")
    for source in sorted(SOURCES.values(), key=lambda each: each.date):
        console.print(f"  {source.date}  {source.text}", markup=False)
    console.print(
        "Left out: what is stored, logged and sent; crawls; requests, calls and transitions. A run is one batch "
        f"and one model that is deployed; that each job takes {ASSUMED_MINUTES} minutes is assumed, not measured."
    )


def _usd(value: float | None, digits: int = 2) -> str:
    return _UNKNOWN if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())
