"""What each feature contributed to a model's answers: SHAP values, over all rows and for a few of them.

Trees of XGBoost are explained exactly (S. Lundberg et al., From local explanations to global understanding with
explainable AI for trees, Nature Machine Intelligence 2, 2020), by XGBoost itself (``pred_contribs``), in the unit of
its margin. That is done only if the trees with the features as ``features.json`` lists them give the answers that the
archive's own code gives; any other model is asked (:mod:`gapless_sagemaker.evaluation.kernel_shap`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gapless_sagemaker.evaluation.kernel_shap import coalitions, fewest, shapley_values
from gapless_sagemaker.evaluation.split import rows_of
from gapless_sagemaker.model import TREES

Floats = npt.NDArray[np.float64]
Row = Mapping[str, Any]

MOST_ANSWERS = 100_000
"""How many rows a model is asked about at most for its explanation, :func:`kernel_shap.fewest` allowing."""

WITHHELD = "(withheld)"
ROW_ID = "_row_id"

_NEAR = 1e-4
_AT_ONCE = 20_000


class Explained(Protocol):
    """A model as far as an explanation needs it: see :class:`gapless_sagemaker.model.LoadedModel`."""

    @property
    def features(self) -> tuple[str, ...]:
        """The names of its features."""

    @property
    def directory(self) -> Path:
        """Its unpacked archive."""

    @property
    def described(self) -> Sequence[Mapping[str, Any]]:
        """Its features as ``features.json`` lists them."""

    def predict(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Predict typed rows."""


@dataclass(frozen=True)
class Effort:
    """How much an explanation may cost.

    Args:
        rows: Rows of the split that the global figures are means over.
        local: How many of these rows are shown one by one.
        background: Rows that stand for features which are not known, where a model is asked.
    """

    rows: int = 100
    local: int = 5
    background: int = 10


@dataclass(frozen=True)
class Attributions:
    """What features contributed.

    Args:
        method: ``tree_shap`` or ``kernel_shap``.
        output: What is explained: ``log_odds``, ``margin``, ``probability`` or ``value``.
        outputs: Names of the answers: one, or the classes.
        base: The answers with no feature known, shape (k,).
        values: Shape (rows, features, k).
        exact: Whether the values are exact given the background, not estimates.
    """

    method: str
    output: str
    outputs: tuple[str, ...]
    base: Floats
    values: Floats
    exact: bool


