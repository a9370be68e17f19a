"""Trains the model: boosted trees for a yes-or-no target, by XGBoost in script mode.

Runs as the SageMaker XGBoost framework image starts it: hyperparameters as ``--name value``, directories from ``SM_*``
variables. Reads the channels ``train`` and ``validation`` (Parquet files at any depth). Columns whose name starts with
``_`` are not features; strings are categories, whose codes are stored with the model. Writes to the model directory:

- ``model.ubj``: the trees, in XGBoost's own binary JSON; never a pickle;
- ``features.json``: ``{"target", "threshold", "features": [{"name", "type", "categories"?}]}``, in the matrix's order;
- ``code/inference.py``: how to answer requests;
- ``window.json``: which rows it was trained on, where the workload asks for a window (``training.window``).

The same rows, hyperparameters and seed give the same bytes, also when the training was interrupted in between and went
on from a checkpoint. Metric lines are ``train-auc:0.8123`` and
``validation-auc:0.7812`` (``logloss`` likewise), one pair per round and at last those of the model that was kept.
A failure leaves its reason in ``failure`` in the output directory and ends with a status other than 0; the image's
toolkit may put its own words around it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xgboost as xgb

import gapless_checkpoints as checkpoints
from gapless_guard import Guard, xgboost_callback
from gapless_windows import Choice, TrainingWindow

METRICS = ("logloss", "auc")
EVENT_TIME = "_event_time"


@dataclass(frozen=True)
class Feature:
    """One column of the matrix; categories in the order of their codes, None for a number."""

    name: str
    type: str
    categories: tuple[str, ...] | None = None

    def describe(self) -> dict[str, Any]:
        """Give the feature as ``features.json`` lists it."""
        described: dict[str, Any] = {"name": self.name, "type": self.type}
        return described if self.categories is None else {**described, "categories": list(self.categories)}


class _Parser(argparse.ArgumentParser):
    """Raises on a wrong argument, so that the reason is kept like that of any other failure."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def parse_options(arguments: Sequence[str], environment: Mapping[str, str]) -> argparse.Namespace:
    """Read hyperparameters and directories; directories that are not given are those of the environment.

    Raises:
        ValueError: An argument is unknown, missing or not of its type.
    """
    parser = _Parser(description="train the model", allow_abbrev=False)
    parser.add_argument("--target", required=True, help="boolean column to learn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="the model depends on it; more only on an idle machine")
    parser.add_argument("--threshold", type=float, default=0.5, help="probability from which on the label is true")
    parser.add_argument("--num_round", type=int, default=200)
    parser.add_argument("--early_stopping_rounds", type=int, default=20)
    parser.add_argument("--max_depth", type=int, default=6)
    parser.add_argument("--eta", type=float, default=0.1)
    parser.add_argument("--subsample", type=float, default=1.0)
    parser.add_argument("--colsample_bytree", type=float, default=1.0)
    parser.add_argument("--min_child_weight", type=float, default=1.0)
    for name, variable in (
        ("--train", "SM_CHANNEL_TRAIN"),
        ("--validation", "SM_CHANNEL_VALIDATION"),
        ("--model_dir", "SM_MODEL_DIR"),
    ):
        parser.add_argument(name, type=Path, default=environment.get(variable), required=variable not in environment)
    return parser.parse_args(arguments)


# --- rows to matrix --------------------------------------------------------------------------------------------------


def read_channel(directory: Path) -> pa.Table:
    """Read every Parquet file below a directory, without the metadata columns.

    Rows come in the order of their metadata columns (event time, row id), if there are any: engines choose the names of
    files and the order of rows in them anew each time, and the model depends on the order.

    Raises:
        ValueError: There is no file or no row, or the files differ in their columns.
    """
    return read_rows(directory)[0]


def read_rows(directory: Path) -> tuple[pa.Table, npt.NDArray[np.datetime64] | None]:
    """Read every Parquet file below a directory; give the rows as :func:`read_channel` does, and their event times.

    Raises:
        ValueError: There is no file or no row, or the files differ in their columns.
    """
    files = sorted(directory.rglob("*.parquet"))
    if not files:
        raise ValueError(f"channel without Parquet files: {directory}")
    tables = [pq.ParquetFile(file).read() for file in files]
    for file, table in zip(files, tables, strict=True):
        if table.schema.remove_metadata() != tables[0].schema.remove_metadata():
            raise ValueError(f"columns of {file.name} differ from those of {files[0].name}")
    joined = pa.concat_tables(tables)
    if not joined.num_rows:
        raise ValueError(f"channel without rows: {directory}")
    metadata = sorted(name for name in joined.column_names if name.startswith("_"))
    ordered = joined.sort_by([(name, "ascending") for name in metadata]) if metadata else joined
    times = ordered[EVENT_TIME].to_numpy() if EVENT_TIME in metadata else None
    return ordered.drop_columns(metadata), times


def learn_features(table: pa.Table, target: str) -> tuple[Feature, ...]:
    """Give the features of a table, sorted by name; the categories are the strings found, sorted.

    Raises:
        ValueError: A column has a type that is no feature, or there is no column but the target.
    """
    names = sorted(name for name in table.column_names if name != target)
    if not names:
        raise ValueError(f"no features: the only column is {target}")
    return tuple(_learn_feature(name, table[name]) for name in names)


def _learn_feature(name: str, column: pa.ChunkedArray) -> Feature:
    if pa.types.is_boolean(column.type):
        return Feature(name, "boolean")
    if pa.types.is_integer(column.type):
        return Feature(name, "integer")
    if pa.types.is_floating(column.type):
        return Feature(name, "number")
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return Feature(name, "category", tuple(sorted(pc.unique(column).drop_null().to_pylist())))
    raise ValueError(f"type of column {name} is {column.type}; allowed are booleans, integers, floats and strings")


def to_matrix(table: pa.Table, features: Sequence[Feature]) -> npt.NDArray[np.float32]:
    """Give the rows as numbers, shape (rows, features): codes for categories, NaN for missing and for unseen ones.

    Raises:
        ValueError: A feature is missing.
    """
    missing = [feature.name for feature in features if feature.name not in table.column_names]
    if missing:
        raise ValueError(f"features missing: {', '.join(missing)}; given are {', '.join(table.column_names)}")
    matrix = np.empty((table.num_rows, len(features)), dtype=np.float32)
    for position, feature in enumerate(features):
        column = table[feature.name]
        if feature.categories is not None:
            column = pc.index_in(column, value_set=pa.array(feature.categories, type=column.type))
        matrix[:, position] = column.cast(pa.float64()).to_numpy()
    return matrix


def to_labels(table: pa.Table, target: str) -> npt.NDArray[np.float32]:
    """Give the target as 0 and 1, shape (rows,).

    Raises:
        ValueError: The target is missing, not boolean, has gaps, or is the same in every row.
    """
    if target not in table.column_names:
        raise ValueError(f"target missing: {target}; given are {', '.join(table.column_names)}")
    column = table[target]
    if not pa.types.is_boolean(column.type) or column.null_count:
        raise ValueError(
            f"target {target} is {column.type} with {column.null_count} gaps; allowed is boolean without gaps"
        )
    labels: npt.NDArray[np.float32] = column.cast(pa.int8()).to_numpy().astype(np.float32)
    if labels.min() == labels.max():
        raise ValueError(f"target {target} is the same in all {len(labels)} rows: there is nothing to learn")
    return labels


# --- training --------------------------------------------------------------------------------------------------------


def fit(options: argparse.Namespace, train: xgb.DMatrix, validation: xgb.DMatrix) -> xgb.Booster:
    """Fit trees until the validation AUC has not risen for some rounds; keep those up to the best round.

    Raises:
        TrainingStopped: The training gets nowhere, by the rules of the workload's guard.
    """
    guard, late = Guard.of_job(), int(train.get_label().sum())
    guard.check_classes({"true": late, "false": train.num_row() - late})
    patience = xgb.callback.EarlyStopping(
        rounds=options.early_stopping_rounds, metric_name="auc", data_name="validation", maximize=True, save_best=True
    )
    booster: xgb.Booster = checkpoints.train(
        parameters(options),
        train,
        num_boost_round=options.num_round,
        evals=[(train, "train"), (validation, "validation")],
        callbacks=[xgboost_callback(guard, "logloss"), patience],
    )
    return booster


def parameters(options: argparse.Namespace) -> dict[str, Any]:
    """Give the hyperparameters as XGBoost takes them."""
    return {
        "objective": "binary:logistic",
        "eval_metric": list(METRICS),
        "tree_method": "hist",
        "seed": options.seed,
        "nthread": options.threads,
        "max_depth": options.max_depth,
        "eta": options.eta,
        "subsample": options.subsample,
        "colsample_bytree": options.colsample_bytree,
        "min_child_weight": options.min_child_weight,
    }


def choose_window(
    table: pa.Table, times: npt.NDArray[np.datetime64] | None, features: Sequence[Feature], options: argparse.Namespace
) -> Choice | None:
    """Choose which rows to train on, where the workload asks for a window; models of a back-test make all rounds.

    Raises:
        ValueError: It asks for one, and the rows have no event time.
    """
    window = TrainingWindow.of_job()
    if window is None:
        return None
    if times is None:
        raise ValueError(f"a window is asked for, and the rows have no {EVENT_TIME}")

    def score(weights: npt.NDArray[np.float64], measured: npt.NDArray[np.bool_]) -> float | None:
        rows, labels = weights > 0, table[options.target].to_numpy()
        if len(np.unique(labels[rows])) < 2 or len(np.unique(labels[measured])) < 2:
            return None
        known = _dmatrix(table.filter(rows), features, options, weights[rows])
        booster = xgb.train(parameters(options), known, num_boost_round=options.num_round)
        told = booster.eval_set([(_dmatrix(table.filter(measured), features, options), "measured")])
        return float(str(told).rpartition("measured-auc:")[2])

    return window.choose(times, score)


def save(model_dir: Path, booster: xgb.Booster, features: Sequence[Feature], options: argparse.Namespace) -> None:
    """Write the model, what its features are and how it answers requests."""
    model_dir.mkdir(parents=True, exist_ok=True)
    booster.save_model(model_dir / "model.ubj")
    described = {
        "target": options.target,
        "threshold": options.threshold,
        "features": [feature.describe() for feature in features],
    }
    text = json.dumps(described, indent=1, ensure_ascii=False)
    (model_dir / "features.json").write_text(text, encoding="utf-8")
    (model_dir / "code").mkdir(exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("inference.py"), model_dir / "code" / "inference.py")


def run(options: argparse.Namespace) -> None:
    """Read the channels, train, print the metrics and write the model."""
    (rows, times), held_back = read_rows(options.train), read_channel(options.validation)
    features = learn_features(rows, options.target)
    chosen = choose_window(rows, times, features, options)
    if chosen is None:
        train = _dmatrix(rows, features, options)
    else:
        train = _dmatrix(rows.filter(chosen.rows), features, options, chosen.sample_weight)
    validation = _dmatrix(held_back, features, options)
    booster = fit(options, train, validation)
    scores = booster.eval_set([(train, "train"), (validation, "validation")], iteration=booster.num_boosted_rounds())
    sys.stdout.write(f"{scores}\n")
    save(options.model_dir, booster, features, options)
    if chosen is not None:
        chosen.save(options.model_dir)


def _dmatrix(
    table: pa.Table,
    features: Sequence[Feature],
    options: argparse.Namespace,
    weights: npt.NDArray[np.float64] | None = None,
) -> xgb.DMatrix:
    return xgb.DMatrix(
        to_matrix(table, features),
        label=to_labels(table, options.target),
        weight=weights,
        feature_names=[feature.name for feature in features],
        feature_types=["q" if feature.categories is None else "c" for feature in features],
        enable_categorical=True,
        nthread=options.threads,
    )


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Train; leave the reason of a failure where SageMaker looks for it."""
    try:
        run(parse_options(arguments, environment))
    except Exception as error:
        output = Path(environment.get("SM_OUTPUT_DIR", "/opt/ml/output"))
        output.mkdir(parents=True, exist_ok=True)
        (output / "failure").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        raise


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
