"""Fits a logistic regression of scikit-learn for each region, and writes each down as numbers."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression

from gapless_segments import Segments, TooLittle

NUMBERS = ("amount", "items")
DESCRIBED = [{"name": name, "type": "number"} for name in NUMBERS] + [
    {"name": name, "type": "text"} for name in ("channel", "region")
]


def read(folder: str) -> pa.Table:
    """Read a channel, in an order that does not depend on its files."""
    files = sorted(Path(folder).rglob("*.parquet"))
    return pa.concat_tables([pq.ParquetFile(file).read() for file in files]).sort_by("_row_id")


def main() -> None:
    """Train on the channel and write the set of models."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", required=True)
    options, _ = parser.parse_known_args()

    def fit(rows: pa.Table, folder: Path) -> None:
        labels = rows[options.target].to_numpy()
        if len(set(labels)) < 2:
            raise TooLittle("one class only")
        numbers = np.column_stack([rows[name].cast(pa.float64()).fill_null(0).to_numpy() for name in NUMBERS])
        model = LogisticRegression(max_iter=1000).fit(numbers, labels)
        weights = dict(zip(NUMBERS, model.coef_[0].tolist(), strict=True))
        content = {"intercept": float(model.intercept_[0]), "weights": weights}
        (folder / "model.json").write_text(json.dumps(content))

    described = {"target": options.target, "features": DESCRIBED}
    rows, own = read(os.environ["SM_CHANNEL_TRAIN"]), Path(__file__).with_name("inference.py")
    Segments.of_job().train(rows, fit, Path(os.environ["SM_MODEL_DIR"]), features=described, own=own)


if __name__ == "__main__":
    main()
