"""The workload that is looked at for bias: its batch, its model, and what its evaluation says."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from sagemaker.core.shapes import model_card_shapes as shapes

import evaluate
from benchmarks.prediction_shift import AMOUNTS, distance, loan_model
from constructs_lib.names.workload_file import WorkloadFile
from judge_model.handler import handler
from tests.workloads.loan_applications import FOLDER, applications, script, write_splits
from watch_predictions.distance import shift

WITHHELD = {"black", "hispanic", "male"}


@pytest.fixture(scope="module")
def workload() -> WorkloadFile:
    return WorkloadFile.load(FOLDER / "workload.yaml")


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory, workload: WorkloadFile) -> Path:
    return write_splits(tmp_path_factory.mktemp("splits"), workload)


def trained(folder: Path, splits: Path, workload: WorkloadFile, **changed: str) -> Path:
    """Train as a training job does, with the workload's hyperparameters; gives the folder of the model."""
    given = {**workload.training.hyperparameters, "target": workload.target, "seed": workload.training.seed, **changed}
    arguments = [text for name, value in given.items() for text in (f"--{name}", str(value))]
    environment = {
        "PATH": "/usr/bin:/bin",
        "SM_CHANNEL_TRAIN": str(splits / "train"),
        "SM_CHANNEL_VALIDATION": str(splits / "validation"),
        "SM_MODEL_DIR": str(folder),
        "SM_OUTPUT_DIR": str(folder.parent / "output"),
    }
    command = [sys.executable, str(FOLDER / "train.py"), *arguments]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, splits: Path, workload: WorkloadFile) -> Path:
    return trained(tmp_path_factory.mktemp("model") / "model", splits, workload)


@dataclass(frozen=True)
class Evaluated:
    """What the evaluation wrote."""

    folder: Path
    figures: Mapping[str, Any]
    details: Mapping[str, Any]
    card: Mapping[str, Any]
    report: str


def evaluated(folder: Path, model: Path, splits: Path, options: Mapping[str, Any]) -> Evaluated:
    """Evaluate as the processing job does."""
    for name in ("model", "options", "scratch"):
        (folder / name).mkdir(parents=True)
    with tarfile.open(folder / "model/model.tar.gz", "w:gz") as tar:
        tar.add(model, arcname=".")
    (folder / "options/any.json").write_text(json.dumps(options))
    given = evaluate.Options(
        model=folder / "model",
        champion=None,
        test=splits / "test",
        options=folder / "options",
        version="v1",
        output=folder / "output",
        train=splits / "train",
    )
    evaluate.run(given, folder / "scratch")
    read = {name: (folder / "output" / name).read_text() for name in ("evaluation.json", "details.json")}
    card = json.loads((folder / "output/model_card.json").read_text())
    report = (folder / "output/report.html").read_text()
    return Evaluated(folder, json.loads(read["evaluation.json"]), json.loads(read["details.json"]), card, report)


@pytest.fixture(scope="module")
def evaluation(
    tmp_path_factory: pytest.TempPathFactory, model: Path, splits: Path, workload: WorkloadFile
) -> Evaluated:
    return evaluated(tmp_path_factory.mktemp("evaluation"), model, splits, workload.evaluation_options())


# --- batch and model -------------------------------------------------------------------------------------------------


def test_equal_calls_write_equal_batches(tmp_path: Path) -> None:
    for name in ("first", "second"):
        subprocess.run([sys.executable, str(FOLDER / "batch.py"), str(tmp_path / name)], check=True, timeout=60)
    written = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("first", "second")]
    assert written[0] == written[1]
    assert set(written[0]) == {"_batch.json", "applications.csv.gz"}


def test_the_batch_has_every_application_once_and_the_columns_of_the_workload(workload: WorkloadFile) -> None:
    rows = applications()
    assert len({row["application"] for row in rows}) == len(rows) == 1989
    assert list(rows[0]) == list(workload.sources["applications"].columns)
    assert sum(row["approved"] == "true" for row in rows) == 1745
    assert [row["applied_at"] for row in rows] == sorted(row["applied_at"] for row in rows)


def test_the_model_is_numbers_and_does_not_know_whom_an_application_is_from(model: Path) -> None:
    written = {path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()}
    assert written == {"model.json", "features.json", "code/inference.py"}
    named = {term["feature"] for term in json.loads((model / "model.json").read_text())["terms"]}
    assert not named & WITHHELD
    assert named == {feature["name"] for feature in json.loads((model / "features.json").read_text())["features"]}


