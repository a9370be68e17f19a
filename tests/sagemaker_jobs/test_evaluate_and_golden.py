"""The jobs as they run: one zip file, executed in a process of its own, on archives that a training script wrote."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import platform
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost as xgb
from sklearn import metrics as skm

import evaluate
import golden
from gapless_sagemaker import expectations
from gapless_sagemaker.artefact import UnsafeArtefact
from gapless_sagemaker.evaluation.curves import ROC_POINTS
from gapless_sagemaker.evaluation.split import BadTestSplit, split_digest
from gapless_sagemaker.evaluation.window import BadWindow
from gapless_sagemaker.job import BadArguments, keeping_the_reason
from tests.sagemaker_jobs.options_folder import options_folder

ROOT = Path(__file__).parents[2]
WORKLOAD = ROOT / "workloads" / "flight_delays"
ROWS = 2000


def flights(rows: int, seed: int) -> pa.Table:
    """Typed rows; long flights are late more often, some temperatures are missing."""
    random = np.random.default_rng(seed)
    distance = random.integers(100, 3000, rows)
    temp = random.normal(50, 10, rows)
    late = random.random(rows) < 1 / (1 + np.exp(2 - distance / 1000))
    return pa.table(
        {
            "_row_id": pa.array([f"row {number}" for number in range(rows)]),
            "dest": pa.array(np.array(["ATL", "BOS", None], dtype=object)[random.integers(0, 3, rows)].tolist()),
            "distance": pa.array(distance, pa.int32()),
            "temp": pa.array(np.where(temp > 60, np.nan, temp), pa.float64()),
            "late": pa.array(late),
        }
    )


def train(folder: Path, script: Path, *hyperparameters: str) -> Path:
    """Train and pack the archive as a training job does; give its folder."""
    for name, seed in (("train", 1), ("validation", 2)):
        (folder / name).mkdir(parents=True)
        pq.write_table(flights(ROWS, seed), folder / name / "part-0.parquet")
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT / "sagemaker_jobs" / "in_scripts"),
        "SM_CHANNEL_TRAIN": str(folder / "train"),
        "SM_CHANNEL_VALIDATION": str(folder / "validation"),
        "SM_MODEL_DIR": str(folder / "written"),
        "SM_OUTPUT_DIR": str(folder / "output"),
    }
    subprocess.run(
        [sys.executable, str(script), "--target", "late", *hyperparameters], env=environment, check=True, timeout=600
    )
    (folder / "model").mkdir()
    with tarfile.open(folder / "model/model.tar.gz", "w:gz") as tar:
        tar.add(folder / "written", arcname=".")
    return folder / "model"


@dataclass(frozen=True)
class Place:
    """What the jobs find in their container."""

    model: Path
    champion: Path
    test: Path
    bundle: Path
    jobs: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("place")
    (root / "test/test").mkdir(parents=True)
    table = flights(ROWS, 3)
    pq.write_table(table.slice(0, 1500), root / "test/test/part-0.parquet")
    pq.write_table(table.slice(1500), root / "test/test/part-1.parquet")
    (root / "bundle").mkdir()
    with zipfile.ZipFile(root / "0123abcd.zip", "w") as archive:
        for path in sorted((ROOT / "sagemaker_jobs").rglob("*.py")):
            archive.write(path, path.relative_to(ROOT / "sagemaker_jobs"))
    return Place(
        model=train(root / "candidate", WORKLOAD / "train.py", "--num_round", "20"),
        champion=train(root / "champion", WORKLOAD / "train.py", "--num_round", "2", "--max_depth", "1"),
        test=root / "test",
        bundle=root / "bundle",
        jobs=root / "0123abcd.zip",
    )


def run_zip(place: Place, output: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the zip file as the container does."""
    results = ["--output", str(output), "--message", str(output / "message")]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(output)}
    return subprocess.run(
        [sys.executable, str(place.jobs), *arguments, *results],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def evaluated(
    place: Place, output: Path, options: dict[str, Any] | None = None, **other: Path | None
) -> dict[str, Any]:
    """Evaluate in this process; give the document."""
    given = evaluate.Options(
        model=other.get("model") or place.model,
        champion=other.get("champion"),
        test=other.get("test") or place.test,
        options=options_folder(output / "options", **(options or {})),
        version="v1",
        output=output,
    )
    (output / "scratch").mkdir(parents=True)
    evaluate.run(given, output / "scratch")
    document: dict[str, Any] = json.loads((output / "evaluation.json").read_text())
    return document


# --- evaluate --------------------------------------------------------------------------------------------------------


def test_evaluates_model_and_champion_on_the_same_rows(place: Place, tmp_path: Path) -> None:
    folders = ("--model", str(place.model), "--champion", str(place.champion), "--test", str(place.test))
    options = ("--options", str(options_folder(tmp_path / "options")), "--version", "v1")
    done = run_zip(place, tmp_path, "evaluate", *folders, *options)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "evaluation.json").read_text())
    table = pq.read_table(place.test / "test")
    truth = table["late"].to_numpy()
    assert (document["rows"], document["positives"]) == (ROWS, int(truth.sum()))
    assert document["problem"] == "binary_classification"
    assert document["metrics"]["base_rate"] == pytest.approx(truth.mean())
    assert set(document["champion"]) == {"sha256", "metrics", "intervals", "difference", "comparison"}
    assert 0 < document["champion"]["difference"] <= 1
    assert document["champion"]["comparison"]["auc"]["low"] > 0
    assert document["champion"]["metrics"]["auc"] < document["metrics"]["auc"]
    assert document["champion"]["sha256"] != document["model"]["sha256"]
    assert [file["path"] for file in document["model"]["files"]] == ["code/inference.py", "features.json", "model.ubj"]
    assert not (tmp_path / "message").exists()
    assert len(json.dumps(document)) < 200_000


