# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The newest dataset of a workload
#
# What the pipelines know of it, its rows, and a first model. The notebook is text: Jupyter (with jupytext) and VS Code
# open it as cells, git merges it line by line, and Python runs it from top to bottom. No pipeline runs it, so an edit
# makes no new dataset. It looks at the workload in whose folder it lies: copy it there for another one.

# %%
from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import matplotlib.pyplot as plt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost as xgb

STAGE = "dev"
FOLDER = Path(__file__).resolve().parent if "__file__" in globals() else Path.cwd()
WORKLOAD = FOLDER.name

pd.set_option("display.width", 160, "display.max_columns", 20, "display.max_colwidth", 100)
s3 = boto3.client("s3")


def read(uri: str) -> bytes:
    """The bytes of an object."""
    place = urlsplit(uri, allow_fragments=False)
    content: bytes = s3.get_object(Bucket=place.netloc, Key=place.path[1:])["Body"].read()
    return content


# %% [markdown]
# ## Which datasets there are
#
# Every published dataset is entered into an index, in order of the instant that stood for now when it was made. A
# dataset is read by its manifest, never by listing files: what no manifest names is no part of it.

# %%
stack = f"{STAGE}-{''.join(word.capitalize() for word in WORKLOAD.split('_'))}Workload"
outputs = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
bucket = next(output["OutputValue"] for output in outputs if output["OutputKey"] == "DatasetsBucket")
pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{WORKLOAD}/index/")
keys = sorted(entry["Key"] for page in pages for entry in page.get("Contents", []))
datasets = [json.loads(read(f"s3://{bucket}/{key}")) for key in keys[-10:]]
print(pd.DataFrame(datasets)[["as_of", "version"]])

manifest: dict[str, Any] = json.loads(read(datasets[-1]["manifest_uri"]))
profile: dict[str, Any] = json.loads(read(datasets[-1]["profile_uri"]))
target: str = profile["target"]["name"]

# %% [markdown]
# ## What its profile says
#
# Warnings first: a feature that tells the target too well is usually known only after the event.

# %%
print(f"{profile['rows']} rows, {target} holds in {profile['target']['share']:.1%}")
for warning in [*profile["warnings"], *(profile["comparison"] or {"warnings": []})["warnings"]]:
    print(f"- {warning['text']}")

columns = pd.DataFrame.from_dict(profile["columns"], orient="index")
told = columns[["type", "missing_share", "distinct", "strength"]].sort_values("strength", ascending=False)
print(told.head(15))

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
told["strength"].dropna().head(15).iloc[::-1].plot.barh(ax=left, xlabel="strength alone (0.5 tells nothing)")
over_time = pd.DataFrame(profile["target"]["over_time"] | {"edges": profile["target"]["over_time"]["edges"][:-1]})
(over_time["positives"] / over_time["rows"]).plot(
    ax=right, ylim=(0, 1), ylabel=f"share of {target}", xlabel="over time"
)

# %% [markdown]
# ## Its rows
#
# Training and validation rows only. The newest rows, `test`, are what the pipeline judges a model by: whoever looks at
# them while choosing features has no honest number left.


# %%
def rows_of(split: str) -> pd.DataFrame:
    """The rows of a split, as its manifest names them."""
    head, *files = json.loads(read(manifest["splits"][split]["manifest_uri"]))
    tables = [pq.read_table(io.BytesIO(read(head["prefix"] + name))) for name in files]
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    return frame


train, validation = rows_of("train"), rows_of("validation")
print(train.describe().T[["count", "mean", "min", "50%", "max"]])

# %% [markdown]
# ## A first model
#
# A quick one, to see whether an idea helps. What goes into production is `train.py`, run by the pipeline.

# %%
types = {name: column["type"] for name, column in profile["columns"].items()}
features = [name for name, kind in types.items() if kind in ("int", "bigint", "double", "boolean", "string")]
kinds = {
    name: pd.CategoricalDtype(sorted(train[name].dropna().unique())) if types[name] == "string" else "float64"
    for name in features
}


def matrix(rows: pd.DataFrame) -> xgb.DMatrix:
    """Features and target as the booster takes them; a category that the training rows lack counts as missing."""
    return xgb.DMatrix(rows[features].astype(kinds), rows[target].astype(int), enable_categorical=True)


options = {"objective": "binary:logistic", "eval_metric": "auc", "max_depth": 5, "eta": 0.15, "seed": 0}
seen: dict[str, Any] = {}
booster = xgb.train(
    options,
    matrix(train),
    num_boost_round=100,
    evals=[(matrix(validation), "validation")],
    early_stopping_rounds=10,
    evals_result=seen,
    verbose_eval=False,
)
best = max(seen["validation"]["auc"])
print(f"area under the ROC curve on {len(validation)} validation rows: {best:.3f}")
gains = pd.Series(booster.get_score(importance_type="total_gain")).sort_values(ascending=False)
print(gains.head(10))
