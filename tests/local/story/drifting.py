"""A small workload whose target changes its mind half-way, and whose features would look ahead if they could."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Sequence
from pathlib import Path

BEGIN = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
DAYS, PER_DAY = 212, 10
TURN = dt.datetime(2024, 4, 10, tzinfo=dt.UTC)

Row = tuple[dt.datetime, float, float]
"""When, what is known of it, what comes true."""

FILES = {
    "workload.yaml": """\
name: drifting
owner: drifting@example.com
problem: regression
target: y
event_time: at
primary: events
sources:
  events:
    key: [event]
    columns: {event: int, at: timestamp, x: double, y: double}
    known_later: [y]
  days:
    key: [day]
    columns: {day: date, level: double}
features: {above_mean: double, height: double}
training: {hyperparameters: {ridge: 0.001}}
gate: {metric: mae}
""",
    # Means and maxima over everything that is there: of rows that lie ahead as well, if they were not kept away.
    "features.py": """\
from pyspark.sql import functions as F


def features(sources):
    events, days = sources["events"], sources["days"]
    ahead = events.agg(F.avg("x").alias("mean")).crossJoin(days.agg(F.max("level").alias("highest")))
    known = events.crossJoin(ahead)
    return known.withColumn("above_mean", F.expr("x - mean")).withColumn("height", F.expr("x / highest"))
""",
    "train.py": """\
import json, os, shutil, sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
rows = pq.read_table(os.environ["SM_CHANNEL_TRAIN"])
inputs = np.column_stack([rows["above_mean"].to_numpy(), np.ones(rows.num_rows)])
weights = np.linalg.solve(inputs.T @ inputs + float(given["--ridge"]) * np.eye(2), inputs.T @ rows["y"].to_numpy())
folder = Path(os.environ["SM_MODEL_DIR"])
names = ["above_mean", "height"]
(folder / "features.json").write_text(
    json.dumps({"features": [{"name": name, "type": "number"} for name in names], "weights": weights.tolist()})
)
(folder / "code").mkdir()
shutil.copyfile("inference.py", folder / "code" / "inference.py")
""",
    "inference.py": """\
import json
from pathlib import Path


def model_fn(folder):
    return json.loads((Path(folder) / "features.json").read_text())["weights"]


def input_fn(body, content_type):
    return json.loads(body)["instances"]


def predict_fn(instances, weights):
    return [{"value": weights[0] * row["above_mean"] + weights[1] + 0 * row["height"]} for row in instances]


def output_fn(predictions, accept):
    return json.dumps({"predictions": predictions})
""",
}


def history() -> list[Row]:
    """Events of seven months; from the turn on the target is the contrary."""
    chance = random.Random(7)  # noqa: S311 - equal rows in every run
    rows = []
    for number in range(DAYS * PER_DAY):
        at = BEGIN + dt.timedelta(days=number / PER_DAY)
        x = chance.gauss(0, 1)
        rows.append((at, x, (2 if at < TURN else -1) * x + chance.gauss(0, 0.3)))
    return rows


TRAINING = "training: {hyperparameters: {ridge: 0.001}}\n"
"""What the workload file says of how its model is made."""

IMPATIENT = "retraining: {cooldown_days: 0, min_new_labelled_rows: 50, max_per_week: 20}\n"
"""What it may say so that every alarm leads to a training."""


def write_workload(folder: Path, rows: Sequence[Row], making: str = TRAINING, **files: str) -> None:
    """Write the workload's folder, and its data to ``data`` in it.

    Args:
        making: What its file says in place of ``TRAINING``; a model that no script of its own makes has none.
        files: More files of the folder, path to content.
    """
    (folder / "data").mkdir(parents=True)
    scripts = ("train.py", "inference.py") if "model: {kind: " not in making else ()
    for name, content in {**FILES, **files}.items():
        if name in scripts or name not in ("train.py", "inference.py"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content.replace(TRAINING, making))
    lines = [f"{number},{at:%Y-%m-%dT%H:%M:%SZ},{x:.6f},{y:.6f}" for number, (at, x, y) in enumerate(rows)]
    (folder / "data" / "events.csv").write_text("\n".join(["event,at,x,y", *lines, ""]))
    levels = {f"{at:%Y-%m-%d}": abs(x) for at, x, _ in rows}
    days = [f"{day},{level:.6f}" for day, level in levels.items()]
    (folder / "data" / "days.csv").write_text("\n".join(["day,level", *days, ""]))
