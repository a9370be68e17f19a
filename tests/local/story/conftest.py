"""One story of the drifting workload, told once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from local.story.command import StoryRequest, run_story
from local.story.schedule import Schedule
from tests.local.story.drifting import Row, history, write_workload

DELAY = dt.timedelta(days=5)


@dataclass(frozen=True)
class Told:
    """A story that was told: its document and where it was written."""

    document: dict[str, Any]
    folder: Path


Tell = Callable[[list[Row]], Told]


@pytest.fixture(scope="session")
def tell(tmp_path_factory: pytest.TempPathFactory) -> Tell:
    """Tells the story of rows, month by month from March on; labels come five days late."""

    def run(rows: list[Row]) -> Told:
        root = tmp_path_factory.mktemp("story")
        write_workload(root / "drifting", rows)
        start = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
        schedule = Schedule("month", None, start, DELAY)
        request = StoryRequest(root / "drifting", "dev", schedule, root / "drifting" / "data", root / "out")
        return Told(run_story(request, Console(quiet=True)), root / "out")

    return run


@pytest.fixture(scope="session")
def told(tell: Tell) -> Told:
    """The story of the drifting workload."""
    return tell(history())
