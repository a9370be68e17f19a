"""The window of a training job, as its workload asks for it; by back-test it is chosen on the rows of the train split.

A back-test goes back some steps from the end of the train split. In each, models of every window are trained on the
rows before the step and measured on the rows of the step; no row from after its beginning is seen by a model. The
splits for validation and test take no part: that the chosen window helps on the newest rows is for the gate to see.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gapless_windows.back_test import Pair, Worth, best, worth
from gapless_windows.window import MICROSECONDS_PER_DAY, BadWindow, Rows, Times, Weights, Window

VARIABLE = "GAPLESS_WINDOW"
RECORD = "window.json"
"""What a choice is written to, in the folder of the model."""

Score = Callable[[Weights, Rows], float | None]
"""Trains by the weights of rows (0: not at all), and gives what the model reaches on others; None where it cannot."""

_INSTANT = np.timedelta64(1, "us")


@dataclass(frozen=True)
class Step:
    """A step of a back-test: rows from ``begin`` on and before ``end`` are measured, rows before it are known."""

    begin: np.datetime64
    end: np.datetime64


@dataclass(frozen=True)
class Choice:
    """The window that a training goes by.

    Attributes:
        window: The window.
        weights: The weight of each row of the train split, 0 for rows that do not count.
        tried: Of a back-test, what every candidate was worth, in their order.
        steps: Of a back-test.
    """

    window: Window
    weights: Weights
    tried: Sequence[tuple[Window, Worth]] = ()
    steps: Sequence[Step] = ()

    @property
    def rows(self) -> Rows:
        """Which rows count."""
        counting: Rows = self.weights > 0
        return counting

    @property
    def sample_weight(self) -> Weights | None:
        """The weights of the rows that count, for the ``sample_weight`` of a model; None where all weigh the same."""
        return self.weights[self.rows] if self.window.kind == "weighted" else None

    def describe(self) -> dict[str, Any]:
        """Give the choice as JSON types: the window, and what every candidate has reached."""
        candidates = [
            {**window.describe(), "quality": found.quality, "gain": found.gain, "steps": found.steps}
            for window, found in self.tried
        ]
        return {
            "window": self.window.describe(),
            "rows": int(self.rows.sum()),
            "of_rows": len(self.weights),
            "candidates": candidates,
            "steps": [{"from": _text(step.begin), "to": _text(step.end)} for step in self.steps],
        }

    def save(self, model_dir: Path) -> None:
        """Write the choice beside the model; the evaluation takes it into the run's record from there."""
        (model_dir / RECORD).write_text(json.dumps(self.describe(), indent=1), encoding="utf-8")


@dataclass(frozen=True)
class TrainingWindow:
    """What a workload asks for.

    Attributes:
        candidates: The windows to choose from; one is taken as it is.
        steps, step_days: How far a back-test goes back.
        min_rows: With fewer rows a window is not tried.
    """

    candidates: tuple[Window, ...]
    steps: int = 0
    step_days: float = 0.0
    min_rows: int = 1

    @staticmethod
    def of_job(environment: Mapping[str, str] = os.environ) -> TrainingWindow | None:
        """Read what this job is asked for; None where nothing is, and all rows count alike.

        Raises:
            BadWindow: It cannot be read.
        """
        text = environment.get(VARIABLE)
        if text is None:
            return None
        try:
            asked = json.loads(text)
            if asked["kind"] != "back_test":
                return TrainingWindow((Window.of(asked),))
            windows = (Window(), *(Window.of(each) for each in asked["candidates"]))
            return TrainingWindow(windows, int(asked["steps"]), float(asked["step_days"]), int(asked["min_rows"]))
        except (ValueError, KeyError, TypeError) as error:
            raise BadWindow(f"{VARIABLE} is {text!r}: {type(error).__name__}: {error}") from error

    def choose(self, times: Times, score: Score, *, higher_is_better: bool = True) -> Choice:
        """Give the window to train by, and the weights of the rows in it.

        Args:
            times: When the event of each row of the train split was.
            score: Asked only where there is more than one candidate.
            higher_is_better: Whether more of what ``score`` gives is better.

        Raises:
            BadWindow: There are no rows, or a time is missing.
        """
        if not len(times) or np.isnat(times).any():
            raise BadWindow(f"{len(times)} rows, {int(np.isnat(times).sum())} of them without a time")
        end = times.max() + _INSTANT
        if len(self.candidates) == 1:
            return Choice(self.candidates[0], self.candidates[0].weights(times, end))
        steps = self._steps(end)
        pairs: list[list[Pair]] = [[] for _ in self.candidates]
        for step in steps:
            for place, reached in enumerate(self._reached(times, step, score)):
                pairs[place].append(reached)
        found = [worth(each, higher_is_better=higher_is_better) for each in pairs]
        window = self.candidates[best(found)]
        return Choice(window, window.weights(times, end), tuple(zip(self.candidates, found, strict=True)), steps)

    def _steps(self, end: np.datetime64) -> list[Step]:
        days = [
            np.timedelta64(round(back * self.step_days * MICROSECONDS_PER_DAY), "us") for back in range(self.steps + 1)
        ]
        return [Step(end - days[back], end - days[back - 1]) for back in range(self.steps, 0, -1)]

    def _reached(self, times: Times, step: Step, score: Score) -> list[Pair]:
        """What each candidate reached in a step, beside what all rows did, the first of the candidates."""
        measured = (times >= step.begin) & (times < step.end)
        if not measured.any():
            return [(None, None)] * len(self.candidates)
        found = [self._measure(window.weights(times, step.begin), measured, score) for window in self.candidates]
        return [(own, found[0]) for own in found]

    def _measure(self, weights: Weights, measured: Rows, score: Score) -> float | None:
        if (weights > 0).sum() < self.min_rows:
            return None
        reached = score(weights, measured)
        return reached if reached is not None and math.isfinite(reached) else None


def _text(instant: np.datetime64) -> str:
    return f"{np.datetime_as_string(instant, unit='s')}Z"
