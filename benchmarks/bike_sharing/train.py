"""Trains boosted trees on a number, by XGBoost in script mode: the mean absolute error is what they make small."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xgboost as xgb

Features = list[dict[str, Any]]


def read(channel: str) -> pa.Table:
    """Read the rows of a channel without their metadata."""
    files = sorted(Path(os.environ[f"SM_CHANNEL_{channel.upper()}"]).rglob("*.parquet"))
    rows = pa.concat_tables([pq.ParquetFile(path).read() for path in files])
    return rows.drop_columns([name for name in rows.column_names if name.startswith("_")])


def describe(rows: pa.Table, target: str) -> Features:
    """Give name and type of every feature, of a text its values as well."""
    described: Features = []
    for name in sorted(set(rows.column_names) - {target}):
        if pa.types.is_string(rows.schema.field(name).type):
            values = sorted(pc.unique(rows[name]).drop_null().to_pylist())
            described.append({"name": name, "type": "category", "categories": values})
        else:
            described.append({"name": name, "type": "number"})
    return described


def matrix(rows: pa.Table, features: Features) -> npt.NDArray[np.float64]:
    """Give the rows as numbers, shape (rows, features): the place of a text among its values, NaN for none."""
    columns = []
    for feature in features:
        column = rows[feature["name"]].combine_chunks()
        if "categories" in feature:
            column = pc.index_in(column, value_set=pa.array(feature["categories"], pa.string()))
        columns.append(column.cast(pa.float64()).to_numpy(zero_copy_only=False))
    return np.column_stack(columns)


def main() -> None:
    """Train and write the model."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--target", required=True)
    for name, kind, default in (
        ("seed", int, 0),
        ("num_round", int, 300),
        ("eta", float, 0.05),
        ("max_depth", int, 6),
        ("early_stopping_rounds", int, 20),
    ):
        parser.add_argument(f"--{name}", type=kind, default=default)
    given = parser.parse_args()
    train, validation = read("train"), read("validation")
    features = describe(train, given.target)
    data = [
        xgb.DMatrix(matrix(rows, features), label=rows[given.target].cast(pa.float64()).to_numpy())
        for rows in (train, validation)
    ]
    parameters = {
        "objective": "reg:absoluteerror",
        "eval_metric": "mae",
        "tree_method": "hist",
        "max_depth": given.max_depth,
        "eta": given.eta,
        "seed": given.seed,
    }
    patience = xgb.callback.EarlyStopping(rounds=given.early_stopping_rounds, save_best=True)
    booster = xgb.train(
        parameters,
        data[0],
        num_boost_round=given.num_round,
        evals=[(data[1], "validation")],
        verbose_eval=False,
        callbacks=[patience],
    )
    folder = Path(os.environ["SM_MODEL_DIR"])
    booster.save_model(folder / "model.ubj")
    (folder / "features.json").write_text(json.dumps({"target": given.target, "features": features}), encoding="utf-8")
    (folder / "code").mkdir()
    shutil.copyfile(Path(__file__).with_name("inference.py"), folder / "code" / "inference.py")


if __name__ == "__main__":
    main()
