"""How often the test of two models errs when one looks all the time, and how soon it finds what is there.

Simulates losses of 0 and 1 (accuracy of a yes or no), a fair split, and a look after every tenth outcome. The rival is
what is done by eye: a z-test of two shares at every look, at the same level. Prints two tables. The figures are
computed on arrays; the first simulation of every row is computed by the function's own code as well, and both must
agree.

    .venv/bin/python benchmarks/sequential_test.py
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1] / "lambda"), str(Path(__file__).parents[1])]

from judge_experiment.sequential import Difference  # noqa: E402

LEVEL, CHAMPION, EVERY, FIRST = 0.05, 0.25, 10, 50
Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Simulated:
    """Runs in rows, outcomes in columns: the loss of each, and whether the challenger made it."""

    losses: Array
    arms: Array


def simulate(runs: int, outcomes: int, difference: float, share: float, seed: int) -> Simulated:
    """Draws outcomes of a challenger whose mean loss differs by so much."""
    draw = np.random.default_rng(seed)
    arms = (draw.random((runs, outcomes)) < share).astype(np.float64)
    losses = (draw.random((runs, outcomes)) < CHAMPION + difference * arms).astype(np.float64)
    return Simulated(losses, arms)


def confidence_sequence(simulated: Simulated, level: float, share: float) -> tuple[Array, Array]:
    """Gives the lower and the upper end after every outcome: Theorem 2 of Waudby-Smith and Ramdas (2024), on arrays."""
    losses, arms = simulated.losses, simulated.arms
    count = np.arange(1, losses.shape[1] + 1)
    guesses = (0.5 + _before(np.cumsum(losses, axis=1))) / count
    bound = 1 / min(share, 1 - share)
    values = ((losses - guesses) * np.where(arms == 1, 1 / share, -1 / (1 - share)) / bound + 1) / 2
    means = (0.5 + np.cumsum(values, axis=1)) / (count + 1)
    variances = (0.25 + np.cumsum((values - means) ** 2, axis=1)) / (count + 1)
    before, spread = _before(means, 0.5), _before(variances, 0.25)
    bets = np.minimum(0.5, np.sqrt(2 * np.log(2 / level) / (spread * count * np.log(1 + count))))
    psi = (-np.log1p(-bets) - bets) / 4
    total = np.cumsum(bets, axis=1)
    centres = np.cumsum(bets * values, axis=1) / total
    radii = (np.log(2 / level) + np.cumsum(4 * (values - before) ** 2 * psi, axis=1)) / total
    low = np.maximum.accumulate((2 * (centres - radii) - 1) * bound, axis=1)
    high = np.minimum.accumulate((2 * (centres + radii) - 1) * bound, axis=1)
    return np.maximum(low, -1.0), np.minimum(high, 1.0)


def z_scores(simulated: Simulated) -> Array:
    """Gives the z-score of a difference of two shares after every outcome; none while an arm has nothing to differ."""
    arms, losses = simulated.arms, simulated.losses
    challenger, champion = np.cumsum(arms, axis=1), np.cumsum(1 - arms, axis=1)
    first, second = np.cumsum(losses * arms, axis=1), np.cumsum(losses * (1 - arms), axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (first + second) / (challenger + champion)
        scores = (first / challenger - second / champion) / np.sqrt(
            pooled * (1 - pooled) * (1 / challenger + 1 / champion)
        )
    return np.nan_to_num(scores)


def looks(outcomes: int) -> Any:
    """Gives the columns after which one looks."""
    return np.arange(FIRST - 1, outcomes, EVERY)


def check_against_the_function(simulated: Simulated, share: float, ends: tuple[Array, Array]) -> None:
    """Computes the first run by the function's own code.

    Raises:
        AssertionError: It says something else.
    """
    made = Difference(LEVEL, min(share, 1 - share))
    for loss, arm in zip(simulated.losses[0], simulated.arms[0], strict=True):
        made.add(float(loss), challenger=bool(arm), share=share)
    found, expected = made.interval, (ends[0][0, -1], ends[1][0, -1])
    if not np.allclose((found.low, found.high), expected, atol=1e-9):
        raise AssertionError(f"the function says {found}, the arrays {expected}")


def false_positives(runs: int, sizes: list[int], share: float) -> Iterator[str]:
    """Gives a table of how often a difference is found that is none."""
    yield f"\nno difference, looks after every {EVERY}th outcome, level {LEVEL:.0%}, {runs} simulations"
    yield f"{'outcomes':>10} {'confidence sequence':>20} {'z-test at each look':>20} {'z-test once':>12}"
    simulated = simulate(runs, max(sizes), 0.0, share, seed=1)
    low, high = confidence_sequence(simulated, LEVEL, share)
    check_against_the_function(simulated, share, (low, high))
    scores, limit = np.abs(z_scores(simulated)), 1.959964
    for size in sizes:
        columns = looks(size)
        ours = ((low[:, columns] > 0) | (high[:, columns] < 0)).any(axis=1).mean()
        peeked, once = (scores[:, columns] > limit).any(axis=1).mean(), (scores[:, size - 1] > limit).mean()
        yield f"{size:>10} {ours:>20.1%} {peeked:>20.1%} {once:>12.1%}"


def power(runs: int, sizes: list[int], differences: list[float], share: float) -> Iterator[str]:
    """Gives a table of how often a difference that is there is found so early, and by a z-test made once."""
    yield f"\npower: share of {runs} simulations in which the better challenger is found (in brackets: z-test once)"
    yield f"{'loss':>10} {'difference':>10} " + " ".join(f"{size:>16}" for size in sizes) + f" {'median':>8}"
    for number, difference in enumerate(differences):
        simulated = simulate(runs, max(sizes), difference, share, seed=2 + number)
        ends = confidence_sequence(simulated, LEVEL, share)
        check_against_the_function(simulated, share, ends)
        scores = z_scores(simulated)
        cells = []
        for size in sizes:
            found = (ends[1][:, size - 1] < 0).mean()
            cells.append(f"{found:>7.0%} ({(scores[:, size - 1] < -1.959964).mean():>5.0%})")
        hits = ends[1] < 0
        when = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.inf)
        median = np.median(when)
        told = f"{median:>8.0f}" if np.isfinite(median) else f"{'more':>8}"
        yield f"{CHAMPION:>10.2f} {difference:>10.2f} " + " ".join(f"{cell:>16}" for cell in cells) + f" {told}"


def _before(values: Array, first: float = 0.0) -> Array:
    shifted = np.empty_like(values)
    shifted[:, 0], shifted[:, 1:] = first, values[:, :-1]
    return shifted


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=1000, help="simulations per row")
    parser.add_argument("--share", type=float, default=0.5, help="the challenger's share of the requests")
    options = parser.parse_args()
    begun = time.perf_counter()
    sizes = [500, 1000, 2000, 5000, 10_000]
    for line in false_positives(options.runs, sizes, options.share):
        print(line)  # noqa: T201
    for line in power(options.runs // 2, sizes, [-0.02, -0.04, -0.06, -0.1], options.share):
        print(line)  # noqa: T201
    print(f"\n{time.perf_counter() - begun:.0f} s")  # noqa: T201


if __name__ == "__main__":
    main()
