"""The training script as the XGBoost image runs it, and the code that answers requests with what it wrote."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[3]
WORKLOAD = Path(__file__).parents[1]
ROWS = 3000
AIRPORTS = ("ATL", "BOS", "Ōsaka", 'quo"te')
FLIGHT = {"dest": "ATL", "distance": 760, "temp": 41.5, "international": False}


def flights(rows: int, seed: int) -> pa.Table:
    """Typed rows as the data job writes them; flights to ATL and long ones are late more often."""
    random = np.random.default_rng(seed)
    dest = np.array([*AIRPORTS, None], dtype=object)[random.integers(0, len(AIRPORTS) + 1, rows)]
    distance = random.integers(100, 3000, rows)
    temp = random.normal(50, 10, rows)
    late = random.random(rows) < 1 / (1 + np.exp(2 - distance / 1500 - (dest == "ATL")))
    return pa.table(
        {
            "_row_id": pa.array(range(rows), pa.int64()),
            "dest": pa.array(dest.tolist(), pa.string()),
            "distance": pa.array(distance, pa.int32()),
            "temp": pa.array(np.where(temp > 65, np.nan, temp), pa.float64(), from_pandas=True),
            "international": pa.array(dest == "Ōsaka", pa.bool_()),
            "late": pa.array(late, pa.bool_()),
        }
    )


def write_split(folder: Path, table: pa.Table, parts: int = 2) -> None:
    folder.mkdir(parents=True)
    step = -(-table.num_rows // parts) or 1
    for part in range(parts):
        pq.write_table(table.slice(part * step, step), folder / f"part-{part}.parquet")


def train(root: Path, *hyperparameters: str, script: Path = WORKLOAD / "train.py") -> subprocess.CompletedProcess[str]:
    """Run the script as the image does: channels and directories in SM_* variables, hyperparameters as arguments."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT / "sagemaker_jobs" / "in_scripts"),
        "SM_CHANNEL_TRAIN": str(root / "train"),
        "SM_CHANNEL_VALIDATION": str(root / "validation"),
        "SM_MODEL_DIR": str(root / "model"),
        "SM_OUTPUT_DIR": str(root / "output"),
    }
    arguments = [sys.executable, str(script), "--target", "late", "--num_round", "15", *hyperparameters]
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=120, check=False)


