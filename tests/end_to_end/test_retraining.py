"""A loop that learns by itself: windows by back-test, searches after what did not help, models that are taken back."""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from constructs_lib.names import metrics
from gapless_sagemaker.artefact import open_artefact
from local.chain import Chain, ChainReader
from local.retrain import ask_for_training
from tests.end_to_end.live import ROOT, Live, eventually
from tests.end_to_end.second_project import STAGE, land
from tests.everything.orders import order_batch

FIRST = dt.date(2025, 1, 1)
DAYS = 20
"""Of a batch; the last 30 % of the days are kept for validation and test, the others are what is learnt from."""

COOLDOWN = 12
"""Days, as the workload says: shorter than a batch is long, and longer once a training did not help."""


@dataclass(frozen=True)
class Learnt:
    """What one ask has set off.

    Attributes:
        chain: The executions.
        loop: The record of the loop.
        model: The record of the model machine; empty where nothing was trained.
        tunings: The names of all tuning jobs of the workload after it.
    """

    chain: Chain
    loop: dict[str, Any]
    model: dict[str, Any]
    tunings: frozenset[str]

    @property
    def package(self) -> str:
        """The ARN of the model that was deployed."""
        assert self.chain.package is not None and self.chain.outcome() == "deployed", self.chain
        return self.chain.package.arn

    @property
    def tuning(self) -> dict[str, Any]:
        """What is recorded of its tuning; nothing where it had none."""
        found: dict[str, Any] = json.loads(self.model["tuning"])
        return found

    @property
    def window(self) -> dict[str, Any]:
        """What is recorded of its window."""
        found: dict[str, Any] = json.loads(self.model["window"])
        return found

    def rule(self, name: str) -> dict[str, Any]:
        """What a rule of the policy has said."""
        (found,) = [each for each in json.loads(self.loop["decision_rules"]) if each["rule"] == name]
        return dict(found)


def learnt(live: Live, chain: Chain) -> Learnt:
    model = live.item(live.outputs.runs_table, "run", f"model#{chain.run_id}")
    listed = live.client("sagemaker").list_hyper_parameter_tuning_jobs(NameContains="signed", MaxResults=100)
    names = frozenset(each["HyperParameterTuningJobName"] for each in listed["HyperParameterTuningJobSummaries"])
    return Learnt(chain, live.record(f"loop#{chain.run_id}"), model or {}, names)


def landed(live: Live, number: int, *, seed: int = 1, turned_after: int | None = None) -> Learnt:
    """What twenty days set off; after some of them the world is another one.

    The seeds are such that the best window is so by far, at every depth of trees that a tuning may find.
    """
    first = FIRST + number * dt.timedelta(days=DAYS)
    batch = order_batch(first, DAYS, seed=seed, turned_after=turned_after)
    return learnt(live, live.chain_of(land(live, batch, f"from-{first}")))


def asked(live: Live, reason: str, day: dt.date) -> Learnt:
    """What a person sets off who asks for a training of the newest batch, on a day."""
    noon = dt.datetime.combine(day, dt.time(12), dt.UTC)
    target = live.platform
    run_id = ask_for_training(
        target.settings, target.aws, target.outputs, actor="ada", reason=reason, as_of=noon, search=False
    )
    reader = ChainReader(target.aws, target.outputs, run_id)

    def look() -> Chain | None:
        chain = reader.read()
        return chain if chain.finished else None

    return learnt(live, eventually(look, f"the end of what {reason!r} has set off"))


def memory(live: Live) -> dict[str, Any]:
    """What the policy remembers of trainings."""
    state: dict[str, Any] = json.loads(live.record(f"retraining#{live.workload}")["memory"])["state"]
    return state


def did_not_help(live: Live, in_a_row: int) -> dict[str, Any]:
    """Wait until the policy has counted so many trainings in a row that did not help; returns what it remembers."""

    def look() -> dict[str, Any] | None:
        state = memory(live)
        return state if state["refused_in_a_row"] == in_a_row else None

    return eventually(look, f"{in_a_row} trainings that did not help", seconds=120)


