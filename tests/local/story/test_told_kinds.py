"""Whole stories of models that answer by containers."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from local.errors import UserError
from local.story.command import StoryRequest, run_story
from local.story.schedule import Schedule
from tests.local.story.drifting import IMPATIENT, TURN, history
from tests.local.story.kinds import LINEAR, SEARCH, Kind, container

KINDS = {"built_in": LINEAR, "container": container(), "automl": SEARCH}


def tell(kind: str, root: Path) -> dict[str, Any]:
    """The story of a kind from the turn on, in three steps."""
    told = KINDS[kind]
    replace(told, making=told.making + IMPATIENT).write(root / "drifting", history())
    schedule = Schedule(None, 374, TURN, dt.timedelta(days=5))
    request = StoryRequest(root / "drifting", "dev", schedule, root / "drifting" / "data", root / "out")
    return run_story(request, Console(quiet=True))


def check(told: dict[str, Any]) -> None:
    """See that a challenger took over once the target had turned, and was worth it."""
    never, gapless = told["never"], told["gapless"]
    assert never["steps"][0]["quality"] == gapless["steps"][0]["quality"]
    assert gapless["quality"] < never["quality"] - 0.3
    won = next(each for each in gapless["decisions"] if each.get("outcome") == "promoted")
    assert won["comparison"]["high"] < 0
    assert "mae is " in won["gate"][0]["reason"]


def test_an_algorithm_follows_a_change(tmp_path: Path) -> None:
    check(tell("built_in", tmp_path))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_follows_a_change_and_gives_the_same_document_again(kind: str, tmp_path: Path) -> None:
    told = tell(kind, tmp_path / "first")
    check(told)
    assert tell(kind, tmp_path / "second") == told


def test_a_workload_that_is_refused_leaves_an_earlier_story(tmp_path: Path) -> None:
    (tmp_path / "out" / "work" / "models").mkdir(parents=True)
    Kind("model: {image: 'tensorflow:2.18.0'}\n").write(tmp_path / "drifting", [])
    request = StoryRequest(tmp_path / "drifting", "dev", Schedule("month"), None, tmp_path / "out")
    with pytest.raises(UserError, match=r"model of drifting: the image .* is not available on the local server"):
        run_story(request, Console(quiet=True))
    assert (tmp_path / "out" / "work" / "models").is_dir()
