"""Trains a logistic regression of scikit-learn and writes it down as numbers: no pickle is needed to load them.

Tells the log loss on the validation split, by which it can be tuned.

Writes ``model.json`` (``{"intercept", "weights": {column: weight}}``), ``features.json`` and ``code/inference.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

NUMBERS = ("amount", "items")
WORDS = {"channel": ("shop", "web"), "region": ("north", "south", "west")}
COLUMNS = [*NUMBERS, *(f"{name}={word}" for name, words in WORDS.items() for word in words)]


def matrix(table: pa.Table) -> np.ndarray:
    """Give the rows as numbers, shape (rows, columns); what is missing counts as nothing."""
    numbers = [table[name].cast(pa.float64()).fill_null(0).to_numpy() for name in NUMBERS]
    words = {name: np.array(table[name].to_pylist(), dtype=object) for name in WORDS}
    flags = [(words[name] == word).astype(float) for name in WORDS for word in WORDS[name]]
    return np.column_stack([*numbers, *flags])


def read(folder: str) -> pa.Table:
    """Read a channel, in an order that does not depend on its files."""
    files = sorted(Path(folder).rglob("*.parquet"))
    return pa.concat_tables([pq.ParquetFile(file).read() for file in files]).sort_by("_row_id")


def main() -> None:
    """Train on the channel and write the model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", required=True)
    parser.add_argument("--strength", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    table, validation = (read(os.environ[f"SM_CHANNEL_{name}"]) for name in ("TRAIN", "VALIDATION"))
    model = LogisticRegression(C=options.strength, max_iter=1000, random_state=options.seed)
    model.fit(matrix(table), table[options.target].to_numpy())
    chances = model.predict_proba(matrix(validation))[:, 1]
    loss = log_loss(validation[options.target].to_numpy(), chances, labels=[False, True])
    sys.stdout.write(f"validation-log_loss:{loss:.6f}\n")
    target = Path(os.environ["SM_MODEL_DIR"])
    weights = dict(zip(COLUMNS, model.coef_[0].tolist(), strict=True))
    (target / "model.json").write_text(json.dumps({"intercept": float(model.intercept_[0]), "weights": weights}))
    described = [{"name": name, "type": "number"} for name in NUMBERS] + [
        {"name": name, "type": "text"} for name in WORDS
    ]
    (target / "features.json").write_text(json.dumps({"target": options.target, "features": described}))
    (target / "code").mkdir(exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("inference.py"), target / "code" / "inference.py")


if __name__ == "__main__":
    main()