def training_of(remembered: dict[str, Any], run_id: str) -> dict[str, Any]:
    (found,) = [each for each in remembered["begun"] if each["run_id"] == run_id]
    return dict(found)


def status(live: Live, package_arn: str) -> str:
    return str(live.client("sagemaker").describe_model_package(ModelPackageName=package_arn)["ModelApprovalStatus"])


# --- what happens, one after the other --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def steady(signed: Live) -> Learnt:
    """The same world for twenty days."""
    return landed(signed, 0)


@pytest.fixture(scope="module")
def turned(signed: Live, steady: Learnt) -> Learnt:
    """The world has been another one for longer than the sliding window is."""
    assert steady.chain.outcome() == "deployed", steady.chain
    return landed(signed, 1, seed=2, turned_after=6)


@pytest.fixture(scope="module")
def taken_back(signed: Live, turned: Learnt) -> dict[str, Any]:
    """Somebody goes back to the model before; what the policy remembers then."""
    left = turned.package
    signed.command("rollback", "--reason", "refunds have doubled", "--actor", "ada")
    assert status(signed, left) == "Rejected"
    return did_not_help(signed, 1)


@pytest.fixture(scope="module")
def waiting(signed: Live, taken_back: dict[str, Any]) -> Learnt:
    """The next batch, which comes after the cooldown, and before the longer one has ended."""
    assert taken_back["running"] is None
    return landed(signed, 2, turned_after=9)


@pytest.fixture(scope="module")
def by_hand(signed: Live, waiting: Learnt) -> Learnt:
    """Somebody does not want to wait."""
    assert waiting.chain.of("model") is None, waiting.chain
    return asked(signed, "the world has turned", FIRST + dt.timedelta(days=3 * DAYS))


@pytest.fixture(scope="module")
def alarmed(signed: Live, by_hand: Learnt) -> dict[str, Any]:
    """Labels say that its model is no good, and the alarm takes it back; what the policy remembers then."""
    left = by_hand.package
    dimensions = [{"Name": name, "Value": value} for name, value in metrics.dimensions(STAGE, signed.workload).items()]
    figure = {"MetricName": metrics.LABEL_QUALITY_LOST, "Value": 1.0, "Dimensions": dimensions}
    signed.client("cloudwatch").put_metric_data(Namespace=metrics.NAMESPACE, MetricData=[figure])
    eventually(lambda: status(signed, left) == "Rejected", "the end of the probation", seconds=180)
    return did_not_help(signed, 2)


@pytest.fixture(scope="module")
def searched(signed: Live, alarmed: dict[str, Any]) -> Learnt:
    """Somebody asks again, and for no search."""
    assert alarmed["running"] is None
    return asked(signed, "once more", FIRST + dt.timedelta(days=3 * DAYS + 1))


# --- searches ---------------------------------------------------------------------------------------------------------


def test_a_training_that_has_no_reason_to_search_takes_over_what_was_found_last(
    steady: Learnt, turned: Learnt, by_hand: Learnt
) -> None:
    for each in (turned, by_hand):
        assert each.rule("once")["holds"]
        assert (each.loop["search"], each.model["search"]) == ("false", "none")
        assert each.tuning == {}
        assert each.model["tuned_by"] == steady.model["tuned_by"]
        assert json.loads(each.model["hyperparameters"]) == json.loads(steady.model["hyperparameters"])
    assert steady.tunings == turned.tunings == by_hand.tunings


