"""Models of every kind in a story: made, asked, judged, and those that it refuses."""

from __future__ import annotations

import datetime as dt
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from constructs_lib.names.workload_file import WorkloadFile
from local.errors import Failure, UserError
from local.server.sagemaker import images
from local.settings import CHECKOUT
from local.story.bench import Bench
from local.story.judging import Judges, NotEvaluated, Served
from local.story.makers import Maker, check_models, maker_of
from local.story.models import Model, TrainingFailed
from local.story.training import Asked, run_training
from tests.local.story.drifting import BEGIN
from tests.local.story.kinds import CLUSTERS, FRAMEWORK, LINEAR, SEARCH, TREES, Kind, algorithm, container

ROWS = {"train": 200, "validation": 60, "test": 60}
KINDS = {"built_in": LINEAR, "trees": TREES, "container": container(), "automl": SEARCH, "framework": FRAMEWORK}


def split(rows: int, seed: int) -> pa.Table:
    """Rows as the history has them; one in twenty does not know its height."""
    chance = random.Random(seed)  # noqa: S311 - equal rows in every run
    x = [chance.gauss(0, 1) for _ in range(rows)]
    return pa.table(
        {
            "above_mean": x,
            "height": [None if number % 20 == 7 else each / 4 for number, each in enumerate(x)],
            "y": [2 * each + 1 + chance.gauss(0, 0.3) for each in x],
            "_event_time": pa.array(
                [BEGIN + dt.timedelta(hours=each) for each in range(rows)], pa.timestamp("us", "UTC")
            ),
            "_row_id": [f"{seed}-{each:04}" for each in range(rows)],
        }
    )


@dataclass(frozen=True)
class Lab:
    """A workload with what makes its models."""

    maker: Maker
    folder: Path

    @property
    def workload(self) -> WorkloadFile:
        return self.maker.workload

    def model(self, name: str = "m0") -> Model:
        """A model that is still to be trained, with its splits."""
        folder = self.folder / "models" / name
        for number, (part, rows) in enumerate(ROWS.items()):
            (folder / "dataset" / part).mkdir(parents=True)
            pq.write_table(split(rows, number), folder / "dataset" / part / "part-0.parquet")
        return Model(name, folder, None, ROWS)

    def trained(self, name: str = "m0") -> Model:
        model = self.model(name)
        self.maker.train(model.folder)
        return model


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Kind], Lab]]:
    """Opens laboratories; the machine has every framework."""
    monkeypatch.setattr(images, "_missing", lambda _python, _modules: [])
    with Bench(tmp_path / "bench") as bench:

        def opened(kind: Kind) -> Lab:
            folder = tmp_path / "drifting"
            kind.write(folder, [])
            workload = WorkloadFile.load(folder / "workload.yaml")
            check_models(workload, folder)
            return Lab(maker_of(workload, folder, bench), tmp_path)

        yield opened
    left = [each.name for each in (tmp_path / "bench" / "scratch").iterdir() if not each.name.startswith("image-")]
    assert left == [], "what served is gone"


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_each_kind_learns_answers_and_is_judged(kind: str, lab: Callable[[Kind], Lab]) -> None:
    here = lab(KINDS[kind])
    model, rows = here.trained(), split(300, 9)
    answered = here.maker.ask(model, rows)
    assert answered.features == ("above_mean", "height")
    truth, found = rows["y"].to_numpy(), np.array([each["value"] for each in answered.answers])
    assert np.abs(truth - found).mean() < (0.5 if kind == "trees" else 0.3), "300 rows are two requests, in order"
    judges = Judges(here.workload, here.folder / "judging", here.maker)
    figures, verdict = judges.evaluate(model, model, model.split("test"), "evaluation-0")
    assert figures["metrics"]["mae"] == pytest.approx(judges.quality(*asked(here, model)), rel=1e-9)
    assert figures["champion"]["difference"] == 0
    assert figures["model"]["files"]
    assert not verdict["passed"], "a model is not better than itself"
    baseline = judges.make_baseline(model, "evaluation-0")
    assert set(json.loads((baseline / "baseline.json").read_text())["predictions"]) == {"value"}
    served = Served(rows, answered.answers, answered.features, dt.timedelta(days=1))
    end = BEGIN + dt.timedelta(hours=300)
    assert not judges.monitor(baseline, served, end, "monitor-1")["families"]["quality"]["violations"]
    turned = replace(served, answers=[{"value": -each["value"]} for each in answered.answers])
    assert judges.monitor(baseline, turned, end, "monitor-2")["families"]["quality"]["violations"]


