"""Searches for a model of a table, and serves the one that was found.

Searching (``child.py <folder of /opt/ml>``) reads ``input/config/search.json`` and the channels ``training`` and
``validation``, CSV with a header. It tries candidates in a fixed order, the same for the same data: a linear model, a
random forest, boosted trees, and then boosted trees with parameters drawn from a generator with a fixed seed. Each is
fitted to the training rows and measured on the validation rows. ``output/search.json`` says after each of them how good
it was; ``model`` holds the best one so far::

    {"candidates": [{"name", "algorithm", "value", "status", "started", "ended"}], "best": name, "ended_by"}

Serving: the model server loads this file, which lies in the model's archive, as a script. It reads CSV without a header
and answers CSV, the keys of ``SAGEMAKER_INFERENCE_OUTPUT`` in their order. A model is JSON and XGBoost's own format;
nothing is pickled.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Row = Sequence[str]
Model = dict[str, Any]

REGRESSION = "Regression"
FEWEST_ROWS = 50
"""Rows of the training channel below which there is no search; Autopilot itself wants 500."""

_CATEGORIES = 32
_SEED = 0
_MODEL, _TREES = "model.json", "trees.ubj"
_BASE = {"max_depth": 6, "eta": 0.1, "rounds": 100, "min_child_weight": 1, "subsample": 1.0, "colsample_bytree": 1.0}
_DRAWN = {
    "max_depth": (3, 4, 5, 6, 8),
    "eta": (0.03, 0.05, 0.1, 0.2, 0.3),
    "rounds": (50, 100, 200, 300),
    "min_child_weight": (1, 3, 10),
    "subsample": (0.6, 0.8, 1.0),
    "colsample_bytree": (0.6, 0.8, 1.0),
}


class UserError(ValueError):
    """A search that cannot be made of this request or this data; a request to the model that it does not answer."""

    status_code = 400


@dataclass(frozen=True)
class Table:
    """Rows of a channel: names of the features, their cells, and the target."""

    names: tuple[str, ...]
    cells: list[Row]
    target: list[str]


@dataclass(frozen=True)
class Candidate:
    """One model to be tried."""

    name: str
    algorithm: str
    parameters: Mapping[str, Any]


# -- data


def read_table(folder: Path, target: str) -> Table:
    """Read every file of a channel.

    Raises:
        UserError: There are no rows, files have different columns, or there is no target.
    """
    names: tuple[str, ...] = ()
    rows: list[list[str]] = []
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        with path.open(newline="", encoding="utf-8") as file:
            header, *found = list(csv.reader(file))
        if names and tuple(header) != names:
            raise UserError(f"{path.name} has the columns {', '.join(header)}; others have {', '.join(names)}")
        names = tuple(header)
        rows += found
    if not rows:
        raise UserError(f"the channel {folder.name} has no rows")
    if target not in names:
        raise UserError(f"there is no column {target}; there are {', '.join(names)}")
    at = names.index(target)
    return Table(names[:at] + names[at + 1 :], [row[:at] + row[at + 1 :] for row in rows], [row[at] for row in rows])


def learn_columns(table: Table) -> list[dict[str, Any]]:
    """Decide for each feature whether it is a number or a category, and which categories it has."""
    columns = []
    for at, name in enumerate(table.names):
        values = [row[at] for row in table.cells if row[at] != ""]
        numbers = [_number(value) for value in values]
        if all(number is not None for number in numbers):
            known = np.array(numbers, dtype=np.float64) if numbers else np.zeros(1)
            scale = float(known.std()) or 1.0
            columns.append({"name": name, "mean": float(known.mean()), "scale": scale})
        else:
            by_frequency = sorted(Counter(values).items(), key=lambda each: (-each[1], each[0]))
            columns.append({"name": name, "categories": sorted(value for value, _ in by_frequency[:_CATEGORIES])})
    return columns


def vectors(columns: Sequence[Mapping[str, Any]], cells: Sequence[Row]) -> Floats:
    """Make numbers of cells: categories become one column each, a missing number is NaN.

    Raises:
        UserError: A row has another number of cells, or a text where numbers were learned.
    """
    rows = []
    for row in cells:
        if len(row) != len(columns):
            raise UserError(f"a row has {len(row)} cells; the model has {len(columns)} features")
        rows.append([number for column, cell in zip(columns, row, strict=True) for number in _encoded(column, cell)])
    return np.array(rows, dtype=np.float64)


def _encoded(column: Mapping[str, Any], cell: str) -> list[float]:
    if "categories" in column:
        return [float(cell == category) for category in column["categories"]]
    number = float("nan") if cell == "" else _number(cell)
    if number is None:
        raise UserError(f"{column['name']} is {cell!r}; it has to be a number")
    return [number]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def classes_of(target: Sequence[str]) -> list[Any]:
    """The classes in order: as whole numbers where all of them are, otherwise as texts."""
    texts = set(target)
    if all(text.lstrip("-").isdigit() for text in texts):
        return sorted(int(text) for text in texts)
    return sorted(texts)


# -- candidates


def candidates(count: int) -> Iterator[Candidate]:
    """Yield what is tried, in order."""
    fixed = [("linear", {}), ("forest", {**_BASE, "max_depth": 10}), ("boosted-trees", _BASE)]
    draw = random.Random(_SEED)  # noqa: S311 - the same draws in every search
    for number in range(count):
        if number < len(fixed):
            algorithm, parameters = fixed[number]
        else:
            algorithm, parameters = "boosted-trees", {name: draw.choice(values) for name, values in _DRAWN.items()}
        yield Candidate(f"{algorithm}-{number + 1}", algorithm, parameters)


def fit(candidate: Candidate, rows: Floats, target: Floats, classes: int) -> Model:
    """Fit one model; ``classes`` is 0 for a regression."""
    if candidate.algorithm == "linear":
        return _fit_linear(rows, target, classes)
    return _fit_trees(candidate, rows, target, classes)


def _fit_linear(rows: Floats, target: Floats, classes: int) -> Model:
    from sklearn.linear_model import LogisticRegression, Ridge

    centre = np.nan_to_num(np.nanmean(rows, axis=0))
    scale = np.nanstd(rows, axis=0)
    scale = np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)
    inputs = np.nan_to_num((rows - centre) / scale)
    solver: Any = LogisticRegression(max_iter=1000, random_state=_SEED) if classes else Ridge()
    solver.fit(inputs, target)
    weights = np.atleast_2d(solver.coef_)
    return {
        "linear": {
            "centre": centre.tolist(),
            "scale": scale.tolist(),
            "weights": weights.tolist(),
            "bias": np.atleast_1d(solver.intercept_).tolist(),
        }
    }


def _fit_trees(candidate: Candidate, rows: Floats, target: Floats, classes: int) -> Model:
    import xgboost as xgb

    forest = candidate.algorithm == "forest"
    given = candidate.parameters
    objective = {0: {"objective": "reg:squarederror"}, 2: {"objective": "binary:logistic"}}
    settings = {
        **objective.get(classes, {"objective": "multi:softprob", "num_class": classes}),
        "max_depth": given["max_depth"],
        "min_child_weight": given["min_child_weight"],
        "eta": 1.0 if forest else given["eta"],
        "subsample": 0.8 if forest else given["subsample"],
        "colsample_bynode": 0.8 if forest else given["colsample_bytree"],
        "num_parallel_tree": given["rounds"] if forest else 1,
        "tree_method": "hist",
        "seed": _SEED,
        "nthread": 1,
    }
    rounds = 1 if forest else given["rounds"]
    return {"booster": xgb.train(settings, xgb.DMatrix(rows, label=target), num_boost_round=rounds)}


def answer(model: Model, rows: Floats, classes: int) -> Floats:
    """Predict: the value of each row, shape (rows,), or the probability of each class, shape (rows, classes)."""
    if "booster" in model:
        import xgboost as xgb

        found = np.asarray(model["booster"].predict(xgb.DMatrix(rows)), dtype=np.float64)
        return np.column_stack([1 - found, found]) if classes == 2 else found
    linear = model["linear"]
    inputs = np.nan_to_num((rows - np.array(linear["centre"])) / np.array(linear["scale"]))
    scores = inputs @ np.array(linear["weights"]).T + np.array(linear["bias"])
    if not classes:
        return np.asarray(scores[:, 0], dtype=np.float64)
    if classes == 2:
        share = 1 / (1 + np.exp(-scores[:, 0]))
        return np.column_stack([1 - share, share])
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float64)


# -- how good


def measure(objective: str, truth: Floats, predicted: Floats) -> float:
    """The objective on some rows; more is better but for errors."""
    from sklearn import metrics

    if predicted.ndim == 1:
        values: Mapping[str, Callable[..., float]] = {
            "RMSE": metrics.root_mean_squared_error,
            "MSE": metrics.mean_squared_error,
            "MAE": metrics.mean_absolute_error,
            "R2": metrics.r2_score,
        }
        return float(values[objective](truth, predicted))
    if objective == "AUC":
        return float(metrics.roc_auc_score(truth, predicted[:, 1]))
    labels = predicted.argmax(axis=1)
    average = {"average": "macro"} if objective.lower().endswith("macro") else {}
    zero = {} if objective in ("Accuracy", "BalancedAccuracy") else {"zero_division": 0}
    scores: Mapping[str, Callable[..., float]] = {
        "Accuracy": metrics.accuracy_score,
        "BalancedAccuracy": metrics.balanced_accuracy_score,
        "F1": metrics.f1_score,
        "F1macro": metrics.f1_score,
        "Precision": metrics.precision_score,
        "PrecisionMacro": metrics.precision_score,
        "Recall": metrics.recall_score,
        "RecallMacro": metrics.recall_score,
    }
    return float(scores[objective](truth, labels, **average, **zero))


def less_is_better(objective: str) -> bool:
    """Whether an objective is an error."""
    return objective in ("RMSE", "MSE", "MAE")


# -- searching


def search(root: Path) -> None:
    """Try the candidates; write the best one and what is known of all of them.

    Raises:
        UserError: Request or data do not fit.
    """
    asked = json.loads((root / "input" / "config" / "search.json").read_text())
    train, validation = (
        read_table(root / "input" / "data" / name, asked["target"]) for name in ("training", "validation")
    )
    if len(train.cells) < FEWEST_ROWS:
        raise UserError(f"the channel training has {len(train.cells)} rows; a search needs at least {FEWEST_ROWS}")
    if train.names != validation.names:
        raise UserError("the channels training and validation have different columns")
    columns = learn_columns(train)
    classes = [] if asked["problem"] == REGRESSION else classes_of(train.target)
    if asked["problem"] == "BinaryClassification" and len(classes) != 2:
        raise UserError(f"the target has {len(classes)} classes; a binary classification has two")
    tables = [(vectors(columns, table.cells), _codes(table.target, classes)) for table in (train, validation)]
    frame = {"columns": columns, "classes": classes}
    _try_all(root, asked, tables, frame)


def _codes(target: Sequence[str], classes: Sequence[Any]) -> Floats:
    if not classes:
        return np.array([float(text) for text in target])
    known = {str(value): code for code, value in enumerate(classes)}
    unknown = sorted(set(target) - set(known))
    if unknown:
        raise UserError(f"the channel validation has the class {unknown[0]!r}, which the channel training lacks")
    return np.array([known[text] for text in target], dtype=np.float64)


def _try_all(root: Path, asked: Mapping[str, Any], tables: Sequence[Any], frame: Mapping[str, Any]) -> None:
    (rows, truth), (held_rows, held_truth) = tables
    objective, classes = asked["objective"], len(frame["classes"])
    sign = -1 if less_is_better(objective) else 1
    deadline = time.monotonic() + asked["total_seconds"]
    done: list[dict[str, Any]] = []
    best: tuple[float, str] | None = None
    ended_by = "MaxCandidatesReached"
    for candidate in candidates(asked["candidates"]):
        if time.monotonic() > deadline:
            ended_by = "MaxAutoMLJobRuntimeReached"
            break
        started = time.time()
        model = fit(candidate, rows, truth, classes)
        value = measure(objective, held_truth, answer(model, held_rows, classes))
        in_time = time.time() - started <= asked["candidate_seconds"]
        if in_time and (best is None or sign * value > best[0]):
            best = sign * value, candidate.name
            save(root / "model", model, frame)
        done.append(
            {
                "name": candidate.name,
                "algorithm": candidate.algorithm,
                "value": value,
                "status": "Completed" if in_time else "Failed",
                "started": started,
                "ended": time.time(),
            }
        )
        sys.stdout.write(f"{candidate.name}: {objective} {value:.6g}{'' if in_time else ', but it took too long'}\n")
        sys.stdout.flush()
        _write(root / "output" / "search.json", {"candidates": done, "best": best[1] if best else None})
    _write(
        root / "output" / "search.json",
        {"candidates": done, "best": best[1] if best else None, "ended_by": ended_by},
    )


def _write(path: Path, content: Any) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(content))
    draft.replace(path)


def save(folder: Path, model: Model, frame: Mapping[str, Any]) -> None:
    """Write a model in the place of another one, with this file as the code that serves it."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "code").mkdir(parents=True)
    shutil.copy2(__file__, folder / "code" / "tabular_serve.py")
    content = {**frame, **({"linear": model["linear"]} if "linear" in model else {})}
    (folder / _MODEL).write_text(json.dumps(content, allow_nan=False))
    if "booster" in model:
        model["booster"].save_model(folder / _TREES)


