"""Confidence sequences: as the paper has them, recomputed otherwise; and what they promise, in simulations."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaln
from scipy.stats import binom

from benchmarks.sequential_test import Simulated, confidence_sequence
from judge_experiment.sequential import Difference, Interval, share_interval

Outcomes = list[tuple[float, bool]]
ALPHA, SHARE = 0.05, 0.3


def outcomes_of(seed: int, count: int, *, champion: float = 0.3, challenger: float = 0.3) -> Outcomes:
    """Losses 0 or 1 with these means, drawn with the challenger's share."""
    draw = random.Random(seed)  # noqa: S311 - a simulation
    arms = [draw.random() < SHARE for _ in range(count)]
    return [(float(draw.random() < (challenger if arm else champion)), arm) for arm in arms]


def difference_of(outcomes: Outcomes, share: float = SHARE) -> Difference:
    made = Difference(ALPHA, min(share, 1 - share))
    for loss, challenger in outcomes:
        made.add(loss, challenger=challenger, share=share)
    return made


def recomputed(outcomes: Outcomes) -> tuple[float, float]:
    """The last interval, computed on arrays by the benchmark."""
    losses, arms = (np.array([column], dtype=float) for column in zip(*outcomes, strict=True))
    low, high = confidence_sequence(Simulated(losses, arms), ALPHA, SHARE)
    return float(low[0, -1]), float(high[0, -1])


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_is_that_of_the_paper(seed: int) -> None:
    outcomes = outcomes_of(seed, 3000, challenger=0.25)
    interval = difference_of(outcomes).interval
    assert (interval.low, interval.high) == pytest.approx(recomputed(outcomes), abs=1e-9)


def test_a_difference_is_found_and_its_sign_is_right() -> None:
    better = difference_of(outcomes_of(1, 6000, champion=0.4, challenger=0.25))
    assert -0.3 < better.interval.low < -0.15 < better.interval.high < 0
    assert better.p_value < ALPHA
    assert better.estimate == pytest.approx(-0.15, abs=0.05)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60))
def test_a_further_outcome_never_widens_the_interval(outcomes: Outcomes) -> None:
    made, before = Difference(ALPHA, SHARE), Interval(-1, 1)
    for loss, challenger in outcomes:
        made.add(loss, challenger=challenger, share=SHARE)
        assert before.low <= made.interval.low
        assert made.interval.high <= before.high
        before = made.interval


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60))
def test_with_the_arms_exchanged_the_interval_is_mirrored(outcomes: Outcomes) -> None:
    one, other = Difference(ALPHA, SHARE), Difference(ALPHA, SHARE)
    for loss, challenger in outcomes:
        one.add(loss, challenger=challenger, share=SHARE)
        other.add(loss, challenger=not challenger, share=1 - SHARE)
    assert one.interval.low == pytest.approx(-other.interval.high, abs=1e-9)
    assert one.p_value == pytest.approx(other.p_value)


def test_looking_after_every_outcome_seldom_finds_a_difference_that_is_none() -> None:
    found = 0
    for seed in range(150):
        interval = difference_of(outcomes_of(seed, 400)).interval
        found += interval.low > 0 or interval.high < 0
    assert found <= binom.ppf(0.999, 150, ALPHA)


def test_the_p_value_and_the_interval_say_the_same() -> None:
    for seed in range(40):
        made = difference_of(outcomes_of(seed, 800, champion=0.45, challenger=0.3))
        outside = made.interval.low > 0 or made.interval.high < 0
        assert outside == (made.p_value < ALPHA)


@pytest.mark.parametrize(
    ("loss", "share", "words"), [(1.1, 0.3, "loss must be"), (math.nan, 0.3, "loss must be"), (0.5, 0.2, "share must")]
)
def test_what_would_break_the_promise_is_refused(loss: float, share: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Difference(ALPHA, SHARE).add(loss, challenger=True, share=share)


@pytest.mark.parametrize(("bad", "count"), [(0, 10), (10, 10), (3, 40), (250, 1000), (1, 100_000)])
def test_the_interval_of_a_share_ends_where_the_mixture_has_won_enough(bad: int, count: int) -> None:
    interval = share_interval(bad, count, ALPHA)

    def won(share: float) -> float:
        return float(betaln(bad + 1, count - bad + 1) - bad * np.log(share) - (count - bad) * np.log1p(-share))

    limit = math.log(1 / ALPHA)
    assert interval.low <= bad / count <= interval.high
    for end, edge in ((interval.low, 0.0), (interval.high, 1.0)):
        assert end == edge or won(end) == pytest.approx(limit, abs=1e-6)


def test_nothing_seen_leaves_every_share_possible() -> None:
    assert share_interval(0, 0, ALPHA) == Interval(0.0, 1.0)


def test_looking_at_a_share_again_and_again_seldom_excludes_the_truth() -> None:
    missed = 0
    for seed in range(100):
        draw, bad = random.Random(seed), 0  # noqa: S311 - a simulation
        for count in range(1, 101):
            bad += draw.random() < 0.1
            if count % 5:
                continue
            interval = share_interval(bad, count, 0.1)
            if not interval.low <= 0.1 <= interval.high:
                missed += 1
                break
    assert missed <= binom.ppf(0.999, 100, 0.1)


def test_what_two_shares_can_differ_by() -> None:
    difference = Interval(0.2, 0.5) - Interval(0.1, 0.3)
    assert (difference.low, difference.high) == pytest.approx((-0.1, 0.4))