def asked(here: Lab, model: Model) -> tuple[pa.Table, list[dict[str, float]]]:
    test = pq.read_table(model.split("test"))
    return test, here.maker.ask(model, test).answers


@pytest.mark.parametrize("kind", [algorithm("knn", k="15"), SEARCH], ids=["votes", "search"])
def test_a_yes_or_no_is_answered_by_probabilities(kind: Kind, lab: Callable[[Kind], Lab]) -> None:
    here = lab(replace(kind, problem="binary_classification"))
    model = here.model()
    for part in (model.split(name) for name in ROWS):
        (file,) = part.iterdir()
        pq.write_table(yes_or_no(pq.read_table(file)), file)
    here.maker.train(model.folder)
    rows = yes_or_no(split(100, 9))
    answers = here.maker.ask(model, rows).answers
    shares = [each["probability"] for each in answers]
    assert len({round(share, 6) for share in shares}) > 5, "they are no mere labels"
    assert [each["label"] for each in answers] == [share >= 0.5 for share in shares]
    quality = Judges(here.workload, here.folder / "judging", here.maker).quality(rows, answers)
    assert quality is not None
    assert quality > 0.95


def yes_or_no(rows: pa.Table) -> pa.Table:
    """The same rows with another target: whether it was more than 1."""
    at = rows.column_names.index("y")
    return rows.set_column(at, "y", pc.greater(rows["y"], 1.0))


def test_clusters_are_judged_and_monitored_without_a_target(lab: Callable[[Kind], Lab]) -> None:
    here = lab(CLUSTERS)
    model, rows = here.model(), split(100, 9).drop_columns(["y"])
    for part in (model.split(name) for name in ROWS):
        (file,) = part.iterdir()
        pq.write_table(pq.read_table(file).drop_columns(["y"]), file)
    here.maker.train(model.folder)
    answered = here.maker.ask(model, rows)
    assert {each["cluster"] for each in answered.answers} == {0, 1, 2}
    judges = Judges(here.workload, here.folder / "judging", here.maker)
    mean = np.mean([each["distance"] for each in answered.answers])
    assert judges.quality(rows, answered.answers) == pytest.approx(mean)
    figures, _ = judges.evaluate(model, None, model.split("test"), "evaluation-0")
    assert figures["metric"] == "mean_distance"
    baseline = judges.make_baseline(model, "evaluation-0")
    served = Served(rows, answered.answers, answered.features, dt.timedelta(0))
    found = judges.monitor(baseline, served, BEGIN + dt.timedelta(hours=300), "monitor-1")
    assert "quality" not in found["families"]
    moved = replace(served, rows=rows.set_column(0, "above_mean", pc.add(rows["above_mean"], 3.0)))
    found = judges.monitor(baseline, moved, BEGIN + dt.timedelta(hours=300), "monitor-2")
    assert found["families"]["drift"]["violations"]


def test_the_linear_learner_finds_the_line_of_least_squares(lab: Callable[[Kind], Lab]) -> None:
    here = lab(LINEAR)
    model, rows = here.trained(), split(50, 9)
    train = split(ROWS["train"], 0)
    line = np.polyfit(train["above_mean"].to_numpy(), train["y"].to_numpy(), 1)
    wanted = np.polyval(line, rows["above_mean"].to_numpy())
    known = [number for number in range(50) if number % 20 != 7]
    found = np.array([each["value"] for each in here.maker.ask(model, rows).answers])
    assert found[known] == pytest.approx(wanted[known], abs=0.1)


def test_models_trained_at_the_same_time_are_those_trained_one_after_the_other(lab: Callable[[Kind], Lab]) -> None:
    here = lab(container())
    rows = split(20, 9)
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(here.trained, ("m1", "m2")))
    answers = [here.maker.ask(model, rows).answers for model in (*together, here.trained("m3"))]
    assert answers[0] == answers[1] == answers[2]


