"""Bias metrics against the library that publishes them, and what the evaluation says of a facet."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smclarify.bias import metrics as clarify

from gapless_sagemaker.evaluation.bias import LEVEL, BadFacet, Facet, Outcome, Rows, measure

logging.getLogger("smclarify").setLevel(logging.CRITICAL)

NAMES = {"DCAcc": "DCA"}
"""Metrics that the library calls otherwise than the guide does."""

BEFORE = ("CI", "DPL", "KL", "JS", "LP", "TVD", "KS", "CDDL")
AFTER = ("DPPL", "DI", "DCAcc", "DCR", "SD", "RD", "DAR", "DRR", "AD", "TE", "GE", "CDDPL", "FT")

_ROW = st.tuples(st.booleans(), st.booleans(), st.booleans(), st.sampled_from("xyz"), st.integers(0, 3))


def published(name: str, rows: pd.DataFrame) -> float | None:
    """What the library says; None where it says that there is no value."""
    given: dict[str, Any] = {
        "df": rows[["number"]],
        "feature": rows["member"],
        "sensitive_facet_index": rows["member"],
        "label": rows["observed"],
        "positive_label_index": rows["observed"],
        "predicted_label": rows["predicted"],
        "positive_predicted_label_index": rows["predicted"],
        "group_variable": rows["group"],
    }
    function = getattr(clarify, NAMES.get(name, name))
    with np.errstate(all="ignore"):
        try:
            value = float(clarify.call_metric(function, **given))
        except ValueError:
            return None
    return value if math.isfinite(value) else None


def ours(rows: pd.DataFrame) -> dict[str, Any]:
    table = pa.table({name: rows[name].to_numpy() for name in ("member", "group", "number")})
    facet = Facet("member", values=(True,), group="group")
    given = Rows(table, rows["observed"].to_numpy(), rows["predicted"].to_numpy(), compared=("number", "member"))
    (figures,) = measure(given, [facet], seed=1)
    return figures


def frame(rows: list[tuple[bool, bool, bool, str, int]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["member", "observed", "predicted", "group", "number"])


@given(st.lists(_ROW, min_size=2, max_size=60))
@settings(max_examples=80, deadline=None)
def test_every_metric_is_the_published_one(given: list[tuple[bool, bool, bool, str, int]]) -> None:
    rows = frame(given)
    figures = ours(rows)
    if rows["member"].nunique() < 2:
        assert figures["reason"] is not None
        return
    mine = {**figures["pre_training"], **figures["post_training"]}
    assert set(mine) == {*BEFORE, *AFTER}
    for name, value in mine.items():
        expected = published(name, rows)
        assert value is expected is None or value == pytest.approx(expected, abs=1e-9, rel=1e-9), name


def test_every_metric_is_the_published_one_where_all_have_a_value() -> None:
    random = np.random.default_rng(3)
    member = random.random(3000) < 0.3
    observed = random.random(3000) < np.where(member, 0.4, 0.6)
    predicted = np.where(random.random(3000) < 0.8, observed, ~observed)
    columns = {"member": member, "observed": observed, "predicted": predicted}
    rows = pd.DataFrame({**columns, "group": random.choice(list("xyz"), 3000), "number": random.normal(size=3000)})
    figures = ours(rows)
    assert list(figures["pre_training"]) == list(BEFORE)
    mine = {**figures["pre_training"], **figures["post_training"]}
    assert set(mine) == {*BEFORE, *AFTER}
    for name, value in mine.items():
        assert value == pytest.approx(published(name, rows), abs=1e-9, rel=1e-9), name
        assert abs(value) > 1e-4, name


def biased(rows: int, seed: int) -> Rows:
    """Rows of which 30 % of one group and 50 % of the other are accepted."""
    random = np.random.default_rng(seed)
    old = random.random(rows) < 0.5
    accepted = random.random(rows) < np.where(old, 0.3, 0.5)
    return Rows(pa.table({"age": np.where(old, 50.0, 30.0)}), accepted, accepted)


def test_intervals_hold_the_true_difference_as_often_as_they_say() -> None:
    held = 0
    for seed in range(200):
        (figures,) = measure(biased(300, seed), [Facet("age", threshold=40)], seed)
        interval = figures["intervals"]["DPL"]
        held += interval["low"] <= 0.2 <= interval["high"]
    assert abs(held / 200 - LEVEL) < 0.05


def test_equal_rows_and_seed_give_equal_figures() -> None:
    facets = [Facet("age", threshold=40), Facet("age", values=(30,))]
    first, again, other = (measure(biased(300, 1), facets, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_rows_without_the_facet_belong_to_neither_group() -> None:
    table = pa.table({"sex": ["f", "f", "m", "m", None], "age": [20.0, 30.0, math.nan, 50.0, None]})
    observed = np.array([True, False, True, True, False])
    by_sex, by_age = measure(Rows(table, observed), [Facet("sex", values=("f",)), Facet("age", threshold=40)], 1)
    assert (by_sex["rows"], by_sex["group_rows"], by_sex["missing_rows"]) == (4, 2, 1)
    assert by_sex["pre_training"]["DPL"] == 0.5
    assert (by_age["rows"], by_age["group_rows"], by_age["missing_rows"]) == (3, 1, 2)


def test_before_training_there_are_no_predictions() -> None:
    given = biased(100, 1)
    (figures,) = measure(Rows(given.table, given.observed), [Facet("age", threshold=40)], 1)
    assert figures["post_training"] == {}
    assert set(figures["pre_training"]) == set(BEFORE) - {"CDDL"}


@pytest.mark.parametrize(
    ("facet", "reason"),
    [
        (Facet("age", threshold=90), "no row is in the group age > 90"),
        (Facet("age", threshold=10), "every row is in the group age > 10"),
    ],
)
def test_says_so_when_there_is_nobody_to_compare(facet: Facet, reason: str) -> None:
    (figures,) = measure(biased(100, 1), [facet], 1)
    assert figures["reason"] == reason
    assert figures["pre_training"] == figures["post_training"] == figures["intervals"] == {}


@pytest.mark.parametrize(
    ("facet", "reason"),
    [
        (Facet("height", threshold=1), "column of a facet missing: height; given are age"),
        (Facet("age", values=("old",)), "column age is double; given are values"),
        (Facet("age", threshold=1, group="town"), "column of a facet missing: town"),
    ],
)
def test_refuses_a_facet_that_the_dataset_has_not(facet: Facet, reason: str) -> None:
    with pytest.raises(BadFacet, match=reason):
        measure(biased(100, 1), [facet], 1)


def test_any_outcome_can_be_the_favourable_one() -> None:
    assert Outcome.read([False]).of(pa.array([True, False]), "target").tolist() == [False, True]
    assert Outcome.read(["good", "fair"]).of(pa.array(["fair", "bad"]), "target").tolist() == [True, False]
    assert Outcome.read(2.5).of(pa.array([2, 3]), "target").tolist() == [False, True]
    with pytest.raises(BadFacet, match="target has 1 gaps"):
        Outcome.read([True]).of(pa.array([True, None]), "target")
