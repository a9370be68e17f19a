"""Distances against SciPy, and limits against chance."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from gapless_sagemaker.monitoring.checks import distances
from gapless_sagemaker.monitoring.distances import (
    chi_square,
    cramers_v,
    jensen_shannon,
    kolmogorov_smirnov,
    largest_difference,
    psi,
)
from gapless_sagemaker.monitoring.limits import Limits, Sizes, by_chance, two_shares
from gapless_sagemaker.monitoring.sketch import (
    MOST_EDGES,
    NumberSketch,
    ValueSketch,
    add_cells,
    learn,
    pooled,
    read_sketch,
)

Floats = npt.NDArray[np.float64]
COUNTS = st.integers(2, 8).flatmap(
    lambda bins: st.tuples(*[st.lists(st.integers(0, 500), min_size=bins, max_size=bins)] * 2)
)


def number_sketch(values: Floats) -> NumberSketch:
    sketch = learn(pa.array(values))
    assert isinstance(sketch, NumberSketch)
    return sketch


def counted(sketch: NumberSketch, values: Floats) -> NumberSketch:
    found = sketch.empty()
    found.add(pa.array(values))
    return found


@given(COUNTS)
def test_distances_of_counts_are_those_of_scipy(counts: tuple[list[int], list[int]]) -> None:
    before, now = (np.array(each, dtype=np.float64) for each in counts)
    if not before.sum() or not now.sum():
        return
    p, q = before / before.sum(), now / now.sum()
    assert jensen_shannon(before, now) == pytest.approx(jensenshannon(p, q) ** 2, abs=1e-9)
    assert largest_difference(before, now) == pytest.approx(np.abs(p - q).max(), abs=1e-12)
    table = np.vstack([before, now])[:, (before + now) > 0]
    if table.shape[1] > 1:
        theirs = stats.chi2_contingency(table, correction=False)
        statistic, degrees = chi_square(before, now)
        assert statistic == pytest.approx(theirs.statistic, abs=1e-6)
        assert degrees == theirs.dof
        ours = cramers_v(theirs.statistic, table.sum())
        assert ours == pytest.approx(stats.contingency.association(table.astype(int), method="cramer"), abs=1e-9)


def test_the_stability_index_is_the_published_sum() -> None:
    before, now = np.array([100.0, 300.0, 600.0]), np.array([200.0, 300.0, 500.0])
    expected = sum(
        (a - e) * math.log(a / e)
        for e, a in zip((before + 0.5) / (1000 + 1.5), (now + 0.5) / (1000 + 1.5), strict=True)
    )
    assert psi(before, now) == pytest.approx(expected)


@settings(deadline=None)
@given(st.lists(st.integers(-20, 20), min_size=2, max_size=80), st.lists(st.integers(-30, 30), min_size=2, max_size=80))
def test_sketches_of_few_different_numbers_give_the_distances_of_the_rows(old: list[int], new: list[int]) -> None:
    """Numbers that the baseline has, and those outside of its range, are counted exactly."""
    before = number_sketch(np.array(old, dtype=np.float64))
    known = set(old)
    kept = np.array([n for n in new if n in known or not min(old) < n < max(old)] or old, dtype=np.float64)
    now = counted(before, kept)
    assert before.moved(now) == pytest.approx(stats.wasserstein_distance(old, kept), abs=1e-9)
    inside = kept[kept >= min(old)]
    if len(inside):
        within = counted(before, inside)
        theirs = stats.ks_2samp(old, inside, method="asymp").statistic
        assert kolmogorov_smirnov(before.counts, within.counts) == pytest.approx(theirs)


def test_sketches_of_many_numbers_are_off_by_the_share_of_a_bin_at_most() -> None:
    random = np.random.default_rng(1)
    old, new = random.lognormal(size=20_000), random.lognormal(0.2, 1.1, size=15_000)
    before = number_sketch(old)
    now = counted(before, new)
    assert len(before.edges) <= MOST_EDGES
    ours, theirs = kolmogorov_smirnov(before.counts, now.counts), stats.ks_2samp(old, new).statistic
    assert theirs - 2 / MOST_EDGES <= ours <= theirs
    assert not before.named
    assert before.moved(now) == pytest.approx(stats.wasserstein_distance(old, new), rel=0.02)


@given(st.lists(st.one_of(st.none(), st.floats(-5, 5), st.just(math.nan), st.just(math.inf)), max_size=60), st.data())
def test_sketches_add_up_in_whatever_order_rows_come(cells: list[float | None], data: st.DataObject) -> None:
    base = number_sketch(np.linspace(-4, 4, 9))
    whole = base.empty()
    add_cells(whole, cells)
    shuffled = data.draw(st.permutations(cells))
    cut = data.draw(st.integers(0, len(cells)))
    first, second = base.empty(), base.empty()
    add_cells(first, shuffled[:cut])
    add_cells(second, shuffled[cut:])
    first.merge(second)
    assert first.counts.tolist() == whole.counts.tolist()
    assert (first.missing, first.wrong, first.below, first.least) == (
        whole.missing,
        whole.wrong,
        whole.below,
        whole.least,
    )
    assert whole.present + whole.missing + whole.wrong == len(cells)
    again = read_sketch(whole.document())
    assert again.document() == whole.document()


@given(
    st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "c", "new", 3, True]), st.text(max_size=2)), max_size=50)
)
def test_values_are_counted_by_name_new_ones_apart(cells: list[object]) -> None:
    base = learn(pa.array(["a", "a", "b", None, "c"]))
    assert isinstance(base, ValueSketch)
    now = base.empty()
    add_cells(now, cells)
    texts = [each for each in cells if isinstance(each, str)]
    assert now.present == len(texts)
    assert now.unknown == sum(each not in ("a", "b", "c") for each in texts)
    assert now.missing == cells.count(None)
    assert now.present + now.missing + now.wrong == len(cells)
    assert read_sketch(now.document()).document() == now.document()


def test_refuses_to_add_a_sketch_of_another_kind() -> None:
    numbers, values = learn(pa.array([1.0])), learn(pa.array(["a"]))
    assert numbers is not None and values is not None
    with pytest.raises(TypeError, match="two kinds: number and values"):
        numbers.merge(values)


def test_what_is_above_all_that_the_baseline_had_is_a_part_of_its_own() -> None:
    before, now = np.array([10.0] * 10 + [0.0]), np.array([10.0] * 10 + [7.0])
    pooled_before, pooled_now = pooled(before, now)
    assert (pooled_before[-1], pooled_now[-1]) == (0.0, 7.0)
    assert (pooled_before.sum(), pooled_now.sum()) == (before.sum(), now.sum())


@pytest.mark.parametrize("name", ["psi", "jensen_shannon", "kolmogorov_smirnov", "l_infinity", "cramers_v"])
def test_chance_is_above_its_limit_as_rarely_as_it_says(name: str) -> None:
    """2,000 pairs of samples of one distribution; the limits are first-order, so up to twice their share is allowed."""
    random, alpha = np.random.default_rng(7), 0.02
    measures: dict[str, Callable[[Floats, Floats], float]] = {
        "psi": psi,
        "jensen_shannon": jensen_shannon,
        "kolmogorov_smirnov": kolmogorov_smirnov,
        "l_infinity": largest_difference,
        "cramers_v": lambda before, now: cramers_v(chi_square(before, now)[0], float((before + now).sum())),
    }
    measure, shares = measures[name], np.array([0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.05])
    broken = 0
    for _ in range(2000):
        before = random.multinomial(4000, shares).astype(np.float64)
        now = random.multinomial(900, shares).astype(np.float64)
        broken += measure(before, now) > by_chance(name, Sizes(before, now, alpha))
    assert broken / 2000 <= 2 * alpha
    if name in ("psi", "jensen_shannon", "cramers_v"):
        assert broken / 2000 >= alpha / 3, "a limit that nothing reaches would hide what has changed"


def test_two_shares_are_compared_as_two_proportions() -> None:
    theirs = stats.chi2_contingency([[30, 70], [60, 90]], correction=False).pvalue
    assert two_shares((30, 100), (60, 150)) == pytest.approx(theirs)
    assert two_shares((0, 10), (0, 10)) == 1.0
    assert two_shares((0, 0), (5, 10)) == 1.0


def test_more_columns_need_more_to_be_told_from_chance() -> None:
    random = np.random.default_rng(3)
    before = number_sketch(random.normal(size=3000))
    now = counted(before, random.normal(0.1, 1, size=500))
    few, many = (distances(before, now, Limits(), columns) for columns in (1, 200))
    assert few.keys() == {"psi", "kolmogorov_smirnov", "jensen_shannon", "cramers_v", "wasserstein"}
    for name in few:
        assert many[name]["chance"] > few[name]["chance"]
        assert many[name]["value"] == few[name]["value"]


@settings(max_examples=20)
@given(st.integers(0, 99))
def test_a_handful_of_rows_is_not_compared(rows: int) -> None:
    before = number_sketch(np.arange(1000.0))
    assert distances(before, counted(before, np.full(rows, 5000.0)), Limits(), 1) == {}