def test_a_container_is_told_hyperparameters_and_target_and_sees_its_image(lab: Callable[[Kind], Lab]) -> None:
    here = lab(container(weight="7"))
    model = here.trained()
    told = json.loads((model.folder / "job" / "opt" / "ml" / "model" / "line.json").read_text())
    assert {name: told[name] for name in ("weight", "target", "seed")} == {"weight": "7", "target": "y", "seed": "0"}
    assert told["hidden"] == ["Dockerfile", "gapless.json", "main.py"]
    assert here.maker.ask(model, split(0, 9)).answers == []


def test_a_script_is_told_segments_and_by_what_the_guard_judges(lab: Callable[[Kind], Lab], tmp_path: Path) -> None:
    here = lab(FRAMEWORK)
    folder = tmp_path / "regional"
    shutil.copytree(CHECKOUT / "tests" / "several_models" / "regional_orders", folder)
    (folder / "train.py").write_text(
        "import json, os\nfrom pathlib import Path\nimport gapless_guard, gapless_segments\n"
        "Path(os.environ['SM_MODEL_DIR'], 'seen.json').write_text(json.dumps(dict(os.environ)))\n"
    )
    with (folder / "workload.yaml").open("a") as file:
        file.write("training: {guard: {}}\n")
    workload = WorkloadFile.load(folder / "workload.yaml")
    model = here.model()
    maker_of(workload, folder, here.maker.bench).train(model.folder)
    seen = json.loads((model.folder / "job" / "opt" / "ml" / "model" / "seen.json").read_text())
    assert json.loads(seen["GAPLESS_SEGMENTS_0"])["feature"] == "region"
    assert workload.training.guard is not None
    assert seen["GAPLESS_GUARD"] == workload.training.guard.rules_json()
    assert seen["TRAINING_JOB_NAME"] == "m0"
    assert not [name for name in seen if name.startswith("AWS_") and name != "AWS_REGION"]


def test_a_window_of_the_workload_is_not_asked_for(lab: Callable[[Kind], Lab]) -> None:
    making = FRAMEWORK.making.replace("pytorch:2.6.0", "xgboost:3.2-0").replace(
        "{hyper", "{window: {kind: sliding, days: 5}, hyper"
    )
    here = lab(replace(FRAMEWORK, making=making))
    assert here.workload.training.window is not None
    model = here.trained()
    figures, _ = Judges(here.workload, here.folder / "judging", here.maker).evaluate(
        model, None, model.split("test"), "evaluation-0"
    )
    assert "window" not in figures


def test_nothing_runs_once_a_story_has_ended(tmp_path: Path) -> None:
    with Bench(tmp_path / "bench") as bench:
        argv = [sys.executable, "-c", "import time; time.sleep(600)"]
        process = bench.spawn(argv, env={}, cwd=tmp_path, stdout=subprocess.DEVNULL)
        assert process.poll() is None
    assert process.poll() is not None


# -- what fails


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (container(fail="yes"), r"told to fail \(log: .*m0/training\.log\)"),
        (algorithm("linear-learner", depth="3"), r"Customer Error: hyperparameters unknown to linear-learner: depth"),
    ],
)
def test_says_why_a_training_failed(kind: Kind, told: str, lab: Callable[[Kind], Lab]) -> None:
    with pytest.raises(TrainingFailed, match=told):
        lab(kind).trained()


def test_says_why_a_search_failed(lab: Callable[[Kind], Lab]) -> None:
    here = lab(SEARCH)
    model = here.model()
    pq.write_table(split(40, 0), model.split("train") / "part-0.parquet")
    with pytest.raises(TrainingFailed, match="channel training has 40 rows; a search needs at least 50"):
        here.maker.train(model.folder)


def test_says_which_split_cannot_be_encoded(lab: Callable[[Kind], Lab]) -> None:
    here = lab(LINEAR)
    model = here.model()
    unknown = split(40, 0).set_column(2, "y", pa.nulls(40, pa.float64()))
    pq.write_table(unknown, model.split("train") / "part-0.parquet")
    with pytest.raises(TrainingFailed, match="the splits cannot be encoded: the split train has no rows"):
        here.maker.train(model.folder)


