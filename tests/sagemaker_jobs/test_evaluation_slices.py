"""Slices of the test split, and what the job makes of each problem."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import evaluate
from gapless_sagemaker.evaluation.binary import BinaryScores
from gapless_sagemaker.evaluation.slices import Slicing, measure_slices, slices_of
from gapless_sagemaker.evaluation.split import BadTestSplit
from gapless_sagemaker.predictions import BadPredictions, write_requests
from tests.sagemaker_jobs.options_folder import options_folder
from tests.sagemaker_jobs.test_scoring_jobs import archive, transform

ROWS = 400
TABLE = pa.table(
    {
        "origin": pa.array([["EWR", "JFK", "LGA", None][n % 4] if n < 390 else "SWF" for n in range(ROWS)]),
        "distance": pa.array([float(n) if n % 10 else np.nan for n in range(ROWS)]),
        "seats": pa.array([n % 20 for n in range(ROWS)], pa.int32()),
        "late": pa.array([n % 3 == 0 for n in range(ROWS)]),
        "delay": pa.array([float(n % 7) for n in range(ROWS)]),
        "carrier": pa.array([["UA", "DL", "AA"][n % 3] for n in range(ROWS)]),
    }
)


def cut(**slicing: Any) -> dict[str, int]:
    """The slices and how many rows they have."""
    return {name: int(chosen.sum()) for name, chosen in slices_of(TABLE, Slicing(**slicing))}


def test_cuts_by_value_the_most_frequent_first() -> None:
    assert cut(column="origin") == {"EWR": 98, "JFK": 98, "LGA": 97, "SWF": 10, "(missing)": 97}
    assert list(cut(column="late")) == ["false", "true"]


def test_the_rarest_of_many_values_are_one_slice() -> None:
    found = cut(column="seats")
    assert len(found) == 13
    assert found["(others)"] == 8 * 20


def test_cuts_by_the_values_that_are_named() -> None:
    assert cut(column="origin", values=["JFK", "BOS"]) == {"JFK": 98, "(others)": 205, "(missing)": 97}


def test_cuts_by_ranges_that_begin_with_their_lower_bound() -> None:
    assert cut(column="distance", bins=[101.0, 201.0]) == {
        "below 101": 90,
        "101 to 201": 90,
        "from 201": 180,
        "(missing)": 40,
    }


def test_refuses_a_column_that_is_not_there() -> None:
    with pytest.raises(BadTestSplit, match="column of a slice missing: dest; given are origin, distance"):
        cut(column="dest")


def test_measures_each_slice_that_has_enough_rows() -> None:
    truth = TABLE["late"].to_numpy()
    said = np.clip(truth * 0.2 + np.random.default_rng(1).random(ROWS) * 0.8, 0, 1)
    scored = BinaryScores(truth, said, said > 0.5)
    found = measure_slices(scored, TABLE, [Slicing("origin")], metric="auc", fewest_rows=50, seed=1)
    chosen = np.array(TABLE["origin"].to_pylist()) == "EWR"
    first, *_, small, _ = found
    assert first["metrics"] == scored.some(chosen).metrics()
    assert first["interval"]["low"] < first["metrics"]["auc"] < first["interval"]["high"]
    assert small == {
        "column": "origin",
        "slice": "SWF",
        "rows": 10,
        "enough": False,
        "metrics": {},
        "interval": None,
    }


def test_a_slice_of_one_class_has_no_ranking() -> None:
    truth = TABLE["late"].to_numpy()
    scored = BinaryScores(truth, np.full(ROWS, 0.3), np.zeros(ROWS, bool))
    no, yes = measure_slices(scored, TABLE, [Slicing("late")], metric="auc", fewest_rows=20, seed=1)
    assert "auc" not in no["metrics"] and no["interval"] is None
    assert yes["metrics"]["accuracy"] == 0.0


# --- the whole job, by problem ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The test split, and its rows as requests."""
    root = tmp_path_factory.mktemp("place")
    (root / "test").mkdir()
    pq.write_table(TABLE, root / "test/part-0.parquet")
    write_requests(root / "requests", TABLE.to_pylist())
    return root / "test", root / "requests"


def of_class(row: dict[str, Any]) -> dict[str, Any]:
    shares = {"UA": 0.2, "DL": 0.2, "AA": 0.2}
    return {"probabilities": {**shares, row["carrier"]: 0.6}, "label": row["carrier"]}