def test_after_two_trainings_that_did_not_help_hyperparameters_are_searched(
    signed: Live, by_hand: Learnt, searched: Learnt
) -> None:
    assert searched.loop["search"] == "true"
    assert searched.loop["decision"].endswith("; hyperparameters are searched")
    assert searched.model["search"] == "it was asked for"
    (name,) = searched.tunings - by_hand.tunings
    assert (searched.tuning["name"], searched.model["tuned_by"]) == (name, name)
    trials = signed.read_json(searched.tuning["trials_uri"])["trials"]
    assert [each["status"] for each in trials] == ["Completed", "Completed"]
    for each in trials:
        job = signed.client("sagemaker").describe_training_job(TrainingJobName=each["name"])
        assert job["TuningJobArn"].endswith(f"/{name}")
        assert job["HyperParameters"]["max_depth"] == each["hyperparameters"]["max_depth"]
    assert searched.model["training_job"] in {each["name"] for each in trials}


def test_the_count_to_the_next_search_begins_anew(signed: Live, searched: Learnt) -> None:
    remembered = memory(signed)
    found = training_of(remembered, searched.chain.run_id)
    assert (found["outcome"], found["search"]) == ("promoted", True)
    assert remembered["unhelpful_in_a_row"] == 0


# --- models that are taken back ---------------------------------------------------------------------------------------


def test_the_policy_is_told_of_a_model_that_somebody_has_taken_back(
    steady: Learnt, turned: Learnt, taken_back: dict[str, Any]
) -> None:
    first, second = (training_of(taken_back, each.chain.run_id) for each in (steady, turned))
    assert (first["outcome"], first["taken_back"]) == ("promoted", False)
    assert (second["outcome"], second["taken_back"]) == ("promoted", True)


def test_the_next_decision_backs_off_and_says_that_it_is_for_what_did_not_help(
    signed: Live, turned: Learnt, waiting: Learnt
) -> None:
    said = f"the cooldown of {COOLDOWN} days ended"
    assert said in turned.rule("cooldown")["text"]
    backs_off = waiting.rule("cooldown")
    assert not backs_off["holds"]
    assert f"the cooldown of {2 * COOLDOWN} days (1 in a row did not help) ends" in backs_off["text"]
    assert [each["rule"] for each in json.loads(waiting.loop["decision_rules"]) if not each["holds"]] == ["cooldown"]
    assert waiting.loop["outcome"] == "did not retrain"
    assert waiting.loop["decision"] == f"did not retrain because {backs_off['text']}" == waiting.chain.declined
    (entry,) = [
        each
        for each in signed.trail()
        if each["event"].startswith("retrain-declined#") and each["run"] == waiting.chain.run_id
    ]
    assert (entry["decision"], json.loads(entry["rules"])) == (
        waiting.loop["decision"],
        json.loads(waiting.loop["decision_rules"]),
    )


def test_the_policy_is_told_of_a_model_that_an_alarm_has_taken_back(
    signed: Live, steady: Learnt, by_hand: Learnt, alarmed: dict[str, Any], searched: Learnt
) -> None:
    entry = next(each for each in signed.trail() if each.get("rolled_back_from") == by_hand.package)
    assert (entry["cause"], entry["model_package_arn"]) == ("probation", steady.package)
    found = training_of(alarmed, by_hand.chain.run_id)
    assert (found["outcome"], found["taken_back"], found["search"]) == ("promoted", True, False)
    assert alarmed["unhelpful_in_a_row"] == 2
    assert searched.rule("cooldown")["text"] == "manual does not wait for the cooldown"


# --- windows ----------------------------------------------------------------------------------------------------------


