"""Splits by time from counts per hour."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless_glue.errors import TooFewRows
from gapless_glue.splits import PeriodCount, plan_splits


def hours(counts: dict[int, int]) -> list[PeriodCount]:
    return [
        PeriodCount(hour, rows, rows // 2, hour * 3600 * 10**6, hour * 3600 * 10**6 + 5)
        for hour, rows in counts.items()
    ]


def test_takes_the_newest_rows_for_the_test() -> None:
    train, validation, test = plan_splits(hours({hour: 10 for hour in range(100)}), 0.15, 0.15)  # noqa: C420
    assert (train.rows, validation.rows, test.rows) == (700, 150, 150)
    assert (train.first, train.last) == ("1970-01-01T00:00:00Z", "1970-01-03T21:00:00.000005Z")
    assert train.end == validation.start == 70 * 3600
    assert test.positives == 75


def test_comes_as_near_to_the_shares_as_whole_hours_allow() -> None:
    train, validation, test = plan_splits(hours({0: 10, 1: 80, 2: 5, 3: 5}), 0.15, 0.15)
    assert (train.rows, validation.rows, test.rows) == (90, 5, 5)


def test_does_not_care_for_the_order_of_hours() -> None:
    assert plan_splits(hours({2: 1, 0: 5, 1: 2}), 0.2, 0.2) == plan_splits(hours({0: 5, 1: 2, 2: 1}), 0.2, 0.2)


@pytest.mark.parametrize("counts", [{}, {1: 100}, {1: 100, 2: 100}])
def test_refuses_less_than_three_hours(counts: dict[int, int]) -> None:
    with pytest.raises(TooFewRows, match=f"rows of {len(counts)} different hours"):
        plan_splits(hours(counts), 0.15, 0.15)


@given(
    counts=st.dictionaries(st.integers(-1000, 10**6), st.integers(1, 10**6), min_size=3, max_size=40),
    validation=st.floats(0.01, 0.4),
    test=st.floats(0.01, 0.4),
)
def test_loses_no_row_and_leaves_no_split_empty(counts: dict[int, int], validation: float, test: float) -> None:
    plans = plan_splits(hours(counts), validation, test)
    assert sum(plan.rows for plan in plans) == sum(counts.values())
    assert all(plan.rows > 0 for plan in plans)
    assert all(earlier.end <= later.start for earlier, later in pairwise(plans))