SLICES = {"column": "carrier", "values": None, "bins": None}
PROBLEMS: dict[str, tuple[str | None, str, Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "multiclass_classification": ("carrier", "mcc", of_class, "confusion"),
    "regression": ("delay", "rmse", lambda row: {"value": row["delay"] + row["seats"] % 2}, "errors"),
    "clustering": (None, "mean_distance", lambda row: {"cluster": row["seats"] % 3, "distance": 1.5}, "clusters"),
    "projection": (None, "mean_error", lambda row: {"projection": [row["seats"]], "error": row["delay"]}, "errors"),
}


DRAWN = {
    "confusion": "True class down, predicted class across",
    "errors": "How far off the model is",
    "clusters": "Rows per cluster",
}
"""What the report says of a curve."""


def run(place: tuple[Path, Path], folder: Path, answer: Any, champion: Any = None, **asked: Any) -> dict[str, Any]:
    """Evaluate a model by its answers; give what is written."""
    test, requests = place
    options = evaluate.Options(
        model=archive(folder / "model"),
        champion=archive(folder / "champion") if champion is not None else None,
        test=test,
        options=options_folder(folder / "options", **asked),
        version="v1",
        output=folder / "output",
        predictions=transform(requests, folder / "answers", answer),
        champion_predictions=transform(requests, folder / "other", champion) if champion is not None else None,
    )
    (folder / "scratch").mkdir()
    evaluate.run(options, folder / "scratch")
    written = {path.name: json.loads(path.read_text()) for path in (folder / "output").glob("*.json")}
    return {**written["evaluation.json"], "details": written["details.json"]}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_evaluates_every_problem(place: tuple[Path, Path], tmp_path: Path, problem: str) -> None:
    target, metric, answer, curve = PROBLEMS[problem]
    found = run(place, tmp_path, answer, answer, problem=problem, target=target, metric=metric)
    assert (found["problem"], found["metric"], found["rows"]) == (problem, metric, ROWS)
    assert metric in found["metrics"]
    assert set(found["intervals"]) <= set(found["metrics"])
    assert found["champion"]["comparison"][metric]["difference"] == 0
    assert curve in found["details"]["curves"]
    report = (tmp_path / "output/report.html").read_text()
    assert DRAWN[curve] in report and metric in report
    assert (found["calibration"] is None) == (target is None)
    assert "positives" not in found


def test_figures_are_the_same_whenever_a_dataset_is_evaluated(place: tuple[Path, Path], tmp_path: Path) -> None:
    target, metric, answer, _ = PROBLEMS["regression"]
    asked = {"problem": "regression", "target": target, "metric": metric, "slices": [SLICES]}
    first, second = (run(place, made(tmp_path / name), answer, **asked) for name in ("one", "two"))
    for figures in (first, second):  # the same content, packed at another time
        assert figures["model"].pop("archive_sha256")
    assert first == second
    assert [each["slice"] for each in first["slices"]] == ["UA", "AA", "DL"]


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_refuses_a_metric_that_the_rows_do_not_allow(place: tuple[Path, Path], tmp_path: Path) -> None:
    _, _, answer, _ = PROBLEMS["regression"]
    with pytest.raises(BadTestSplit, match="metric mape of the gate is not defined on these 400 rows"):
        run(place, tmp_path, answer, problem="regression", target="delay", metric="mape")


@pytest.mark.parametrize(
    ("problem", "target", "message"),
    [
        ("regression", "carrier", "target carrier is string with 0 gaps; allowed is int, bigint or double"),
        ("regression", "distance", "target distance is not finite in 40 of 400 rows"),
        ("multiclass_classification", "late", "target late is bool with 0 gaps; allowed is string or int"),
        ("multiclass_classification", "origin", "target origin is string with 97 gaps"),
        ("multiclass_classification", "dest", "target missing: dest"),
    ],
)
def test_refuses_a_target_that_is_not_of_the_problem(
    place: tuple[Path, Path], tmp_path: Path, problem: str, target: str, message: str
) -> None:
    answer = PROBLEMS[problem][2]
    with pytest.raises(BadTestSplit, match=message):
        run(place, tmp_path, answer, problem=problem, target=target)


def test_says_so_when_only_the_champion_answers_otherwise(place: tuple[Path, Path], tmp_path: Path) -> None:
    target, metric, answer, _ = PROBLEMS["regression"]
    with pytest.raises(BadPredictions, match="the champion's prediction 0: given"):
        run(place, tmp_path, answer, of_class, problem="regression", target=target, metric=metric)
