"""Trains the model: a logistic regression, by scikit-learn in script mode.

Runs as a framework image of SageMaker starts it: hyperparameters as ``--name value``, directories from ``SM_*``
variables. Reads the channel ``train`` (Parquet files at any depth) and prints how well the channel ``validation`` is
predicted. Columns whose name starts with ``_`` and those that are withheld are no features. Writes to the model
directory:

- ``model.json``: the intercept, and per column of the design its weight, centre and scale; numbers, never a pickle;
- ``features.json``: ``{"target", "threshold", "features": [{"name", "type", "categories"?}]}``;
- ``code/inference.py``: how to answer requests.

Rows are taken in the order of their metadata columns, so that equal rows and hyperparameters give equal bytes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """One column of the design: a feature as a number, or whether a feature has a value.

    Args:
        feature: The name of the feature.
        category: The value that it says the feature has; None for a number.
        centre, scale: What is subtracted from a number, and what it is then divided by; the centre stands for a gap.
    """

    feature: str
    category: str | None
    centre: float
    scale: float


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> argparse.Namespace:
    """Read hyperparameters and directories."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--target", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--penalty", type=float, default=1.0, help="how strongly large weights are held back")
    parser.add_argument("--threshold", type=float, default=0.5, help="probability from which on the label is true")
    parser.add_argument("--withheld", default="", help="columns that the model is not given, joined by commas")
    parser.add_argument("--train", type=Path, default=environment.get("SM_CHANNEL_TRAIN"))
    parser.add_argument("--validation", type=Path, default=environment.get("SM_CHANNEL_VALIDATION"))
    parser.add_argument("--model_dir", type=Path, default=environment.get("SM_MODEL_DIR"))
    return parser.parse_args(arguments)


def read(channel: Path) -> pa.Table:
    """Read the rows of a channel, in the order of their metadata columns, which are then dropped.

    Raises:
        ValueError: There are none.
    """
    tables = [pq.ParquetFile(path).read() for path in sorted(channel.rglob("*.parquet"))]
    rows = pa.concat_tables(tables) if tables else pa.table({})
    if not rows.num_rows:
        raise ValueError(f"no rows in the channel {channel.name}")
    metadata = sorted(name for name in rows.column_names if name.startswith("_"))
    ordered = rows.sort_by([(name, "ascending") for name in metadata]) if metadata else rows
    return ordered.drop_columns(metadata)


def describe(rows: pa.Table, left_out: Sequence[str]) -> list[dict[str, Any]]:
    """Give the features, sorted by name.

    Raises:
        ValueError: A column has a type that is no feature.
    """
    described = []
    for name in sorted(set(rows.column_names) - set(left_out)):
        kind = rows.schema.field(name).type
        if pa.types.is_boolean(kind):
            described.append({"name": name, "type": "boolean"})
        elif pa.types.is_integer(kind):
            described.append({"name": name, "type": "integer"})
        elif pa.types.is_floating(kind):
            described.append({"name": name, "type": "number"})
        elif pa.types.is_string(kind):
            categories = sorted(pc.unique(rows[name]).drop_null().to_pylist())
            described.append({"name": name, "type": "category", "categories": categories})
        else:
            raise ValueError(f"column {name} is {kind}; allowed are booleans, integers, floats and strings")
    return described


def numbers(rows: pa.Table, name: str) -> Floats:
    """Give a column as numbers, NaN for gaps."""
    column: Floats = rows[name].combine_chunks().cast(pa.float64()).to_numpy(zero_copy_only=False)
    return column


def learn_design(rows: pa.Table, features: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Give the columns of the design; centre and scale are median and standard deviation of what is known."""
    columns = []
    for feature in features:
        if "categories" in feature:
            columns += [Column(feature["name"], category, 0.0, 1.0) for category in feature["categories"]]
            continue
        known = numbers(rows, feature["name"])
        known = known[np.isfinite(known)]
        spread = float(known.std()) if len(known) else 0.0
        columns.append(Column(feature["name"], None, float(np.median(known)) if len(known) else 0.0, spread or 1.0))
    return columns


def design(rows: pa.Table, columns: Sequence[Column]) -> Floats:
    """Give the rows as the regression takes them, shape (rows, columns)."""
    made = []
    for column in columns:
        if column.category is not None:
            equal = pc.equal(rows[column.feature], column.category).combine_chunks()
            made.append(equal.fill_null(False).cast(pa.float64()).to_numpy(zero_copy_only=False))
        else:
            known = numbers(rows, column.feature)
            made.append((np.where(np.isfinite(known), known, column.centre) - column.centre) / column.scale)
    return np.column_stack(made)


def labels(rows: pa.Table, target: str) -> npt.NDArray[np.bool_]:
    """Give the target.

    Raises:
        ValueError: It is the same in every row.
    """
    truth: npt.NDArray[np.bool_] = rows[target].combine_chunks().to_numpy(zero_copy_only=False).astype(np.bool_)
    if truth.all() or not truth.any():
        raise ValueError(f"{target} is the same in all {len(truth)} rows: there is nothing to learn")
    return truth


def run(options: argparse.Namespace) -> None:
    """Train, print how good it is, and write the model."""
    train, validation = read(options.train), read(options.validation)
    withheld = [name for name in options.withheld.split(",") if name]
    features = describe(train, [options.target, *withheld])
    columns = learn_design(train, features)
    regression = LogisticRegression(C=1 / options.penalty, max_iter=1000, tol=1e-8, random_state=options.seed)
    regression.fit(design(train, columns), labels(train, options.target))
    for name, rows in (("train", train), ("validation", validation)):
        probabilities = regression.predict_proba(design(rows, columns))[:, 1]
        sys.stdout.write(f"{name}-auc:{roc_auc_score(labels(rows, options.target), probabilities):.6f}\n")
    weights = [float(weight) for weight in regression.coef_[0]]
    if not all(map(math.isfinite, weights)):
        raise ValueError("the regression has no finite weights")
    write(options, features, columns, weights, float(regression.intercept_[0]))


def write(
    options: argparse.Namespace,
    features: Sequence[Mapping[str, Any]],
    columns: Sequence[Column],
    weights: Sequence[float],
    intercept: float,
) -> None:
    """Write what the archive holds."""
    terms = [{**vars(column), "weight": weight} for column, weight in zip(columns, weights, strict=True)]
    documents = {
        "model.json": {"intercept": intercept, "terms": terms},
        "features.json": {"target": options.target, "threshold": options.threshold, "features": list(features)},
    }
    (options.model_dir / "code").mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        (options.model_dir / name).write_text(json.dumps(document, indent=1), encoding="utf-8")
    shutil.copyfile(Path(__file__).with_name("inference.py"), options.model_dir / "code" / "inference.py")


if __name__ == "__main__":
    try:
        run(parse(sys.argv[1:], os.environ))
    except Exception as error:
        failed = Path(os.environ.get("SM_OUTPUT_DIR", "/opt/ml/output"))
        failed.mkdir(parents=True, exist_ok=True)
        (failed / "failure").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        raise