def test_the_environment_of_the_evaluation_is_told_with_a_digest(place: Place, tmp_path: Path) -> None:
    told = evaluated(place, tmp_path)["environment"]
    assert told["python"] == platform.python_version()
    assert told["packages"]["numpy"] == np.__version__
    lines = "".join(f"{name}=={version}\n" for name, version in sorted(told["packages"].items()))
    assert told["packages_sha256"] == hashlib.sha256(lines.encode()).hexdigest()


def test_the_window_that_a_model_was_trained_on_is_in_the_document_and_on_the_page(
    place: Place, tmp_path: Path
) -> None:
    with pytest.raises(BadWindow, match=r"the model has no window\.json"):
        evaluated(place, tmp_path / "without", {"window": True})
    window = {
        "window": {"kind": "sliding", "days": 20.0},
        "rows": 600,
        "of_rows": 3000,
        "candidates": [
            {"kind": "expanding", "quality": None, "gain": 0.0, "steps": 0},
            {"kind": "sliding", "days": 20.0, "quality": 0.75, "gain": 0.125, "steps": 2},
        ],
        "steps": [{"from": "2013-03-01T00:00:00Z", "to": "2013-03-31T00:00:00Z"}],
    }
    (tmp_path / "model").mkdir()
    (tmp_path / "unpacked").mkdir()
    with tarfile.open(place.model / "model.tar.gz") as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    (tmp_path / "unpacked" / "window.json").write_text(json.dumps(window))
    with tarfile.open(tmp_path / "model/model.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "unpacked", arcname=".")
    assert evaluated(place, tmp_path / "out", {"window": True}, model=tmp_path / "model")["window"] == window
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Trained on 600 of 3000 rows of the train split; window: sliding, 20 days." in page
    assert "Better than all rows by" in page and "2013-03-01T00:00:00Z to 2013-03-31T00:00:00Z" in page
    assert "window" not in evaluated(place, tmp_path / "plain", model=tmp_path / "model")


def test_a_model_does_not_differ_from_itself(place: Place, tmp_path: Path) -> None:
    folders = ("--model", str(place.model), "--champion", str(place.model), "--test", str(place.test))
    options = ("--options", str(options_folder(tmp_path / "options")), "--version", "v1")
    assert run_zip(place, tmp_path, "evaluate", *folders, *options).returncode == 0
    champion = json.loads((tmp_path / "evaluation.json").read_text())["champion"]
    assert champion["difference"] == 0


def test_the_metrics_are_those_of_the_trees_themselves(place: Place, tmp_path: Path) -> None:
    document = evaluated(place, tmp_path)
    described = json.loads((place.model.parent / "written/features.json").read_text())
    table = pq.read_table(place.test / "test")
    codes = {name: float(code) for code, name in enumerate(described["features"][0]["categories"])}
    dest = [codes.get(value, math.nan) for value in table["dest"].to_pylist()]
    columns = {"dest": dest, "distance": table["distance"].to_numpy(), "temp": table["temp"].to_numpy()}
    matrix = np.column_stack([columns[feature["name"]] for feature in described["features"]])
    probabilities = xgb.Booster(model_file=place.model.parent / "written/model.ubj").inplace_predict(matrix)
    truth = table["late"].to_numpy()
    assert document["metrics"] == pytest.approx(
        {
            "auc": skm.roc_auc_score(truth, probabilities),
            "log_loss": skm.log_loss(truth, probabilities),
            "brier": skm.brier_score_loss(truth, probabilities),
            "accuracy": ((probabilities >= 0.5) == truth).mean(),
            "base_rate": truth.mean(),
            "pr_auc": skm.average_precision_score(truth, probabilities),
            "balanced_accuracy": skm.balanced_accuracy_score(truth, probabilities >= 0.5),
            "precision": skm.precision_score(truth, probabilities >= 0.5),
            "recall": skm.recall_score(truth, probabilities >= 0.5),
            "f1": skm.f1_score(truth, probabilities >= 0.5),
            "mcc": skm.matthews_corrcoef(truth, probabilities >= 0.5),
        },
        abs=1e-6,
    )
    assert document["champion"] is None


def test_draws_curves_whose_points_are_few(place: Place, tmp_path: Path) -> None:
    evaluated(place, tmp_path)
    curves = json.loads((tmp_path / "details.json").read_text())["curves"]
    fpr, tpr = curves["roc"]["fpr"], curves["roc"]["tpr"]
    assert 10 < len(fpr) == len(tpr) <= ROC_POINTS
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert fpr == sorted(fpr)
    assert tpr == sorted(tpr)
    calibration = curves["calibration"]
    assert sum(calibration["count"]) == ROWS
    assert calibration["predicted"] == sorted(calibration["predicted"])
    assert np.corrcoef(calibration["predicted"], calibration["observed"])[0, 1] > 0.8


def test_ranks_the_features_by_gain(place: Place, tmp_path: Path) -> None:
    importance = evaluated(place, tmp_path)["importance"]
    assert next(iter(importance)) == "distance"
    assert list(importance.values()) == sorted(importance.values(), reverse=True)


def test_the_digest_of_the_split_changes_with_its_bytes(place: Place, tmp_path: Path) -> None:
    before = split_digest(place.test)
    (tmp_path / "test").mkdir()
    for part in sorted((place.test / "test").iterdir()):
        (tmp_path / "test" / part.name).write_bytes(part.read_bytes())
    assert split_digest(tmp_path) == before
    pq.write_table(flights(3, 9), tmp_path / "test/part-1.parquet")
    assert split_digest(tmp_path) != before


def only(table: pa.Table, column: str, value: object) -> pa.Table:
    return table.filter(pa.compute.equal(table[column], value))


def without_column(name: str) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.drop_columns([name])


BAD_SPLITS: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "no rows": (lambda table: table.slice(0, 0), "no rows"),
    "no target": (without_column("late"), "target missing: late; given are _row_id, dest"),
    "one class": (lambda table: only(table, "late", True), "the same in all"),
    "no feature": (without_column("temp"), "features of the model missing in the test split: temp"),
    "gaps": (lambda t: t.set_column(4, "late", pa.array([None] * t.num_rows, pa.bool_())), "with 2000 gaps"),
    "text": (lambda t: t.set_column(4, "late", pa.array(["yes"] * t.num_rows)), "target late is string"),
}


