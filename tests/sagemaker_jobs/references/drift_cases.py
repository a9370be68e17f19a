"""Samples whose distances and metrics other libraries were asked for; the same on every machine and in every version.

Points of a Weyl sequence, the fractional parts of multiples of the golden ratio, stand in for random numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

VALUES = Path(__file__).with_name("drift_values.json")
GOLDEN = (5**0.5 - 1) / 2


def uniform(rows: int, start: int = 0) -> Floats:
    """Give numbers from 0 to 1, shape ``(rows,)``."""
    points = np.arange(start + 1, start + rows + 1, dtype=np.float64) * np.float64(GOLDEN)
    return points - np.floor(points)


@dataclass(frozen=True)
class Numbers:
    """Whole numbers from 0 to 20 before and now, each of shape ``(rows,)``."""

    before: Floats
    now: Floats


@dataclass(frozen=True)
class Texts:
    """Categories before and now."""

    before: list[str]
    now: list[str]


@dataclass(frozen=True)
class Answers:
    """Truth and predictions of both problems, each of shape ``(rows,)``."""

    truth: npt.NDArray[np.bool_]
    probabilities: Floats
    values: Floats
    predicted: Floats


def _whole(shape: float, rows: int, start: int) -> Floats:
    whole = np.floor(21 * uniform(rows, start) ** shape)
    whole[:2] = 0, 20
    return whole


def _named(shape: float, rows: int, start: int) -> list[str]:
    return ["abcdef"[int(6 * each)] for each in uniform(rows, start) ** shape]


NUMBERS = {
    "equal": Numbers(_whole(1.0, 4000, 0), _whole(1.0, 3000, 5000)),
    "lower": Numbers(_whole(1.0, 4000, 0), _whole(1.7, 2500, 9000)),
    "small window": Numbers(_whole(0.8, 900, 7), _whole(1.1, 60, 31)),
}
TEXTS = {
    "equal": Texts(_named(1.0, 6000, 0), _named(1.0, 5000, 8000)),
    "other shares": Texts(_named(1.0, 6000, 0), _named(1.5, 5000, 8000)),
    "small window": Texts(_named(0.7, 900, 3), _named(1.2, 90, 77)),
}


def answers(rows: int = 2000) -> Answers:
    """Give answers that are right more often than not."""
    probabilities = uniform(rows)
    values = 10 + 5 * uniform(rows, 11)
    return Answers(
        truth=uniform(rows, 50_000) < 0.2 + 0.6 * probabilities,
        probabilities=probabilities,
        values=values,
        predicted=values + 2 * uniform(rows, 70_001) - 0.8,
    )
