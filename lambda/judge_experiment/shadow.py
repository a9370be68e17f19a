"""How a shadow's answers differ from those that callers got, and how long both take.

A shadow never answers the caller: SageMaker asks it beside the variant that does and drops what it says, after capture.
Nothing is decided here; the figures are for whoever decides.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from constructs_lib.names.problems import BINARY, MULTICLASS
from judge_experiment.records import Exposure

BINS = 1000
_SCHEMA = """
create table answers (id text, shadow integer, predictions text not null, primary key (id, shadow)) without rowid;
"""
_PAIRS = """
select a.predictions, s.predictions from answers a join answers s on s.id = a.id where a.shadow = 0 and s.shadow = 1
"""


class Answers:
    """What both variants said, on the function's disk; the first answer of an inference id counts.

    Args:
        path: A file that does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        for setting in ("journal_mode = off", "synchronous = off", "cache_size = -32000", "temp_store = file"):
            self._database.execute(f"pragma {setting}")
        self._database.executescript(_SCHEMA)
        self._database.execute("begin")

    def add(self, exposure: Exposure, *, shadow: bool) -> None:
        """Takes an answer."""
        row = (exposure.inference_id, int(shadow), json.dumps(exposure.predictions))
        self._database.execute("insert or ignore into answers values (?, ?, ?)", row)

    def pairs(self) -> Iterator[tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]]:
        """Gives what the caller got and what the shadow said, of each request that has both."""
        for answered, shadow in self._database.execute(_PAIRS):
            yield json.loads(answered), json.loads(shadow)

    def close(self) -> None:
        """Lets go of the file."""
        self._database.close()


@dataclass
class Comparison:
    """Predictions of the same instances by two variants, pair by pair.

    Args:
        problem: The kind of problem.
        scale: Numbers are compared on a grid of a thousandth of it (1 for probabilities).
    """

    problem: str
    scale: float
    _count: int = field(default=0, init=False)
    _agree: int = field(default=0, init=False)
    _labelled: int = field(default=0, init=False)
    _distance: float = field(default=0.0, init=False)
    _largest: float = field(default=0.0, init=False)
    _scored: int = field(default=0, init=False)
    _histograms: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}), init=False)

    def add(self, answered: Mapping[str, Any], shadow: Mapping[str, Any]) -> None:
        """Takes what two variants said of one instance."""
        self._count += 1
        if "label" in answered or "cluster" in answered:
            key = "label" if "label" in answered else "cluster"
            self._labelled += 1
            self._agree += answered[key] == shadow.get(key)
        scores = [_score(self.problem, each) for each in (answered, shadow)]
        if scores[0] is None or scores[1] is None:
            return
        self._scored += 1
        distance = abs(scores[0] - scores[1])
        self._distance += distance
        self._largest = max(self._largest, distance)
        for histogram, score in zip(self._histograms, scores, strict=True):
            cell = int(score / self.scale * BINS)  # type: ignore[operator]
            histogram[cell] = histogram.get(cell, 0) + 1

    def figures(self) -> dict[str, Any]:
        """Gives the figures; a figure of nothing is none."""
        return {
            "instances": self._count,
            "agreement": self._agree / self._labelled if self._labelled else None,
            "mean_distance": self._distance / self._scored if self._scored else None,
            "largest_distance": self._largest if self._scored else None,
            "kolmogorov_smirnov": self._kolmogorov_smirnov() if self._scored else None,
        }

    def _kolmogorov_smirnov(self) -> float:
        """The largest distance between the shares of scores up to a value, to a thousandth of the scale."""
        largest, difference = 0.0, 0
        first, second = self._histograms
        for cell in sorted({*first, *second}):
            difference += first.get(cell, 0) - second.get(cell, 0)
            largest = max(largest, abs(difference) / self._scored)
        return largest


def _score(problem: str, prediction: Mapping[str, Any]) -> float | None:
    if problem == BINARY:
        value = prediction.get("probability")
    elif problem == MULTICLASS:
        value = max(prediction.get("probabilities", {}).values(), default=None)
    else:
        value = next((prediction[key] for key in ("value", "distance", "error") if key in prediction), None)
    return None if value is None else float(value)