@pytest.mark.parametrize("name", BAD_SPLITS)
def test_refuses_a_split_that_cannot_be_scored(place: Place, tmp_path: Path, name: str) -> None:
    spoil, reason = BAD_SPLITS[name]
    (tmp_path / "split").mkdir()
    pq.write_table(spoil(flights(ROWS, 3)), tmp_path / "split/part-0.parquet")
    with pytest.raises(BadTestSplit, match=reason):
        evaluated(place, tmp_path / "output", test=tmp_path / "split")
    assert not (tmp_path / "output/evaluation.json").exists()


def test_refuses_a_split_without_files(place: Place, tmp_path: Path) -> None:
    (tmp_path / "split").mkdir()
    with pytest.raises(BadTestSplit, match="no Parquet files"):
        evaluated(place, tmp_path / "output", test=tmp_path / "split")


def test_says_so_when_only_the_champion_cannot_score_the_split(place: Place, tmp_path: Path) -> None:
    written, repacked = place.champion.parent / "written", tmp_path / "champion"
    described = json.loads((written / "features.json").read_text())
    described["features"][2]["name"] = "temperature"
    repack(written, repacked, {"features.json": json.dumps(described).encode()})
    with pytest.raises(BadTestSplit, match="features of the champion missing in the test split: temperature"):
        evaluated(place, tmp_path / "output", champion=repacked)


