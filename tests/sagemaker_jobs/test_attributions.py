"""Attributions against the library of their inventors, and what the evaluation says of a model by them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import shap
import xgboost as xgb

from gapless_sagemaker.evaluation.attributions import Effort, explain
from gapless_sagemaker.evaluation.kernel_shap import coalitions, fewest, shapley_values
from gapless_sagemaker.evaluation.limits import REQUESTS, WARM_UP, latency_ms

ROWS = 400


def curved(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A function of five features with products of two and three of them; one does not matter."""
    a, b, c, d = (matrix[:, place] for place in range(4))
    return np.asarray(1 / (1 + np.exp(-(a * b + np.sin(c) * d * a - b))))


def table_of(columns: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    numbers = {f"f{place}": random.normal(size=ROWS) for place in range(columns)}
    return pa.table({"_row_id": [f"row {place}" for place in range(ROWS)], **numbers})


@dataclass
class Function:
    """A model that is a function of numbers."""

    features: tuple[str, ...]
    directory: Path = Path("/nowhere")
    described: Sequence[Mapping[str, Any]] = ()
    asked: int = field(default=0)

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        self.asked += len(rows)
        matrix = np.array([[row[name] for name in self.features] for row in rows])
        return [{"probability": float(p), "label": bool(p > 0.5)} for p in curved(matrix)]


def by_the_library(features: int, rows: int, background: int, seed: int) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    asked, other = random.normal(size=(rows, features)), random.normal(size=(background, features))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explainer = shap.KernelExplainer(curved, other)
        theirs = explainer.shap_values(asked, nsamples=2**features, l1_reg=False, silent=True)
    chosen = coalitions(features, 2**features, 0)
    assert chosen.complete

    def answers(row: npt.NDArray[np.float64]) -> Any:
        return lambda members: np.array(
            [[curved(np.where(member, row, other)).mean()] for member in members], dtype=np.float64
        )

    base = curved(other).mean(keepdims=True)
    ours = [shapley_values(answers(row), base, curved(row[None, :]), chosen)[:, 0] for row in asked]
    return np.array(ours), theirs


@pytest.mark.parametrize("features", [4, 5, 8])
def test_all_coalitions_give_the_values_of_the_library(features: int) -> None:
    ours, theirs = by_the_library(features, rows=5, background=10, seed=features)
    assert np.abs(ours - theirs).max() < 1e-9
    assert np.abs(ours).max() > 0.1


def test_a_linear_model_is_explained_exactly_by_a_few_coalitions() -> None:
    random = np.random.default_rng(1)
    slopes, row, other = random.normal(size=20), random.normal(size=20), random.normal(size=(30, 20))
    chosen = coalitions(20, 60, 1)
    assert not chosen.complete
    assert len(chosen.members) <= 60

    def answers(members: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        return np.array([[(np.where(member, row, other) @ slopes).mean()] for member in members])

    base, full = (other @ slopes).mean(keepdims=True), np.array([row @ slopes])
    values = shapley_values(answers, base, full, chosen)[:, 0]
    assert values == pytest.approx(slopes * (row - other.mean(axis=0)), abs=1e-9)


def test_sampled_coalitions_come_close_and_still_add_up() -> None:
    random = np.random.default_rng(2)
    row, other = random.normal(size=12), random.normal(size=(10, 12))

    def answers(members: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        return np.array([[curved(np.where(member, row, other)).mean()] for member in members])

    base, full = curved(other).mean(keepdims=True), curved(row[None, :])
    exact = shapley_values(answers, base, full, coalitions(12, 2**12, 1))[:, 0]
    sampled = [shapley_values(answers, base, full, coalitions(12, 400, seed))[:, 0] for seed in range(5)]
    for values in sampled:
        assert values.sum() == pytest.approx(float(full[0] - base[0]), abs=1e-9)
        assert np.abs(values - exact).max() < 0.05 * np.abs(exact).max()
    assert not np.array_equal(sampled[0], sampled[1])


def test_sampled_coalitions_weigh_as_much_as_those_that_they_stand_for() -> None:
    chosen = coalitions(12, 400, 1)
    sizes = chosen.members.sum(axis=1)
    kernel = np.array([11 / (size * (12 - size)) for size in range(1, 12)])
    asked_whole = [1, 2, 10, 11]
    for size in asked_whole:
        assert chosen.weights[sizes == size].sum() == pytest.approx(kernel[size - 1] / kernel.sum())
    rest = ~np.isin(sizes, asked_whole)
    assert chosen.weights[rest].sum() == pytest.approx(kernel[2:9].sum() / kernel.sum())


@pytest.mark.parametrize("features", [1, 2, 3, 6, 30])
def test_coalitions_are_as_many_as_there_is_room_for(features: int) -> None:
    chosen = coalitions(features, 100, 1)
    assert chosen.complete is (features <= 6)
    assert fewest(features) <= len(chosen.members) <= 100
    assert chosen.weights.sum() == pytest.approx(1) if features > 1 else not len(chosen.weights)
    assert not chosen.members.all(axis=1).any() if features > 1 else True


def test_a_model_that_is_no_tree_is_asked_and_not_too_often() -> None:
    names = tuple(f"f{place}" for place in range(6))
    model = Function(names)
    described, local = explain(model, table_of(6, 1), "binary_classification", Effort(30, 3, 10), 1)
    assert (described["method"], described["output"], described["exact"]) == ("kernel_shap", "probability", True)
    assert list(described["global"].values()) == sorted(described["global"].values(), reverse=True)
    assert described["global"]["f4"] == pytest.approx(0, abs=1e-9)
    assert model.asked <= 30 * 2**6 * 10 + 200
    assert [row["answer"] for row in local] == sorted(row["answer"] for row in local)
    for row in local:
        added = row["base"] + sum(each["attribution"] for each in row["features"])
        assert row["answer"] == pytest.approx(added, abs=1e-9)


def test_the_same_seed_explains_alike() -> None:
    model = Function(tuple(f"f{place}" for place in range(5)))
    first, again, other = (explain(model, table_of(5, 1), "binary_classification", Effort(20), s) for s in (1, 1, 2))
    assert first == again
    assert first != other


# --- trees -----------------------------------------------------------------------------------------------------------


@dataclass
class Trees:
    """Trees of XGBoost with a category and gaps, served by their margin plus a shift."""

    directory: Path
    booster: xgb.Booster
    shift: float = 0.0
    features: tuple[str, ...] = ("colour", "size")
    described: Sequence[Mapping[str, Any]] = (
        {"name": "colour", "type": "category", "categories": ["blue", "red"]},
        {"name": "size", "type": "number"},
    )

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        margins = self.booster.predict(matrix_of(rows), output_margin=True) + self.shift
        return [{"probability": float(1 / (1 + math.exp(-m))), "label": bool(m > 0)} for m in margins]


def matrix_of(rows: Sequence[Mapping[str, Any]], label: Any = None) -> xgb.DMatrix:
    codes = {"blue": 0.0, "red": 1.0}
    numbers = [[codes.get(row["colour"], math.nan), math.nan if row["size"] is None else row["size"]] for row in rows]
    return xgb.DMatrix(np.array(numbers), label, feature_types=["c", "q"], enable_categorical=True)


@pytest.fixture(scope="module")
def coloured() -> pa.Table:
    random = np.random.default_rng(5)
    colours = random.choice(["blue", "red", "green"], ROWS)
    sizes = [
        None if gap else float(size)
        for gap, size in zip(random.random(ROWS) < 0.1, random.normal(size=ROWS), strict=True)
    ]
    return pa.table({"size": sizes, "colour": colours})


@pytest.fixture(scope="module")
def trees(coloured: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Trees:
    rows = coloured.to_pylist()
    label = [row["colour"] == "red" and (row["size"] or 0) > 0 for row in rows]
    booster = xgb.train({"objective": "binary:logistic", "max_depth": 3}, matrix_of(rows, label), 20)
    folder = tmp_path_factory.mktemp("trees")
    booster.save_model(folder / "model.ubj")
    return Trees(folder, booster)


def test_trees_are_explained_exactly_in_log_odds(trees: Trees, coloured: pa.Table) -> None:
    described, local = explain(trees, coloured, "binary_classification", Effort(rows=ROWS), 1)
    assert (described["method"], described["output"], described["exact"]) == ("tree_shap", "log_odds", True)
    theirs = trees.booster.predict(matrix_of(coloured.to_pylist()), pred_contribs=True)
    assert described["base"] == pytest.approx([theirs[0, -1]], abs=1e-6)
    means = np.abs(theirs[:, :2]).mean(axis=0)
    assert described["global"] == pytest.approx({"colour": means[0], "size": means[1]}, abs=1e-4)
    margins = trees.booster.predict(matrix_of(coloured.to_pylist()), output_margin=True)
    assert (local[0]["answer"], local[-1]["answer"]) == pytest.approx((margins.min(), margins.max()), abs=1e-5)


def test_trees_that_are_not_what_answers_are_not_what_is_explained(trees: Trees, coloured: pa.Table) -> None:
    shifted = Trees(trees.directory, trees.booster, shift=1.0)
    described, _ = explain(shifted, coloured, "binary_classification", Effort(20), 1)
    assert described["method"] == "kernel_shap"


def test_each_class_and_each_value_is_explained(tmp_path: Path) -> None:
    table = table_of(3, 4)
    matrix = np.column_stack([table[f"f{place}"].to_numpy() for place in range(3)])
    kinds = np.digitize(matrix[:, 0] + matrix[:, 1], [-0.7, 0.7])
    booster = xgb.train({"objective": "multi:softprob", "num_class": 3}, xgb.DMatrix(matrix, kinds), 5)
    booster.save_model(tmp_path / "model.ubj")
    names = [f"f{place}" for place in range(3)]

    class Classes(Function):
        def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
            asked = xgb.DMatrix(np.array([[row[name] for name in self.features] for row in rows]))
            told = booster.predict(asked)
            return [{"probabilities": dict(zip("abc", map(float, p), strict=True)), "label": "a"} for p in told]

    numbers = [{"name": name, "type": "number"} for name in names]
    model = Classes(tuple(names), tmp_path, numbers)
    described, _ = explain(model, table, "multiclass_classification", Effort(50), 1)
    assert (described["method"], described["outputs"], len(described["base"])) == ("tree_shap", ["a", "b", "c"], 3)
    assert list(described["global"])[2] == "f2"

    class Value(Function):
        def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
            return [{"value": 3 * row["f0"] - row["f1"]} for row in rows]

    described, _ = explain(Value(tuple(names)), table, "regression", Effort(50), 1)
    assert (described["method"], described["output"]) == ("kernel_shap", "value")
    assert list(described["global"]) == names
    with pytest.raises(ValueError, match="explanation of clustering; allowed are"):
        explain(Value(tuple(names)), table, "clustering", Effort(50), 1)


# --- limits ----------------------------------------------------------------------------------------------------------


def test_latency_is_that_of_single_requests() -> None:
    requests: list[Any] = []
    taken = latency_ms(requests.append, [{"a": 1}, {"a": 2}])
    assert len(requests) == WARM_UP + REQUESTS
    assert requests[:3] == [{"instances": [{"a": 1}]}, {"instances": [{"a": 2}]}, {"instances": [{"a": 1}]}]
    assert 0 < taken["p50"] <= taken["p99"] < 100