def test_ends_a_training_that_takes_too_long(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text("import time\ntime.sleep(600)\n")
    image = "1.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1"
    asked = Asked(image, "ml.m5.large", 1, {"sagemaker_program": "train.py"}, {}, code=tmp_path / "code")
    with (
        Bench(tmp_path / "bench") as bench,
        pytest.raises(TrainingFailed, match=r"training\.max_runtime_minutes: .* were not enough"),
    ):
        run_training(bench, asked, tmp_path / "m0")


@pytest.mark.parametrize(
    ("hyperparameters", "told"),
    [
        ({"deaf": "yes"}, r"model m0 cannot be asked: the container ended with exit code 4 \(logs: .*/logs/m0\)"),
        ({"lost": "1"}, "model m0 cannot be asked: 19 predictions for 20 rows; allowed is one per row"),
    ],
)
def test_says_why_a_model_cannot_be_asked(
    hyperparameters: dict[str, str], told: str, lab: Callable[[Kind], Lab]
) -> None:
    here = lab(container(**hyperparameters))
    model = here.trained()
    with pytest.raises(Failure, match=told):
        here.maker.ask(model, split(20, 9))


def test_says_that_answers_have_not_the_form_of_the_problem(lab: Callable[[Kind], Lab]) -> None:
    here = lab(container(called="worth"))
    model = here.trained()
    judges = Judges(here.workload, here.folder / "judging", here.maker)
    with pytest.raises(NotEvaluated, match=r"model m0 cannot be evaluated: prediction 0: given .*; allowed is"):
        judges.evaluate(model, None, model.split("test"), "evaluation-0")
    with pytest.raises(Failure, match="a model's answers cannot be measured: prediction 0: given"):
        judges.quality(*asked(here, model))


# -- what is refused


@pytest.mark.parametrize(
    ("making", "told"),
    [
        (
            "model: {kind: built_in, algorithm: factorization-machines}\n"
            "training: {hyperparameters: {num_factors: 2}}\n",
            r"model of drifting: the built-in algorithm factorization-machines \(xgboost, linear-learner, knn, kmeans, "
            r"pca are\) is not available on the local server",
        ),
        (
            "model: {kind: built_in, algorithm: catboost}\n",
            "model of drifting: the built-in algorithm catboost, whose scripts lie with AWS, is not available",
        ),
        (
            "model: {kind: built_in, algorithm: xgboost}\n"
            "training: {tuning: {ranges: {num_round: {integer: [5, 50]}}, objective: {metric: 'validation:mae'}}}\n",
            "training.hyperparameters: xgboost needs num_round, and a story searches for none",
        ),
        (
            "model: {image: 'pytorch:2.6.0'}\n",
            r"pytorch-training:2.6.0-cpu-py312 \(not installed beside the jobs: torch",
        ),
        (
            "model: {image: 'tensorflow:2.18.0'}\n",
            "served by TensorFlow Serving|not installed beside the jobs: tensorflow",
        ),
    ],
)
def test_refuses_what_the_local_aws_refuses(making: str, told: str, tmp_path: Path) -> None:
    Kind(making).write(tmp_path / "drifting", [])
    workload = WorkloadFile.load(tmp_path / "drifting" / "workload.yaml")
    with pytest.raises(UserError, match=told):
        check_models(workload, tmp_path / "drifting")


def test_tensorflow_is_refused_wherever_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_missing", lambda _python, _modules: [])
    Kind("model: {image: 'tensorflow:2.18.0'}\n").write(tmp_path / "drifting", [])
    workload = WorkloadFile.load(tmp_path / "drifting" / "workload.yaml")
    with pytest.raises(UserError, match="it is served by TensorFlow Serving, a program of its own"):
        check_models(workload, tmp_path / "drifting")


def test_refuses_a_workload_without_its_script(tmp_path: Path) -> None:
    LINEAR.write(tmp_path / "drifting", [])
    workload = WorkloadFile.load(CHECKOUT / "workloads" / "loan_approval" / "workload.yaml")
    with pytest.raises(UserError, match=r"there is no .*/train\.py; a story trains by it"):
        check_models(workload, tmp_path / "drifting")