def repack(written: Path, folder: Path, changed: dict[str, bytes]) -> None:
    """Pack an archive in which some files are other than the training script wrote them."""
    source, target = written, folder
    target.mkdir()
    (target / "files/code").mkdir(parents=True)
    for path in source.rglob("*.*"):
        (target / "files" / path.relative_to(source)).write_bytes(path.read_bytes())
    for name, data in changed.items():
        (target / "files" / name).write_bytes(data)
    with tarfile.open(target / "model.tar.gz", "w:gz") as tar:
        tar.add(target / "files", arcname=".")


# --- archives that must not be loaded --------------------------------------------------------------------------------


def test_refuses_what_a_training_script_pickled_and_runs_none_of_its_code(place: Place, tmp_path: Path) -> None:
    """A script that saves its model as a pickle trains happily; the evaluation is where it ends."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    saving = '    booster.save_model(model_dir / "model.ubj")\n'
    text = (WORKLOAD / "train.py").read_text()
    assert saving in text
    pickling = '    import pickle\n\n    (model_dir / "model.ubj").write_bytes(pickle.dumps(booster))\n'
    (scripts / "train.py").write_text(text.replace(saving, pickling))
    trace = tmp_path / "loaded"
    (scripts / "inference.py").write_text(f"from pathlib import Path\nPath({str(trace)!r}).touch()\n")
    model = train(tmp_path / "run", scripts / "train.py", "--num_round", "2")
    options = ("--options", str(options_folder(tmp_path / "options")), "--version", "v1")
    done = run_zip(place, tmp_path, "evaluate", "--model", str(model), "--test", str(place.test), *options)
    assert done.returncode != 0
    message = (tmp_path / "message").read_text()
    assert message.startswith("UnsafeArtefact: model.tar.gz: model.ubj: a pickle; allowed are JSON, UBJSON, UTF-8 text")
    assert not trace.exists()
    assert not (tmp_path / "evaluation.json").exists()


def test_refuses_a_poisoned_champion_too(place: Place, tmp_path: Path) -> None:
    repack(place.champion.parent / "written", tmp_path / "champion", {"code/cache.bin": pickle.dumps([1])})
    with pytest.raises(UnsafeArtefact, match=r"^the champion's .*code/cache\.bin: a pickle"):
        evaluated(place, tmp_path / "output", champion=tmp_path / "champion")


@pytest.mark.parametrize("names", [[], ["a.tar.gz", "b.tar.gz"]])
def test_refuses_a_folder_without_exactly_one_archive(place: Place, tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "model").mkdir()
    for name in names:
        (tmp_path / "model" / name).write_bytes((place.model / "model.tar.gz").read_bytes())
    with pytest.raises(UnsafeArtefact, match=r"allowed is exactly one \*\.tar\.gz"):
        evaluated(place, tmp_path / "output", model=tmp_path / "model")


# --- golden ----------------------------------------------------------------------------------------------------------

FLIGHT = {"dest": "ATL", "distance": 900, "temp": None}
GOOD = [
    {"name": "a flight", "request": {"instances": [FLIGHT]}, "expect": {"probability": [[0, 1]]}},
    {"name": "nonsense", "request": {"instances": [{}]}, "expect": {"refused": "dest is missing"}},
]


def bundle(folder: Path, document: object) -> Path:
    """Write a bundle with this golden.json, anything that is not bytes as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "golden.json").write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    with tarfile.open(folder / "sourcedir.tar.gz", "w:gz") as tar:
        tar.add(folder / "golden.json", arcname="golden.json")
    return folder


