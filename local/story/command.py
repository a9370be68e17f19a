"""One story from the files to ``story.json``."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.table import Column, Table

from constructs_lib.names.workload_file import WorkloadFile, WorkloadFileError
from local.errors import UserError
from local.settings import CHECKOUT, Settings
from local.story.bench import Bench
from local.story.data import find_data
from local.story.history import Place, read_history
from local.story.judging import Judges
from local.story.live import check_live, run_live
from local.story.makers import Maker, check_models, maker_of
from local.story.page import render
from local.story.replay import POLICIES, Progress, Story, Workshop
from local.story.schedule import UNITS, Schedule, Unit


@dataclass(frozen=True)
class StoryRequest:
    """What is told.

    Attributes:
        workload_dir: The folder of the workload.
        stage: Whose values of the workload file hold.
        schedule: In which steps.
        data: The user's data; None for what the workload's own script writes.
        output: Where ``story.json`` and ``story.html`` go; what is made on the way lies in ``work`` beside them.
        keep: Whether that stays.
        live: A platform of its own, on which a rollout and a rollback are shown as well; None for neither.
    """

    workload_dir: Path
    stage: str
    schedule: Schedule
    data: Path | None
    output: Path
    keep: bool = False
    live: Settings | None = None


def find_workload(named: str) -> Path:
    """Give the folder of a workload that is named, or given by its path.

    Raises:
        UserError: There is none.
    """
    for folder in (Path(named).absolute(), CHECKOUT / "workloads" / named):
        if (folder / "workload.yaml").is_file():
            return folder
    known = sorted(path.parent.name for path in CHECKOUT.glob("workloads/*/workload.yaml"))
    raise UserError(f"workload {named!r} does not exist (there are: {', '.join(known)}; or give a folder of one)")


def parse_schedule(every: str | None, rows: int | None, start: dt.datetime | None, label_delay_days: float) -> Schedule:
    """Read the options that say what a step is.

    Raises:
        UserError: Both are given, or the unit is unknown.
    """
    if every is not None and rows is not None:
        raise UserError(f"--every {every} and --rows {rows} are given; a step is one of both")
    if every is not None and every not in UNITS:
        raise UserError(f"--every {every!r} (allowed: {', '.join(UNITS)})")
    delay = dt.timedelta(days=label_delay_days)
    if rows is not None:
        return Schedule(None, rows, start, delay)
    return Schedule(cast("Unit", every or "month"), None, start, delay)


def read_workload(folder: Path, stage: str) -> WorkloadFile:
    """Read a workload as a stage has it.

    Raises:
        UserError: There is none, or it is not valid.
    """
    if not (folder / "workload.yaml").is_file():
        raise UserError(f"there is no workload.yaml in {folder}")
    try:
        return WorkloadFile.load(folder / "workload.yaml").for_stage(stage)
    except WorkloadFileError as error:
        raise UserError(str(error)) from error


def run_story(request: StoryRequest, console: Console) -> dict[str, Any]:
    """Tell a story and write it; give ``story.json``.

    Raises:
        UserError: Something that was given is not what it should be.
        Failure: A job failed.
    """
    workload = read_workload(request.workload_dir, request.stage)
    check_models(workload, request.workload_dir)
    work = request.output / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with Bench(work / "bench") as bench:
        document = _tell(request, workload, maker_of(workload, request.workload_dir, bench), console)
    if not request.keep:
        shutil.rmtree(work)
    console.print(f"story: [bold]{request.output / 'story.html'}[/]")
    return document


def _tell(request: StoryRequest, workload: WorkloadFile, maker: Maker, console: Console) -> dict[str, Any]:
    work = request.output / "work"
    with console.status("reading the history"):
        data = find_data(workload, request.workload_dir, request.data, work / "data")
        place = Place(work / "reading", request.workload_dir, data.folder, data.as_of)
        place.folder.mkdir()
        history = read_history(place, workload, request.schedule)
    if request.live is not None:
        check_live(history)
    judges = Judges(workload, work / "judging", maker)
    workshop = Workshop(history, maker, work / "models")
    story = Story(history, judges, workshop)
    console.print(
        f"{history.facts['rows']:,} rows, {len(history.steps)} steps from {history.steps[0].label} to "
        f"{history.steps[-1].label}; {judges.metric}, {'more' if judges.higher_is_better else 'less'} is better"
    )
    with workshop, console.status("training the first model") as status:

        def tell(progress: Progress) -> None:
            figures = "  ".join(f"{name} {_shown(progress.quality[name])}" for name in POLICIES)
            console.print(f"[bold]{progress.label}[/]  {figures}", highlight=False)
            if progress.text:
                console.print(f"  {progress.text}", style="dim", markup=False)
            status.update("telling the next step")

        story.run(tell)
    document = story.document()
    _write(request.output, document)
    console.print(summary(document))
    if request.live is not None:
        told = run_live(request.live, story, console)
        document |= {"live": {"months": told.months, "events": told.events}}
        _write(request.output, document)
    return document


def _write(folder: Path, document: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "story.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    (folder / "story.html").write_text(render(document), encoding="utf-8")


def summary(story: dict[str, Any]) -> Table:
    """What the three policies came to."""
    table = Table(
        "policy",
        Column(story["metric"], justify="right"),
        Column("retrains", justify="right"),
        box=None,
        pad_edge=False,
    )
    for name in POLICIES:
        table.add_row(name, _shown(story[name]["quality"]), str(story[name]["retrains"]))
    return table


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