def train_script() -> ModuleType:
    """The training script of the workload, in this process."""
    path = ROOT / "workloads" / "flight_delays" / "train.py"
    spec = importlib.util.spec_from_file_location("train_of_signed_orders", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Rows:
    """What a training was given, fetched from where its job has read it; and what it has made of that."""

    train: Path
    validation: Path
    options: Namespace
    model: bytes

    def fit(self, script: ModuleType, weigh: Any) -> tuple[bytes, int]:
        """Train in this process on the rows that count, by their weights; returns the model and how many rows it saw.

        Args:
            weigh: Days between each row and the end of the split → their weights, 0 for rows that do not count.
        """
        (table, times), held_back = script.read_rows(self.train), script.read_channel(self.validation)
        features = script.learn_features(table, self.options.target)
        ages = (times.max() + np.timedelta64(1, "us") - times).astype("timedelta64[us]").astype(float) / 86_400e6
        weights: npt.NDArray[np.float64] = weigh(ages)
        rows = weights > 0
        known = script._dmatrix(table.filter(rows), features, self.options, weights[rows])
        booster = script.fit(self.options, known, script._dmatrix(held_back, features, self.options))
        return bytes(booster.save_raw("ubj")), int(rows.sum())


def rows_of(live: Live, run: Learnt, script: ModuleType, folder: Path) -> Rows:
    """Fetch the channels and the model of a training job."""
    job = live.client("sagemaker").describe_training_job(TrainingJobName=run.model["training_job"])
    channels = {}
    for channel in job["InputDataConfig"]:
        source = channel["DataSource"]["S3DataSource"]
        if channel["ChannelName"] not in ("train", "validation"):
            continue
        assert source["S3DataType"] == "ManifestFile"
        head, *names = live.read_json(source["S3Uri"])
        place = folder / channel["ChannelName"]
        place.mkdir(parents=True)
        for number, name in enumerate(names):
            (place / f"{number}.parquet").write_bytes(live.read(head["prefix"] + name))
        channels[channel["ChannelName"]] = place
    ours = ("sagemaker_", "_tuning_")
    told = {name: value for name, value in job["HyperParameters"].items() if not name.startswith(ours)}
    arguments = [text for name, value in told.items() for text in (f"--{name}", value.strip('"'))]
    directories = ("--train", "x", "--validation", "x", "--model_dir", "x")
    options = script.parse_options([*arguments, *directories], {})
    archive = folder / "model.tar.gz"
    archive.write_bytes(live.read(job["ModelArtifacts"]["S3ModelArtifacts"]))
    open_artefact(archive, folder / "model")
    return Rows(channels["train"], channels["validation"], options, (folder / "model" / "model.ubj").read_bytes())


WEIGH = {
    "expanding": np.ones_like,
    "sliding": lambda ages: (ages <= 6).astype(float),
    "weighted": lambda ages: np.power(0.5, ages),
}
"""Window → weights of rows by their age in days."""


@pytest.mark.parametrize(
    ("name", "window"),
    [
        ("steady", {"kind": "expanding"}),
        ("turned", {"kind": "sliding", "days": 6.0}),
        ("by_hand", {"kind": "weighted", "half_life_days": 1.0}),
        ("searched", {"kind": "weighted", "half_life_days": 1.0}),
    ],
)
def test_a_training_learns_from_the_rows_of_the_window_that_its_record_names(
    signed: Live, request: pytest.FixtureRequest, tmp_path: Path, name: str, window: dict[str, Any]
) -> None:
    run: Learnt = request.getfixturevalue(name)
    assert run.window["window"] == window
    gains = {each["kind"]: each["gain"] for each in run.window["candidates"]}
    assert gains.keys() == {"expanding", "sliding", "weighted"}
    assert max(gains, key=gains.__getitem__) == window["kind"]
    script = train_script()
    given = rows_of(signed, run, script, tmp_path / "job")
    fitted = {kind: given.fit(script, weigh) for kind, weigh in WEIGH.items()}
    assert len({model for model, _ in fitted.values()}) == len(WEIGH), "each window makes another model"
    assert [kind for kind, (model, _) in fitted.items() if model == given.model] == [window["kind"]]
    assert (run.window["rows"], run.window["of_rows"]) == (fitted[window["kind"]][1], fitted["expanding"][1])
    assert run.window == signed.read_json(run.model["evaluation_uri"])["window"]
