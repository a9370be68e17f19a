"""The figures of an evaluation, held against scikit-learn, and intervals and tests against what they promise."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as skm
from sklearn.linear_model import LogisticRegression

from gapless_sagemaker.evaluation.binary import BinaryScores
from gapless_sagemaker.evaluation.bootstrap import MOST_REPLICATES, intervals, replicates_for, resample, wilson
from gapless_sagemaker.evaluation.calibration import calibration, groups_of, linear_line, logistic_line
from gapless_sagemaker.evaluation.compare import compare, delong, mcnemar
from gapless_sagemaker.evaluation.multiclass import MulticlassScores
from gapless_sagemaker.evaluation.regression import RegressionScores
from gapless_sagemaker.evaluation.scored import Scored
from gapless_sagemaker.evaluation.silhouette import MOST_ROWS, points_of, silhouettes
from gapless_sagemaker.evaluation.untargeted import ClusterScores, ProjectionScores
from gapless_sagemaker.predictions import BadPredictions

Floats = npt.NDArray[np.float64]
CLASSES = ("a", "b", "c", "d")


def random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def any_binary(rows: int, seed: int = 1, *, noise: float = 0.0, truth_seed: int = 0) -> BinaryScores:
    """Calibrated probabilities, some of them equal, or such with noise; equal truth seeds give the same rows."""
    probabilities = random(truth_seed).random(rows).round(2)
    truth = random(truth_seed + 1).random(rows) < probabilities
    said = np.clip(probabilities + noise * random(seed).normal(size=rows), 0, 1)
    return BinaryScores(truth, said, said > 0.5)


def any_multiclass(rows: int, seed: int = 1) -> MulticlassScores:
    probabilities = random(seed).dirichlet(np.ones(len(CLASSES)), rows)
    truth = np.array([random(seed + row).choice(len(CLASSES), p=p) for row, p in enumerate(probabilities)])
    return MulticlassScores(CLASSES, truth, probabilities, probabilities.argmax(axis=1))


def any_regression(rows: int, seed: int = 1) -> RegressionScores:
    truth = random(seed).normal(10, 3, rows)
    return RegressionScores(truth, truth + random(seed + 1).normal(size=rows))


def of_sklearn(scored: Scored) -> dict[str, float]:
    """The same metrics, by scikit-learn."""
    if isinstance(scored, BinaryScores):
        truth, said, label = scored.truth, scored.probabilities, scored.labels
        return {
            "auc": skm.roc_auc_score(truth, said),
            "pr_auc": skm.average_precision_score(truth, said),
            "log_loss": skm.log_loss(truth, said, labels=[False, True]),
            "brier": skm.brier_score_loss(truth, said),
            "base_rate": truth.mean(),
            "accuracy": skm.accuracy_score(truth, label),
            "balanced_accuracy": skm.balanced_accuracy_score(truth, label),
            "precision": skm.precision_score(truth, label, zero_division=0),
            "recall": skm.recall_score(truth, label),
            "f1": skm.f1_score(truth, label, zero_division=0),
            "mcc": skm.matthews_corrcoef(truth, label),
        }
    if isinstance(scored, MulticlassScores):
        truths, labels = scored.truth, scored.labels
        macro: dict[str, Any] = {"average": "macro", "zero_division": 0}
        return {
            "log_loss": skm.log_loss(truths, scored.probabilities, labels=range(len(CLASSES))),
            "brier": skm.brier_score_loss(truths, scored.probabilities, labels=range(len(CLASSES))),
            "accuracy": skm.accuracy_score(truths, labels),
            "balanced_accuracy": skm.balanced_accuracy_score(truths, labels),
            "macro_precision": skm.precision_score(truths, labels, **macro),
            "macro_recall": skm.recall_score(truths, labels, **macro),
            "macro_f1": skm.f1_score(truths, labels, **macro),
            "mcc": skm.matthews_corrcoef(truths, labels),
        }
    assert isinstance(scored, RegressionScores)
    return {
        "rmse": skm.root_mean_squared_error(scored.truth, scored.values),
        "mae": skm.mean_absolute_error(scored.truth, scored.values),
        "median_ae": skm.median_absolute_error(scored.truth, scored.values),
        "r2": skm.r2_score(scored.truth, scored.values),
        "mape": skm.mean_absolute_percentage_error(scored.truth, scored.values),
    }


def repeated(scored: Scored, counts: npt.NDArray[np.int64]) -> Scored:
    """The rows, each as often as it counts."""
    if isinstance(scored, BinaryScores):
        truths, decisions = (np.repeat(each, counts) for each in (scored.truth, scored.labels))
        return BinaryScores(truths, np.repeat(scored.probabilities, counts), decisions)
    if isinstance(scored, MulticlassScores):
        truth, labels = (np.repeat(each, counts) for each in (scored.truth, scored.labels))
        return MulticlassScores(CLASSES, truth, np.repeat(scored.probabilities, counts, axis=0), labels)
    if isinstance(scored, RegressionScores):
        return RegressionScores(np.repeat(scored.truth, counts), np.repeat(scored.values, counts))
    if isinstance(scored, ClusterScores):
        assert scored.silhouettes is not None
        distances, measured = (np.repeat(each, counts) for each in (scored.distances, scored.silhouettes))
        return ClusterScores(np.repeat(scored.clusters, counts), distances, measured)
    assert isinstance(scored, ProjectionScores)
    return ProjectionScores(np.repeat(scored.errors, counts))


# --- metrics ---------------------------------------------------------------------------------------------------------

MAKERS: dict[str, Callable[[int, int], Scored]] = {
    "binary": lambda rows, seed: any_binary(rows, truth_seed=seed, noise=0.2),
    "multiclass": any_multiclass,
    "regression": any_regression,
    "clusters": lambda rows, seed: ClusterScores(
        random(seed).integers(0, 5, rows), random(seed).random(rows), random(seed).random(rows)
    ),
    "projection": lambda rows, seed: ProjectionScores(random(seed).random(rows)),
}


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("rows", [5, 60, 2000])
def test_metrics_are_those_of_scikit_learn(kind: str, rows: int) -> None:
    scored = MAKERS[kind](rows, 3)
    assert scored.metrics() == pytest.approx(of_sklearn(scored), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("kind", MAKERS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(4, 40))
def test_a_row_that_counts_twice_is_a_row_that_is_there_twice(kind: str, seed: int, rows: int) -> None:
    scored = MAKERS[kind](rows, seed)
    counts = random(seed).integers(0, 4, rows)
    counts[0] = max(counts[0], 1)
    weighed, copied = scored.metrics(counts.astype(np.float64)), repeated(scored, counts).metrics()
    assert weighed == pytest.approx(copied, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind", MAKERS)
def test_one_metric_alone_is_the_same(kind: str) -> None:
    scored = MAKERS[kind](50, 2)
    for name, value in scored.metrics().items():
        assert scored.metrics(only=name)[name] == value


def test_what_is_not_defined_is_not_there() -> None:
    assert "auc" not in BinaryScores(np.array([True, True]), np.array([0.5, 0.6]), np.array([True, True])).metrics()
    assert "r2" not in RegressionScores(np.array([1.0, 1.0]), np.array([1.0, 2.0])).metrics()
    assert "mape" not in RegressionScores(np.array([0.0, 1.0]), np.array([1.0, 2.0])).metrics()
    assert RegressionScores(np.array([0.5, 1.0]), np.array([1.0, 2.0])).metrics()["mape"] == 1.0


def test_clusters_are_measured_by_their_distances() -> None:
    scored = ClusterScores.read([{"cluster": place % 3 * 2, "distance": place} for place in range(7)])
    assert scored.metrics() == pytest.approx(
        {"mean_distance": 3.0, "rms_distance": 13**0.5, "clusters": 3, "smallest_share": 2 / 7}
    )


@pytest.mark.parametrize("spread", [0.1, 3.0])
def test_silhouettes_are_those_of_scikit_learn(spread: float) -> None:
    clusters = random(1).integers(0, 4, 300)
    clusters[0] = 7  # alone
    points = random(2).normal(size=(300, 3)) * spread + clusters[:, None]
    expected = skm.silhouette_samples(points, clusters)
    assert silhouettes(points, clusters) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert ClusterScores(clusters, np.ones(300), expected).metrics()["silhouette"] == pytest.approx(expected.mean())


def test_silhouettes_of_many_rows_are_measured_on_the_same_sample_each_time() -> None:
    points, clusters = random(1).normal(size=(MOST_ROWS + 500, 2)), random(2).integers(0, 3, MOST_ROWS + 500)
    found = silhouettes(points, clusters)
    assert np.count_nonzero(~np.isnan(found)) == MOST_ROWS
    assert np.array_equal(found, silhouettes(points, clusters), equal_nan=True)


def test_one_cluster_has_no_silhouette() -> None:
    assert "silhouette" not in ClusterScores.read([{"cluster": 0, "distance": 1}] * 3, np.ones((3, 1))).metrics()


def test_rows_become_points_of_equal_scale() -> None:
    table = pa.table(
        {
            "number": [1.0, 3.0, None],
            "yes": [True, False, True],
            "text": ["a", "b", None],
            "day": [dt.date(2024, 1, 1), dt.date(2024, 1, 2), dt.date(2024, 1, 3)],
            "none": pa.array([None, None, None], pa.float64()),
            "left_out": [7, 8, 9],
        }
    )
    points = points_of(table, ["number", "yes", "text", "day", "none"])
    assert points.shape == (3, 6)
    assert points[:, 0] == pytest.approx([-(1.5**0.5), 1.5**0.5, 0])
    assert points[:, 2:4].tolist() in ([[1, 0], [0, 1], [0, 0]], [[0, 1], [1, 0], [0, 0]])
    assert points[:, [1, 4]].std(axis=0) == pytest.approx([1, 1])


def test_a_projection_is_measured_by_what_it_loses() -> None:
    scored = ProjectionScores.read([{"projection": [1, -2.5], "error": error} for error in (0, 2, 4)])
    assert scored.metrics() == pytest.approx({"mean_error": 2.0, "root_mean_error": 2**0.5})


def test_classes_are_read_by_name_and_a_class_without_probability_has_none() -> None:
    predictions = [
        {"probabilities": {"b": 0.75, "c": 0.25}, "label": "b"},
        {"probabilities": {"c": 1.0}, "label": "c"},
    ]
    scored = MulticlassScores.read(["b", "z"], predictions)
    assert scored.classes == ("b", "c", "z")
    assert scored.probabilities.tolist() == [[0.75, 0.25, 0.0], [0.0, 1.0, 0.0]]
    assert scored.metrics()["accuracy"] == 0.5
    assert MulticlassScores.read([3], [{"probabilities": {"3": 1}, "label": 3}]).metrics()["accuracy"] == 1.0


GOOD_CLASS = {"probabilities": {"a": 0.5, "b": 0.5}, "label": "a"}


@pytest.mark.parametrize(
    ("read", "wrong"),
    [
        (lambda each: BinaryScores.read(np.array([True]), [each]), {"probability": 1.5, "label": True}),
        (lambda each: BinaryScores.read(np.array([True]), [each]), {"probability": True, "label": True}),
        (lambda each: BinaryScores.read(np.array([True]), [each]), {"probability": 0.5, "label": 1}),
        (lambda each: BinaryScores.read(np.array([True]), [each]), {"probability": 0.5}),
        (lambda each: MulticlassScores.read(["a"], [each]), {**GOOD_CLASS, "label": 1}),
        (lambda each: MulticlassScores.read([1], [each]), GOOD_CLASS),
        (lambda each: MulticlassScores.read(["a"], [each]), {**GOOD_CLASS, "probabilities": {"a": 0.5}}),
        (lambda each: MulticlassScores.read(["a"], [each]), {**GOOD_CLASS, "probabilities": {"a": 2, "b": -1}}),
        (lambda each: MulticlassScores.read(["a"], [each]), {**GOOD_CLASS, "probabilities": {}}),
        (lambda each: RegressionScores.read(np.array([1.0]), [each]), {"value": "1"}),
        (lambda each: RegressionScores.read(np.array([1.0]), [each]), {"value": float("nan")}),
        (lambda each: ClusterScores.read([each]), {"cluster": 1.0, "distance": 1}),
        (lambda each: ClusterScores.read([each]), {"cluster": 1, "distance": -1}),
        (lambda each: ProjectionScores.read([each]), {"projection": [], "error": 1}),
        (lambda each: ProjectionScores.read([each]), {"projection": [1], "error": None}),
    ],
)
def test_refuses_predictions_of_another_form(read: Callable[[dict[str, Any]], Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(BadPredictions, match=r"prediction 0: given .* allowed is"):
        read(wrong)


# --- intervals -------------------------------------------------------------------------------------------------------


def test_equal_seeds_give_equal_intervals_and_others_nearly_equal_ones() -> None:
    scored = any_binary(500)
    first, again, other = (intervals(scored, resample([scored], seed)[0])["auc"] for seed in (1, 1, 2))
    assert first == again != other
    assert other["low"] == pytest.approx(first["low"], abs=0.01)


def test_the_interval_of_an_area_is_that_of_theory() -> None:
    scored = any_binary(3000)
    found = intervals(scored, resample([scored], 1)[0])["auc"]
    constant = np.full(3000, 0.5)
    deviation = delong(scored.truth, scored.probabilities, constant, 0.05)
    half = (deviation["high"] - deviation["low"]) / 2 * stats.norm.ppf(0.975) / stats.norm.ppf(0.95)
    assert (found["high"] - found["low"]) / 2 == pytest.approx(half, rel=0.1)
    assert found["method"] == "bootstrap_percentile"


def test_intervals_hold_the_true_value_as_often_as_they_say() -> None:
    """The true root mean square error is 1: of 100 test splits about 95 give an interval with it."""
    held = 0
    for seed in range(100):
        scored = any_regression(120, 10 * seed)
        low, high = (
            intervals(scored, resample([scored], seed, only="rmse")[0])["rmse"][side] for side in ("low", "high")
        )
        held += low <= 1 <= high
    assert 88 <= held <= 99


def test_shares_have_wilsons_interval() -> None:
    scored = BinaryScores(np.ones(10, bool), np.ones(10), np.ones(10, bool))
    found = intervals(scored, resample([scored], 1)[0])["accuracy"]
    assert (found["method"], found["high"]) == ("wilson", pytest.approx(1.0))
    assert found["low"] == pytest.approx(stats.binomtest(10, 10).proportion_ci(method="wilson").low)
    assert wilson(0, 0) == {"low": 0.0, "high": 1.0, "level": 0.95, "method": "wilson"}


def test_fewer_resamples_are_drawn_of_many_rows() -> None:
    assert [replicates_for(rows) for rows in (10, 20_000, 50_000, 10_000_000)] == [MOST_REPLICATES, 1000, 400, 200]


def test_twenty_thousand_rows_are_resampled_in_a_moment() -> None:
    scored = any_binary(20_000)
    began = time.process_time()
    resample([scored], 1)
    assert time.process_time() - began < 2.0


# --- the champion ----------------------------------------------------------------------------------------------------


def comparison(model: Scored, champion: Scored) -> dict[str, dict[str, Any]]:
    first, second = resample([model, champion], 1)
    return compare(model, champion, (first, second), 0.05)


def test_delongs_deviation_is_that_of_the_bootstrap() -> None:
    model, champion = any_binary(2000), any_binary(2000, noise=0.3)
    own, other = resample([model, champion], 1)
    drawn = own.values["auc"] - other.values["auc"]
    found = comparison(model, champion)["auc"]
    deviation = (found["high"] - found["low"]) / 2 / stats.norm.ppf(0.95)
    assert found["test"] == "delong"
    assert found["difference"] == pytest.approx(model.metrics()["auc"] - champion.metrics()["auc"])
    assert deviation == pytest.approx(drawn.std(), rel=0.1)
    assert found["low"] > 0
    assert found["p_value"] < 0.001


def test_delong_agrees_with_its_definition_by_pairs() -> None:
    """Placements counted pair by pair, as in equations 4 to 6 of the paper."""
    truth = random(1).random(60) < 0.4
    scores = [random(seed).random(60).round(1) for seed in (2, 3)]

    def placements(each: Floats) -> tuple[Floats, Floats]:
        pairs = (each[truth][:, None] > each[~truth]) + 0.5 * (each[truth][:, None] == each[~truth])
        return pairs.mean(axis=1), pairs.mean(axis=0)

    (p1, n1), (p2, n2) = (placements(each) for each in scores)
    positives, negatives = np.cov(p1, p2), np.cov(n1, n2)
    whole = positives / len(p1) + negatives / len(n1)
    variance = whole[0, 0] + whole[1, 1] - 2 * whole[0, 1]
    found = delong(truth, scores[0], scores[1], 0.05)
    assert found["difference"] == pytest.approx(p1.mean() - p2.mean())
    assert found["high"] - found["difference"] == pytest.approx(stats.norm.ppf(0.95) * variance**0.5)
    assert found["p_value"] == pytest.approx(2 * stats.norm.sf(abs(p1.mean() - p2.mean()) / variance**0.5))


def test_mcnemar_counts_the_rows_that_only_one_of_both_got_right() -> None:
    first = np.array([True] * 80 + [True] * 12 + [False] * 4 + [False] * 4)
    second = np.array([True] * 80 + [False] * 12 + [True] * 4 + [False] * 4)
    found = mcnemar(first, second, 0.05)
    assert found["difference"] == pytest.approx(0.08)
    assert found["p_value"] == pytest.approx(stats.binomtest(12, 16).pvalue)
    low, high = (13 - 5) / 102 - np.array([1, -1]) * 1.6449 * ((18 / 102 - (8 / 102) ** 2) / 102) ** 0.5
    assert (found["low"], found["high"]) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_a_model_does_not_beat_itself() -> None:
    for kind in MAKERS:
        model = MAKERS[kind](200, 5)
        for name, found in comparison(model, model).items():
            assert found["difference"] == 0, name
            assert found["low"] <= 0 <= found["high"], name
            assert found["p_value"] == 1.0, name


def test_models_of_the_same_worth_seldom_beat_each_other() -> None:
    """Both have noise of the same size: at a level of 0.05 about 10 of 200 splits let the first one pass by chance."""
    passed = 0
    for seed in range(200):
        model, champion = (any_binary(300, 1000 + 2 * seed + who, noise=0.3, truth_seed=seed) for who in (0, 1))
        passed += delong(model.truth, model.probabilities, champion.probabilities, 0.05)["low"] > 0
    assert 2 <= passed <= 20


@pytest.mark.parametrize("kind", ["regression", "clusters", "projection", "multiclass"])
def test_other_metrics_are_compared_by_the_same_resamples(kind: str) -> None:
    worse: dict[str, Callable[[Any], Scored]] = {
        "regression": lambda s: RegressionScores(s.truth, s.values + 0.5),
        "clusters": lambda s: ClusterScores(s.clusters, s.distances + 0.1),
        "projection": lambda s: ProjectionScores(s.errors + 0.1),
        "multiclass": lambda s: MulticlassScores(
            s.classes, s.truth, (s.probabilities + 1) / (1 + len(CLASSES)), s.labels
        ),
    }
    metric = {"regression": "rmse", "clusters": "mean_distance", "projection": "mean_error", "multiclass": "log_loss"}
    model = MAKERS[kind](400, 7)
    champion = worse[kind](model)
    found = comparison(model, champion)[metric[kind]]
    assert found["test"] == "paired_bootstrap"
    assert found["high"] < 0, "a constant shift is certain, although each figure alone is not"
    assert found["p_value"] == pytest.approx(1 / 1001)
    assert champion.metrics()[metric[kind]] + found["difference"] == pytest.approx(model.metrics()[metric[kind]])


# --- calibration -----------------------------------------------------------------------------------------------------


def test_rows_of_one_prediction_stay_in_one_group() -> None:
    predictions = np.repeat([0.1, 0.2, 0.3], [90, 5, 5])
    groups = groups_of(predictions)
    assert [len(set(groups[predictions == value])) for value in (0.1, 0.2, 0.3)] == [1, 1, 1]
    assert sorted(set(groups)) == list(range(groups.max() + 1))


def test_groups_have_about_equal_sizes() -> None:
    sizes = np.bincount(groups_of(random(1).random(1500)))
    assert (len(sizes), sizes.min(), sizes.max()) == (15, 100, 100)
    assert len(np.bincount(groups_of(random(1).random(45)))) == 4


def test_calibrated_probabilities_have_slope_one_and_a_small_error() -> None:
    found, curve = calibration(any_binary(20_000)) or ({}, {})
    assert found["error"] < 0.02
    assert (found["slope"], found["intercept"]) == (pytest.approx(1, abs=0.06), pytest.approx(0, abs=0.06))
    assert sum(curve["count"]) == 20_000
    inside = [
        low <= said <= high for low, said, high in zip(curve["low"], curve["predicted"], curve["high"], strict=True)
    ]
    assert sum(inside) >= 12


def test_overconfident_probabilities_have_a_slope_below_one() -> None:
    scored = any_binary(5000)
    odds = np.clip(scored.probabilities, 0.001, 0.999)
    sharper = odds**2 / (odds**2 + (1 - odds) ** 2)
    found, _ = calibration(BinaryScores(scored.truth, sharper, scored.labels)) or ({}, {})
    assert found["slope"] == pytest.approx(0.5, abs=0.05)
    assert found["error"] > 0.05


def test_the_error_is_the_mean_distance_of_groups() -> None:
    truth = np.array([True] * 30 + [False] * 70 + [True] * 50 + [False] * 50)
    said = np.repeat([0.2, 0.7], 100)
    found, _ = calibration(BinaryScores(truth, said, said > 0.5)) or ({}, {})
    assert found["error"] == pytest.approx((0.1 + 0.2) / 2)


def test_the_line_is_that_of_a_logistic_regression() -> None:
    x = random(1).normal(2, 3, 500)
    y = (random(2).random(500) < 1 / (1 + np.exp(-(0.7 * x - 1)))).astype(np.float64)
    fitted = LogisticRegression(C=np.inf, tol=1e-10).fit(x[:, None], y)
    assert logistic_line(x, y) == pytest.approx((fitted.coef_[0, 0], fitted.intercept_[0]), abs=1e-5)


@pytest.mark.parametrize("x", [np.zeros(20), np.arange(20.0)])
def test_there_is_no_line_where_classes_do_not_mix(x: Floats) -> None:
    assert logistic_line(x, (np.arange(20) >= 10).astype(np.float64)) is None


def test_a_number_is_calibrated_when_truth_follows_prediction() -> None:
    scored = any_regression(4000)
    found, _ = calibration(scored) or ({}, {})
    assert found["slope"] == pytest.approx(np.polyfit(scored.values, scored.truth, 1)[0])
    shifted, _ = calibration(RegressionScores(scored.truth, scored.values + 2)) or ({}, {})
    assert shifted["error"] == pytest.approx(2, abs=0.2)
    assert linear_line(np.ones(5), np.arange(5.0)) is None


def test_of_classes_the_one_decided_for_is_looked_at() -> None:
    found, curve = calibration(any_multiclass(3000)) or ({}, {})
    assert found["error"] < 0.05
    assert found["slope"] is None
    assert min(curve["predicted"]) >= 1 / len(CLASSES)
    assert calibration(MAKERS["clusters"](50, 1)) is None