def explain(
    model: Explained, table: pa.Table, problem: str, effort: Effort, seed: int, withheld: Collection[str] = ()
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Explain a model by rows of a split.

    Args:
        problem: What it predicts.
        seed: Of the choice of rows and coalitions.
        withheld: Features whose values are not shown; ``_row_id`` among them withholds what rows are called.

    Returns:
        The global figures ``{"method", "output", "outputs", "exact", "rows", "base", "global": {feature: mean absolute
        value}}``, the greatest first and over several classes their mean; and a few rows, from the lowest to the
        highest answer, each ``{"row", "answer", "base", "features": [{"name", "value", "attribution"}]}``. The answer
        to a row is that of the class which it is predicted to be.
    """
    random = np.random.default_rng(seed)
    chosen = np.sort(random.permutation(table.num_rows)[: effort.rows])
    features = table.select(list(model.features))
    rows = _rows_of(features.take(chosen))
    predictions = model.predict(rows)
    answers, names = answers_of(predictions, problem)
    found = _by_trees(model, features.take(chosen), answers, names, problem)
    if found is None:
        background = _rows_of(features.take(np.sort(random.permutation(table.num_rows)[: effort.background])))
        found = _by_asking(model, rows, background, problem, seed)
    size = np.abs(found.values).mean(axis=(0, 2))
    order = np.argsort(-size, kind="stable")
    described = {
        "method": found.method,
        "output": found.output,
        "outputs": list(found.outputs),
        "exact": found.exact,
        "rows": len(rows),
        "base": found.base.tolist(),
        "global": {model.features[place]: float(size[place]) for place in order},
    }
    return described, _shown(found, rows, _ids(table, chosen, withheld), model.features, effort.local, withheld)


def _rows_of(table: pa.Table) -> list[dict[str, Any]]:
    return [row for rows in rows_of(table) for row in rows]


def answers_of(predictions: Sequence[Mapping[str, Any]], problem: str) -> tuple[Floats, tuple[str, ...]]:
    """Give the figures of predictions, shape (rows, k), and their names.

    Raises:
        ValueError: Predictions of the problem have no figure that features contribute to.
    """
    match problem:
        case "binary_classification":
            return np.array([[row["probability"]] for row in predictions], dtype=np.float64), ("probability",)
        case "multiclass_classification":
            names = tuple(sorted(predictions[0]["probabilities"]))
            rows = [[row["probabilities"][name] for name in names] for row in predictions]
            return np.array(rows, dtype=np.float64), names
        case "regression":
            return np.array([[row["value"]] for row in predictions], dtype=np.float64), ("value",)
        case _:
            raise ValueError(
                f"explanation of {problem}; allowed are binary_classification, multiclass_classification, regression"
            )


# --- trees -----------------------------------------------------------------------------------------------------------


def _by_trees(
    model: Explained, table: pa.Table, answers: Floats, names: tuple[str, ...], problem: str
) -> Attributions | None:
    """Explain trees; None when the archive has none, or other code than they decides what is answered."""
    path = model.directory / TREES
    if not path.is_file():
        return None
    import xgboost as xgb  # images of other frameworks have none

    booster = xgb.Booster(model_file=path)
    if booster.num_features() != len(model.features):
        return None
    matrix = xgb.DMatrix(
        _matrix(table, model.described),
        feature_names=booster.feature_names,
        feature_types=booster.feature_types,
        enable_categorical=True,
        nthread=1,
    )
    margins = _columns(booster.predict(matrix, output_margin=True))
    if margins.shape != answers.shape or not np.allclose(_linked(margins, problem), answers, atol=_NEAR, rtol=_NEAR):
        return None
    contributions = np.asarray(booster.predict(matrix, pred_contribs=True), dtype=np.float64)
    if contributions.ndim == 2:
        contributions = contributions[:, None, :]
    output = {"binary_classification": "log_odds", "regression": "value"}.get(problem, "margin")
    return Attributions(
        method="tree_shap",
        output=output,
        outputs=names if len(names) > 1 else (output,),
        base=contributions[:, :, -1].mean(axis=0),
        values=contributions[:, :, :-1].transpose(0, 2, 1),
        exact=True,
    )


def _columns(margins: npt.NDArray[Any]) -> Floats:
    wide: Floats = np.asarray(margins, dtype=np.float64).reshape(len(margins), -1)
    return wide


def _linked(margins: Floats, problem: str) -> Floats:
    """Give the answers that belong to margins."""
    if problem == "binary_classification":
        return np.asarray(1 / (1 + np.exp(-margins)))
    if problem == "multiclass_classification":
        raised = np.exp(margins - margins.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))
    return margins


def _matrix(table: pa.Table, described: Sequence[Mapping[str, Any]]) -> Floats:
    """Give the features as the trees take them: codes of categories, NaN for what is missing or was never seen."""
    columns = []
    for feature in described:
        column = table[feature["name"]].combine_chunks()
        if feature.get("categories") is not None:
            column = pc.index_in(column, value_set=pa.array(feature["categories"], type=column.type))
        columns.append(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    return np.column_stack(columns)


# --- any other model -------------------------------------------------------------------------------------------------


def _by_asking(
    model: Explained, rows: Sequence[Row], background: Sequence[Row], problem: str, seed: int
) -> Attributions:
    def ask(questions: list[dict[str, Any]]) -> Floats:
        parts = [questions[start : start + _AT_ONCE] for start in range(0, len(questions), _AT_ONCE)]
        return np.vstack([answers_of(model.predict(part), problem)[0] for part in parts])

    names = answers_of(model.predict(rows[:1]), problem)[1]
    count = len(model.features)
    asked = coalitions(count, max(MOST_ANSWERS // (len(rows) * len(background)), fewest(count)), seed)
    base = ask([dict(row) for row in background]).mean(axis=0)
    full = ask([dict(row) for row in rows])
    values = [
        shapley_values(_mixing(ask, row, background, model.features), base, answer, asked)
        for row, answer in zip(rows, full, strict=True)
    ]
    output = "value" if problem == "regression" else "probability"
    return Attributions("kernel_shap", output, names, base, np.array(values), exact=asked.complete)


def _mixing(
    ask: Callable[[list[dict[str, Any]]], Floats], row: Row, background: Sequence[Row], features: Sequence[str]
) -> Callable[[npt.NDArray[np.bool_]], Floats]:
    """Give how a row's coalitions are asked about: what is not in one comes from the background."""

    def answers(members: npt.NDArray[np.bool_]) -> Floats:
        known = [[name for name, member in zip(features, each, strict=True) if member] for each in members.tolist()]
        questions = [{**other, **{name: row[name] for name in names}} for names in known for other in background]
        means: Floats = ask(questions).reshape(len(members), len(background), -1).mean(axis=1)
        return means

    return answers


# --- single rows -----------------------------------------------------------------------------------------------------


def _ids(table: pa.Table, places: npt.NDArray[np.int64], withheld: Collection[str]) -> list[str]:
    """Give what the rows are called: their id in the dataset, or their place in the split."""
    if ROW_ID not in table.column_names or ROW_ID in withheld:
        return [str(place) for place in places]
    return [str(name) for name in table[ROW_ID].take(places).to_pylist()]


def _shown(
    found: Attributions,
    rows: Sequence[Row],
    ids: Sequence[str],
    features: Sequence[str],
    number: int,
    withheld: Collection[str],
) -> list[dict[str, Any]]:
    """Give a few of the rows, evenly over the range of answers."""
    full = found.base + found.values.sum(axis=1)
    classes = full.argmax(axis=1)
    answers = full[np.arange(len(full)), classes]
    order = np.argsort(answers, kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, min(number, len(order))).round().astype(int))]
    return [
        {
            "row": ids[place],
            "output": found.outputs[classes[place]],
            "answer": float(answers[place]),
            "base": float(found.base[classes[place]]),
            "features": _added(found.values[place, :, classes[place]], rows[place], features, withheld),
        }
        for place in chosen
    ]


def _added(values: Floats, row: Row, features: Sequence[str], withheld: Collection[str]) -> list[dict[str, Any]]:
    """Give what each feature of one row added, the greatest first."""
    return [
        {
            "name": features[place],
            "value": WITHHELD if features[place] in withheld else _plain(row[features[place]]),
            "attribution": float(values[place]),
        }
        for place in np.argsort(-np.abs(values), kind="stable")
    ]


def _plain(value: Any) -> Any:
    """Give a value as JSON knows it."""
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