def prepared(root: Path, **splits: pa.Table) -> Path:
    """Write the channels; those that are not given are ordinary ones."""
    tables = {"train": flights(ROWS, 1), "validation": flights(ROWS // 3, 2), **splits}
    for name, table in tables.items():
        write_split(root / name / "nested", table)
    return root


def imported(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = prepared(tmp_path_factory.mktemp("trained"))
    done = train(root, "--seed", "7", "--subsample", "0.7")
    assert done.returncode == 0, done.stderr
    (root / "stdout").write_text(done.stdout)
    return root


@pytest.fixture(scope="module")
def code(trained: Path) -> ModuleType:
    """The inference code out of the model directory, not out of the checkout."""
    return imported(trained / "model/code/inference.py", "code_of_the_archive")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The training script as a module, for failures that need no process of their own."""
    return imported(WORKLOAD / "train.py", "script_of_the_workload")


@pytest.fixture(scope="module")
def model(code: ModuleType, trained: Path) -> Any:
    return code.model_fn(str(trained / "model"))


def ask(code: ModuleType, model: Any, body: str | bytes) -> list[dict[str, Any]]:
    predictions = code.predict_fn(code.input_fn(body, "application/json"), model)
    answer: list[dict[str, Any]] = json.loads(code.output_fn(predictions, "*/*"))["predictions"]
    return answer


def body_of(*instances: Any) -> str:
    return json.dumps({"instances": list(instances)})


# --- training --------------------------------------------------------------------------------------------------------


def test_writes_the_model_without_a_pickle(trained: Path) -> None:
    written = {path.relative_to(trained / "model").as_posix() for path in (trained / "model").rglob("*.*")}
    assert written == {"model.ubj", "features.json", "code/inference.py"}
    assert (trained / "model/code/inference.py").read_bytes() == (WORKLOAD / "inference.py").read_bytes()


def test_stores_the_encoding_and_leaves_out_target_and_metadata(trained: Path) -> None:
    described = json.loads((trained / "model/features.json").read_text())
    assert described == {
        "target": "late",
        "threshold": 0.5,
        "features": [
            {"name": "dest", "type": "category", "categories": sorted(AIRPORTS)},
            {"name": "distance", "type": "integer"},
            {"name": "international", "type": "boolean"},
            {"name": "temp", "type": "number"},
        ],
    }


def test_prints_metrics_that_a_regular_expression_can_read(trained: Path) -> None:
    printed = (trained / "stdout").read_text()
    for name in ("train-auc", "validation-auc", "train-logloss", "validation-logloss"):
        values = [float(value) for value in re.findall(rf"{name}:([0-9.]+)", printed)]
        assert len(values) >= 2
        assert all(0 < value < 1 for value in values)
    best = max(float(value) for value in re.findall(r"validation-auc:([0-9.]+)", printed))
    assert float(re.findall(r"validation-auc:([0-9.]+)", printed)[-1]) == pytest.approx(best, abs=1e-5)
    assert best > 0.6


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(trained: Path, tmp_path: Path) -> None:
    again, other = prepared(tmp_path / "again"), prepared(tmp_path / "other")
    assert train(again, "--seed", "7", "--subsample", "0.7").returncode == 0
    assert train(other, "--seed", "8", "--subsample", "0.7").returncode == 0
    for name in ("model.ubj", "features.json"):
        assert digest(again / "model" / name) == digest(trained / "model" / name)
    assert digest(other / "model/model.ubj") != digest(trained / "model/model.ubj")


def test_the_order_of_files_and_rows_does_not_count(script: ModuleType, tmp_path: Path) -> None:
    ordered = flights(ROWS, 1)
    shuffled = ordered.take(np.random.default_rng(5).permutation(ROWS))
    write_split(tmp_path / "ordered", ordered)
    write_split(tmp_path / "shuffled", shuffled, parts=3)
    first, second = (script.read_channel(tmp_path / name) for name in ("ordered", "shuffled"))
    assert first.equals(second)
    assert not ordered.drop_columns(["_row_id"]).equals(shuffled.drop_columns(["_row_id"]))


def renamed(table: pa.Table, old: str, new: str) -> pa.Table:
    return table.rename_columns([new if name == old else name for name in table.column_names])


def with_column(name: str, values: pa.Array) -> pa.Table:
    table = flights(len(values), 1)
    position = table.column_names.index(name) if name in table.column_names else table.num_columns
    kept = table.drop_columns([name]) if name in table.column_names else table
    return kept.add_column(min(position, kept.num_columns), name, values)


BAD_CHANNELS = {
    "no rows": ({"train": flights(0, 1)}, "channel without rows"),
    "no target": ({"train": renamed(flights(9, 1), "late", "tardy")}, "target missing: late"),
    "target with gaps": ({"train": with_column("late", pa.array([True, None, False]))}, "1 gaps; allowed is boolean"),
    "target of text": ({"train": with_column("late", pa.array(["yes", "no"]))}, "target late is string"),
    "target always the same": ({"train": with_column("late", pa.array([True] * 9))}, "the same in all 9 rows"),
    "unknown type": ({"train": with_column("day", pa.array([1], pa.date32()))}, "type of column day is date32"),
    "feature missing later": ({"validation": renamed(flights(9, 1), "temp", "t")}, "features missing: temp"),
    "nothing to learn from": ({"train": flights(9, 1).select(["late", "_row_id"])}, "no features"),
}


def failure(script: ModuleType, root: Path, *hyperparameters: str) -> str:
    """Train in this process, see it raise, and give the reason that it left."""
    environment = {f"SM_CHANNEL_{name.upper()}": str(root / name) for name in ("train", "validation")}
    environment |= {"SM_MODEL_DIR": str(root / "model"), "SM_OUTPUT_DIR": str(root / "output")}
    with pytest.raises(ValueError, match=r"\w") as raised:
        script.main(["--target", "late", *hyperparameters], environment)
    assert not (root / "model").exists()
    reason = (root / "output/failure").read_text()
    assert reason == f"ValueError: {raised.value}"
    return reason


@pytest.mark.parametrize("name", BAD_CHANNELS)
def test_leaves_the_reason_when_the_channels_are_bad(script: ModuleType, tmp_path: Path, name: str) -> None:
    splits, reason = BAD_CHANNELS[name]
    assert reason in failure(script, prepared(tmp_path, **splits))


def test_leaves_the_reason_when_a_channel_is_empty(script: ModuleType, tmp_path: Path) -> None:
    assert "channel without Parquet files" in failure(script, tmp_path)


def test_leaves_the_reason_when_parts_differ_in_their_columns(script: ModuleType, tmp_path: Path) -> None:
    prepared(tmp_path)
    pq.write_table(flights(9, 1).drop_columns(["temp"]), tmp_path / "train/part-9.parquet")
    assert "columns of part-9.parquet differ" in failure(script, tmp_path)


@pytest.mark.parametrize(
    ("hyperparameters", "reason"),
    [
        (("--max_dept", "3"), "unrecognized arguments: --max_dept 3"),
        (("--eta", "fast"), "argument --eta: invalid float value: 'fast'"),
    ],
)
def test_leaves_the_reason_when_a_hyperparameter_is_wrong(
    script: ModuleType, tmp_path: Path, hyperparameters: Sequence[str], reason: str
) -> None:
    assert reason in failure(script, tmp_path, *hyperparameters)


def test_a_failure_ends_the_process_with_a_status_and_its_reason(tmp_path: Path) -> None:
    done = train(tmp_path)
    assert done.returncode != 0
    assert (tmp_path / "output/failure").read_text().splitlines()[0] in done.stderr


# --- inference -------------------------------------------------------------------------------------------------------


def test_answers_with_probabilities_and_labels_in_order(code: ModuleType, model: Any) -> None:
    near, far = {**FLIGHT, "dest": "BOS", "distance": 100}, {**FLIGHT, "distance": 2999}
    first, second = ask(code, model, body_of(near, far))
    assert first["probability"] < second["probability"]
    assert [second, first] == ask(code, model, body_of(far, near).encode())
    assert all(p["label"] is (p["probability"] >= 0.5) for p in (first, second))


def test_requests_and_training_encode_alike(code: ModuleType, script: ModuleType, model: Any, trained: Path) -> None:
    table = script.read_channel(trained / "validation")
    matrix = script.to_matrix(table, script.learn_features(script.read_channel(trained / "train"), "late"))
    rows = table.select(model.names).to_pylist()
    asked = [prediction["probability"] for prediction in ask(code, model, body_of(*rows))]
    assert asked == pytest.approx(model.booster.inplace_predict(matrix).tolist(), abs=1e-7)


def test_treats_an_unseen_category_as_missing(code: ModuleType, model: Any) -> None:
    unseen, missing, seen = ask(
        code, model, body_of({**FLIGHT, "dest": "ZZZ"}, {**FLIGHT, "dest": None}, {**FLIGHT, "dest": "ATL"})
    )
    assert unseen == missing
    assert unseen != seen


def test_takes_null_for_every_feature(code: ModuleType, model: Any) -> None:
    (answer,) = ask(code, model, body_of(dict.fromkeys(FLIGHT)))
    assert 0 < answer["probability"] < 1


BAD_BODIES = {
    "": "body: not JSON",
    "{": "body: not JSON",
    "\ud800": "body: not JSON",
    "[" * 100_000: "body: not JSON",
    "null": "body: given 'NoneType'; allowed is an object with the one member instances",
    "[]": "body: given 'list'",
    '{"instances": [], "more": 1}': "body: given ['instances', 'more']",
    '{"instances": []}': "instances: given []; allowed is a list of at least one instance",
    '{"instances": {}}': "instances: given {}",
    body_of("ATL"): "instances[0]: given 'ATL'; allowed is an object of features",
    body_of(FLIGHT, {**FLIGHT, "gate": 3}): "instances[1]: unknown feature 'gate'; allowed are dest, distance",
    body_of({"dest": "ATL"}): "instances[0]: feature distance is missing; give null",
    body_of({**FLIGHT, "dest": 3}): "instances[0].dest: given 3; allowed is a string or null",
    body_of({**FLIGHT, "distance": 1.5}): "instances[0].distance: given 1.5; allowed is a whole number or null",
    body_of({**FLIGHT, "distance": True}): "instances[0].distance: given True; allowed is a whole number or null",
    body_of({**FLIGHT, "distance": "1"}): "instances[0].distance: given '1'; allowed is a whole number or null",
    body_of(
        {**FLIGHT, "temp": "warm"}
    ): "instances[0].temp: given 'warm'; allowed is a finite number of 32 bits or null",
    body_of({**FLIGHT, "temp": math.nan}): "body: given the number NaN; allowed are finite numbers and null",
    body_of({**FLIGHT, "temp": -math.inf}): "body: given the number -Infinity",
    body_of({**FLIGHT, "temp": 10**400}): "instances[0].temp: given 1000",
    body_of({**FLIGHT, "temp": -3.5e38}): "instances[0].temp: given -3.5e+38",
    body_of({**FLIGHT, "temp": 1}).replace('"temp": 1', '"temp": 1e999'): "instances[0].temp: given inf",
    body_of({**FLIGHT, "international": 1}): "instances[0].international: given 1; allowed is true, false or null",
    body_of({**FLIGHT, "international": "x" * 10**6}): "instances[0].international: given 'xxx",
}


@pytest.mark.parametrize("body", BAD_BODIES, ids=[reason[:40] for reason in BAD_BODIES.values()])
def test_refuses_a_bad_request_with_field_value_and_what_is_allowed(code: ModuleType, model: Any, body: str) -> None:
    with pytest.raises(code.BadRequest) as refusal:
        ask(code, model, body)
    assert str(refusal.value).startswith(BAD_BODIES[body])
    assert len(str(refusal.value)) < 400
    assert issubclass(code.BadRequest, ValueError)
    assert vars(refusal.value) == {"status_code": 400, "phrase": "Bad Request", "message": str(refusal.value)}


def test_refuses_other_content_types(code: ModuleType) -> None:
    with pytest.raises(code.BadRequest, match="content type: given 'text/csv'; allowed is application/json"):
        code.input_fn("1,2", "text/csv")
    assert code.input_fn(body_of(FLIGHT), "application/json; charset=utf-8") == [FLIGHT]


def test_refuses_to_answer_in_another_format(code: ModuleType) -> None:
    with pytest.raises(code.BadRequest, match="accept: given 'text/csv'; allowed is application/json"):
        code.output_fn([{"probability": 0.5, "label": True}], "text/csv")


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_NAMES = st.sampled_from(sorted(FLIGHT)) | st.text(max_size=8)
_GOOD = {
    "dest": st.none() | st.text(max_size=5),
    "distance": st.none() | st.integers(-(10**9), 10**9),
    "temp": st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
    "international": st.none() | st.booleans(),
}


def fits(name: str, value: Any) -> bool:
    """What the request's contract allows, said once more in another way."""
    number = type(value) in (int, float) and -3.4028235e38 < value < 3.4028235e38
    return value is None or {
        "dest": isinstance(value, str),
        "distance": number and value == math.floor(value),
        "temp": number,
        "international": value is True or value is False,
    }.get(name, False)


@settings(max_examples=300, deadline=None)
@given(instance=st.dictionaries(_NAMES, _ANYTHING, max_size=6) | st.fixed_dictionaries(_GOOD))
def test_answers_every_fitting_request_and_refuses_every_other(
    code: ModuleType, model: Any, instance: dict[str, Any]
) -> None:
    body = body_of(instance)
    if instance.keys() == FLIGHT.keys() and all(fits(name, value) for name, value in instance.items()):
        (answer,) = ask(code, model, body)
        assert 0 <= answer["probability"] <= 1
    else:
        with pytest.raises(code.BadRequest):
            ask(code, model, body)


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=60) | st.text(max_size=60) | _ANYTHING.map(json.dumps))
def test_refuses_any_body_that_is_no_request(code: ModuleType, model: Any, body: str | bytes) -> None:
    with pytest.raises(code.BadRequest):
        ask(code, model, body)


def test_refuses_a_model_whose_features_are_not_those_of_the_trees(
    code: ModuleType, trained: Path, tmp_path: Path
) -> None:
    described = json.loads((trained / "model/features.json").read_text())
    described["features"].pop()
    (tmp_path / "features.json").write_text(json.dumps(described))
    (tmp_path / "model.ubj").write_bytes((trained / "model/model.ubj").read_bytes())
    with pytest.raises(ValueError, match=r"features\.json has 3 features; the model has 4"):
        code.model_fn(str(tmp_path))


# --- windows ---------------------------------------------------------------------------------------------------------


def timed(table: pa.Table, days: int) -> pa.Table:
    """The same rows, spread evenly over so many days."""
    times = np.datetime64("2013-01-01", "us") + np.linspace(0, days * 86_400e6, table.num_rows).astype(
        "timedelta64[us]"
    )
    return table.append_column("_event_time", pa.array(times, pa.timestamp("us", tz="UTC")))


def changed(rows: int, seed: int) -> pa.Table:
    """Flights of a world in which, for the last two fifths of the time, the opposite of before is late."""
    table = flights(rows, seed)
    late = table["late"].to_numpy().copy()
    late[rows * 3 // 5 :] ^= True
    return timed(table.set_column(table.column_names.index("late"), "late", pa.array(late)), 100)


WEIGHTED = {"kind": "weighted", "half_life_days": 50}
BACK_TEST = {
    "kind": "back_test",
    "candidates": [{"kind": "sliding", "days": 20}, WEIGHTED],
    "steps": 1,
    "step_days": 15,
    "min_rows": 100,
}


def train_here(root: Path, patch: pytest.MonkeyPatch, window: dict[str, Any] | None) -> Path:
    """Run the script in this process, which takes less time; give the folder of the model."""
    patch.delenv("GAPLESS_WINDOW", raising=False)
    if window is not None:
        patch.setenv("GAPLESS_WINDOW", json.dumps(window))
    places = {
        "CHANNEL_TRAIN": "train",
        "CHANNEL_VALIDATION": "validation",
        "MODEL_DIR": "model",
        "OUTPUT_DIR": "output",
    }
    environment = {f"SM_{name}": str(root / folder) for name, folder in places.items()}
    script = imported(WORKLOAD / "train.py", "train_with_windows")
    script.main(["--target", "late", "--num_round", "15", "--seed", "7", "--subsample", "0.7"], environment)
    return root / "model"


def test_a_window_is_chosen_by_back_test_and_saved_beside_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = train_here(prepared(tmp_path, train=changed(ROWS, 1)), monkeypatch, BACK_TEST)
    found = json.loads((model / "window.json").read_text())
    assert found["window"] == {"kind": "sliding", "days": 20.0}
    assert (found["rows"], found["of_rows"]) == (pytest.approx(ROWS / 5, abs=2), ROWS)
    reached = {each["kind"]: each["quality"] for each in found["candidates"]}
    assert reached["sliding"] > 0.55 > reached["expanding"]


def test_weights_by_age_change_the_model_and_rows_without_a_window_do_not(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = prepared(tmp_path, train=timed(flights(ROWS, 1), 100))
    seen = {}
    for name, window in (("plain", None), ("all", {"kind": "expanding"}), ("half", WEIGHTED)):
        model = train_here(root, monkeypatch, window)
        assert (model / "window.json").exists() == (window is not None)
        seen[name] = digest(model / "model.ubj")
    assert digest(trained / "model" / "model.ubj") == seen["plain"] == seen["all"] != seen["half"]


def test_a_window_over_rows_without_times_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="a window is asked for, and the rows have no _event_time"):
        train_here(prepared(tmp_path), monkeypatch, {"kind": "expanding"})