# -- serving, as the model server calls it


def model_fn(model_dir: str) -> Model:
    """Load a model."""
    folder = Path(model_dir)
    model: Model = json.loads((folder / _MODEL).read_text())
    if (folder / _TREES).exists():
        import xgboost as xgb

        model["booster"] = xgb.Booster(model_file=bytearray((folder / _TREES).read_bytes()))
        model["booster"].set_param({"nthread": 1})
    return model


def transform_fn(model: Model, body: str | bytes, content_type: str, _accept: str) -> tuple[str, str]:
    """Answer rows of CSV.

    Raises:
        UserError: They are something else.
    """
    if content_type != "text/csv":
        raise UserError(f"content type {content_type!r}; allowed is text/csv")
    text = body.decode("utf-8") if isinstance(body, bytes) else body
    cells = [row for row in csv.reader(io.StringIO(text)) if row]
    classes = model["classes"]
    found = answer(model, vectors(model["columns"], cells), len(classes))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if not classes:
        writer.writerows([value] for value in found.tolist())
        return out.getvalue(), "text/csv"
    keys = [key.strip() for key in os.environ.get("SAGEMAKER_INFERENCE_OUTPUT", "predicted_label").split(",")]
    for shares in found.tolist():
        writer.writerow([_told(key, shares, classes) for key in keys])
    return out.getvalue(), "text/csv"


def _told(key: str, shares: Sequence[float], classes: Sequence[Any]) -> Any:
    likely = max(range(len(shares)), key=shares.__getitem__)
    told = {
        "predicted_label": classes[likely],
        "probability": shares[likely],
        "probabilities": str(list(shares)),
        "labels": str(list(classes)),
    }
    return told[key]


def main() -> None:
    """Search; leave the reason of a failure where it is looked for."""
    root = Path(sys.argv[1])
    try:
        search(root)
    except UserError as error:
        (root / "output" / "failure").write_text(str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