def answered(place: Place, root: Path, document: object, digest: str | None = None) -> dict[str, Any]:
    """Run the golden job in this process; give its document."""
    (root / "scratch").mkdir(parents=True)
    folder = bundle(root / "bundle", document)
    golden.run(golden.Options(place.model, folder, root / "output", digest), root / "scratch")
    written: dict[str, Any] = json.loads((root / "output/golden.json").read_text())
    return written


def test_answers_the_golden_requests(place: Place, tmp_path: Path) -> None:
    folder = bundle(tmp_path / "bundle", {"cases": GOOD})
    done = run_zip(place, tmp_path, "golden", "--model", str(place.model), "--golden", str(folder))
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "golden.json").read_text())
    assert document["passed"] is True
    first, second = document["cases"]
    assert (first["name"], first["request"], first["passed"]) == ("a flight", GOOD[0]["request"], True)
    assert 0 < first["predictions"][0]["probability"] < 1
    assert (second["predictions"], second["passed"]) == (None, True)
    assert second["refused"].startswith("instances[0]: feature dest is missing")


def test_knows_the_model_by_its_digest(place: Place, tmp_path: Path) -> None:
    digest = evaluated(place, tmp_path / "evaluation")["model"]["sha256"]
    assert answered(place, tmp_path / "same", {"cases": GOOD}, digest)["model"]["sha256"] == digest
    with pytest.raises(UnsafeArtefact, match=f"digest is {digest}; the evaluated model's is 0000"):
        answered(place, tmp_path / "other", {"cases": GOOD}, "0" * 64)


UNEXPECTED = {
    "out of bounds": ({"probability": [[0.999, 1]]}, FLIGHT, "probability of prediction 0 is 0."),
    "too few": ({"probability": [[0, 1], [0, 1]]}, FLIGHT, "1 predictions; expected are 2"),
    "refused": ({"probability": [[0, 1]]}, {**FLIGHT, "dest": 3}, "refused: instances[0].dest: given 3"),
    "answered": ({"refused": "dest"}, FLIGHT, "answered; expected is a refusal that names 'dest'"),
    "refused otherwise": ({"refused": "dest"}, {**FLIGHT, "temp": "warm"}, "expected is 'dest' in it"),
}


@pytest.mark.parametrize("name", UNEXPECTED)
def test_fails_after_writing_what_was_answered(place: Place, tmp_path: Path, name: str) -> None:
    expect, instance, reason = UNEXPECTED[name]
    case = {"name": name, "request": {"instances": [instance]}, "expect": expect}
    with pytest.raises(golden.GoldenFailed, match=f"^1 of 3 cases: {name}: ") as failure:
        answered(place, tmp_path, {"cases": [*GOOD, case]})
    assert reason in str(failure.value)
    document = json.loads((tmp_path / "output/golden.json").read_text())
    assert document["passed"] is False
    assert [case["passed"] for case in document["cases"]] == [True, True, False]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("raise OSError('a file is missing')", "the model does not load: OSError: a file is missing"),
        ("def predict_fn(rows, model):\n    return 1 / 0", "a flight: the model fails: ZeroDivisionError"),
    ],
)
def test_a_model_whose_code_fails_has_failed_the_golden_requests(
    place: Place, tmp_path: Path, more: str, message: str
) -> None:
    written = place.model.parent / "written"
    code = (written / "code/inference.py").read_text() + f"\n{more}\n"
    repack(written, tmp_path / "model", {"code/inference.py": code.encode()})
    with pytest.raises(golden.GoldenFailed, match=f"^{message}"):
        answered(replace(place, model=tmp_path / "model"), tmp_path / "output", {"cases": GOOD})