def test_equal_rows_and_hyperparameters_give_equal_bytes(
    tmp_path: Path, splits: Path, model: Path, workload: WorkloadFile
) -> None:
    again = trained(tmp_path / "again", splits, workload)
    other = trained(tmp_path / "other", splits, workload, penalty="9")
    assert (again / "model.json").read_bytes() == (model / "model.json").read_bytes()
    assert (other / "model.json").read_bytes() != (model / "model.json").read_bytes()


def test_the_golden_requests_are_answered_as_expected(model: Path, tmp_path: Path) -> None:
    import golden

    (tmp_path / "bundle").mkdir()
    (tmp_path / "scratch").mkdir()
    (tmp_path / "model").mkdir()
    with tarfile.open(tmp_path / "bundle/sourcedir.tar.gz", "w:gz") as tar:
        tar.add(FOLDER / "golden.json", arcname="golden.json")
    with tarfile.open(tmp_path / "model/model.tar.gz", "w:gz") as tar:
        tar.add(model, arcname=".")
    golden.run(golden.Options(tmp_path / "model", tmp_path / "bundle", tmp_path / "output", None), tmp_path / "scratch")
    assert json.loads((tmp_path / "output/golden.json").read_text())["passed"] is True


def test_refuses_requests_for_the_reason_that_it_gives(model: Path) -> None:
    inference = script("inference")
    loaded = inference.model_fn(str(model))
    instance = dict.fromkeys(loaded["kinds"])
    assert 0 < inference.predict_fn([instance], loaded)[0]["probability"] < 1
    for wrong, reason in (
        ({**instance, "black": True}, "unknown feature 'black'"),
        ({name: None for name in instance if name != "gift"}, "feature gift is missing"),
        ({**instance, "dependents": 1.5}, "dependents is 1.5; allowed is a whole number"),
        ({**instance, "gift": 1}, "gift is 1; allowed is true, false or null"),
        ({**instance, "net_worth": True}, "net_worth is True; allowed is a finite number"),
        ([], "is no object of features"),
    ):
        with pytest.raises(inference.WrongRequest, match=reason):
            inference.predict_fn([wrong], loaded)
    for body in ("[", "[]", '{"instances": []}', '{"instances": [{}], "more": 1}'):
        with pytest.raises(inference.WrongRequest):
            inference.input_fn(body, "application/json")


