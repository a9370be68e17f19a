"""Distances and metrics against NannyML and Evidently, by values that :mod:`write_drift_values` has asked them for."""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest

from gapless_sagemaker.evaluation.binary import BinaryScores
from gapless_sagemaker.evaluation.regression import RegressionScores
from gapless_sagemaker.monitoring.distances import (
    chi_square,
    jensen_shannon,
    kolmogorov_smirnov,
    largest_difference,
    psi,
)
from gapless_sagemaker.monitoring.sketch import NumberSketch, learn
from tests.sagemaker_jobs.references.drift_cases import NUMBERS, TEXTS, answers
from tests.sagemaker_jobs.references.drift_cases import VALUES as VALUES_FILE

VALUES: Final = json.loads(VALUES_FILE.read_text())


def sketches(name: str) -> tuple[NumberSketch, NumberSketch]:
    """What the monitor counts of a case of numbers, before and now."""
    case = NUMBERS[name]
    before = learn(pa.array(case.before))
    assert isinstance(before, NumberSketch)
    now = before.empty()
    now.add(pa.array(case.now))
    return before, now


def counts(name: str) -> tuple[Any, Any]:
    """Rows of each category of a case, before and now."""
    case = TEXTS[name]
    kinds = sorted({*case.before, *case.now})
    before, now = (np.array([rows.count(each) for each in kinds], float) for rows in (case.before, case.now))
    return before, now


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_as_far_apart_as_nannyml_and_evidently_say(name: str) -> None:
    before, now = sketches(name)
    nannyml, evidently = VALUES["nannyml"]["numbers"][name], VALUES["evidently"]["numbers"][name]
    assert kolmogorov_smirnov(before.counts, now.counts) == pytest.approx(nannyml["kolmogorov_smirnov"], abs=1e-9)
    assert before.moved(now) == pytest.approx(nannyml["wasserstein"], abs=1e-9)
    unit = NUMBERS[name].before.std()
    assert before.moved(now) / unit == pytest.approx(evidently["wasserstein"], abs=1e-9)


@pytest.mark.parametrize("name", TEXTS)
def test_categories_are_as_far_apart_as_nannyml_and_evidently_say(name: str) -> None:
    """Their Jensen-Shannon distance is the root of the divergence, NannyML's in bits."""
    before, now = counts(name)
    nannyml, evidently = VALUES["nannyml"]["texts"][name], VALUES["evidently"]["texts"][name]
    divergence = jensen_shannon(before, now)
    assert divergence / np.log(2) == pytest.approx(nannyml["jensen_shannon"] ** 2, abs=1e-9)
    assert divergence == pytest.approx(evidently["jensenshannon"] ** 2, abs=1e-9)
    assert largest_difference(before, now) == pytest.approx(nannyml["l_infinity"], abs=1e-9)
    assert chi_square(before, now)[0] == pytest.approx(nannyml["chi2"], rel=1e-9)


@pytest.mark.parametrize("name", TEXTS)
def test_the_stability_index_is_evidently_s_but_for_half_a_row_in_each_bin(name: str) -> None:
    before, now = counts(name)
    assert psi(1e6 * before, 1e6 * now) == pytest.approx(VALUES["evidently"]["texts"][name]["psi"], rel=1e-4)


def test_metrics_of_decisions_are_nannyml_s() -> None:
    given = answers()
    ours = BinaryScores(given.truth, given.probabilities, given.probabilities >= 0.5).metrics()
    theirs = VALUES["nannyml"]["binary"]
    names = {"roc_auc": "auc", "average_precision": "pr_auc"}
    assert {name: ours[names.get(name, name)] for name in theirs} == pytest.approx(theirs, abs=1e-9)


def test_metrics_of_values_are_nannyml_s() -> None:
    given = answers()
    ours = RegressionScores(given.values, given.predicted).metrics()
    theirs = VALUES["nannyml"]["regression"]
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs, abs=1e-9)
