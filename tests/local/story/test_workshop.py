"""Models are trained at the same time, each once, and who asks for one that failed is told so."""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from constructs_lib.names.workload_file import EVENT_TIME_COLUMN, ROW_ID_COLUMN, WorkloadFile
from gapless_glue.errors import TooFewRows
from local.story.history import History
from local.story.makers import Maker
from local.story.models import TrainingFailed
from local.story.replay import Workshop
from local.story.schedule import Step
from tests.local.story.drifting import BEGIN, write_workload

DAY = dt.timedelta(days=1)
WAIT = 10.0

Training = Callable[[Path], None]


class Makes:
    """Does what it is told in the place of a training."""

    def __init__(self) -> None:
        self.train: Training = lambda _folder: None


@pytest.fixture
def makes() -> Makes:
    return Makes()


@pytest.fixture
def workshop(makes: Makes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    """Two steps of a hundred days with a row each, and two processors."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    write_workload(tmp_path / "drifting", [])
    steps = [
        Step(number, f"step {number}", BEGIN + 100 * number * DAY, BEGIN + 100 * (number + 1) * DAY)
        for number in (1, 2)
    ]
    for number, end in enumerate([steps[0].begin, *(step.end for step in steps)]):
        days = (end - BEGIN).days
        folder = tmp_path / "known" / str(number)
        folder.mkdir(parents=True)
        times = pa.array([BEGIN + day * DAY for day in range(days)], pa.timestamp("us", tz="UTC"))
        pq.write_table(
            pa.table({EVENT_TIME_COLUMN: times, ROW_ID_COLUMN: list(range(days))}), folder / "part-0.parquet"
        )
    workload = WorkloadFile.load(tmp_path / "drifting" / "workload.yaml")
    history = History(tmp_path, workload, steps, BEGIN, DAY, {})
    with Workshop(history, cast("Maker", makes), tmp_path / "models") as found:
        yield found


@pytest.fixture
def trained(makes: Makes) -> Callable[[Training], None]:
    """Has something else done in the place of a training."""

    def replace(training: Training) -> None:
        makes.train = training

    return replace


def test_models_that_were_begun_are_trained_at_the_same_time_and_once(
    workshop: Workshop, trained: Callable[[Training], None]
) -> None:
    together, names = threading.Barrier(2), list[str]()

    def training(folder: Path) -> None:
        names.append(folder.name)
        together.wait(WAIT)

    trained(training)
    workshop.begin([(0, None), (0, 50)])
    workshop.begin([(0, 50)])
    assert [workshop.model(0).name, workshop.model(0, 50).name] == ["m0", "m0-50d"]
    assert sorted(names) == ["m0", "m0-50d"]
    assert workshop.trainings == 2
    assert sum(workshop.model(0, 50).rows.values()) == 49, "the last 50 days, whose last label has not come"


def test_who_asks_for_a_model_that_failed_is_told_each_time(
    workshop: Workshop, trained: Callable[[Training], None]
) -> None:
    def fails(_folder: Path) -> None:
        raise TrainingFailed("it diverged")

    trained(fails)
    workshop.begin([(1, None), (1, 1)])
    for _ in range(2):
        with pytest.raises(TrainingFailed, match="it diverged"):
            workshop.model(1)
    with pytest.raises(TooFewRows):
        workshop.model(1, 1)
    assert workshop.trainings == 0


def test_what_has_not_begun_is_given_up_when_the_story_ends(
    workshop: Workshop, trained: Callable[[Training], None]
) -> None:
    names, begun, end = list[str](), threading.Semaphore(0), threading.Event()

    def training(folder: Path) -> None:
        names.append(folder.name)
        begun.release()
        end.wait(WAIT)

    trained(training)
    workshop.begin([(0, None), (1, None), (2, None)])
    for _ in range(2):
        assert begun.acquire(timeout=WAIT)
    workshop.__exit__(KeyboardInterrupt)  # nobody is waited for
    end.set()
    workshop.__exit__(None)
    assert sorted(names) == ["m0", "m1"]