def with_expect(expect: object) -> object:
    return {"cases": [{**GOOD[0], "expect": expect}]}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        [],
        {},
        {"cases": {}},
        {"cases": []},
        {"cases": ["a"]},
        {"cases": [{"name": "a"}]},
        {"cases": [{**GOOD[0], "more": 1}]},
        with_expect({}),
        with_expect({"probability": []}),
        with_expect({"probability": [0.5]}),
        with_expect({"probability": [[0.6, 0.5]]}),
        with_expect({"probability": [[0, 1.1]]}),
        with_expect({"probability": [["0", "1"]]}),
        with_expect({"probability": [[0, 1]], "refused": "a"}),
        with_expect({"refused": 3}),
        with_expect({"value": [[2, 1]]}),
        with_expect({"value": [[True, 2]]}),
        with_expect({"label": [0.5]}),
        with_expect({"cluster": ["a"]}),
        with_expect({"probabilities": [{}]}),
        with_expect({"probabilities": [{"a": [0, 2]}]}),
        with_expect({"label": ["a"], "probabilities": [{"a": [0, 1]}, {"a": [0, 1]}]}),
    ],
    ids=repr,
)
def test_refuses_golden_requests_of_another_form(place: Place, tmp_path: Path, document: object) -> None:
    with pytest.raises(golden.BadGolden, match=r"golden\.json"):
        answered(place, tmp_path, document)


@pytest.mark.parametrize(
    ("expect", "prediction", "told"),
    [
        ({"value": [[-5, 5]]}, {"value": -4}, None),
        ({"value": [[-5, 5]]}, {"value": 6.5}, "value of prediction 0 is 6.5; expected is -5 to 5"),
        ({"value": [[-5, 5]]}, {"probability": 0.5}, "value of prediction 0 is None; expected is -5 to 5"),
        ({"label": ["FR"]}, {"label": "FR"}, None),
        ({"label": ["FR"]}, {"label": "DE"}, "label of prediction 0 is 'DE'; expected is 'FR'"),
        ({"label": [1]}, {"label": True}, "label of prediction 0 is True; expected is 1"),
        ({"probabilities": [{"FR": [0.5, 1]}]}, {"probabilities": {"FR": 0.6, "DE": 0.4}}, None),
        ({"probabilities": [{"FR": [0.5, 1]}]}, {"probabilities": {"DE": 1}}, "probabilities of prediction 0 is"),
        ({"cluster": [3], "distance": [[0, 1]]}, {"cluster": 3, "distance": 0.5}, None),
        ({"cluster": [3], "distance": [[0, 1]]}, {"cluster": 3, "distance": 1.5}, "distance of prediction 0 is 1.5"),
        ({"error": [[0, 1]]}, {"projection": [1, 2], "error": 0.25}, None),
    ],
)
def test_expects_what_the_predictions_of_each_problem_have(
    expect: dict[str, Any], prediction: dict[str, Any], told: str | None
) -> None:
    assert expectations.allowed(expect)
    found = expectations.difference(expect, [prediction])
    assert found == told or (told is not None and found is not None and found.startswith(told))


def test_refuses_a_bundle_without_golden_requests(place: Place, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "sourcedir.tar.gz", "w:gz"):
        pass
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(golden.BadGolden, match=r"no golden requests in the bundle's golden\.json"):
            golden.read_cases(folder)


def test_the_flight_workload_has_golden_requests_of_every_kind(tmp_path: Path) -> None:
    cases = golden.read_cases(bundle(tmp_path, json.loads((WORKLOAD / "golden.json").read_text())))
    assert 6 <= len(cases) <= 10
    assert {next(iter(case["expect"])) for case in cases} == {"probability", "refused"}


# --- around the jobs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "BadArguments: job unknown: None; allowed are evaluate, golden"),
        (("explain",), "BadArguments: job unknown: 'explain'"),
        (
            ("evaluate", "--model", "m"),
            "BadArguments: the following arguments are required: --test, --options, --version",
        ),
        (
            ("golden", "--model", "m", "--golden", "g", "--speed", "3"),
            "BadArguments: unrecognized arguments: --speed 3",
        ),
    ],
)
def test_leaves_the_reason_when_the_arguments_are_wrong(
    place: Place, tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    done = run_zip(place, tmp_path / "deep/down", *arguments)
    assert done.returncode != 0
    if arguments:
        assert (tmp_path / "deep/down/message").read_text().startswith(reason)
    assert "Traceback" in done.stderr


def test_fails_as_before_when_no_file_for_the_reason_is_named() -> None:
    with pytest.raises(BadArguments, match="wrong"), keeping_the_reason(["evaluate", "--model", "m"]):
        raise BadArguments("wrong")