def test_a_rollout_tolerates_a_model_of_most_of_the_same_rows_and_no_amount_in_the_wrong_unit(
    splits: Path, workload: WorkloadFile
) -> None:
    tolerated = workload.serving.prediction_shift
    rows, asked = (script("train").read(splits / name) for name in ("train", "test"))
    sound = loan_model(rows)
    retrained = loan_model(rows.slice(0, len(rows) * 4 // 5))
    assert tolerated is not None
    assert distance(sound(asked), retrained(asked)) < tolerated
    for name in AMOUNTS:
        wrong = asked.set_column(asked.column_names.index(name), name, pc.multiply(asked[name], 100.0))
        moved = shift(sound(asked), sound(wrong))
        assert moved is not None and moved > tolerated, name


# --- evaluation ------------------------------------------------------------------------------------------------------


def test_every_facet_is_looked_at_before_and_after_training(evaluation: Evaluated) -> None:
    bias = evaluation.figures["bias"]
    names = ["black: true", "hispanic: true", "male: false"]
    assert [facet["name"] for facet in bias["facets"]] == [facet["name"] for facet in bias["training"]] == names
    assert bias["facets"][0]["rows"] == evaluation.figures["rows"] == 597
    assert bias["training"][0]["rows"] == 1193
    assert bias["training"][0]["post_training"] == {}
    for facet in bias["facets"]:
        assert (len(facet["pre_training"]), len(facet["post_training"])) == (8, 13)
    black = bias["facets"][0]
    assert black["post_training"]["DPPL"] > 0
    assert black["intervals"]["DPPL"]["low"] < black["post_training"]["DPPL"] < black["intervals"]["DPPL"]["high"]


def test_a_model_without_trees_is_explained_by_asking_it(evaluation: Evaluated, workload: WorkloadFile) -> None:
    found = evaluation.figures["attributions"]
    assert (found["method"], found["rows"]) == ("kernel_shap", 50)
    assert set(found["global"]) == set(workload.feature_types) - WITHHELD
    for row in evaluation.details["attributions"]:
        added = sum(feature["attribution"] for feature in row["features"])
        assert row["base"] + added == pytest.approx(row["answer"], abs=1e-9)


def test_the_document_is_small_enough_for_the_machine(evaluation: Evaluated) -> None:
    assert (evaluation.folder / "output/evaluation.json").stat().st_size < 100_000
    assert len(json.dumps(evaluation.card)) < 50_000


def test_its_gate_judges_bias_and_limits_beside_the_rest(evaluation: Evaluated, workload: WorkloadFile) -> None:
    event: Any = {
        "evaluation": evaluation.figures,
        "gate": workload.gate.judged(workload.problem),
        "problem": workload.problem,
    }
    verdict = handler(event, None)
    assert [rule["rule"] for rule in verdict["rules"]] == ["floor", "champion", *["bias"] * 6, *["limits"] * 2]
    assert verdict["passed"], [rule["reason"] for rule in verdict["rules"] if not rule["passed"]]
    assert "null" not in json.dumps(event["gate"])
    event["gate"]["bias"] = [{**rule, "judged_by": "estimate"} for rule in event["gate"]["bias"]]
    assert not handler(event, None)["passed"]


def test_equal_archives_and_rows_are_evaluated_alike(
    tmp_path: Path, evaluation: Evaluated, model: Path, splits: Path, workload: WorkloadFile
) -> None:
    again = evaluated(tmp_path, model, splits, workload.evaluation_options())
    for document in (evaluation.figures, again.figures):
        assert document["limits"]["latency_ms"]["p50"] > 0
    kept = [{**found.figures, "limits": found.figures["limits"]["bytes"]} for found in (evaluation, again)]
    for figures in kept:  # the same content, packed anew
        figures["model"] = {name: value for name, value in figures["model"].items() if name != "archive_sha256"}
    assert kept[0] == kept[1]
    assert evaluation.details == again.details


# --- card and report -------------------------------------------------------------------------------------------------


def test_the_card_has_the_form_that_sagemaker_has_for_cards_of_packages(evaluation: Evaluated) -> None:
    card = evaluation.card
    shapes.ModelCardContent.model_validate(card, extra="forbid")
    assert set(card["model_overview"]) <= {"model_creator", "model_artifact"}
    assert card["intended_uses"]["risk_rating"] == "High"
    groups = {group["name"]: group["metric_data"] for group in card["evaluation_details"][0]["metric_groups"]}
    assert list(groups) == [
        *("Metrics", "Bias: black: true", "Bias: hispanic: true", "Bias: male: false", "Attributions", "Limits")
    ]
    assert "black: true (" in card["additional_information"]["ethical_considerations"]
    (chart,) = groups["Attributions"]
    assert len(chart["value"]) == len(chart["x_axis_name"])


class Page(HTMLParser):
    """Keeps what a page refers to, whether its tags are closed in order, and its text."""

    VOID = frozenset({"meta", "line", "rect", "path", "circle", "polyline"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.refers: list[str] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.refers += [str(value) for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_report_shows_it_all_and_needs_nothing_else(evaluation: Evaluated) -> None:
    page = Page(evaluation.report)
    assert (page.refers, page.open) == (["verdict.html"], []), "the verdict is written beside it, later"
    text = " ".join(page.text)
    for shown in (
        *("Evaluation of loan_approval", "auc", "Slices", "late_payments: none", "Bias", "hispanic: true"),
        *("DPPL", "Kernel SHAP", "credit_history", "99th percentile", "model.json"),
    ):
        assert shown in text, shown
    assert "nan" not in text.lower().split()
    assert evaluation.report.count("<svg") == evaluation.report.count("</svg>") == 2 + 3 + 1 + 4


def test_texts_of_others_are_no_html(tmp_path: Path, model: Path, splits: Path, workload: WorkloadFile) -> None:
    options = {**workload.evaluation_options(), "name": "<b>loans</b>", "explanations": None, "facets": []}
    found = evaluated(tmp_path, model, splits, options)
    assert "<b>" not in found.report
    assert "&lt;b&gt;loans" in found.report
    assert found.figures["bias"] is None
    assert found.figures["attributions"] is None
    assert found.card["additional_information"]["ethical_considerations"] == "No facet was looked at for bias."


def test_values_that_are_sensitive_are_not_shown(
    tmp_path: Path, evaluation: Evaluated, model: Path, splits: Path, workload: WorkloadFile
) -> None:
    options = {**workload.evaluation_options(), "sensitive": ["net_worth", "_row_id"], "facets": []}
    found = evaluated(tmp_path, model, splits, options)
    values = {
        (feature["name"], feature["value"]) for row in found.details["attributions"] for feature in row["features"]
    }
    assert {value for name, value in values if name == "net_worth"} == {"(withheld)"}
    named = [{row["row"] for row in each.details["attributions"]} for each in (found, evaluation)]
    assert named[0] != named[1]
    assert len({value for name, value in values if name == "obligations"}) > 1
